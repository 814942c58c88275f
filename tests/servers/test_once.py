"""Written once, whatever the server can do and whenever its answer is lost: six ways, five faults, at every write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

from fhir_alliance.errors import Exit
from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores import singles
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.probe import fetch_profile
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json

Start: TypeAlias = Callable[..., Any]

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))  # not UTC, on purpose
META = {"versionId": "1", "lastUpdated": "2026-01-12T10:00:00.000Z"}
FORMS = (
    response_json([1] * 8 + [0], name="r1", meta=META),
    response_json([3] * 9, name="r2", meta=META, authored="2026-01-12T10:00:00+01:00"),
)
STANDING = 6  # what they give: panel and total of each, a goal review, a safety review

WAYS: dict[str, dict[str, Any]] = {
    "transaction, client id": {"system": ("transaction",), "update_create": True, "conditional_create": True},
    "transaction, conditional create": {"system": ("transaction",), "conditional_create": True},
    "batch, client id": {"system": ("batch",), "update_create": True, "conditional_create": True},
    "batch, conditional create": {"system": ("batch",), "conditional_create": True},
    "(a) client id": {"update_create": True},
    "(b) conditional update": {"conditional_update": True},
    "(c) conditional create": {"conditional_create": True},
    "(d) search first": {},
    "(d) search first, though there are transactions": {"system": ("transaction", "batch")},
    "(e) by content": {"search": ("_id", "_lastUpdated", "patient", "url"), "dropped": ("identifier",)},
    "(f) journal only": {"search": ("_id", "_lastUpdated", "url"), "dropped": ("identifier",), "ignored": ()},
}
COMPANY = [name for name in WAYS if "(d)" not in name and "(e)" not in name and "(f)" not in name]  # Provenance too
LATER = (Exit.UNKNOWN, Exit.SAFETY_WAITING)
NO_SCORES = ("Observation", "QuestionnaireResponse")  # the ways of a score that a site allows by itself; no document
FAULTS = ["CUT_BEFORE", "CUT_AFTER", "BUSY_AFTER", "THROTTLED"]


class Clinic(NamedTuple):
    """A server with one form in it, and a function that syncs it."""

    server: Any
    run: Callable[[], Summary]
    journal: Journal


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped instruments."""
    return load_catalog()


@pytest.fixture
def clinic(start_server: Start, tmp_path: Path, catalog: Catalog) -> Iterator[Callable[[str], Clinic]]:
    """A function that opens a clinic on a server that can do this."""
    opened: list[Journal] = []

    def clinic(way: str, **more: Any) -> Clinic:
        server = start_server(**WAYS[way] | more)
        server.load(*FORMS)
        journal = Journal(tmp_path / "state", server.base)
        opened.append(journal)

        def run() -> Summary:
            store = ServerStore(server.base, Http(server.base, sleep=lambda _: None))
            try:
                return sync(store, catalog, journal, Policy(), NOW)
            finally:
                store.close()

        return Clinic(server, run, journal)

    yield clinic
    for journal in opened:
        journal.close()


@pytest.fixture
def long_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are so far apart that every search shows what was written before."""
    monkeypatch.setattr(singles, "SETTLE_S", 0.0)


def standing(server: Any) -> Counter[Any]:
    """Return how often what we write stands there, told apart without any identifier."""
    kept = [*server.all("Observation"), *server.all("Task")]
    return Counter(
        (r["resourceType"], r["code"]["coding"][0]["code"], str(r.get("focus")), r.get("effectiveDateTime"))
        for r in kept
    )


def ours(server: Any) -> int:
    """Return how many resources of ours stand there; each has to be another one."""
    found = standing(server)
    assert set(found.values()) <= {1}, found
    return found.total()


@pytest.mark.parametrize("way", WAYS)
def test_each_way_writes_once(clinic: Callable[[str], Clinic], way: str) -> None:
    """In every way all stands after one run, references included; a second run changes nothing."""
    server, run, journal = clinic(way)
    first = run()
    made = first.created.total() - first.created["Provenance"]
    assert (first.exit, ours(server), made) == (Exit.DONE, STANDING, STANDING)
    assert len(server.all("Provenance")) == (2 if way in COMPANY else 0)
    assert bool(first.lower) == (not way.startswith("transaction"))
    names = {f"Observation/{o['id']}" for o in server.all("Observation")}
    members = {m["reference"] for o in server.all("Observation") for m in o.get("hasMember", ())}
    assert len(members) == 2
    assert members < names
    second = run()
    assert (second.exit, ours(server), second.created.total()) == (Exit.DONE, STANDING, 0)
    assert journal.unsettled() == []


@pytest.mark.usefixtures("long_after")
@pytest.mark.parametrize("way", [name for name in WAYS if "(f)" not in name])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_write(clinic: Callable[[str], Clinic], start_server: Any, way: str, fault: str) -> None:
    """Whichever write a fault hits, and if it hits all attempts at it: after one more run each output stands once."""
    kinds = start_server.faults
    for at in range(STANDING + 1):
        for attempts in (1, 4) if at == 1 else (1,):
            server, run, journal = clinic(way)
            server.faults = [kinds.NONE] * at + [kinds[fault]] * attempts
            first = run()
            assert first.exit in (Exit.DONE, *LATER)
            assert ours(server) <= STANDING
            server.faults.clear()
            last = run()
            assert (last.exit, ours(server)) == (Exit.DONE, STANDING), (at, attempts)
            assert (journal.unsettled(), journal.bookmark() != "") == ([], True)
            journal.close()
            for file in journal._folder.iterdir():
                file.unlink()


@pytest.mark.parametrize("fault", ["CUT_BEFORE", "CUT_AFTER", "BUSY_AFTER"])
def test_where_nothing_can_be_read_back(clinic: Callable[[str], Clinic], start_server: Any, fault: str) -> None:
    """(f): a write whose answer is lost is never sent again: it is told as unknown, then parked for a person."""
    for at in range(STANDING):
        server, run, journal = clinic("(f) journal only")
        server.faults = [start_server.faults.NONE] * at + [start_server.faults[fault]]
        first = run()
        assert first.unknown >= 1
        second = run()
        told_otherwise = second.reviews["messages"] == 1  # a safety review goes as a message, rather twice than never
        assert told_otherwise or "FA419" in [parked.code for parked in second.parked]
        before = len(server.writes)
        run()
        assert len(server.writes) == before
        assert ours(server) <= STANDING
        journal.close()
        for file in journal._folder.iterdir():
            file.unlink()


def test_a_throttle_is_no_unknown_outcome(clinic: Callable[[str], Clinic], start_server: Any) -> None:
    """(f): a server that asks for patience to the end has done nothing, so the next run may send it."""
    server, run, _ = clinic("(f) journal only")
    server.faults = [start_server.faults.THROTTLED] * 4
    assert run().exit in LATER
    assert (run().exit, ours(server)) == (Exit.DONE, STANDING)


@pytest.mark.parametrize("way", ["(d) search first", "(e) by content"])
def test_a_search_that_lags(clinic: Callable[..., Clinic], start_server: Any, way: str) -> None:
    """Row 73: for a minute after a write whose answer was lost, "not found" leads to no second one."""
    server, run, _ = clinic(way, lag=6)
    server.faults = [start_server.faults.CUT_AFTER] * 8
    assert run().exit in LATER
    for _ in range(4):
        run()
        ours(server)


@pytest.mark.parametrize("way", ["(a) client id", "(c) conditional create", "(d) search first", "batch, client id"])
def test_a_type_that_is_refused(clinic: Callable[..., Clinic], way: str) -> None:
    """Row 26: where a server takes scores in no way, the safety review stands all the same, and the status is 22."""
    server, run, journal = clinic(way, refused=NO_SCORES)
    done = run()
    assert done.exit is Exit.REFUSED
    assert {"FA408"} == {refused.code for refused in done.refused}
    assert [task["code"]["coding"][0]["code"] for task in server.all("Task")] == ["safety-review"]
    server.can.refused = ()
    journal._db.execute("DELETE FROM refusal")  # as a day does
    assert run().exit is Exit.DONE
    assert ours(server) == STANDING


@pytest.mark.parametrize("way", ["(c) conditional create", "(d) search first"])
def test_a_promise_that_is_not_kept(clinic: Callable[..., Clinic], way: str) -> None:
    """A statement that promises transactions and ids of ours where there are none: the run steps down and remembers."""
    promised = ("transaction",) if "(c)" in way else ("transaction", "updateCreate")
    server, run, _ = clinic(way, promised=promised)
    done = run()
    assert (done.exit, ours(server)) == (Exit.DONE, STANDING)
    assert done.lower
    asked = [path for method, path in server.writes if path == "/fhir/"]
    assert len(asked) == 1
    server.load(FORMS[0] | {"id": "r3", "subject": {"reference": "Patient/p2"}})
    run()
    assert [path for method, path in server.writes if path == "/fhir/"] == asked


def test_an_identifier_that_is_dropped(clinic: Callable[..., Clinic]) -> None:
    """Row 80: a server that says it can be searched by identifier, and drops it, is found out; nothing is doubled."""
    server, run, _ = clinic("(d) search first", dropped=("identifier",))
    assert run().exit is Exit.DONE
    assert ours(server) == STANDING
    assert run().exit is Exit.DONE
    assert ours(server) == STANDING


def test_a_condition_that_is_ignored(clinic: Callable[..., Clinic]) -> None:
    """A server that ignores the identifier in a search makes nothing pass for ours that is not, and nothing double."""
    server, run, _ = clinic("(d) search first", ignored=("identifier",))
    assert run().exit is Exit.DONE
    assert run().exit is Exit.DONE
    assert ours(server) == STANDING


@pytest.mark.parametrize("once", ["client-id", "conditional-create", "search-first"])
def test_a_pinned_way_that_is_refused(clinic: Callable[..., Clinic], tmp_path: Path, once: str) -> None:
    """A way that a person pinned is the only one tried: where the server refuses it, the run ends with 22."""
    server, _, journal = clinic("(d) search first", refused=NO_SCORES)
    profile = fetch_profile(Http(server.base))
    held = profile.of("Observation").model_copy(update={"once": once})
    profile = profile.model_copy(update={"types": {**profile.types, "Observation": held}})
    store = ServerStore(server.base, profile=profile)
    done = sync(store, load_catalog(), journal, Policy(), NOW)
    store.close()
    assert done.exit is Exit.REFUSED
    assert len([path for _, path in server.writes if "/Observation" in path]) == 1


def test_it_stands_twice(clinic: Callable[..., Clinic]) -> None:
    """Rows 31, 79: what stands twice under one key is told and never deleted."""
    server, run, _ = clinic("(d) search first")
    run()
    [first, *_] = server.all("Observation")
    server.load(first | {"id": "other"})
    again = run()
    assert again.exit in (Exit.DONE, Exit.PARKED)
    assert "other" in {o["id"] for o in server.all("Observation")}


def test_an_amended_form_where_identifiers_are_dropped(clinic: Callable[..., Clinic]) -> None:
    """(e): a form that is amended updates the scores that stand, found by the journal; no second set appears."""
    server, run, _ = clinic("(e) by content")
    run()
    meta = {"versionId": "2", "lastUpdated": "2026-01-13T10:00:00Z"}
    server.load(response_json([1] * 9, name="r1", status="amended", meta=meta))
    done = run()
    assert done.exit is Exit.DONE, done.parked
    totals = [o["valueQuantity"]["value"] for o in server.all("Observation") if "valueQuantity" in o]
    assert sorted(totals) == [9, 27]
