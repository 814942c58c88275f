"""Writing on several connections: beside each other, each client's in order, nothing lost where one fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Event, Lock
from typing import Any, TypeAlias

import orjson
import pytest

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.errors import AccessDenied
from fhir_alliance.fhir.difference import Change, ChangeKind, Known
from fhir_alliance.stores.exchange import Limits
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.lanes import in_lanes, lanes_of
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.stores.store import Written

Ehr: TypeAlias = Any  # see conftest.py
Answer: TypeAlias = tuple[int, Any, dict[str, str]]
Commit: TypeAlias = Callable[[], Answer]

SYSTEM = "https://example.org/key"
LONG_S = 30  # how long a test waits for what has to come at once; it never does, unless the test fails
CLIENTS = ("anna", "ben", "chris", "dora")


def write(client: str, number: int) -> Change:
    """Return the creation of one of a client's Observations, a group of its own."""
    key = f"{client}-{number}"
    body = {"resourceType": "Observation", "id": key, "identifier": [{"system": SYSTEM, "value": key}]}
    body |= {"subject": {"reference": f"Patient/{client}"}}
    return Change(Write("Observation", SYSTEM, key, WriteMode.KEEP_CURRENT, orjson.dumps(body), key), ChangeKind.CREATE)


def of_four(each: int) -> list[Change]:
    """Return writes of four clients in turn."""
    return [write(client, number) for number in range(each) for client in CLIENTS]


def clients_of(bundle: dict[str, Any]) -> set[str]:
    """Return the clients that a transaction is about."""
    return {entry["resource"]["subject"]["reference"].removeprefix("Patient/") for entry in bundle["entry"]}


def put(store: ServerStore, journal: Journal, changes: list[Change]) -> Written:
    """Write changes to a store that holds nothing of ours."""
    return store.put(changes, Known([]), journal)


@pytest.fixture
def one_by_one(ehr: Ehr) -> Ehr:
    """The server, which does one transaction at a time, however many are asked of it."""
    lock, transact = Lock(), ehr._transact

    def guarded(bundle: dict[str, Any]) -> Answer:
        with lock:
            done: Answer = transact(bundle)
            return done

    ehr._transact = guarded
    return ehr


def test_a_client_has_one_lane() -> None:
    """All of a client's writes go down one lane in their order, in batches of at most so many, and none is left out."""
    changes = of_four(60)
    lanes = lanes_of(changes, 50, 3)
    assert len(lanes) == 3
    assert all(len(batch) <= 50 for lane in lanes for batch in lane)
    sent = [[change.write.value for batch in lane for change in batch] for lane in lanes]
    for client in CLIENTS:
        wanted = [f"{client}-{number}" for number in range(60)]
        own = [[value for value in lane if value.startswith(client)] for lane in sent]
        assert [values for values in own if values] == [wanted]


def test_a_handful_takes_one_connection() -> None:
    """What fits into one transaction goes in one, whatever the number of clients."""
    assert [[len(batch) for batch in lane] for lane in lanes_of(of_four(25), 100, 4)] == [[100]]


def test_transactions_run_beside_each_other(one_by_one: Ehr, store: ServerStore, journal: Journal) -> None:
    """Four transactions are under way at once: each is answered only when all four have come."""
    meeting = Barrier(4)

    def together(_: dict[str, Any], commit: Commit) -> Answer:
        meeting.wait(LONG_S)
        return commit()

    one_by_one.on_transaction = together
    assert put(store, journal, of_four(100)).created == {"Observation": 400}
    assert journal.unsettled() == []


def test_no_more_connections_than_allowed(one_by_one: Ehr, serve: Callable[..., Any], journal: Journal) -> None:
    """A site that allows two connections gets one transaction at a time: the other connection reads."""
    meeting, met = Barrier(2), []

    def counted(_: dict[str, Any], commit: Commit) -> Answer:
        with suppress(BrokenBarrierError):
            met.append(meeting.wait(0.2))
        return commit()

    one_by_one.on_transaction = counted
    base = serve(one_by_one).base
    store = ServerStore(base, Http(base, limits=Limits(connections=2)))
    assert put(store, journal, of_four(100)).created == {"Observation": 400}
    store.close()
    assert met == []


def test_noted_before_it_is_sent(one_by_one: Ehr, store: ServerStore, journal: Journal) -> None:
    """When a transaction arrives, all that it holds stands in the journal already."""
    noted: list[bool] = []
    intended: set[str] = set()
    intend = journal.intend

    def watched(intents: Any) -> None:
        told = list(intents)
        intend(told)
        intended.update(each.key for each in told)

    journal.intend = watched  # type: ignore[method-assign]

    def look(bundle: dict[str, Any], commit: Commit) -> Answer:
        noted.append({e["resource"]["identifier"][0]["value"] for e in bundle["entry"]} <= intended)
        return commit()

    one_by_one.on_transaction = look
    put(store, journal, of_four(100))
    assert noted == [True] * 4


@pytest.mark.parametrize("status", [409, 500])
def test_two_that_collide(one_by_one: Ehr, store: ServerStore, journal: Journal, status: int) -> None:
    """A transaction that the server gives up because of another is sent again by itself; no form is parked for it."""
    refused: list[set[str]] = []

    def collide(bundle: dict[str, Any], commit: Commit) -> Answer:
        if "anna" in clients_of(bundle) and not refused:
            refused.append(clients_of(bundle))
            return status, {}, {}
        return commit()

    one_by_one.on_transaction = collide
    written = put(store, journal, of_four(200))
    assert (written.created, written.refused, written.unknown) == ({"Observation": 800}, [], [])
    assert refused == [{"anna"}]
    assert [len(bundle["entry"]) for bundle in one_by_one.transactions] == [100] * 9
    last = [entry["resource"]["identifier"][0]["value"] for b in one_by_one.transactions[-2:] for entry in b["entry"]]
    assert last == [f"anna-{number}" for number in range(200)]
    assert journal.unsettled() == []


def test_a_lost_answer_is_unknown_and_the_others_stand(one_by_one: Ehr, store: ServerStore, journal: Journal) -> None:
    """Where one lane's answer is lost for good, its writes are unknown and noted; those of the others are confirmed."""

    def lose(bundle: dict[str, Any], commit: Commit) -> Answer:
        return (503, {}, {"Retry-After": "0"}) if "anna" in clients_of(bundle) else commit()

    one_by_one.on_transaction = lose
    written = put(store, journal, of_four(100))
    assert written.created == {"Observation": 300}
    assert {write.value.partition("-")[0] for write in written.unknown} == {"anna"}
    assert {intent.key for intent in journal.unsettled()} == {f"anna-{number}" for number in range(100)}


def test_what_was_on_its_way_is_heard_before_the_run_ends(
    one_by_one: Ehr, store: ServerStore, journal: Journal
) -> None:
    """Where one lane ends the run, the answers to the others' transactions are still taken."""
    all_came = Barrier(4)

    def refuse(bundle: dict[str, Any], commit: Commit) -> Answer:
        all_came.wait(LONG_S)
        return (403, {}, {}) if "anna" in clients_of(bundle) else commit()

    one_by_one.on_transaction = refuse
    known = Known([])
    with pytest.raises(AccessDenied):
        store.put(of_four(100), known, journal)
    assert len(one_by_one.transactions) == 4
    assert {key.partition("-")[0] for key in known.by_value} == {"ben", "chris", "dora"}
    assert {intent.key.partition("-")[0] for intent in journal.unsettled()} == {"anna"}


def test_nothing_is_sent_after_the_run_has_ended() -> None:
    """After a fault in one lane, the next part of another is not begun, though the part before it has come through."""
    failed, begun, ended = Event(), [], []

    def begin(part: str) -> Callable[[], object]:
        begun.append(part)
        return (lambda: None) if part == "a1" else (lambda: failed.wait(LONG_S))

    def end(part: str, answer: Callable[[], object]) -> bool:
        answer()
        ended.append(part)
        if part == "a1":
            failed.set()
            raise AccessDenied("FA406", "refused")
        return True

    with pytest.raises(AccessDenied):
        in_lanes([["a1", "a2"], ["b1", "b2"]], begin, end)
    assert (begun, ended) == (["a1", "b1"], ["a1", "b1"])


@pytest.mark.parametrize("status", [405, 501])
def test_no_transactions_after_all(one_by_one: Ehr, store: ServerStore, journal: Journal, status: int) -> None:
    """Where the server turns out to take no transactions, all lanes step down, and every write stands once."""
    one_by_one.on_transaction = lambda bundle, commit: (status, {}, {}) if bundle["type"] == "transaction" else commit()
    written = put(store, journal, of_four(200))
    assert written.created == {"Observation": 800}
    stands = [observation["identifier"][0]["value"] for observation in one_by_one.all("Observation")]
    assert (len(stands), len(set(stands))) == (800, 800)
    assert [bundle["type"] for bundle in one_by_one.transactions].count("transaction") == 4
    assert journal.unsettled() == []


def test_what_is_read_of_many_clients(one_by_one: Ehr, serve: Callable[..., Any]) -> None:
    """The searches for more clients than one can name run beside each other, and every client's records are found."""
    one_by_one.resources = [
        {"resourceType": "Observation", "id": f"o{n}", "subject": {"reference": f"Patient/p{n}"}} for n in range(160)
    ]
    meeting = Barrier(4)

    def together(request: Any) -> Answer:
        meeting.wait(LONG_S)
        answer: Answer = one_by_one(request)
        return answer

    store = ServerStore(serve(together).base)
    found = store.about("Observation", [f"Patient/p{n}" for n in range(160)])
    store.close()
    assert [resource["id"] for resource in found] == [f"o{n}" for n in range(160)]


def test_the_next_page_is_read_meanwhile(one_by_one: Ehr, serve: Callable[..., Any]) -> None:
    """While the first page of forms is worked on, the second is asked for; each form comes once, in order."""
    updated = [f"2026-01-05T10:00:0{n}.000Z" for n in range(4)]
    one_by_one.resources = [
        {"resourceType": "QuestionnaireResponse", "id": f"r{n}", "meta": {"lastUpdated": at}}
        for n, at in enumerate(updated)
    ]
    one_by_one.page = 2
    asked = Event()

    def told(request: Any) -> Answer:
        if "_offset" in request.path:
            asked.set()
        answer: Answer = one_by_one(request)
        return answer

    store = ServerStore(serve(told).base)
    pages = store.responses("", ())
    first = next(pages)
    assert asked.wait(LONG_S)
    rest = list(pages)
    store.close()
    assert [[record.source[-2:] for record in page.records] for page in (first, *rest)] == [["r0", "r1"], ["r2", "r3"]]
    assert [page.mark for page in (first, *rest)] == [updated[1], updated[3]]
