"""Faults of the state beside a server, each named by its number in the list of faults (docs/reference/faults.md)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

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

Start: TypeAlias = Callable[..., Any]

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
WAYS: dict[str, dict[str, Any]] = {
    "transaction": {"system": ("transaction",), "update_create": True, "conditional_create": True},
    "conditional create": {"conditional_create": True},
    "search first": {},
    "by content": {"search": ("_id", "_lastUpdated", "patient", "url"), "dropped": ("identifier",)},
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped instruments."""
    return load_catalog()


@pytest.mark.parametrize("way", WAYS)
def test_row_92(start_server: Start, catalog: Catalog, tmp_path: Path, way: str) -> None:
    """Row 92: with the state of yesterday restored, all is read again, and nothing stands twice or is lost."""
    server = start_server(**WAYS[way])
    state, backup = tmp_path / "state", tmp_path / "backup"

    def run() -> Summary:
        store = ServerStore(server.base, Http(server.base, sleep=lambda _: None))
        journal = Journal(state, server.base)
        try:
            return sync(store, catalog, journal, Policy(), NOW)
        finally:
            journal.close()
            store.close()

    def form(day: int, **elements: Any) -> dict[str, Any]:
        meta = {"versionId": "1", "lastUpdated": f"2026-01-{day}T10:00:00Z"}
        return response_json([1] * 8 + [0], name=f"r{day}", authored=f"2026-01-{day}T09:00:00Z", meta=meta, **elements)

    server.load(form(12))
    assert run().exit is Exit.DONE
    shutil.copytree(state, backup)
    server.load(form(13))
    assert run().exit is Exit.DONE
    before = sorted(observation["id"] for observation in server.all("Observation"))
    assert len(before) == 4
    shutil.rmtree(state)
    shutil.copytree(backup, state)
    state.chmod(0o700)
    restored = run()
    assert (restored.exit, restored.created.total() - restored.created["Provenance"]) == (Exit.DONE, 0)
    assert sorted(observation["id"] for observation in server.all("Observation")) == before
