"""Servers that answer no search without a client in it: forms are found by a roster, and scores by their client."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from fhir_alliance.errors import Exit, ServerRefuses
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores import singles
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.pull import PullPlan
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json

Start: TypeAlias = Callable[..., Any]

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
FORMS = {"QuestionnaireResponse": ("patient", "_id")}
SERVERS: dict[str, dict[str, Any]] = {
    # states a search by authored and by identifier, and takes neither alone
    "Epic": {
        "search": ("_id", "patient", "authored", "identifier"),
        "required": {**FORMS, "Observation": ("patient+category", "_id"), "Task": ("patient", "code")},
    },
    # the same, and with a client named beside it the identifier is refused still
    "Epic, and no identifier": {
        "search": ("_id", "patient", "authored", "identifier"), "refuses": ("identifier",),
        "required": {**FORMS, "Observation": ("patient+category", "_id"), "Task": ("patient", "code")},
    },
    # searches by patient, and ignores an identifier in silence
    "Oracle": {
        "search": ("_id", "patient"), "ignored": ("identifier",), "dropped": ("identifier",),
        "required": {**FORMS, "Observation": ("patient", "_id")},
    },
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Summary]:
    """A function that syncs a server by a roster of two clients, with a journal of this name; runs are far apart."""
    monkeypatch.setattr(singles, "SETTLE_S", 0.0)
    roster = tmp_path / "roster"
    roster.write_text("Patient/p1\nPatient/p2\n", encoding="utf-8")

    def run(server: Any, journal: str = "first", named: str = str(roster)) -> Summary:
        store = ServerStore(server.base, Http(server.base, sleep=lambda _: None), plan=PullPlan(roster=named))
        kept = Journal(tmp_path / journal, server.base)
        try:
            return sync(store, load_catalog(), kept, Policy(), NOW)
        finally:
            kept.close()
            store.close()

    return run


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, start_server: Start) -> Any:
    """Such a server, with a form of each of two clients."""
    server = start_server(**SERVERS[request.param])
    server.load(response_json([1] * 9, name="r1"), response_json([1] * 9, name="r2", subject="Patient/p2"))
    return server


def test_forms_are_scored_by_a_roster(server: Any, run: Callable[..., Summary]) -> None:
    """Scores stand once, a second run reads nothing again, and one without journal finds all that stands."""
    first = run(server)
    assert (first.exit, first.read, first.created["Observation"]) == (Exit.DONE, 2, 4)
    assert first.notes == ["Forms were found by roster: the server can be searched by patient only."]
    second = run(server)
    assert (second.exit, second.read) == (Exit.DONE, 0)
    third = run(server, "lost")
    assert (third.exit, third.read, third.created["Observation"]) == (Exit.DONE, 2, 0)
    assert len(server.all("Observation")) == 4


@pytest.mark.parametrize(
    ("name", "refused"),
    [("Epic", set()), ("Epic, and no identifier", {"search-first:Observation", "search-first:Task"})],
)
def test_the_client_is_named_beside_the_key(
    start_server: Start, run: Callable[..., Summary], tmp_path: Path, name: str, refused: set[str]
) -> None:
    """A score is searched by key and client where the key alone is refused; where both are, that is remembered."""
    server = start_server(**SERVERS[name])
    server.load(response_json([1] * 9, name="r1"))
    run(server)
    kept = Journal(tmp_path / "first", server.base)
    try:
        assert kept.refusals(datetime.now(UTC)) == refused
    finally:
        kept.close()


def test_without_a_roster_that_is_said(server: Any, run: Callable[..., Summary]) -> None:
    """Where no search finds changes and nobody named a roster, the run ends with 22 and with what to do."""
    with pytest.raises(ServerRefuses, match="FA459") as told:
        run(server, named="")
    assert told.value.exit is Exit.REFUSED
    assert "roster" in told.value.hint
    assert server.all("Observation") == []
