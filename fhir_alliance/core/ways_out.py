"""Every way in which data leave a client's record, each with a token that its writer asks for.

A writer of, say, an insurer report takes an `InsurerPass`; there is no other way to get one than `to_insurer`, which
decides on consent. So code that skips the decision does not pass the type checker, as with `Cleared` for scoring.
A pass holds for the decision that it carries: right before sending, `still_holds` asks again with fresh consents.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from fhir_alliance.core.consent import Decision, decide
from fhir_alliance.core.consent_request import Action, DataLevel, Datum, Recipient, Request, Role
from fhir_alliance.core.consent_rules import ConsentRecord
from fhir_alliance.core.consent_table import Table
from fhir_alliance.core.model import Band, NoValue, Number, Response, Score
from fhir_alliance.core.purposes import PAYMENT, covers

_NO_WAY: Final = "This way out is not for this recipient, purpose or kind of data."
HOLDS_FOR: Final = timedelta(minutes=5)


class Grounds(msgspec.Struct, frozen=True):
    """What a decision is made on: all Consents of the patient, the site's table, the moment."""

    consents: Sequence[ConsentRecord]
    table: Table
    now: datetime


class Refused(msgspec.Struct, frozen=True):
    """A way out that stays shut, with the decision that says why."""

    decision: Decision


class ItemsPass(msgspec.Struct, frozen=True):
    """A form's answers may be written to the clinic's record one by one."""

    form: Response
    decision: Decision
    labels: frozenset[str]


class Pass(msgspec.Struct, frozen=True):
    """What every pass holds: what was asked, the decision on it, and when. Each way out has a kind of its own."""

    request: Request
    decision: Decision
    at: datetime


class ViewPass(Pass, frozen=True):
    """One person may see one client's course. Made by `to_supervisor` or `to_treating`."""


class QualityPass(Pass, frozen=True):
    """Counts may be used for quality improvement."""


class InsurerPass(Pass, frozen=True):
    """Counts, or one client's scores, may be reported to an insurer."""


class ResearchPass(Pass, frozen=True):
    """Data may go into a research extract."""


class DisclosurePass(Pass, frozen=True):
    """One client's scores may be given to somebody, with all that has to travel along."""


class CommunicationPass(Pass, frozen=True):
    """A message about a client may be sent to one recipient."""


class DocumentPass(Pass, frozen=True):
    """A document about a client may be filed where its recipient reads it."""


_Pass = TypeVar("_Pass", bound=Pass)


def items_to_record(
    form: Response, recipient: Recipient, purpose: str, datum: Datum, grounds: Grounds
) -> ItemsPass | Refused:
    """Return whether a form's answers may be written one by one. datum: the instrument's; its codes and its items'."""
    request = Request(form.subject, Action.USE, recipient, purpose, datum.about(form).at(DataLevel.ITEM))
    decision = decide(request, grounds.consents, grounds.table, grounds.now)
    return ItemsPass(form, decision, request.datum.labels) if decision.permitted else Refused(decision)


def to_treating(request: Request, grounds: Grounds) -> ViewPass | Refused:
    """Return whether somebody who treats the client may see it."""
    return _asked(ViewPass, request, grounds, Role.TREATING in request.recipient.roles)


def to_supervisor(request: Request, grounds: Grounds) -> ViewPass | Refused:
    """Return whether a supervisor may see it."""
    return _asked(ViewPass, request, grounds, Role.SUPERVISING in request.recipient.roles)


def to_quality(request: Request, grounds: Grounds) -> QualityPass | Refused:
    """Return whether counts may be used for quality improvement; for one client's data there is no such way."""
    is_operations = covers("HOPERAT", request.purpose)
    return _asked(QualityPass, request, grounds, is_operations and request.datum.level is DataLevel.AGGREGATE)


def to_insurer(request: Request, grounds: Grounds) -> InsurerPass | Refused:
    """Return whether an insurer may be told."""
    is_payer = Role.PAYER in request.recipient.roles or covers(PAYMENT, request.purpose)
    return _asked(InsurerPass, request, grounds, is_payer)


def to_research(request: Request, grounds: Grounds) -> ResearchPass | Refused:
    """Return whether data may go into a research extract."""
    return _asked(ResearchPass, request, grounds, covers("HRESCH", request.purpose))


def to_somebody(request: Request, grounds: Grounds) -> DisclosurePass | Refused:
    """Return whether one client's scores may be given to the recipient; answers and text are not given in this way."""
    return _asked(DisclosurePass, request, grounds, request.datum.level is DataLevel.SCORE)


def to_message(request: Request, grounds: Grounds) -> CommunicationPass | Refused:
    """Return whether a Communication about it may be sent to the recipient."""
    return _asked(CommunicationPass, request, grounds, True)


def to_document(request: Request, grounds: Grounds) -> DocumentPass | Refused:
    """Return whether a DocumentReference about it may be filed for the recipient."""
    return _asked(DocumentPass, request, grounds, True)


def still_holds(old: _Pass, grounds: Grounds) -> _Pass | Refused:
    """Return the pass as it is right before sending: decided again, on consents read after it was made.

    A pass is old after five minutes; one decided on other versions of the consents is no pass at all.
    """
    considered = tuple(sorted(record.reference for record in grounds.consents))
    if considered == old.decision.considered and not is_old(old, grounds.now):
        return old
    return _asked(type(old), old.request, grounds, True)


def is_old(old: Pass, now: datetime) -> bool:
    """Return whether the consents behind a pass have to be read again before anything is sent."""
    return now - old.at > HOLDS_FOR


def _asked(kind: type[_Pass], request: Request, grounds: Grounds, is_way: bool) -> _Pass | Refused:
    """Return the pass for a request, or the decision against it. is_way: whether this way is for such a request."""
    decision = decide(request, grounds.consents, grounds.table, grounds.now)
    if not is_way:
        shut = msgspec.structs.replace(decision, permitted=False, reasons=(_NO_WAY,), consents=(), obligations=())
        return Refused(shut)
    return kind(request, decision, grounds.now) if decision.permitted else Refused(decision)


class Minimum(msgspec.Struct, frozen=True):
    """What leaves care of a score: what, when, how much. No answers, no notes, no remarks."""

    instrument: str
    scale: str
    when: datetime
    value: Number | NoValue
    band: Band | None


def minimum(score: Score) -> Minimum:
    """Return the minimum necessary of a score (45 CFR 164.502(b)), for any recipient outside care."""
    return Minimum(score.instrument, score.scale, score.when, score.value, score.band)
