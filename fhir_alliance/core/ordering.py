"""Which questionnaires a client should be asked to answer now, and what becomes of the requests that stand.

A cadence is data: of a form, every so many days. A client's own cadence (from the CarePlan) outranks the clinic's;
where the client asked for fewer forms, requests pause. Nothing here decides whether a form is good for a client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from fhir_alliance.core.keys import derived


class Cadence(msgspec.Struct, frozen=True):
    """How often a form is asked for, and how many days a client has to answer it."""

    instrument: str
    every_days: int
    due_days: int = 7


class RequestStatus(StrEnum):
    """What became of a request."""

    OPEN = "open"
    PAUSED = "paused"
    ANSWERED = "answered"
    EXPIRED = "expired"
    NEEDLESS = "needless"  # the client has died
    CLOSED = "closed"


class Request(msgspec.Struct, frozen=True):
    """One request to a client to answer one form.

    key: business identifier.  canonical: the Questionnaire with its version.  due: until when an answer is expected.
    stored: the resource id in the store, empty when it is new.  response: what answered it.
    """

    key: str
    subject: str
    instrument: str
    canonical: str
    status: RequestStatus
    opened: datetime
    due: datetime
    stored: str = ""
    response: str = ""


class Answered(msgspec.Struct, frozen=True):
    """A finished form, as far as a request needs to know of it."""

    reference: str
    instrument: str
    when: datetime


class Client(msgspec.Struct, frozen=True):
    """A client in care. own: cadences of the care plan, by instrument; one of 0 days asks for none of that form.

    paused: the client asked for fewer forms.  has_died: nothing more is asked (`core.deceased`).
    """

    subject: str
    own: Mapping[str, int] = {}
    paused: bool = False
    has_died: bool = False


def plan_requests(
    client: Client,
    cadences: Iterable[Cadence],
    canonicals: Mapping[str, str],
    requests: Sequence[Request],
    answers: Sequence[Answered],
    now: datetime,
) -> list[Request]:
    """Return the requests to create or to change for one client; nothing where all stands as it should.

    canonicals: by instrument, the Questionnaire to ask for.  requests, answers: this client's, in any order.
    """
    planned = []
    for cadence in cadences:
        days = client.own.get(cadence.instrument, cadence.every_days)
        mine = sorted((r for r in requests if r.instrument == cadence.instrument), key=lambda r: (r.opened, r.key))
        theirs = sorted((a for a in answers if a.instrument == cadence.instrument), key=lambda a: a.when)
        settled = [_settled(request, theirs, is_paused=client.paused or days == 0, now=now) for request in mine]
        settled = [_needless(request) for request in settled] if client.has_died else settled
        planned += [new for old, new in zip(mine, settled, strict=True) if new != old]
        if client.has_died or client.paused or days == 0 or any(r.status is RequestStatus.OPEN for r in settled):
            continue
        last = max([a.when for a in theirs] + [r.opened for r in mine], default=None)
        if last is None or (now - last).days >= days:
            key = derived("request", client.subject, cadence.instrument, str(len(mine)))
            planned.append(
                Request(
                    key, client.subject, cadence.instrument, canonicals[cadence.instrument], RequestStatus.OPEN, now,
                    now + timedelta(days=cadence.due_days),
                )
            )  # fmt: skip
    return planned


def _needless(request: Request) -> Request:
    """Return a request to a client who has died: one that still stands is ended."""
    stands = request.status in (RequestStatus.OPEN, RequestStatus.PAUSED)
    return msgspec.structs.replace(request, status=RequestStatus.NEEDLESS) if stands else request


def _settled(request: Request, answers: Sequence[Answered], *, is_paused: bool, now: datetime) -> Request:
    """Return a request as it stands now: answered, expired, paused, resumed, or as it was."""
    if request.status not in (RequestStatus.OPEN, RequestStatus.PAUSED):
        return request
    answer = next((a for a in answers if a.when.date() >= request.opened.date()), None)
    if answer is not None:
        return msgspec.structs.replace(request, status=RequestStatus.ANSWERED, response=answer.reference)
    if now > request.due:
        return msgspec.structs.replace(request, status=RequestStatus.EXPIRED)
    return msgspec.structs.replace(request, status=RequestStatus.PAUSED if is_paused else RequestStatus.OPEN)
