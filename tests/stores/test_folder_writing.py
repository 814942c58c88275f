"""What is written beside a folder's files: the current state, in one step, for nobody else to read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.difference import Change, ChangeKind, Known, difference
from fhir_alliance.fhir.goal import goal_write, version_of
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.journal import Journal

ANNA, BEN = "Patient/anna", "Patient/ben"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FolderStore]:
    """An empty folder."""
    (tmp_path / "clinic").mkdir()
    opened = FolderStore(tmp_path / "clinic")
    yield opened
    opened.close()


def task(key: str, subject: str = ANNA, **elements: Any) -> Write:
    """Return the write of a Task."""
    identifier = [{"system": "https://example.org/review", "value": key}]
    body = {"resourceType": "Task", "id": key, "identifier": identifier, "for": {"reference": subject}} | elements
    return Write("Task", identifier[0]["system"], key, WriteMode.KEEP_CURRENT, orjson.dumps(body))


def put(store: FolderStore, journal: Journal, *writes: Write) -> dict[str, int]:
    """Write what differs from what stands there, as a run does; return the counts."""
    known = Known(store.about("Task", [ANNA, BEN]))
    written = store.put(difference(writes, known)[0], known, journal)
    store.finish()
    return {"created": written.created["Task"], "updated": written.updated["Task"]}


def derived(store: FolderStore) -> list[dict[str, Any]]:
    """Return the derived Tasks in their file."""
    return [json.loads(line) for line in (store.folder / "Task.fhir-alliance.ndjson").read_bytes().splitlines()]


def test_the_derived_file_is_the_current_state(store: FolderStore, journal: Journal) -> None:
    """One resource per identifier, the newest; a later run keeps what an earlier one wrote."""
    assert put(store, journal, task("1"), task("2", BEN)) == {"created": 2, "updated": 0}
    assert put(store, journal, task("1", status="requested")) == {"created": 0, "updated": 1}
    store.close()
    later = FolderStore(store.folder)
    assert put(later, journal, task("3"), task("2", BEN, status="cancelled")) == {"created": 1, "updated": 1}
    later.close()
    assert [(t["id"], t.get("status")) for t in derived(store)] == [("1", "requested"), ("2", "cancelled"), ("3", None)]


def test_only_what_changed_is_written_again(store: FolderStore, journal: Journal) -> None:
    """A run without a change leaves the derived file itself in place."""
    put(store, journal, task("1"))
    before = (store.folder / "Task.fhir-alliance.ndjson").stat()
    again = FolderStore(store.folder)
    assert put(again, journal, task("1")) == {"created": 0, "updated": 0}
    again.close()
    assert (store.folder / "Task.fhir-alliance.ndjson").stat().st_ino == before.st_ino


def test_a_derived_resource_wins_over_an_exported_one(store: FolderStore, journal: Journal) -> None:
    """Where an export holds an earlier state of our resource, it keeps its bytes and the derived one counts."""
    exported = task("1").body + b"\n"
    (store.folder / "Task.ndjson").write_bytes(exported)
    assert put(store, journal, task("1", status="completed")) == {"created": 0, "updated": 1}
    store.close()
    again = FolderStore(store.folder)
    assert put(again, journal, task("1", status="completed")) == {"created": 0, "updated": 0}
    again.close()
    assert (store.folder / "Task.ndjson").read_bytes() == exported
    assert [t["status"] for t in derived(store)] == ["completed"]


def test_the_index_leaves_nothing_behind(store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary index has no name on the disk even while it is used, so a killed run leaves no copy of a record."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    (store.folder / "Goal.ndjson").write_text('{"resourceType": "Goal", "id": "a"}\n', encoding="utf-8")
    assert store.canonicals("Goal", ()) != []
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_nothing_is_written_through_a_link(store: FolderStore, journal: Journal, tmp_path: Path, there: bool) -> None:
    """A derived file that is a symbolic link is refused; what it leads to is neither changed nor made."""
    target = tmp_path / "elsewhere"
    if there:
        target.write_text("mine", encoding="utf-8")
    (store.folder / "Task.fhir-alliance.ndjson").symlink_to(target)
    with pytest.raises(StopRun, match="FA111"):
        put(store, journal, task("1"))
    assert (target.read_text(encoding="utf-8") if target.exists() else "") == ("mine" if there else "")


def test_a_goal_that_is_another_by_now_is_not_overwritten(tmp_path: Path) -> None:
    """A change made of another version of a Goal is refused with all that belongs to it; other groups are taken."""
    (tmp_path / "Goal.ndjson").write_text('{"resourceType":"Goal","id":"g","lifecycleStatus":"active"}\n')
    store = FolderStore(tmp_path)
    try:
        [goal] = store.named("Goal", ["Goal/g"])
        ended = {**goal, "lifecycleStatus": "completed"}
        beside = Write("Provenance", "sid", "p", WriteMode.ACCOMPANY, b'{"resourceType":"Provenance","id":"p"}', "g1")
        for version, taken in (("0", 0), (version_of(goal), 1)):
            change = Change(goal_write(ended, version, "g1"), ChangeKind.UPDATE, "g", version)
            done = store.put([change, Change(beside, ChangeKind.CREATE)], Known([]), None)  # type: ignore[arg-type]
            assert [refusal.code for refusal in done.refused] == ["FA412"] * (1 - taken)
            assert (done.updated["Goal"], done.created["Provenance"]) == (taken, taken)
    finally:
        store.close()
