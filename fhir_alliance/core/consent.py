"""The consent gate: the only place where a `Response` becomes `Cleared`.

Small, pure, and closed by default: what it cannot evaluate can forbid but never permit.
Source of the semantics: FHIR R4 Consent (hl7.org/fhir/R4/consent.html) and IHE Privacy Consent on FHIR,
whose profiles state the base decision as the root provision's type. The order of combination (any deny
wins, then anything undecidable, then a permit, then the default table) is ours and is recorded in
docs/decisions/0004-consent-gate.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from fhir_alliance.core.model import Cleared, Code, Response, Withheld

TREAT = "TREAT"
MAX_DEPTH = 16
_STATUSES = frozenset({"draft", "proposed", "active", "rejected", "inactive", "entered-in-error"})

# v3-ActReason as HL7 publishes it with FHIR R4: what stands below TREAT, and what stands above it.
_NARROWER = {TREAT: frozenset({"CLINTRL", "COC", "ETREAT", "BTG", "ERTREAT", "POPHLTH"})}
_WIDER = {TREAT: frozenset({"PurposeOfUse"})}


class Verdict(StrEnum):
    """What one provision, one consent, or all together say."""

    PERMIT = "permit"
    DENY = "deny"
    UNDECIDED = "undecided"
    SILENT = "silent"


class Provision(msgspec.Struct, frozen=True):
    """One rule of a Consent. Empty element kinds match everything.

    type: permit, deny, or empty where the resource names none.
    starts, ends: the rule's validity; None is open.
    unevaluated: element kinds that this gate does not read: they match for a deny, never for a permit.
    """

    type: str
    starts: datetime | None = None
    ends: datetime | None = None
    purposes: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    codes: frozenset[tuple[str, str]] = frozenset()
    unevaluated: tuple[str, ...] = ()
    provisions: tuple[Provision, ...] = ()


class ConsentRecord(msgspec.Struct, frozen=True):
    """A Consent as far as a decision needs it. `unreadable` says why it cannot be relied on, if so."""

    reference: str
    subject: str
    status: str
    scope: str
    given: datetime | None
    base: str
    root: Provision
    unreadable: str = ""


class ConsentPolicy(msgspec.Struct, frozen=True):
    """What the site decides where no Consent speaks. version: of the default table."""

    default_permit: bool = True
    purpose: str = TREAT
    version: str = "1"


class Datum(msgspec.Struct, frozen=True):
    """What a rule may be about: the resource types involved and the instrument's codes."""

    classes: frozenset[str]
    codes: frozenset[tuple[str, str]]

    @staticmethod
    def of(codes: Iterable[Code]) -> Datum:
        """Return the datum of scoring a form: its response and its Observations."""
        return Datum(
            frozenset({"QuestionnaireResponse", "Observation"}), frozenset((code.system, code.code) for code in codes)
        )


def gate(
    form: Response, consents: Sequence[ConsentRecord], policy: ConsentPolicy, datum: Datum, now: datetime
) -> Cleared | Withheld:
    """Return the form cleared for the policy's purpose, or withheld with reasons in words.

    consents: all Consents of the form's subject.  now: aware; consents count as of this moment.
    """
    if not consents:  # most clients of most clinics; the table alone decides
        if policy.default_permit:
            return Cleared(form, policy.purpose, ())
        return Withheld(form, ("no consent is on record, and the site asks for one",))
    verdicts = [(record, judge(record, form.subject, policy.purpose, datum, now)) for record in consents]
    for bad, words in ((Verdict.DENY, "forbids it"), (Verdict.UNDECIDED, "cannot be evaluated")):
        reasons = tuple(f"{record.reference} {words}" for record, verdict in verdicts if verdict is bad)
        if reasons:
            return Withheld(form, reasons)
    permits = tuple(record.reference for record, verdict in verdicts if verdict is Verdict.PERMIT)
    if permits or policy.default_permit:
        return Cleared(form, policy.purpose, permits)
    return Withheld(form, ("no consent on record speaks to it, and the site asks for one",))


def judge(record: ConsentRecord, subject: str, purpose: str, datum: Datum, now: datetime) -> Verdict:
    """Return what one Consent says about the request; SILENT where it does not apply."""
    if record.unreadable or record.subject != subject or record.status not in _STATUSES or not record.scope:
        return Verdict.UNDECIDED
    if record.status != "active" or record.scope != "patient-privacy":
        return Verdict.SILENT
    if record.given is not None and record.given > now:
        return Verdict.SILENT
    if not _in_force(record.root, now):
        return Verdict.SILENT
    return _evaluate(record.root, record.base, purpose, datum, now, 0)


def _evaluate(rule: Provision, inherited: str, purpose: str, datum: Datum, now: datetime, depth: int) -> Verdict:
    """Return the decision of a rule and its exceptions: a nested deny wins, then a nested permit, then itself."""
    if depth > MAX_DEPTH or rule.type not in (("permit", "deny") if depth else ("permit", "deny", "")):
        return Verdict.UNDECIDED  # R4 requires a type in every nested rule
    own = rule.type or inherited
    if not _matches(rule, own, purpose, datum, now):
        return Verdict.SILENT
    nested = [_evaluate(child, own, purpose, datum, now, depth + 1) for child in rule.provisions]
    said: Verdict | None = next((v for v in (Verdict.DENY, Verdict.UNDECIDED, Verdict.PERMIT) if v in nested), None)
    if said is None:
        said = Verdict(own) if own in ("permit", "deny") else Verdict.SILENT
    if said is Verdict.PERMIT and rule.unevaluated:
        return Verdict.SILENT  # a condition that is not read here may forbid, but never permit
    return said


def _matches(rule: Provision, own: str, purpose: str, datum: Datum, now: datetime) -> bool:
    """Return whether all populated element kinds fit the request."""
    forbids = own == "deny"
    if not _in_force(rule, now):
        return False
    if rule.purposes and not rule.purposes & _purposes(purpose, forbids):
        return False
    if rule.classes and not (rule.classes & datum.classes or (forbids and any(":" in name for name in rule.classes))):
        return False  # a profile is not looked up here: it may forbid, but never permit
    return not rule.codes or bool(rule.codes & datum.codes) or (forbids and _may_mean(rule.codes, datum))


def _may_mean(codes: frozenset[tuple[str, str]], datum: Datum) -> bool:
    """Return whether a code without a system has the letters of one of the datum's."""
    names = {code for _, code in datum.codes}
    return any(not system and code in names for system, code in codes)


def _purposes(purpose: str, forbids: bool) -> frozenset[str]:
    """Return the codes that cover a purpose: itself and wider ones; for a deny narrower ones as well."""
    covered = frozenset({purpose}) | _WIDER.get(purpose, frozenset())
    return covered | _NARROWER.get(purpose, frozenset()) if forbids else covered


def _in_force(rule: Provision, now: datetime) -> bool:
    return (rule.starts is None or rule.starts <= now) and (rule.ends is None or now <= rule.ends)
