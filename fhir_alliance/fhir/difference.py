"""What has to change in a store so that it says what it should: the difference, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.core.labels import covers, union
from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir.elements import NAME

SCORED_AGAIN: Final = "fhir_alliance, scored again"  # the author of a note
CANONICAL: Final = "canonical"  # in place of an identifier system: the resource is known by its url

# What makes an Observation another one. Servers add and normalise other elements as they like.
_CONTENT = (
    "code", "category", "subject", "focus", "encounter", "effectiveDateTime", "performer", "valueQuantity",
    "valueCodeableConcept", "dataAbsentReason", "interpretation", "note", "method", "component",
)  # fmt: skip
_CARRYING_REVIEWS: Final = {"Communication": ("topic", "about"), "ServiceRequest": ("code", "supportingInfo")}
_STANDS_FOR = {"final": ("final", "corrected", "amended"), "amended": ("amended",)}
_OWN_REFERENCE = re.compile(rb'"(Observation|Task|Consent)/([0-9a-f]{64})"')


class ChangeKind(StrEnum):
    """What is sent."""

    CREATE = "create"
    UPDATE = "update"


class Change(msgspec.Struct, frozen=True):
    """One write that is needed. stored_id, stored_version: of the resource that it updates."""

    write: Write
    kind: ChangeKind
    stored_id: str = ""
    stored_version: str = ""


class Known:
    """Our own resources that a store already holds, by identifier."""

    def __init__(self, resources: Iterable[Mapping[str, Any]], key: str = "identifier") -> None:
        """key: "identifier" for records, "url" for Questionnaires and the like."""
        self.by_value: dict[str, Mapping[str, Any]] = {}
        for resource in resources:
            values = [resource["url"]] if key == "url" else [i.get("value") for i in resource.get("identifier") or ()]
            for value in values:
                if isinstance(value, str):
                    self.by_value[value] = resource

    def resolve(self, body: bytes, also: Mapping[str, str] | None = None) -> bytes:
        """Return the body with references to our resources replaced by what the store calls them.

        also: references for resources that are created in the same transaction, by key.
        """

        def name(found: re.Match[bytes]) -> bytes:
            kind, key = found[1].decode(), found[2].decode()
            if key in self.by_value and self.by_value[key].get("id"):
                return f'"{kind}/{self.by_value[key]["id"]}"'.encode()
            return f'"{also[key]}"'.encode() if also and key in also else found[0]

        return _OWN_REFERENCE.sub(name, body)


def referred(body: bytes) -> set[str]:
    """Return the keys of the resources of ours that a body refers to."""
    return {found[2].decode() for found in _OWN_REFERENCE.finditer(body)}


def subject_of(resource: Mapping[str, Any]) -> str:
    """Return the reference to the client that a resource is about, or "" for none."""
    named = resource.get("subject") or resource.get("for")
    reference = named.get("reference") if isinstance(named, dict) else None
    return reference if isinstance(reference, str) else ""


def same_content(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a stored resource is what we want to write, judged without any identifier.

    An Observation by code, client, time and value; a Task by code, client and what it is about, while it is open: what
    people have closed is another one. A document by type, client, time and title; a score form by client, time, status
    and the answers in it, but for the attachment; a review's message or request by topic, client, what it is about and
    our words in it, while it is open.
    """
    if wanted.get("resourceType") in _CARRYING_REVIEWS:
        return _same_review(stored, wanted, *_CARRYING_REVIEWS[wanted["resourceType"]])
    if wanted.get("resourceType") == "QuestionnaireResponse":
        is_same = all(stored.get(name) == wanted.get(name) for name in ("authored", "status"))
        return is_same and subject_of(stored) == subject_of(wanted) and _answers(stored) == _answers(wanted)
    if wanted.get("resourceType") == "DocumentReference":
        is_same = all(stored.get(name) == wanted.get(name) for name in ("date", "description", "docStatus"))
        return (
            is_same
            and subject_of(stored) == subject_of(wanted)
            and _codes(stored.get("type")) == _codes(wanted["type"])
        )
    if _codes(stored.get("code")) != _codes(wanted.get("code")) or subject_of(stored) != subject_of(wanted):
        return False
    if wanted.get("resourceType") == "Task":
        is_open = stored.get("status") not in ("completed", "cancelled", "rejected", "failed", "entered-in-error")
        return is_open and stored.get("focus") == wanted.get("focus")
    if stored.get("status") == "entered-in-error" or stored.get("effectiveDateTime") != wanted.get("effectiveDateTime"):
        return False
    amounts = [(r.get("valueQuantity") or {}).get("value") for r in (stored, wanted)]
    return amounts[0] == amounts[1] and _absence(stored) == _absence(wanted)


def _same_review(stored: Mapping[str, Any], wanted: Mapping[str, Any], topic: str, about: str) -> bool:
    """topic, about: the elements that say what a review is, and of what."""
    if subject_of(stored) != subject_of(wanted) or _codes(stored.get(topic)) != _codes(wanted[topic]):
        return False
    is_open = stored.get("status") not in ("completed", "stopped", "not-done", "revoked", "entered-in-error")
    return is_open and _outside(stored, about) == _outside(wanted, about) and _words(stored) == _words(wanted)


def _outside(review: Mapping[str, Any], about: str) -> list[Any]:
    """Return what a review names that is not contained in it."""
    named = review.get(about)
    parts = named if isinstance(named, list) else []
    return [part for part in parts if not (isinstance(part, dict) and str(part.get("reference", "")).startswith("#"))]


def _words(review: Mapping[str, Any]) -> list[Any]:
    """Return what a message says, or our notes in a request."""
    parts = [each for name in ("payload", "note") if isinstance(review.get(name), list) for each in review[name]]
    ours = [part for part in parts if isinstance(part, dict)]
    said = [part["contentString"] for part in ours if "contentString" in part]
    return said or [part.get("text") for part in ours if part.get("authorString") == NAME]


def _answers(form: Mapping[str, Any]) -> list[Any]:
    items = form.get("item")
    ours = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return [item for item in ours if item.get("linkId") in ("form", "score")]


def _absence(resource: Mapping[str, Any]) -> tuple[frozenset[tuple[str, str]], ...]:
    return _codes(resource.get("valueCodeableConcept")), _codes(resource.get("dataAbsentReason"))


def _codes(concept: Any) -> frozenset[tuple[str, str]]:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    return frozenset((str(c.get("system")), str(c.get("code"))) for c in codings or () if isinstance(c, dict))


def difference(writes: Sequence[Write], known: Known) -> tuple[list[Change], Counter[str]]:
    """Return the changes that are needed, and how many resources of each type stand already as they should."""
    changes: list[Change] = []
    unchanged: Counter[str] = Counter()
    for write in writes:
        stored = known.by_value.get(write.value)
        change = _created(write) if stored is None else _updated(write, stored)
        if change is None:
            unchanged[write.type] += stored is not None
        else:
            changes.append(change)
    return changes, unchanged


def _created(write: Write) -> Change | None:
    return None if write.mode is WriteMode.WITHDRAW else Change(write, ChangeKind.CREATE)


def _updated(write: Write, stored: Mapping[str, Any]) -> Change | None:
    """Return the update of a stored resource, or None where it says the same already."""
    if write.mode is WriteMode.CREATE_ONCE:
        return None
    wanted = orjson.loads(write.body)
    if write.type == "Observation":
        _keep_reasons(wanted, stored)
        if write.mode is WriteMode.WITHDRAW:
            if stored.get("status") == "entered-in-error":
                return None
        elif _says_the_same(stored, wanted):
            return None
        elif wanted["status"] == "final":
            wanted["status"] = "corrected"  # FHIR: a final result that changes says so
        _keep_labels(stored, wanted)
    elif _bare(stored) == _bare(wanted) and covers(_labels(stored), _labels(wanted)):
        return None
    stored_id = str(stored.get("id", ""))
    wanted["id"] = stored_id
    version = str((stored.get("meta") or {}).get("versionId", ""))
    return Change(msgspec.structs.replace(write, body=orjson.dumps(wanted)), ChangeKind.UPDATE, stored_id, version)


def with_reason(change: Change, reason: str, when: str) -> Change:
    """Return an Observation's change with the reason for which it was scored again; later runs keep it there.

    when: the moment as FHIR writes it.
    """
    body = orjson.loads(change.write.body)
    note = {"authorString": SCORED_AGAIN, "time": when, "text": reason}
    body["note"] = [*body.get("note", ()), note]
    return msgspec.structs.replace(change, write=msgspec.structs.replace(change.write, body=orjson.dumps(body)))


def _keep_reasons(wanted: dict[str, Any], stored: Mapping[str, Any]) -> None:
    """Take over the reasons for which an Observation was scored again: they are its history, not its content."""
    reasons = [note for note in stored.get("note") or () if note.get("authorString") == SCORED_AGAIN]
    kept = [reason for reason in reasons if reason not in wanted.get("note", ())]
    if kept:
        wanted["note"] = [*wanted.get("note", ()), *kept]


def _says_the_same(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    if stored.get("status") not in _STANDS_FOR[wanted["status"]]:
        return False
    if any(stored.get(element) != wanted.get(element) for element in _CONTENT):
        return False
    if not covers(_labels(stored), _labels(wanted)):  # what somebody labelled higher stays so
        return False
    if len(stored.get("hasMember") or ()) != len(wanted.get("hasMember") or ()):  # the store names them its own way
        return False
    return _same_source(stored.get("derivedFrom"), wanted.get("derivedFrom"))


def _keep_labels(stored: Mapping[str, Any], wanted: dict[str, Any]) -> None:
    """Let an update keep what a person labelled higher than we would; it never falls silently."""
    kept = union(_labels(wanted), _labels(stored))
    both = {str(label.get("code", "")): label for label in (*_security(stored), *_security(wanted))}
    if kept != tuple(_labels(wanted)):
        wanted["meta"] = {**(wanted.get("meta") or {}), "security": [both[name] for name in kept]}


def _security(resource: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (resource.get("meta") or {}).get("security") or ()


def _labels(resource: Mapping[str, Any]) -> list[str]:
    return [str(label.get("code", "")) for label in _security(resource)]


def _same_source(stored: Any, wanted: Any) -> bool:
    """Return whether both name the same response. Where a server cut the version away, it is not compared."""
    theirs, ours = ([str(s.get("reference", "")) for s in sources or ()] for sources in (stored, wanted))
    if any("/_history/" in reference for reference in theirs):
        return theirs == ours
    return theirs == [reference.partition("/_history/")[0] for reference in ours]


def _bare(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource without what a store adds by itself."""
    return {k: v for k, v in resource.items() if k not in ("id", "meta", "text")}
