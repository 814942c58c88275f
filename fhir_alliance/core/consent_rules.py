"""What one Consent says about a request: its provisions, and their exceptions.

Three answers are told apart: an element fits, does not fit, or cannot be told. What cannot be told is enough for a
deny and never enough for a permit. An exception takes over what its rule states and restates only what differs, as
IHE's advanced consents do: "permit normal data, and to this therapist mental health data too". A permit is an
exception to a deny only where the whole deny fits.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from fhir_alliance.core.consent_request import Datum, Recipient, Request
from fhir_alliance.core.purposes import ANY, KNOWN, and_wider, covers

MAX_DEPTH: Final = 16
_STATUSES = frozenset({"draft", "proposed", "active", "rejected", "inactive", "entered-in-error"})
_ACTIONS = frozenset({"collect", "access", "use", "disclose", "correct"})
_CONFIDENTIALITY = {code: rank for rank, code in enumerate(("U", "L", "M", "N", "R", "V"))}
_HIGHEST = len(_CONFIDENTIALITY) - 1
# v3-ParticipationType and v3-RoleCode: who receives. Any other role is of somebody else in the rule.
_RECEIVES = frozenset({"", "IRCP", "PRCP", "TRC", "GRANTEE"})
# v3-ActCode: what is part of which sensitivity
_SENSITIVE = {"ETHUD": "ETH", "OPIOIDUD": "ETH", "SUD": "ETH", "PSYTHPN": "PSY"}
_PERSONS = frozenset({"Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Device", "Organization"})

_TYPES, _ROOT_TYPES = frozenset({"permit", "deny"}), frozenset({"permit", "deny", ""})

_NO, _MAYBE, _YES = 0, 1, 2


class Verdict(StrEnum):
    """What one provision, one consent, or all together say."""

    PERMIT = "permit"
    DENY = "deny"
    UNDECIDED = "undecided"
    SILENT = "silent"


class Actor(NamedTuple):
    """Whom a rule is about: a reference, or a role without one. role: the code of their part in the rule."""

    reference: str
    role: str = ""


class DataReference(NamedTuple):
    """Which data a rule is about. meaning: instance, related, dependents or authoredby."""

    meaning: str
    reference: str


class Provision(msgspec.Struct, frozen=True):
    """One rule of a Consent. Empty element kinds match everything.

    type: permit, deny, or empty where the resource names none.
    starts, ends: the rule's validity; None is open.
    purposes: codes of v3-ActReason; of another system with it, as `system|code`.
    unevaluated: element kinds that are not read: they match for a deny, never for a permit.
    vague: element kinds of which one alternative cannot be evaluated, such as a code in words only.
    about_starts, about_ends: when the data are from that it is about.
    """

    type: str
    starts: datetime | None = None
    ends: datetime | None = None
    purposes: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    codes: frozenset[tuple[str, str]] = frozenset()
    unevaluated: tuple[str, ...] = ()
    provisions: tuple[Provision, ...] = ()
    actors: frozenset[Actor] = frozenset()
    actions: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    data: frozenset[DataReference] = frozenset()
    about_starts: datetime | None = None
    about_ends: datetime | None = None
    vague: frozenset[str] = frozenset()


class ConsentRecord(msgspec.Struct, frozen=True):
    """A Consent as far as a decision needs it. `unreadable` says why it cannot be relied on, if so.

    merged: whether it was given for a record that has been merged into the subject's: then it can only forbid.
    """

    reference: str
    subject: str
    status: str
    scope: str
    given: datetime | None
    base: str
    root: Provision
    unreadable: str = ""
    merged: bool = False


class Grant(NamedTuple):
    """A permit: where in the Consent it stands, and what it names."""

    path: str
    named: frozenset[str]


class Said(NamedTuple):
    """What a rule or a Consent says. why: its place, or the reason for saying nothing.  grants: of a permit."""

    verdict: Verdict
    why: str = ""
    grants: tuple[Grant, ...] = ()


_NOTHING = Said(Verdict.SILENT)


def judge(record: ConsentRecord, request: Request, now: datetime) -> Said:
    """Return what one Consent says about the request; SILENT where it does not apply."""
    if record.unreadable or record.subject != request.patient or record.status not in _STATUSES or not record.scope:
        return Said(Verdict.UNDECIDED)
    if record.status != "active":
        return Said(Verdict.SILENT, f"is {record.status}")
    if record.scope != "patient-privacy":
        return Said(Verdict.SILENT, "is not about privacy")
    if record.given is not None and record.given > now:
        return Said(Verdict.SILENT, "was given later")
    if not _in_force(record.root, now):
        return Said(Verdict.SILENT, "is not in force at this time")
    said = _evaluate(record.root, record.base, {}, request, now, ())
    if record.merged and said.verdict is Verdict.PERMIT:
        return Said(Verdict.SILENT, "was given for a record that was merged into this one, and can only forbid")
    return said


def _evaluate(
    rule: Provision, inherited: str, above: dict[str, int], request: Request, now: datetime, path: tuple[int, ...]
) -> Said:
    """Return the decision of a rule and its exceptions: a deny among them wins, then a permit, then the rule itself.

    inherited: the type of the rule above.  above: how its element kinds fit.  path: its number on each level.
    """
    if len(path) > MAX_DEPTH or rule.type not in (_TYPES if path else _ROOT_TYPES):
        return Said(Verdict.UNDECIDED, _place(path))  # R4 requires a type in every nested rule
    own = rule.type or inherited
    stated = _fits(rule, request, now, own == "deny")
    if not rule.provisions and _NO in stated.values():
        return _NOTHING
    fits = stated
    if above:
        fits = above | stated
        if "period" in above and "period" in stated:
            fits["period"] = min(above["period"], stated["period"])  # an exception never outlives its rule
    lifts = own == "permit" and inherited == "deny"  # what it lifts is known by the deny itself
    fit = min((stated if lifts else fits).values(), default=_YES)
    grants: tuple[Grant, ...] = ()
    undecided = None
    is_leaf_fine = len(path) < MAX_DEPTH
    for number, child in enumerate(rule.provisions, 1):
        if is_leaf_fine and not child.provisions and child.type in _TYPES and _misses(child, request, now):
            continue  # most exceptions are about other data, and are passed over without a word
        said = _evaluate(child, own, fits, request, now, (*path, number))
        if said.verdict is Verdict.DENY:
            return said
        if said.verdict is Verdict.UNDECIDED:
            undecided = undecided or said
        grants += said.grants
    if undecided is not None:
        return undecided
    if grants:
        return Said(Verdict.PERMIT, grants[0].path, grants) if own == "permit" or fit == _YES else _NOTHING
    if own == "deny":
        return Said(Verdict.DENY, _place(path)) if fit != _NO else _NOTHING
    if own == "permit" and fit == _YES:
        place = _place(path)  # every kind fits, so every one is named
        return Said(Verdict.PERMIT, place, (Grant(place, frozenset(fits)),))
    return _NOTHING


def _place(path: tuple[int, ...]) -> str:
    return ".".join(map(str, path))


def _misses(rule: Provision, request: Request, now: datetime) -> bool:
    """Return whether one of the kinds that cost little to look at does not fit; False where that is not known."""
    if rule.vague:
        return False
    if rule.codes and rule.codes.isdisjoint(request.datum.codes) and not _bare(rule.codes):
        return True
    if rule.purposes and _purpose(rule.purposes, request.purpose) == _NO:
        return True
    if rule.classes and _class(rule.classes, request.datum) == _NO:
        return True
    return not _in_force(rule, now)


def _fits(rule: Provision, request: Request, now: datetime, forbids: bool) -> dict[str, int]:
    """Return how each element kind that a rule states fits; one of which several are named as the best of them does."""
    fits: dict[str, int] = {}
    datum = request.datum
    if rule.starts is not None or rule.ends is not None:
        fits["period"] = _YES if _in_force(rule, now) else _NO
        if rule.ends is not None:
            fits["end"] = _YES  # named, whatever the period says
    if rule.purposes:
        fits["purpose"] = _purpose(rule.purposes, request.purpose)
        if ANY not in rule.purposes:
            fits["named purpose"] = fits["purpose"]
    if rule.classes:
        fits["class"] = _class(rule.classes, datum)
    if rule.codes:
        fits["code"] = _code(rule.codes, datum)
    if rule.actors:
        fits["actor"] = max(_actor(actor, request.recipient) for actor in rule.actors)
    if rule.actions:
        fits["action"] = _action(rule.actions, request.action.value)
    if rule.labels:
        fits["securityLabel"] = _label(rule.labels, datum, forbids)
        fits.update({f"label {label}": _YES for label in rule.labels & datum.labels})
    if rule.data:
        fits["data"] = max(_data(named, datum) for named in rule.data)
    if rule.about_starts is not None or rule.about_ends is not None:
        fits["dataPeriod"] = _data_period(rule, datum)
    for kind in rule.vague:
        fits[kind] = max(fits.get(kind, _NO), _MAYBE)
    for kind in rule.unevaluated:
        fits[f"unread {kind}"] = _MAYBE
    return fits


def _purpose(named: frozenset[str], purpose: str) -> int:
    """A wider purpose covers the request; a narrower one, or one that is not known, may touch it."""
    if not named.isdisjoint(and_wider(purpose)):
        return _YES
    if any(covers(purpose, code) or code not in KNOWN for code in named) or purpose not in KNOWN:
        return _MAYBE
    return _NO


def _class(named: frozenset[str], datum: Datum) -> int:
    if not named.isdisjoint(datum.classes):
        return _YES
    return _MAYBE if any(":" in name for name in named) else _NO  # a profile is not looked up here


def _code(named: frozenset[tuple[str, str]], datum: Datum) -> int:
    if not named.isdisjoint(datum.codes):
        return _YES
    bare = _bare(named)  # a code without a system may mean one of ours
    return _MAYBE if bare and any(code in bare for _, code in datum.codes) else _NO


@lru_cache(maxsize=1024)
def _bare(named: frozenset[tuple[str, str]]) -> frozenset[str]:
    """Return the codes that stand without a system."""
    return frozenset(code for system, code in named if not system)


def _actor(actor: Actor, recipient: Recipient) -> int:
    """Whether a rule is about the recipient: by reference, by organization, or by a role without a reference."""
    if not actor.reference:
        return _YES if actor.role in recipient.roles else _MAYBE
    if actor.reference in recipient.references or actor.reference in recipient.organizations:
        return _YES if actor.role in _RECEIVES else _MAYBE
    if not recipient.is_known or actor.reference.partition("/")[0] not in _PERSONS:
        return _MAYBE  # a Group or CareTeam whose members are not known here
    return _NO


def _action(named: frozenset[str], action: str) -> int:
    if action in named:
        return _YES
    return _NO if named <= _ACTIONS else _MAYBE


def _label(named: frozenset[str], datum: Datum, forbids: bool) -> int:
    """Confidentiality is an order: a permit reaches down from its label, a deny up. Sensitivity fits by its code."""
    return max(_one_label(label, datum, forbids) for label in named)


def _one_label(label: str, datum: Datum, forbids: bool) -> int:
    rank = _CONFIDENTIALITY.get(label)
    own = max((_CONFIDENTIALITY.get(of, -1) for of in datum.labels), default=-1)
    if own < 0:
        own = _HIGHEST  # no confidentiality is known
    if rank is not None:
        return _YES if (own >= rank if forbids else own <= rank) else _NO
    if label in datum.labels or any(_SENSITIVE.get(of) == label for of in datum.labels):
        return _MAYBE if own == _HIGHEST else _YES  # what is very restricted has to be named as that
    return _MAYBE if _SENSITIVE.get(label) in datum.labels or "|" in label else _NO


def _data(named: DataReference, datum: Datum) -> int:
    """Whether the data are the ones named, belong to them, or were written by them."""
    kind = named.reference.partition("/")[0]
    if named.meaning == "instance":
        return _YES if named.reference in datum.instances else _NO if named.reference else _MAYBE
    if named.meaning == "authoredby":
        if named.reference in datum.authors:
            return _YES
        return _NO if datum.authors and kind in _PERSONS - {"Organization"} else _MAYBE
    if named.meaning not in ("related", "dependents"):
        return _MAYBE
    if named.reference in datum.related or named.reference in datum.instances:
        return _YES
    same_kind = any(reference.startswith(f"{kind}/") for reference in datum.related)
    return _NO if same_kind and kind == "Encounter" else _MAYBE


def _data_period(rule: Provision, datum: Datum) -> int:
    """Whether the data are from the time named: all of them, some, or none."""
    if datum.first is None or datum.last is None:
        return _MAYBE
    starts, ends = rule.about_starts or datum.first, rule.about_ends or datum.last
    if starts <= datum.first and datum.last <= ends:
        return _YES
    return _MAYBE if starts <= datum.last and datum.first <= ends else _NO


def _in_force(rule: Provision, now: datetime) -> bool:
    return (rule.starts is None or rule.starts <= now) and (rule.ends is None or now <= rule.ends)
