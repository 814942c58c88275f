"""Every way in which data leave a client's record, each with a token that its writer asks for.

A writer of, say, an insurer report takes an `InsurerPass`; there is no other way to get one than `to_insurer`, which
decides on consent. So code that skips the decision does not pass the type checker, as with `Cleared` for scoring.
A pass holds for one client and carries the decision: a writer asks it for that client's data, and for nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias, TypeVar

import msgspec

from fhir_alliance.core.consent import Decision, decide
from fhir_alliance.core.consent_request import Action, DataLevel, Datum, Recipient, Request, Role
from fhir_alliance.core.consent_rules import ConsentRecord
from fhir_alliance.core.consent_table import Table
from fhir_alliance.core.model import Response
from fhir_alliance.core.purposes import PAYMENT, covers

_NO_WAY: Final = "This way out is not for this recipient, purpose or kind of data."


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
    """What every pass holds: what was asked, and the decision on it. Each way out has a kind of its own."""

    request: Request
    decision: Decision

    def demand(self, subject: str) -> None:
        """Raise ValueError where what is to leave is of another client than this pass was made for."""
        if subject != self.request.patient:
            raise ValueError("a pass lets out the data of one client, and these are another's")


class ViewPass(Pass, frozen=True):
    """Somebody within care may see one client's course. Made by `to_supervisor` or `to_clinic`."""


class QualityPass(Pass, frozen=True):
    """Counts may be used for quality improvement."""


class InsurerPass(Pass, frozen=True):
    """Counts, or one client's scores, may be reported to an insurer."""


class DisclosurePass(Pass, frozen=True):
    """One client's scores may be given to somebody, with all that has to travel along."""


ReportPass: TypeAlias = ViewPass | QualityPass | InsurerPass
"""What lets one person be counted in a report, whoever reads it."""
_Pass = TypeVar("_Pass", bound=Pass)


def items_to_record(
    form: Response, recipient: Recipient, purpose: str, datum: Datum, grounds: Grounds
) -> ItemsPass | Refused:
    """Return whether a form's answers may be written one by one. datum: the instrument's; its codes and its items'."""
    request = Request(form.subject, Action.USE, recipient, purpose, datum.about(form).at(DataLevel.ITEM))
    decision = decide(request, grounds.consents, grounds.table, grounds.now)
    return ItemsPass(form, decision, request.datum.labels) if decision.permitted else Refused(decision)


def to_clinic(request: Request, grounds: Grounds) -> ViewPass | Refused:
    """Return whether the clinic may show what its own record holds to those who treat the client."""
    return _asked(ViewPass, request, grounds, Role.CUSTODIAN in request.recipient.roles)


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


def to_somebody(request: Request, grounds: Grounds) -> DisclosurePass | Refused:
    """Return whether one client's scores may be given to the recipient; answers and text are not given in this way."""
    return _asked(DisclosurePass, request, grounds, request.datum.level is DataLevel.SCORE)


def _asked(kind: type[_Pass], request: Request, grounds: Grounds, is_way: bool) -> _Pass | Refused:
    """Return the pass for a request, or the decision against it. is_way: whether this way is for such a request."""
    decision = decide(request, grounds.consents, grounds.table, grounds.now)
    if not is_way:
        shut = msgspec.structs.replace(decision, permitted=False, reasons=(_NO_WAY,), consents=(), obligations=())
        return Refused(shut)
    return kind(request, decision) if decision.permitted else Refused(decision)
