"""The consent form of ours: its response as an `Intake`, and an `Intake` as an R4 Consent with its Provenance."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import orjson

from fhir_alliance.core.intake import Choice, Intake, Signer
from fhir_alliance.core.keys import derived
from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.errors import ParkItem
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.difference import Change, ChangeKind
from fhir_alliance.fhir.elements import instant, value_of
from fhir_alliance.fhir.labels import codings
from fhir_alliance.fhir.provenance import agent, device

URL: Final = f"{ids.BASE}/Questionnaire/consent-intake"
# linkId: purpose (v3-ActReason), and the role (ours) of whoever gets to see it
_ASKED: Final = {
    "treatment": ("TREAT", "treating"),
    "supervision": ("TRAIN", "supervising"),
    "quality": ("HQUALIMP", "quality"),
    "payer": ("HPAYMT", "payer"),
    "research": ("HRESCH", "research"),
}
_FINISHED: Final = frozenset({"completed", "amended"})
# v3-RoleCode: guardian, parent, mother, father, and those by nature, adoption or step
_GUARDIANS: Final = frozenset({"GUARD", "PRN", "MTH", "FTH", "NMTH", "NFTH", "ADOPTP", "ADOPTF", "ADOPTM", "STPPRN"})


def is_intake(body: bytes) -> bool:
    """Return whether a response may be one to this form; cheap, for all that are not."""
    return b"/Questionnaire/consent-intake" in body


def read_intake(resource: Mapping[str, Any], base: str) -> Intake | None:
    """Return what was chosen; None for another form, or one that is not finished.

    Raises ParkItem FA340 where it cannot be read: a choice that is not there is none.
    """
    canonical = str(resource.get("questionnaire", "")).partition("|")[0]
    status = str(resource.get("status", ""))
    if canonical != URL or status not in _FINISHED:
        return None
    subject = ids.local(str((resource.get("subject") or {}).get("reference", "")), base)
    reference = str(resource.get("id", ""))
    if not subject.startswith("Patient/") or ids.FHIR_ID.fullmatch(reference) is None:
        raise ParkItem("FA340", "a consent form without a client of this store.", "Correct its subject.")
    answers = _answers(resource)
    authored = str(resource.get("authored", ""))
    return Intake(
        reference,
        f"QuestionnaireResponse/{reference}",
        str((resource.get("meta") or {}).get("versionId", "")),
        subject,
        ids.local(str((resource.get("source") or {}).get("reference", "")), base),
        authored,
        _moment(authored),
        tuple(_choice(link, answers, base) for link in _ASKED if isinstance(answers.get(link), bool)),
        _day(answers["until"]) if "until" in answers else None,
        answers.get("read") is True,
    )


def signer_of(intake: Intake, person: Mapping[str, Any] | None, base: str) -> Signer:
    """Return who answered. person: the RelatedPerson that the form names, if the store has it."""
    if intake.signer == intake.subject:
        return Signer.CLIENT
    if person is None or ids.local(str((person.get("patient") or {}).get("reference", "")), base) != intake.subject:
        return Signer.OTHER
    codes = {c.get("code") for kind in person.get("relationship") or () for c in kind.get("coding") or ()}
    return Signer.GUARDIAN if codes & _GUARDIANS and person.get("active", True) is True else Signer.OTHER


def born_on(patient: Mapping[str, Any] | None) -> date | None:
    """Return a client's day of birth; None where it is not known to the day."""
    try:
        return date.fromisoformat(str((patient or {}).get("birthDate", "")))
    except ValueError:
        return None


def consent_write(intake: Intake) -> Write:
    """Return the write that keeps the Consent of a form current."""
    key = derived("consent", intake.key)
    body = orjson.dumps(_consent(intake, key))
    return Write("Consent", ids.CONSENT, key, WriteMode.KEEP_CURRENT, body, intake.key)


def consent_provenance(intake: Intake, version: str, now: datetime) -> Change:
    """Return the creation of the Provenance that goes with a new or changed Consent. version: of this program."""
    told = _provenance(intake, derived("consent", intake.key), version, now)
    key = str(told["id"])
    write = Write("Provenance", ids.PROVENANCE, key, WriteMode.ACCOMPANY, orjson.dumps(told), intake.key)
    return Change(write, ChangeKind.CREATE)


def consent_identifier(resource: Mapping[str, Any]) -> str:
    """Return the key under which we wrote a Consent, or "" when it is not ours."""
    return value_of(resource, ids.CONSENT)


def voided(stored: Mapping[str, Any], group: str) -> Write:
    """Return the write that marks a stored Consent of ours as entered in error."""
    body = orjson.dumps({**stored, "status": "entered-in-error"})
    return Write("Consent", ids.CONSENT, consent_identifier(stored), WriteMode.KEEP_CURRENT, body, group)


def _consent(intake: Intake, key: str) -> dict[str, Any]:
    period: dict[str, str] = {"start": intake.authored} | ({"end": intake.until.isoformat()} if intake.until else {})
    return {
        "resourceType": "Consent",
        "id": key,
        "meta": {"security": codings(("R",))},
        "identifier": [{"system": ids.CONSENT, "value": key}],
        "status": "active",
        "scope": {"coding": [{"system": _SCOPE, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": ids.LOINC, "code": "59284-0", "display": "Consent Document"}]}],
        "patient": {"reference": intake.subject},
        "dateTime": intake.authored,
        "performer": [{"reference": intake.signer}],
        "sourceReference": {"reference": intake.reference},
        "policy": [{"uri": URL}],
        "provision": {"period": period, "provision": [_provision(choice) for choice in intake.choices]},
    }


def _provision(choice: Choice) -> dict[str, Any]:
    """Return one choice as a rule: for a purpose, and of whom it speaks."""
    rule: dict[str, Any] = {
        "type": "permit" if choice.permitted else "deny",
        "purpose": [{"system": ids.V3 + "ActReason", "code": choice.purpose}],
    }
    if choice.permitted and choice.purpose != "TREAT":
        recipient = {"system": ids.V3 + "ParticipationType", "code": "IRCP"}
        role = {"coding": [recipient if choice.recipient else {"system": ids.TERMS, "code": choice.role}]}
        named = {"reference": choice.recipient} if choice.recipient else {"display": f"whoever is {choice.role}"}
        rule["actor"] = [{"role": role, "reference": named}]
    return rule


def _provenance(intake: Intake, key: str, version: str, now: datetime) -> dict[str, Any]:
    name = derived("provenance", key, intake.version, instant(now))
    source = f"{intake.reference}/_history/{intake.version}" if intake.version else intake.reference
    return {
        "resourceType": "Provenance",
        "id": name,
        "meta": {"security": codings(("R",)), "tag": [{"system": ids.PROVENANCE, "code": name}]},
        "contained": [device(version)],
        "target": [{"reference": f"Consent/{key}"}],
        "recorded": instant(now),
        "activity": {"coding": [{"system": ids.V3 + "DataOperation", "code": "CREATE"}]},
        "agent": [agent("assembler", {"reference": "#software"}), agent("author", {"reference": intake.signer})],
        "entity": [{"role": "source", "what": {"reference": source}}],
    }


def _answers(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers by linkId; raises ParkItem FA340 where one stands twice or is not shaped as FHIR."""
    found: dict[str, Any] = {}
    try:
        for item in resource.get("item") or ():
            answers = item.get("answer") or ()
            if not answers:
                continue
            link, (answer, *more) = str(item["linkId"]), answers
            if link in found or more:
                raise ParkItem("FA340", "a consent form with two answers to one question.", "Ask the client.")
            value = next(answer[name] for name in answer if name.startswith("value"))
            found[link] = value.get("reference", "") if isinstance(value, dict) else value
    except (TypeError, AttributeError, KeyError, ValueError, StopIteration):
        raise ParkItem("FA340", "a consent form that is not shaped as FHIR.", "Export the record again.") from None
    return found


def _choice(link: str, answers: Mapping[str, Any], base: str) -> Choice:
    purpose, role = _ASKED[link]
    recipient = ids.local(str(answers.get("payer-who", "")), base) if link == "payer" else ""
    return Choice(purpose, answers[link], role, recipient)


def _moment(authored: str) -> datetime:
    try:
        when = datetime.fromisoformat(authored if len(authored) != 10 else f"{authored}T12:00:00+00:00")
    except ValueError:
        when = datetime.min
    if when.tzinfo is None:
        raise ParkItem("FA340", "a consent form without a day.", "A consent is never dated by guess.")
    return when


def _day(text: Any) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise ParkItem("FA340", "a consent form whose last day is none.", "Ask the client.") from None


_SCOPE: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
