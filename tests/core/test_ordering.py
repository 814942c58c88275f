"""Cadences: who is asked for which form now, and what becomes of a request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.ordering import Answered, Cadence, Client, Request, RequestStatus, plan_requests

DAY_0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WEEKLY = Cadence("phq-9", 7, due_days=3)
CANONICAL = {"phq-9": "https://example.org/Questionnaire/phq-9|1.0.0"}
ANNA = Client("Patient/anna")


def plan(day: int, requests: list[Request], answered_on: tuple[int, ...] = (), client: Client = ANNA) -> list[Request]:
    """Return what is planned on a day, with forms answered on some days."""
    answers = [Answered(f"QuestionnaireResponse/{n}", "phq-9", DAY_0 + timedelta(days=n)) for n in answered_on]
    return plan_requests(client, [WEEKLY], CANONICAL, requests, answers, DAY_0 + timedelta(days=day))


def stored(requests: list[Request], planned: list[Request]) -> list[Request]:
    """Return the requests as they stand after what was planned."""
    found = {request.key: request for request in (*requests, *planned)}
    return list(found.values())


def test_a_client_who_was_never_asked_is_asked() -> None:
    """Without any request or form before, the form is asked for, until the due day."""
    [request] = plan(0, [])
    assert (request.status, request.due - request.opened) == (RequestStatus.OPEN, timedelta(days=3))
    assert request.canonical.endswith("|1.0.0")


def test_an_open_request_is_not_doubled() -> None:
    """While a request stands open nothing more is asked."""
    requests = plan(0, [])
    assert plan(2, requests) == []


def test_an_answer_closes_the_request() -> None:
    """A form answered from the day of the request on completes it and is named; the next comes by the cadence."""
    requests = plan(0, [])
    [answered] = plan(1, requests, (0,))
    assert (answered.status, answered.response) == (RequestStatus.ANSWERED, "QuestionnaireResponse/0")
    requests = stored(requests, [answered])
    assert plan(6, requests, (0,)) == []
    [following] = plan(7, requests, (0,))
    assert following.status is RequestStatus.OPEN
    assert following.key != answered.key


def test_an_answer_from_before_does_not_count() -> None:
    """A form answered before the request was made leaves it open."""
    [request] = plan(8, [], (0,))
    assert plan(9, [request], (0,)) == []


def test_an_unanswered_request_expires_and_is_asked_again_by_the_cadence() -> None:
    """After its due day an unanswered request expires; the form is asked for again a week after it was asked for."""
    requests = plan(0, [])
    assert plan(3, requests) == []
    [expired] = plan(4, requests)
    assert expired.status is RequestStatus.EXPIRED
    requests = stored(requests, [expired])
    assert plan(6, requests) == []
    [again] = plan(7, requests)
    assert again.status is RequestStatus.OPEN


def test_a_form_answered_by_itself_counts() -> None:
    """A client who answered the form without being asked is not asked until the cadence has passed."""
    assert plan(6, [], (0,)) == []
    assert len(plan(7, [], (0,))) == 1


def test_fewer_forms_pause_and_resume() -> None:
    """Where the client asked for fewer forms open requests pause, none is opened, and all resume with the wish gone."""
    quiet = Client("Patient/anna", paused=True)
    assert plan(0, [], client=quiet) == []
    requests = plan(0, [])
    [paused] = plan(1, requests, client=quiet)
    assert paused.status is RequestStatus.PAUSED
    [resumed] = plan(2, [paused])
    assert resumed.status is RequestStatus.OPEN


def test_the_care_plan_outranks_the_clinic() -> None:
    """A client's own cadence counts instead of the clinic's, and none at all stops that form."""
    requests = stored(first := plan(0, []), plan(1, first, (0,)))
    fortnightly = Client("Patient/anna", own={"phq-9": 14})
    assert plan(8, requests, (0,), fortnightly) == []
    assert len(plan(14, requests, (0,), fortnightly)) == 1
    assert plan(30, requests, (0,), Client("Patient/anna", own={"phq-9": 0})) == []


def test_what_a_person_closed_stays_closed() -> None:
    """A request that people rejected is not opened again; the next one comes by the cadence."""
    [request] = plan(0, [])
    closed = msgspec.structs.replace(request, status=RequestStatus.CLOSED)
    assert plan(2, [closed]) == []
    [following] = plan(7, [closed])
    assert following.key != request.key


@given(days=st.lists(st.integers(0, 60), min_size=1, max_size=12), answers=st.sets(st.integers(0, 60), max_size=6))
def test_there_is_never_more_than_one_open_request(days: list[int], answers: set[int]) -> None:
    """Whatever the days of runs and answers, at most one request for a form stands open, and none doubles."""
    requests: list[Request] = []
    for day in sorted(days):
        requests = stored(requests, plan(day, requests, tuple(sorted(a for a in answers if a <= day))))
        assert sum(r.status in (RequestStatus.OPEN, RequestStatus.PAUSED) for r in requests) <= 1
        assert plan(day, requests, tuple(sorted(a for a in answers if a <= day))) == []
