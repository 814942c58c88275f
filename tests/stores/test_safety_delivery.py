"""Safety reviews and a server that fails: nothing is lost, nothing is doubled, and somebody is told."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

import pytest

from fhir_alliance.errors import ConsentUnreachable, Exit, RetryLater, SafetyWaiting, StopRun
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.safety_delivery import Delivery
from fhir_alliance.runs.safety_watch import watch_reviews
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json

Ehr: TypeAlias = Any  # see conftest.py
Run: TypeAlias = Callable[..., Summary]
NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
CATALOG = load_catalog()
TEAM = {
    "resourceType": "CareTeam",
    "id": "team",
    "status": "active",
    "subject": {"reference": "Patient/p1"},
    "participant": [{"role": [{"text": "supervisor"}], "member": {"reference": "Practitioner/sue"}}],
}
DOWN = (500, {"resourceType": "OperationOutcome"}, {})
RAISED = [1] * 9


def form(name: str, points: list[int | None] = RAISED, **elements: Any) -> dict[str, Any]:
    """Return a PHQ-9 on the server."""
    updated = {"meta": {"versionId": "1", "lastUpdated": "2026-01-05T10:00:00.000Z"}}
    return response_json(points, name=name, **(updated | elements))


@pytest.fixture
def run(serve: Callable[..., Any], ehr: Ehr, journal: Journal) -> Iterator[Run]:
    """A function that syncs; nobody waits for a server that asks for patience."""
    base = serve(ehr).base
    store = ServerStore(base, Http(base, sleep=lambda _: None))

    def run(now: datetime = NOW, *, dry_run: bool = False) -> Summary:
        return sync(store, CATALOG, journal, Policy(), now, dry_run=dry_run)

    yield run
    store.close()


def reviews(ehr: Ehr, kind: str = "Task") -> list[dict[str, Any]]:
    """Return the safety reviews on the server, as Tasks or as messages."""
    found = ehr.all(kind)
    return [r for r in found if (r.get("code") or r.get("topic"))["coding"][0]["code"] == "safety-review"]


def refusing(status: int, *kinds: str) -> Callable[[dict[str, Any], Callable[[], Any]], Any]:
    """Return an answer that refuses whatever holds a resource of these types."""

    def answer(sent: dict[str, Any], commit: Callable[[], Any]) -> Any:
        held = [sent, *(entry["resource"] for entry in sent.get("entry", ()))]
        return (status, {}, {}) if any(r["resourceType"] in kinds for r in held) else commit()

    return answer


@pytest.mark.parametrize(
    "broken", ["Task", "CareTeam", "Observation", "Goal", "Consent"], ids=lambda kind: f"{kind} cannot be searched"
)
def test_a_pull_that_fails_midway_loses_nothing(ehr: Ehr, run: Run, journal: Journal, broken: str) -> None:
    """Whatever search fails after a page was read, the review stands on the server; the run fails as it would."""
    ehr.resources = [form("r1")]
    ehr.on_search[broken] = DOWN
    with pytest.raises(RetryLater):
        run()
    assert len(reviews(ehr)) == 1
    assert journal.outbox.waiting() == {}


def test_a_server_that_goes_away_leaves_it_in_the_outbox(ehr: Ehr, run: Run, journal: Journal) -> None:
    """No answer after the page was read: the run ends with 24 and says why; the next one delivers."""
    ehr.resources = [form("r1", language="de"), form("r2", subject="Patient/p2")]
    ehr.on_search["Task"] = ehr.on_search["Encounter"] = (503, {}, {})
    with pytest.raises(SafetyWaiting) as told:
        run()
    assert told.value.exit is Exit.SAFETY_WAITING
    assert "FA403" in str(told.value)
    assert len(journal.outbox.waiting()) == 2
    ehr.on_search.clear()
    assert run().exit is Exit.DONE
    assert (len(reviews(ehr)), journal.outbox.waiting()) == (2, {})


@pytest.mark.parametrize("broken", ["Task", "CareTeam"])
def test_nothing_is_sent_to_a_server_that_does_not_answer(ehr: Ehr, run: Run, journal: Journal, broken: str) -> None:
    """Where a look-up gets no answer the review waits whole: a Task without its owner would stay without one."""
    ehr.resources = [form("r1")]
    ehr.on_search[broken] = (200, {"resourceType": "Bundle"}, {"X-Cut": "1"})
    with pytest.raises(SafetyWaiting, match="FA402"):
        run()
    assert (len(journal.outbox.waiting()), ehr.transactions) == (1, [])


def test_the_next_run_delivers_first_and_once(ehr: Ehr, run: Run, journal: Journal) -> None:
    """What waits is delivered before anything is pulled, even when the pull then fails, and never twice."""
    ehr.resources = [form("r1"), form("r2", subject="Patient/p2")]
    ehr.on_transaction = lambda _, commit: (503, {}, {})
    assert run().exit is Exit.SAFETY_WAITING
    assert len(journal.outbox.waiting()) == 2
    ehr.on_transaction = lambda _, commit: commit()
    ehr.on_search["QuestionnaireResponse"] = DOWN
    with pytest.raises(RetryLater) as stopped:
        run()
    assert stopped.value.exit is Exit.UNREACHABLE
    assert (len(reviews(ehr)), journal.outbox.waiting()) == (2, {})
    ehr.on_search.clear()
    assert run().exit is Exit.DONE
    assert len(reviews(ehr)) == 2


def test_a_lost_answer_waits_and_is_not_doubled(ehr: Ehr, run: Run, journal: Journal) -> None:
    """The server wrote and could not say so, and cannot be asked: the review waits, and the next run finds it."""
    ehr.resources = [form("r1", status="in-progress")]
    ehr.on_transaction = lambda _, commit: (commit(), (503, {}, {}))[1]
    assert run().exit is Exit.SAFETY_WAITING
    ehr.on_transaction = lambda _, commit: commit()
    done = run()
    assert (done.exit, done.created, journal.outbox.waiting()) == (Exit.DONE, {}, {})
    assert (len(reviews(ehr)), journal.unsettled()) == (1, [])


def test_what_waits_holds_no_answer_and_only_we_can_read_it(ehr: Ehr, run: Run, journal: Journal) -> None:
    """The outbox names the form, the client and the kind of reason; no answer, no name, and no other reader."""
    ehr.resources = [form("r1", language="de")]
    ehr.on_transaction = lambda _, commit: (503, {}, {})
    run()
    file = journal.outbox.path
    [line] = map(json.loads, file.read_bytes().splitlines())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(line) == {"key", "since", "concern"}
    assert line["concern"] == {
        "response_key": "r1", "reference": "QuestionnaireResponse/r1", "subject": "Patient/p1", "encounter": "",
        "instrument": "phq-9", "title": "Patient Health Questionnaire 9 (PHQ-9)", "kind": "answered",
        "when": "2026-01-05T10:00:00+01:00", "language": "de",
        "labels": ["R", "PSY"],
    }  # fmt: skip


def test_a_form_withdrawn_while_it_waits_is_not_raised(ehr: Ehr, run: Run, journal: Journal) -> None:
    """A review that still waits when its form is withdrawn leaves the outbox and opens nothing that stays open."""
    ehr.resources = [form("r1")]
    ehr.on_transaction = lambda _, commit: (503, {}, {})
    run()
    ehr.resources = [form("r1", status="entered-in-error")]
    run()
    assert journal.outbox.waiting() == {}
    ehr.on_transaction = lambda _, commit: commit()
    run()
    assert reviews(ehr) == []


@pytest.mark.parametrize("status", [400, 403, 404, 405, 422, 501])
def test_where_no_task_is_taken_it_goes_as_a_message(ehr: Ehr, run: Run, journal: Journal, status: int) -> None:
    """A server that refuses Tasks, together or one by one, gets a Communication with the same identifier, once."""
    ehr.resources = [form("r1", encounter={"reference": "Encounter/gone"})]
    ehr.on_transaction = ehr.on_create = refusing(status, "Task")
    done = run()
    assert (done.exit, done.reviews["messages"], done.created["Communication"]) == (Exit.DONE, 1, 1)
    assert (reviews(ehr), journal.outbox.waiting()) == ([], {})
    [message] = reviews(ehr, "Communication")
    assert message["about"] == [{"reference": "QuestionnaireResponse/r1"}]
    assert (message["priority"], message["status"]) == ("urgent", "in-progress")
    run()
    assert len(reviews(ehr, "Communication")) == 1
    ehr.on_transaction = ehr.on_create = lambda _, commit: commit()
    run()
    assert reviews(ehr) == []  # it was told; a Task now would tell it twice


def test_where_no_transaction_is_taken_it_goes_by_itself(ehr: Ehr, run: Run, journal: Journal) -> None:
    """A server without transactions takes review and scores one after the other, once, and that is told."""
    ehr.resources = [form("r1")]
    ehr.on_transaction = lambda _, commit: (405, {}, {})
    done = run()
    assert (done.exit, len(done.lower) > 0) == (Exit.DONE, True)
    run()
    assert (len(reviews(ehr)), len(ehr.all("Observation")), journal.outbox.waiting()) == (1, 2, {})


def test_where_nothing_is_taken_it_waits(ehr: Ehr, run: Run, journal: Journal) -> None:
    """Refused as Task and as message, the review waits, the run ends with 24, and each run tries again."""
    ehr.resources = [form("r1")]
    ehr.on_transaction = ehr.on_create = refusing(422, "Task", "Communication")
    for _ in range(2):
        done = run()
        assert (done.exit, len(journal.outbox.waiting())) == (Exit.SAFETY_WAITING, 1)
    ehr.on_transaction = ehr.on_create = lambda _, commit: commit()
    done = run()
    assert (done.exit, len(reviews(ehr)), journal.outbox.waiting()) == (Exit.DONE, 1, {})


def test_one_refused_review_does_not_hold_back_another(ehr: Ehr, run: Run, journal: Journal) -> None:
    """Where the server refuses one review of two, the other stands as a Task and the refused one goes as a message."""
    ehr.resources = [form("r1"), form("r2", subject="Patient/odd")]

    def answer(sent: dict[str, Any], commit: Callable[[], Any]) -> Any:
        return (422, {}, {}) if '"Task"' in json.dumps(sent) and "Patient/odd" in json.dumps(sent) else commit()

    ehr.on_transaction = ehr.on_create = answer
    run()
    assert [task["for"]["reference"] for task in reviews(ehr)] == ["Patient/p1"]
    assert [message["subject"]["reference"] for message in reviews(ehr, "Communication")] == ["Patient/odd"]


def test_a_dry_run_shows_what_waits_and_sends_nothing(ehr: Ehr, run: Run, journal: Journal) -> None:
    """A dry run plans the delivery, says that something waits, and changes neither server nor outbox."""
    ehr.resources = [form("r1")]
    ehr.on_transaction = lambda _, commit: (503, {}, {})
    run()
    before = journal.outbox.path.read_bytes()
    ehr.transactions.clear()
    done = run(dry_run=True)
    assert done.exit is Exit.SAFETY_WAITING
    assert [change.write.type for change in done.planned].count("Task") == 1
    assert (journal.outbox.path.read_bytes(), ehr.transactions) == (before, [])


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_server_that_does_not_tell_its_tasks(
    serve: Callable[..., Any], ehr: Ehr, journal: Journal, status: int
) -> None:
    """Where open reviews cannot be searched for, the watch says so and stops nothing."""
    ehr.on_search["Task"] = (status, {}, {})
    base, summary = serve(ehr).base, Summary()
    store = ServerStore(base, Http(base, sleep=lambda _: None))
    watch_reviews(Delivery(store, journal, summary, NOW, dry_run=False), Policy().safety)
    store.close()
    assert summary.reviews["unwatched"] == 1


def test_nobody_to_escalate_by(ehr: Ehr, run: Run) -> None:
    """An escalation that is taken in no way is told as refused, and tried again; the first review stays open."""
    ehr.resources = [form("r1"), TEAM]
    run()
    ehr.on_transaction = ehr.on_create = refusing(422, "Task", "Communication")
    for hours in (30, 31):
        done = run(NOW + timedelta(hours=hours))
        assert (done.exit, done.reviews["overdue"], done.reviews["escalated"]) == (Exit.REFUSED, 1, 0)
    ehr.on_transaction = ehr.on_create = refusing(422, "Task")
    done = run(NOW + timedelta(hours=32))
    assert (done.exit, done.reviews["escalated"], done.reviews["messages"]) == (Exit.DONE, 1, 1)
    [message] = reviews(ehr, "Communication")
    assert message["recipient"] == [{"reference": "Practitioner/sue"}]
    assert run(NOW + timedelta(hours=33)).reviews["messages"] == 0


def told(ehr: Ehr, run: Run) -> dict[str, Any]:
    """Return the message that stands for a review on a server that takes no Task."""
    ehr.resources = [form("r1"), TEAM]
    ehr.on_transaction = ehr.on_create = refusing(422, "Task")
    run()
    [message] = reviews(ehr, "Communication")
    found: dict[str, Any] = message
    return found


@pytest.mark.parametrize(("changed", "overdue"), [
    ({}, 1), ({"status": "on-hold"}, 1), ({"status": "not-done"}, 1),
    ({"received": "2026-06-01T09:00:00Z"}, 0), ({"status": "completed"}, 0), ({"status": "stopped"}, 0),
])  # fmt: skip
def test_a_message_nobody_takes_reaches_the_supervisor_once(
    ehr: Ehr, run: Run, changed: dict[str, str], overdue: int
) -> None:
    """A message that nobody received in time, or that was handed back, is followed by the supervisor's; once."""
    message = told(ehr, run)
    message |= changed
    for hours in (30, 31, 99):
        done = run(NOW + timedelta(hours=hours))
        assert (done.reviews["overdue"], done.exit) == (overdue, Exit.DONE)
    _, *others = reviews(ehr, "Communication")
    assert [other["recipient"] for other in others] == [[{"reference": "Practitioner/sue"}]] * overdue
    for other in others:
        assert other["partOf"] == [{"reference": f"Communication/{message['id']}"}]
        assert (other["about"], other["priority"]) == (message["about"], "asap")
        assert message["payload"][0]["contentString"] in other["payload"][0]["contentString"]
    assert reviews(ehr) == []


def test_a_message_that_was_handed_back_does_not_wait(ehr: Ehr, run: Run) -> None:
    """A message that is set to not-done goes to the supervisor in the next run, however early."""
    told(ehr, run)["status"] = "not-done"
    run(NOW + timedelta(hours=1))
    assert len(reviews(ehr, "Communication")) == 2


def test_what_followed_a_task_as_a_message_is_not_escalated_again(ehr: Ehr, run: Run) -> None:
    """The supervisor's message is part of the Task that nobody took, and is not watched itself."""
    ehr.resources = [form("r1"), TEAM]
    run()
    ehr.on_transaction = ehr.on_create = refusing(422, "Task")
    for hours in (30, 99):
        run(NOW + timedelta(hours=hours))
    [task], [message] = reviews(ehr), reviews(ehr, "Communication")
    assert message["partOf"] == [{"reference": f"Task/{task['id']}"}]


def test_messages_are_watched_with_a_new_journal(ehr: Ehr, run: Run, serve: Callable[..., Any], tmp_path: Any) -> None:
    """Where the server says that it takes no Task, messages are watched though no journal knows of any."""
    told(ehr, run)
    [rest] = ehr.statement["rest"]
    rest["resource"] = [held for held in rest["resource"] if held["type"] != "Task"]
    base, summary, lost = serve(ehr).base, Summary(), Journal(tmp_path / "lost", "test")
    store = ServerStore(base, Http(base, sleep=lambda _: None))
    watch_reviews(Delivery(store, lost, summary, NOW, dry_run=False), Policy().safety)
    store.close()
    lost.close()
    assert summary.reviews["open"] == 1


def test_messages_that_cannot_be_read_are_told(ehr: Ehr, run: Run) -> None:
    """Where messages were sent and cannot be searched for, the watch says so and stops nothing."""
    told(ehr, run)
    ehr.on_search["Communication"] = (403, {}, {})
    assert run(NOW + timedelta(hours=30)).reviews["unwatched"] == 1


def test_a_withdrawn_form_ends_its_messages(ehr: Ehr, run: Run) -> None:
    """When the form was entered in error, both messages end, with the reason; one that somebody completed stays so."""
    message = told(ehr, run)
    run(NOW + timedelta(hours=30))
    message["status"] = "completed"
    ehr.resources[0] |= {"status": "entered-in-error"}
    run(NOW + timedelta(hours=31))
    by_owner = {"recipient" in message: message for message in reviews(ehr, "Communication")}
    assert by_owner[False]["status"] == "completed"
    assert by_owner[True]["status"] == "stopped"
    assert "entered in error" in by_owner[True]["statusReason"]["text"]


def test_a_message_that_cannot_be_ended_is_told(ehr: Ehr, run: Run) -> None:
    """Where the server takes no change of a message, the run says that whoever got it must be told."""
    told(ehr, run)
    ehr.resources[0] |= {"status": "entered-in-error"}
    ehr.on_transaction = refusing(422, "Task", "Communication")
    done = run(NOW + timedelta(hours=1))
    assert "FA513" in [refusal.code for refusal in done.refused]
    assert done.exit is Exit.REFUSED


def test_consents_that_cannot_be_read_come_after_safety(ehr: Ehr, run: Run) -> None:
    """Where Consents cannot be read nothing is shared (23), and the review stands on the server."""
    ehr.resources = [form("r1")]
    ehr.on_search["Consent"] = (403, {}, {})
    with pytest.raises(ConsentUnreachable):
        run()
    assert len(reviews(ehr)) == 1
    assert ehr.all("Observation") == []


def test_a_damaged_outbox_stops_the_run(run: Run, journal: Journal) -> None:
    """An outbox that cannot be read is a person's matter: it is neither emptied nor passed over."""
    journal.outbox.path.write_text("{", encoding="utf-8")
    with pytest.raises(StopRun, match="FA510"):
        run()
    assert journal.outbox.path.read_text(encoding="utf-8") == "{"
