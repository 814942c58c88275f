"""What a command asks a server for is what it does there: no more, and no less."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fhir_alliance.config import Config
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.needs import ORDERING, PUBLISHING, SYNC, delivering
from fhir_alliance.runs.order import order
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.publish import publish
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.scopes import Needs
from fhir_alliance.testing import response_json

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)


class Watching(FolderStore):
    """A folder that remembers which types it was asked for, and which it was sent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: set[str] = set()
        self.written: set[str] = set()

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name in ("about", "active", "named", "canonicals"):
            return lambda kind, *args: (self.read.add(kind), found(kind, *args))[1]  # type: ignore[operator]
        if name == "responses":
            self.read.add("QuestionnaireResponse")
        if name == "put":
            return lambda changes, *args: (
                self.written.update(change.write.type for change in changes),
                found(changes, *args),  # type: ignore[operator]
            )[1]
        return found


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Watching, Journal]]:
    """A folder with one form that calls for a review, and its journal."""
    import json

    form = response_json([3] * 9, encounter={"reference": "Encounter/e1"})
    (tmp_path / "QuestionnaireResponse.ndjson").write_text(json.dumps(form) + "\n", encoding="utf-8")
    store = Watching(tmp_path)
    journal = Journal(tmp_path / "state", store.name)
    yield store, journal
    store.close()
    journal.close()


@pytest.mark.parametrize(
    ("needs", "command"),
    [
        (SYNC, lambda store, catalog, journal: sync(store, catalog, journal, Policy(), NOW)),
        (ORDERING, lambda store, catalog, journal: order(store, catalog, journal, (), NOW)),
        (PUBLISHING, publish),
    ],
    ids=["sync", "order", "publish"],
)
def test_needs_are_what_is_done(
    watched: tuple[Watching, Journal], needs: Needs, command: Callable[..., object]
) -> None:
    """Every type that a command reads or writes is in its needs; nothing else is read by name."""
    store, journal = watched
    command(store, load_catalog(), journal)
    assert store.read <= needs.reads | needs.reads_if_allowed
    assert store.written <= needs.writes
    if needs is SYNC:
        assert store.read >= needs.reads
        assert store.written == needs.writes


@pytest.mark.parametrize(
    ("delivery", "wanted"),
    [
        ({}, {"DocumentReference", "QuestionnaireResponse"}),
        ({"scores": ["observation"], "reviews": ["task", "request"]}, {"ServiceRequest"}),
        ({"scores": ["observation"], "reviews": ["task"]}, set()),
    ],
)
def test_a_way_needs_its_type_where_it_is_allowed(delivery: dict[str, list[str]], wanted: set[str]) -> None:
    """A server is asked for the types of the ways that the site allows; where it gives none of them, a run goes on."""
    needs = delivering(Config.model_validate({"delivery": delivery}))
    assert needs.writes_if_allowed == wanted
    assert not needs.writes | needs.reads
