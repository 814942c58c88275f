"""Writing to a server: transactions, refusals, and replies that never come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any, TypeAlias
from urllib.parse import unquote

import orjson
import pytest

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.errors import Exit
from fhir_alliance.fhir.difference import CANONICAL, Change, ChangeKind, Known
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.stores.store import Written
from fhir_alliance.testing import response_json

Ehr: TypeAlias = Any  # see conftest.py
Serve: TypeAlias = Callable[..., Any]
Answer: TypeAlias = tuple[int, Any, dict[str, str]]

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))  # not UTC, on purpose
SYSTEM = "https://example.org/key"
GONE_BAD = (503, {}, {"Retry-After": "0"})


def form(
    name: str, updated: str = "2026-01-05T10:00:00.000Z", points: Sequence[int] = (1,) * 9, **elements: Any
) -> dict[str, Any]:
    """Return a form as a server holds it."""
    return response_json(points, name=name, meta={"versionId": "1", "lastUpdated": updated}, **elements)


def write(key: str, group: str = "", refers_to: str = "") -> Change:
    """Return the creation of an Observation; refers_to: the key of another one of ours."""
    body: dict[str, Any] = {"resourceType": "Observation", "id": key, "identifier": [{"system": SYSTEM, "value": key}]}
    if refers_to:
        body["hasMember"] = [{"reference": f"Observation/{refers_to}"}]
    made = Write("Observation", SYSTEM, key, WriteMode.KEEP_CURRENT, orjson.dumps(body), group or key)
    return Change(made, ChangeKind.CREATE)


def key(number: int) -> str:
    """Return a key as we derive them."""
    return sha256(str(number).encode()).hexdigest()


@pytest.fixture
def run(store: ServerStore, journal: Journal) -> Callable[[], Summary]:
    """A function that runs a sync."""
    catalog = load_catalog()
    return lambda: sync(store, catalog, journal, Policy(), NOW)


def put(store: ServerStore, journal: Journal, *changes: Change) -> Written:
    """Write changes to a store that holds nothing of ours."""
    return store.put(changes, Known([]), journal)


def test_ids_of_the_server_are_resolved(ehr: Ehr, store: ServerStore, journal: Journal) -> None:
    """References among our resources become the server's ids, within a transaction and across transactions."""
    changes = [write(key(n)) for n in range(100)] + [write(key(n), refers_to=key(n - 100)) for n in range(100, 150)]
    changes.append(write(key(150), group=changes[-1].write.group, refers_to=key(149)))
    written = put(store, journal, *changes)
    assert written.created == {"Observation": 151}
    assert [len(bundle["entry"]) for bundle in ehr.transactions] == [100, 51]
    given = {o["identifier"][0]["value"]: f"Observation/{o['id']}" for o in ehr.all("Observation")}
    members = {o["identifier"][0]["value"]: o["hasMember"][0]["reference"] for o in ehr.all("Observation")[100:]}
    assert members == {key(n): given[key(n - 100)] for n in range(100, 150)} | {key(150): given[key(149)]}
    assert journal.unsettled() == []


def test_a_group_is_never_divided(ehr: Ehr, store: ServerStore, journal: Journal) -> None:
    """Transactions hold about a hundred entries, but what belongs together goes together."""
    put(store, journal, *(write(key(n), group="ab"[n > 0]) for n in range(150)), write(key(200)))
    assert [len(bundle["entry"]) for bundle in ehr.transactions] == [1, 149, 1]


def test_how_writes_are_guarded(ehr: Ehr, store: ServerStore, journal: Journal) -> None:
    """A create names the key that must not be there yet, an update the version that was read."""
    update = Change(write(key(2)).write, ChangeKind.UPDATE, "srv-7", "3")
    canonical = Write(
        "ValueSet", CANONICAL, "https://x.example/v", WriteMode.KEEP_CURRENT,
        b'{"resourceType": "ValueSet", "id": "v", "version": "1.0", "identifier": [{"value": "v"}]}',
    )  # fmt: skip
    put(store, journal, write(key(1)), update, Change(canonical, ChangeKind.CREATE))
    created, updated, published = ehr.transactions[0]["entry"]
    assert unquote(created["request"]["ifNoneExist"]) == f"identifier={SYSTEM}|{key(1)}"
    assert "id" not in created["resource"]
    assert updated["request"] == {"method": "PUT", "url": "Observation/srv-7", "ifMatch": 'W/"3"'}
    assert unquote(published["request"]["ifNoneExist"]) == "url=https://x.example/v&version=1.0"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "FA413"), (422, "FA413"), (500, "FA413"), (409, "FA412"), (412, "FA412")]
)
def test_one_refused_group_parks_only_itself(
    ehr: Ehr, store: ServerStore, journal: Journal, status: int, code: str
) -> None:
    """Where the server refuses a transaction for one group, the others are written and it alone is parked."""
    ehr.on_transaction = lambda bundle, commit: (
        (status, {"issue": [{"code": "invalid", "diagnostics": "Zilpzalp"}]}, {}) if key(2) in str(bundle) else commit()
    )
    written = put(store, journal, write(key(1)), write(key(2), "bad"), write(key(3), "bad"), write(key(4)))
    assert written.created == {"Observation": 2}
    [refusal] = written.refused
    assert (refusal.group, refusal.code) == ("bad", code)
    assert f"HTTP {status} (invalid)" in refusal.reason
    assert "Zilpzalp" not in refusal.reason
    assert {o["identifier"][0]["value"] for o in ehr.all("Observation")} == {key(1), key(4)}
    assert (written.unknown, journal.unsettled()) == ([], [])


def test_a_refused_form_is_parked_and_tried_again(ehr: Ehr, run: Callable[[], Summary], journal: Journal) -> None:
    """A form whose scores are refused is parked by name; the next run writes them once the server takes them."""
    ehr.resources = [form("good"), form("bad", subject="Patient/p2")]
    ehr.on_transaction = lambda bundle, commit: (422, {}, {}) if "/bad/_history" in str(bundle) else commit()
    first = run()
    assert first.exit is Exit.PARKED
    assert [(parked.reference, parked.code) for parked in first.parked] == [("QuestionnaireResponse/bad", "FA413")]
    assert {o["subject"]["reference"] for o in ehr.all("Observation")} == {"Patient/p1"}
    ehr.on_transaction = lambda _, commit: commit()
    second = run()
    assert (second.exit, second.created["Observation"], journal.parked()) == (Exit.DONE, 2, [])


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_transactions(ehr: Ehr, store: ServerStore, journal: Journal, status: int) -> None:
    """A server that refuses all that is sent to it has everything refused, with a reason, and nothing in doubt."""
    ehr.on_transaction = ehr.on_create = lambda *_: (status, {}, {})
    written = put(store, journal, write(key(1)))
    [refused] = written.refused
    assert (refused.group, refused.code) == (key(1), "FA408" if status != 404 else "FA413")
    assert (written.unknown, journal.unsettled()) == ([], [])
    assert written.lower


@pytest.mark.parametrize(
    ("lost", "last", "writes"),
    [((200, {"resourceType": "Bundle"}, {"X-Cut": "1"}), 0, 2), (GONE_BAD, 0, 2), (GONE_BAD, 1, 3)],
    ids=["cut", "gateway", "gateway, with a safety review"],
)
def test_a_lost_reply_is_unknown_and_the_next_run_settles_it(
    ehr: Ehr, run: Callable[[], Summary], journal: Journal, lost: Answer, last: int, writes: int
) -> None:
    """Where the server wrote and its reply was lost, nothing is written twice and nothing is passed by."""
    ehr.resources = [form("r1", points=[1] * 8 + [last])]
    ehr.on_transaction = lambda _, commit: (commit(), lost)[1]
    first = run()
    assert (first.exit, first.unknown) == (Exit.UNKNOWN, writes)
    assert (journal.bookmark(), len(journal.unsettled())) == ("", writes - last)  # the review was seen to stand
    assert journal.outbox.waiting() == {}
    before = [resource["id"] for resource in ehr.resources]
    ehr.on_transaction = lambda _, commit: commit()
    second = run()
    assert (second.exit, second.created, second.updated) == (Exit.DONE, {}, {})
    assert [resource["id"] for resource in ehr.resources] == before
    assert (journal.bookmark(), journal.unsettled()) == ("2026-01-05T10:00:00.000Z", [])


@pytest.mark.parametrize(
    "reply",
    [
        (200, b"", {}),
        (200, b"{", {}),
        (200, b"<html/>", {"Content-Type": "text/html"}),
        (200, [], {}),
        (200, {"entry": [{"response": {"status": "201 Created"}}]}, {}),
        (200, {"entry": [{"response": {"status": "201 Created"}}, 5]}, {}),
        (200, {"entry": [{"response": {"status": "201 Created"}}, {}]}, {}),
        (200, {"entry": [{"response": {"status": "201 Created"}}, {"response": {"status": "500"}}]}, {}),
        GONE_BAD,
    ],
    ids=["empty", "cut", "login page", "list", "short", "odd entry", "no status", "entry failed", "busy"],
)
def test_a_reply_that_does_not_say(ehr: Ehr, store: ServerStore, journal: Journal, reply: Answer) -> None:
    """What a reply does not confirm is unknown: counted so, and kept in the journal until it is settled."""
    ehr.on_transaction = lambda *_: reply
    written = put(store, journal, write(key(1), "one"), write(key(2), "one"))
    assert key(2) in {each.value for each in written.unknown}
    assert key(2) in {intent.key for intent in journal.unsettled()}
    assert written.created["Observation"] + len(written.unknown) == 2


def test_a_transaction_that_is_done_in_part(ehr: Ehr, store: ServerStore, journal: Journal) -> None:
    """What refuses one entry of a transaction and does the others is sent none again, and its form waits alone."""
    done = {"response": {"status": "201 Created", "location": "Observation/srv-1/_history/1"}}
    ehr.on_transaction = lambda *_: (200, {"entry": [done, {"response": {"status": "404"}}]}, {})
    written = put(store, journal, write(key(1), "one"), write(key(2), "two"))
    assert written.created == {"Observation": 1}
    assert [refusal.group for refusal in written.refused] == ["two"]
    assert (written.unknown, journal.unsettled()) == ([], [])
    assert any("in part" in way for way in written.lower)
    put(store, journal, write(key(3)))
    assert [bundle["type"] for bundle in ehr.transactions] == ["transaction", "batch"]


def test_an_update_that_failed_is_not_counted_as_done(ehr: Ehr, store: ServerStore, journal: Journal) -> None:
    """A server that answers entry by entry is believed entry by entry."""
    ehr.on_transaction = lambda *_: (200, {"entry": [{"response": {"status": "412 Precondition Failed"}}]}, {})
    written = put(store, journal, Change(write(key(1)).write, ChangeKind.UPDATE, "srv-7", "3"))
    assert written.updated == {}
    assert len(written.unknown) + len(written.refused) == 1


def test_an_update_of_ours_that_was_not_answered(ehr: Ehr, store: ServerStore, journal: Journal) -> None:
    """An update that was done, its reply lost, meets our own version when repeated: unknown, not refused."""
    replies = [GONE_BAD, (412, {}, {})]
    ehr.on_transaction = lambda *_: replies.pop(0)
    written = put(store, journal, Change(write(key(1)).write, ChangeKind.UPDATE, "srv-7", "3"))
    assert written.refused == []
    assert [each.value for each in written.unknown] == [intent.key for intent in journal.unsettled()] == [key(1)]


def test_too_large_a_transaction_is_divided(ehr: Ehr, store: ServerStore, journal: Journal) -> None:
    """A server that finds a transaction too large gets smaller ones, and everything is written."""
    ehr.on_transaction = lambda bundle, commit: (413, {}, {}) if len(bundle["entry"]) > 4 else commit()
    written = put(store, journal, *(write(key(n)) for n in range(10)))
    assert (written.created, written.refused) == ({"Observation": 10}, [])
