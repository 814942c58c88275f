"""What safe reads show of a server: no patient is asked for, nothing is written, and what is found is not kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from fhir_alliance.errors import AllianceError, Exit
from fhir_alliance.fhir.identifiers import BASE, REVIEW, SCORE
from fhir_alliance.fhir.outcome import Meaning
from fhir_alliance.stores.capability import ServerProfile, cautious, read_statement
from fhir_alliance.stores.discovery import smart_configuration
from fhir_alliance.stores.http import Http, Reply
from fhir_alliance.stores.paging import of_client
from fhir_alliance.stores.scopes import Needs
from fhir_alliance.stores.together import NOBODY, Together, kept_together

_SYSTEMS: Final[Mapping[str, str]] = {"Observation": SCORE, "Task": REVIEW}
_FORMS: Final = "QuestionnaireResponse"
_BY_URL: Final = frozenset({"Questionnaire", "ValueSet", "CodeSystem", "ConceptMap", "StructureDefinition"})


class Standing(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"  # it works, in another way than the best
    FAULT = "fault"  # a command will stop here


class Check(NamedTuple):
    """One thing that was looked at. what: a sentence.  hint: what to do.  exit: how a command would end."""

    name: str
    standing: Standing
    what: str
    hint: str = ""
    exit: Exit = Exit.DONE


class Probed(NamedTuple):
    """What was found. profile: the statement, corrected by what the reads showed.

    finds_changes: whether forms can be asked for without naming a client.
    """

    profile: ServerProfile
    checks: list[Check]
    smart: Mapping[str, Any]
    finds_changes: bool = True


def probe(http: Http, needs: Needs) -> Probed:
    """Return what a server says and shows of itself. needs: of the commands that shall run against it.

    Raises Unreachable where nobody answers at all.
    """
    statement, checks = _statement(http)
    smart = smart_configuration(http)
    profile = read_statement(statement, http.base) if statement else cautious(http.base)
    finds_changes = True
    for kind in sorted(needs.reads):
        check = _read(http, kind)
        if kind == _FORMS and check.exit is Exit.REFUSED:
            check, profile, finds_changes = _in_another_way(http, check, profile)
        checks.append(check)
        if check.standing is Standing.FAULT and statement:
            profile = _without(profile, kind, interaction="search-type")
        elif check.standing is Standing.NOTE and finds_changes:
            profile = _without(profile, kind, parameter="_lastUpdated")
    for kind in sorted(needs.writes & _SYSTEMS.keys()):
        check = _identified(http, kind, states_it="identifier" in profile.of(kind).search)
        checks.append(check)
        if check.standing is not Standing.OK:
            profile = _without(profile, kind, parameter="identifier")
    if profile.transaction:
        found = kept_together(http)
        checks.append(_TRANSACTIONS[found])
        kept = {Together.WHOLE: True, Together.IN_PART: False}.get(found)
        profile = profile.model_copy(update={"keeps_together": kept})
    if "Questionnaire" in needs.reads:
        checks += _habits(http)
    return Probed(profile, checks, smart, finds_changes)


def fetch_profile(http: Http) -> ServerProfile:
    """Return what the server states, or what is assumed of one that states nothing."""
    statement = _object(http.peek("metadata")) or _object_or_none(http)
    return read_statement(statement, http.base) if statement else cautious(http.base)


def _object_or_none(http: Http) -> dict[str, Any]:
    try:
        return _object(http.get("metadata"))
    except AllianceError:
        return {}


def _statement(http: Http) -> tuple[dict[str, Any], list[Check]]:
    """Return the CapabilityStatement, read without saying who we are and then with it, and how both went."""
    statement = _object(http.peek("metadata"))
    said = "the server states what it can" if statement else "the server states nothing without authorisation"
    checks = [Check("metadata", Standing.OK if statement else Standing.NOTE, said + ".")]
    try:
        signed = _object(http.get("metadata"))
        checks.append(Check("authorisation", Standing.OK, "the server accepts who we are."))
    except AllianceError as error:
        signed = {}
        checks.append(Check("authorisation", Standing.FAULT, f"{error.code} {error.message}", error.hint, error.exit))
    statement = signed or statement
    checks.append(_version(statement))
    return statement, checks


def _version(statement: Mapping[str, Any]) -> Check:
    version = str(statement.get("fhirVersion", ""))[:10]
    if not statement:
        what = "there is no CapabilityStatement; the least is assumed of this server."
        return Check("fhir-version", Standing.NOTE, what, "Is this a FHIR base address?")
    if version.startswith("4.0"):
        return Check("fhir-version", Standing.OK, f"FHIR {version} (R4).")
    what = f"the server states FHIR {version or 'in no version'}; only R4 (4.0.1) is read and written."
    return Check("fhir-version", Standing.FAULT, what, "Ask for the server's R4 address.", Exit.REFUSED)


def _read(http: Http, kind: str) -> Check:
    """Return whether a type can be searched for as the commands do it, without asking for anybody's data."""
    name = f"read {kind}"
    try:
        reply = _asked(http, kind)
    except AllianceError as error:
        return Check(name, Standing.FAULT, f"{error.code} {error.message}", error.hint, error.exit)
    if not reply.ok:
        what = f"the search that sync uses is refused ({reply.problem()})."
        return Check(name, Standing.FAULT, what, f"Allow searching {kind}.", Exit.REFUSED)
    if _entries(reply) and kind == _FORMS:
        what = "the server ignores _lastUpdated, so that each run reads every form again."
        return Check(name, Standing.NOTE, what, "Allow searching QuestionnaireResponse by _lastUpdated.")
    if _entries(reply):
        what = "the server ignores a condition of the search, and gives what was not asked for."
        return Check(name, Standing.FAULT, what, f"Ask the vendor how to search {kind}.", Exit.REFUSED)
    return Check(name, Standing.OK, "can be searched.")


def _in_another_way(http: Http, refused: Check, profile: ServerProfile) -> tuple[Check, ServerProfile, bool]:
    """Return how forms can be searched where not by `_lastUpdated`, the profile without what cannot be, and whether
    anything finds them without naming a client."""
    profile = _without(profile, _FORMS, parameter="_lastUpdated")
    hint = "Allow searching QuestionnaireResponse by _lastUpdated."
    if "authored" in profile.of(_FORMS).search:
        if _finds_nothing(http, "GET", {"authored": "ge2100-01-01", "_count": "1"}):
            return Check(refused.name, Standing.NOTE, "can be searched by authored only.", hint), profile, True
        profile = _without(profile, _FORMS, parameter="authored")
    if _finds_nothing(http, "POST", {"patient": NOBODY, "_count": "1"}):
        return Check(refused.name, Standing.NOTE, "can be searched client by client only.", hint), profile, False
    return refused, profile, False


def _finds_nothing(http: Http, method: str, params: Mapping[str, str]) -> bool:
    """Return whether a search for forms that are not there is taken, and finds none."""
    try:
        reply = http.get(_FORMS, params) if method == "GET" else http.search(_FORMS, params)
    except AllianceError:
        return False
    return reply.ok and not _entries(reply)


def _asked(http: Http, kind: str) -> Reply:
    if kind == _FORMS:
        return http.get(kind, {"_lastUpdated": "ge2100-01-01", "_sort": "_lastUpdated", "_count": "1"})
    if kind in _BY_URL:
        return http.get(kind, {"url": f"{BASE}/{NOBODY}", "_count": "1"})
    if kind == "Encounter":
        return http.search(kind, {"_id": NOBODY, "_count": "1"})
    return http.search(kind, {**of_client(kind, NOBODY), "_count": "1"})


def _habits(http: Http) -> Iterator[Check]:
    """Yield in what a server differs from most, as its Questionnaires show it: no patient is asked for."""
    try:
        first = http.get("Questionnaire", {"_count": "1"})
        if not first.ok or not _entries(first):
            return
        strange = http.get("Questionnaire", {NOBODY: "1", "_count": "1"})
        changed = http.get("Questionnaire", {"_lastUpdated": "ge1900-01-01", "_count": "1"})
    except AllianceError:  # what cannot be read is told by the checks of reading
        return
    page = _parsed(first)
    links = page.get("link")
    follows = any(isinstance(link, dict) and link.get("relation") == "next" for link in links or ())
    if not follows and isinstance(page.get("total"), int) and page["total"] > len(_entries(first)):
        yield Check("pages", Standing.NOTE, "the server names no next page; the rest is asked for by _offset.")
    if strange.ok and not _entries(strange):
        what = "a parameter that the server does not know finds nothing, as if nothing were there."
        yield Check("unknown parameters", Standing.NOTE, what, "Compare what sync reads with what is there.")
        if changed.ok and not _entries(changed):
            what = "nothing is found by _lastUpdated, though there is something."
            yield Check("changes", Standing.FAULT, what, "Set [store] pull to authored or roster.", Exit.REFUSED)


def _identified(http: Http, kind: str, *, states_it: bool) -> Check:
    """Return whether our own resources can be found again by their identifier.

    states_it: whether the server says so. Only then can a search that names a client beside it tell anything: who
    ignores the identifier finds nothing of nobody, too.
    """
    name = f"find {kind} by identifier"
    hint = f"Allow searching {kind} by identifier, so that no write has to be looked for by its content."
    key = {"identifier": f"{_SYSTEMS[kind]}|{NOBODY}", "_count": "1"}
    try:
        reply = http.search(kind, key)
        if states_it and reply.meaning in (Meaning.RECORD, Meaning.UNSUPPORTED):  # Epic wants the client beside it
            reply = http.search(kind, {**of_client(kind, NOBODY), **key})
    except AllianceError as error:
        return Check(name, Standing.NOTE, f"{error.code} {error.message}", hint)
    if not reply.ok or reply.meaning is not Meaning.DONE:
        return Check(name, Standing.NOTE, f"the server cannot ({reply.problem()}).", hint)
    if _entries(reply):
        return Check(name, Standing.NOTE, "the server ignores the identifier in a search.", hint)
    return Check(name, Standing.OK, "works.")


_TRANSACTIONS: Final[Mapping[Together, Check]] = {
    Together.WHOLE: Check("transactions", Standing.OK, "where one entry fails, all of them do, as reads show it."),
    Together.IN_PART: Check(
        "transactions", Standing.NOTE,
        "where one entry fails, the server does the others: it is sent none, so that nothing follows what has failed.",
        "Ask the vendor whether whole transactions can be turned on.",
    ),
    Together.NOT_KNOWN: Check(
        "transactions", Standing.NOTE,
        "whether all fails where one entry does is not known: reads do not show it.",
        "Ask the vendor, and set keeps_together in a pinned profile.",
    ),
}  # fmt: skip


def _without(profile: ServerProfile, kind: str, *, interaction: str = "", parameter: str = "") -> ServerProfile:
    """Return the profile without what a read has shown not to work."""
    held = profile.of(kind)
    corrected = held.model_copy(
        update={
            "interactions": tuple(each for each in held.interactions if each != interaction),
            "search": tuple(each for each in held.search if each != parameter),
        }
    )
    return profile.model_copy(update={"types": {**profile.types, kind: corrected}})


def _entries(reply: Reply) -> list[Any]:
    """Return what a search gave, without the outcomes that a server may put beside it."""
    entries = _parsed(reply).get("entry")
    return list(_resources(entries)) if isinstance(entries, list) else []


def _resources(entries: list[Any]) -> Iterator[Any]:
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") != "OperationOutcome":
            yield resource


def _object(reply: Reply) -> dict[str, Any]:
    """Return a CapabilityStatement, or nothing."""
    found = _parsed(reply)
    return found if reply.ok and found.get("resourceType") == "CapabilityStatement" else {}


def _parsed(reply: Reply) -> dict[str, Any]:
    try:
        found = orjson.loads(reply.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
