"""What is refused for the sake of a version or of an id is tried again as it can be taken, and no more than that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fhir_alliance.errors import Exit
from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
META = {"versionId": "1", "lastUpdated": "2026-01-12T10:00:00.000Z"}
LATER = {"versionId": "2", "lastUpdated": "2026-02-12T10:00:00.000Z"}
FORM = response_json([1] * 8 + [0], name="r1", meta=META)
AMENDED = response_json([2] * 8 + [0], name="r1", meta=LATER, status="amended")
WORSE = response_json([3] * 8 + [0], name="r2", meta=LATER, authored="2026-01-19T10:00:00+01:00")
SYSTEMS = [(), ("batch",), ("transaction",)]


class Clinic(NamedTuple):
    """A server with a form on it, and a function that syncs it."""

    server: Any
    run: Callable[[], Summary]
    journal: Journal

    def value(self) -> float:
        """Return the form's one score."""
        [value] = [o["valueQuantity"]["value"] for o in self.server.all("Observation") if "valueQuantity" in o]
        return float(value)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped instruments."""
    return load_catalog()


@pytest.fixture
def clinic(start_server: Any, tmp_path: Path, catalog: Catalog) -> Iterator[Callable[..., Clinic]]:
    """A function that opens a clinic on a server that can do this."""
    opened: list[Journal] = []

    def clinic(**can: Any) -> Clinic:
        server = start_server(conditional_create=True, versions=True, **can)
        server.load(FORM)
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


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("times", [1, 3])
def test_what_somebody_changed_is_decided_anew(
    clinic: Callable[..., Clinic], system: tuple[str, ...], times: int
) -> None:
    """A score that somebody changed under our hands is read again and brought to what it should say, at once."""
    at = clinic(system=system)
    at.run()
    at.server.load(AMENDED)
    at.server.meddling["Observation"] = times
    done = at.run()
    assert (done.exit, done.parked, at.value(), at.server.meddling["Observation"]) == (Exit.DONE, [], 16, 0)
    assert done.updated["Observation"] == 2


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_changes_without_end_waits(clinic: Callable[..., Clinic], system: tuple[str, ...]) -> None:
    """After three times the form is parked with the reason, and the next run brings it to what it should say."""
    at = clinic(system=system)
    at.run()
    at.server.load(AMENDED)
    at.server.meddling["Observation"] = 100
    done = at.run()
    assert (done.exit, {parked.code for parked in done.parked}) == (Exit.PARKED, {"FA412"})
    assert at.server.meddling["Observation"] > 88
    at.server.meddling.clear()
    assert (at.run().exit, at.value()) == (Exit.DONE, 16)


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_people_work_on_is_planned_again(clinic: Callable[..., Clinic], system: tuple[str, ...]) -> None:
    """A Task that somebody changed under our hands is not overwritten; the next run decides on what it says then."""
    at = clinic(system=system)
    at.server.load(WORSE)
    at.run()
    at.server.load(WORSE | {"status": "entered-in-error"})
    at.server.meddling["Task"] = 1
    done = at.run()
    assert (done.exit, {parked.code for parked in done.parked}) == (Exit.PARKED, {"FA412"})
    assert [task["status"] for task in at.server.all("Task")] == ["requested"]
    assert at.run().exit is Exit.DONE
    assert [task["status"] for task in at.server.all("Task")] == ["cancelled"]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("status", [400, 422])
def test_ids_that_are_promised_and_not_taken(
    clinic: Callable[..., Clinic], system: tuple[str, ...], status: int
) -> None:
    """Where ids of ours are refused as bad content, scores are created otherwise, and the next form so at once."""
    at = clinic(system=system, promised=("updateCreate",), no_ids=status)
    done = at.run()
    assert (done.exit, done.parked, at.value()) == (Exit.DONE, [], 8)
    assert "client-id:Observation" in at.journal.refusals(datetime.now(UTC))
    asked = len(at.server.writes)
    at.server.load(response_json([1] * 8 + [0], name="r9", subject="Patient/p9", meta=META))
    assert at.run().exit is Exit.DONE
    assert not [path for method, path in at.server.writes[asked:] if method == "PUT"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_content_that_is_not_taken(clinic: Callable[..., Clinic], system: tuple[str, ...]) -> None:
    """What no way gets there is refused for its content: parked with FA413, and no way is blamed for it."""
    at = clinic(system=system, update_create=True, bad=("Observation",))
    done = at.run()
    assert (done.exit, {parked.code for parked in done.parked}) == (Exit.PARKED, {"FA413"})
    assert at.journal.refusals(datetime.now(UTC)) == frozenset()
