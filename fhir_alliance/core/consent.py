"""The decision on consent, and the gate: the only place where a `Response` becomes `Cleared`.

Small, pure, and closed by default: what it cannot evaluate can forbid but never permit.
Source of the semantics: FHIR R4 Consent (hl7.org/fhir/R4/consent.html) and IHE Privacy Consent on FHIR,
whose profiles state the base decision as the root provision's type. The order of combination is ours and is recorded
in docs/decisions/0004-consent-gate.md: hard stops, then any deny, then anything undecidable, then a permit that names
what it has to, then the default table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from fhir_alliance.core.consent_request import (
    AUTHOR_ONLY,
    Action,
    DataLevel,
    Datum,
    Recipient,
    Request,
    Role,
)
from fhir_alliance.core.consent_rules import (
    MAX_DEPTH,
    Actor,
    ConsentRecord,
    DataReference,
    Provision,
    Said,
    Verdict,
    judge,
)
from fhir_alliance.core.consent_table import OPEN_TABLE, OPT_IN, Row, Table
from fhir_alliance.core.keys import derived
from fhir_alliance.core.labels import NOT_TO_SUPERVISOR, NOT_TO_THERAPIST, PART_2
from fhir_alliance.core.model import Cleared, Family, Response, Withheld
from fhir_alliance.core.purposes import PAYMENT, TREAT, covers

__all__ = [
    "MAX_DEPTH", "TREAT", "Action", "Actor", "ConsentPolicy", "ConsentRecord", "DataLevel", "DataReference", "Datum",
    "Decision", "Obligation", "Provision", "Recipient", "Request", "Role", "Row", "Said", "Table", "Verdict", "decide",
    "gate", "judge",
]  # fmt: skip

_AGAINST = ((Verdict.DENY, "forbids it"), (Verdict.UNDECIDED, "cannot be evaluated"))
_SHUT_TABLE = OPEN_TABLE.opt_in()
CUSTODIAN: Final = Recipient(roles=frozenset({Role.CUSTODIAN}))


class Obligation(StrEnum):
    """What whoever shares has to do, on a permit."""

    MINIMUM = "minimum"  # score, instrument, date and band; no items, no text
    LABELS = "labels"  # copied to whatever is written
    NOTICE = "part-2-notice"  # 42 CFR 2.32: the notice against redisclosure, and the scope of the consent
    DISCLOSURE_AUDIT = "disclosure-audit"  # for the client's accounting
    SMALL_CELLS = "small-cells"  # an aggregate is suppressed before it leaves


class Decision(msgspec.Struct, frozen=True):
    """What was decided and why, without a word of what the client said.

    reasons: sentences, the decisive one first.  consents: those that permit it, with versions.
    considered: all that were looked at.  table: version of the default table.  row: its line.
    id: the same for the same request, consents and table.
    """

    permitted: bool
    reasons: tuple[str, ...]
    consents: tuple[str, ...]
    considered: tuple[str, ...]
    table: str
    row: str
    id: str
    obligations: tuple[Obligation, ...] = ()


class ConsentPolicy(msgspec.Struct, frozen=True):
    """What the site decides.

    default_permit: whether the table lets every plain score into the clinic's own record; if not, it is asked.
    recipient: that record.
    """

    default_permit: bool = True
    purpose: str = TREAT
    table: Table = OPEN_TABLE
    recipient: Recipient = CUSTODIAN

    @property
    def defaults(self) -> Table:
        """The table that is asked; a policy without one of its own has the least that a run can do with."""
        return _SHUT_TABLE if self.table is OPEN_TABLE and not self.default_permit else self.table

    @property
    def version(self) -> str:
        """The version of the table."""
        return self.defaults.version


def gate(
    form: Response, consents: Sequence[ConsentRecord], policy: ConsentPolicy, datum: Datum, now: datetime
) -> Cleared | Withheld:
    """Return the form cleared to be scored and written to the clinic's record, or withheld with reasons in words.

    consents: all Consents of the form's subject.  now: aware; consents count as of this moment.
    """
    if (
        not consents and policy.default_permit and not datum.is_special and not form.labels
    ):  # most forms of most clinics
        return Cleared(form, policy.purpose, (), policy.table.version)
    table = policy.defaults
    request = Request(form.subject, Action.USE, policy.recipient, policy.purpose, datum.about(form))
    ground = _ground(request, consents, table, now)
    if ground.permitted:
        return Cleared(form, policy.purpose, ground.consents, table.version)
    return Withheld(form, ground.reasons)


def decide(request: Request, consents: Sequence[ConsentRecord], table: Table, now: datetime) -> Decision:
    """Return whether the request is permitted, and the path to that in words.

    consents: all Consents of the patient.  now: aware; consents count as of this moment.
    """
    ground = _ground(request, consents, table, now)
    considered = tuple(sorted(record.reference for record in consents))
    return Decision(
        ground.permitted,
        ground.reasons,
        ground.consents,
        considered,
        table.version,
        ground.row,
        decision_id(request, considered, table.version),
        _obligations(request) if ground.permitted else (),
    )


def decision_id(request: Request, considered: Sequence[str], version: str) -> str:
    """Return the name of a decision: derived from all that went into it, the client's answers excepted."""
    recipient, datum = request.recipient, request.datum
    parts = (
        request.patient, request.action, request.purpose, datum.level, datum.family, version,
        *sorted(recipient.references), *sorted(recipient.organizations), *sorted(recipient.roles),
        *sorted(datum.instances), *sorted(f"{system}|{code}" for system, code in datum.codes),
        *sorted(datum.labels), *considered,
    )  # fmt: skip
    return derived("decision", *parts)


class _Ground(msgspec.Struct, frozen=True):
    permitted: bool
    reasons: tuple[str, ...]
    consents: tuple[str, ...] = ()
    row: str = ""


def _ground(request: Request, consents: Sequence[ConsentRecord], table: Table, now: datetime) -> _Ground:
    """Return the decision and what it rests on: stops, then denies, then doubts, then permits, then the table."""
    stops = tuple(_stops(request))
    if stops:
        return _Ground(False, stops, row="stop")
    said = [(record.reference, judge(record, request, now)) for record in consents]
    verdicts = {one.verdict for _, one in said}
    for bad, words in _AGAINST:
        if bad in verdicts:
            return _Ground(
                False, tuple(f"{n} {words}{_place(one)}" for n, one in said if one.verdict is bad), (), "consent"
            )
    row = table.row_for(request)
    if Verdict.PERMIT in verdicts:
        full = [(name, one) for name, one in said if any(not row.lacking(grant.named) for grant in one.grants)]
        if full:
            reasons = tuple([f"{name} permits it{_place(one)}" for name, one in full])
            return _Ground(True, reasons, tuple([name for name, _ in full]), row.id)
    if not row.permit and row.says == OPT_IN and not consents:
        return _Ground(False, ("No consent is on record, and the site asks for one.",), row=row.id)
    too_general = (_too_general(name, one, row) for name, one in said if one.verdict is Verdict.PERMIT)
    silent = (f"{name} {one.why or 'does not speak to it'}." for name, one in said if one.verdict is Verdict.SILENT)
    return _Ground(row.permit, (row.says, *too_general, *silent), row=row.id)


def _place(said: Said) -> str:
    return f" (exception {said.why})." if said.why else "."


def _too_general(name: str, said: Said, row: Row) -> str:
    """Return why a permit does not count: it leaves unsaid what the table wants named."""
    best = min((row.lacking(grant.named) for grant in said.grants), key=len)
    return f"{name} permits in general, but does not name {' and '.join(best)}."


def _stops(request: Request) -> Iterator[str]:
    """Yield what no Consent can lift."""
    datum, roles = request.datum, request.recipient.roles
    if not request.patient:
        yield "It is not known whose data these are."
    if not datum.is_final:
        yield "The form is not finished."
    yield from request.bars
    if AUTHOR_ONLY in datum.labels and not _is_author(request):
        yield "These notes are for their author only."
    to_payer = Role.PAYER in roles or covers(PAYMENT, request.purpose)
    if to_payer and datum.family is Family.ALLIANCE:
        yield "Ratings of the alliance never reach an insurer."
    if to_payer and datum.level in (DataLevel.ITEM, DataLevel.TEXT):
        yield "Answers to single items and free text never reach an insurer."
    if Role.TREATING in roles and NOT_TO_THERAPIST in datum.labels:
        yield "The client keeps this session's rating from the therapist."
    if Role.SUPERVISING in roles and NOT_TO_SUPERVISOR in datum.labels:
        yield "The client keeps this session's rating from the supervisor."


def _is_author(request: Request) -> bool:
    return not request.recipient.references.isdisjoint(request.datum.authors)


def _obligations(request: Request) -> tuple[Obligation, ...]:
    datum, roles = request.datum, request.recipient.roles
    found = [Obligation.LABELS]
    if datum.level is DataLevel.AGGREGATE:
        found.append(Obligation.SMALL_CELLS)
    if request.action is Action.DISCLOSE:
        found.append(Obligation.DISCLOSURE_AUDIT)
        if datum.level is DataLevel.SCORE:
            found.append(Obligation.MINIMUM)
    if PART_2 in datum.labels and Role.PROGRAM not in roles:
        found.append(Obligation.NOTICE)
    return tuple(found)
