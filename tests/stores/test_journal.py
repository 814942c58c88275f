"""The journal: one run at a time, nothing lost to a crash, and never trusted where it cannot be."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from fhir_alliance.errors import Exit, RetryLater, StopRun
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.journal import Intent, Journal
from fhir_alliance.testing import response_json

STORE = "https://ehr.example/fhir"
NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=-9, minutes=-30)))  # not UTC, on purpose
HOLDER = """
import sys
from pathlib import Path
from fhir_alliance.stores.journal import Intent, Journal
journal = Journal(Path(sys.argv[1]), sys.argv[2])
journal.advance("2026-01-05T10:00:00Z")
journal.intend([Intent("key", "Observation", "system")])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the journal will be."""
    return tmp_path / "state"


@pytest.fixture
def journal(state: Path) -> Iterator[Journal]:
    """A new journal."""
    opened = Journal(state, STORE)
    yield opened
    opened.close()


def refusal(state: Path, store: str = STORE) -> str:
    """Return the code with which a state folder is refused; always as a matter of configuration."""
    with pytest.raises(StopRun) as told:
        Journal(state, store)
    assert told.value.exit is Exit.CONFIGURATION
    return told.value.code


def test_only_we_can_read_it(state: Path) -> None:
    """The folder is 0700 and its files 0600, whatever the umask says."""
    before = os.umask(0)
    try:
        journal = Journal(state, STORE)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())}
        journal.close()
    finally:
        os.umask(before)
    assert modes.pop("state") == 0o700
    assert {"journal.db", "lease"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_the_lease(state: Path, journal: Journal) -> None:
    """A second run is told to come back later; once the first has closed, it gets the lease."""
    with pytest.raises(RetryLater, match="FA501") as told:
        Journal(state, STORE)
    assert told.value.exit is Exit.LATER
    journal.close()
    Journal(state, STORE).close()


def test_the_lease_of_a_killed_run(state: Path) -> None:
    """A process holds the lease while it runs; killed without warning, it leaves lease and journal to the next."""
    words = [sys.executable, "-c", HOLDER, str(state), STORE]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RetryLater, match="FA501"):
            Journal(state, STORE)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    journal = Journal(state, STORE)
    assert journal.bookmark() == "2026-01-05T10:00:00Z"
    assert journal.unsettled() == [Intent("key", "Observation", "system")]
    journal.close()


def test_the_bookmark_never_moves_backwards(state: Path, journal: Journal) -> None:
    """An earlier mark, or none, leaves the bookmark where it is, also for the next run."""
    for mark in ("2026-01-05T10:00:00Z", "2026-01-04T10:00:00Z", ""):
        journal.advance(mark)
        assert journal.bookmark() == "2026-01-05T10:00:00Z"
    journal.advance("2026-02-01T00:00:00Z")
    journal.close()
    again = Journal(state, STORE)
    assert again.bookmark() == "2026-02-01T00:00:00Z"
    again.close()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2026-03-29T01:30:00+01:00", "2026-03-29T03:10:00+02:00"),
        ("2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00"),
        ("2026-01-05T23:30:00-05:00", "2026-01-06T05:00:00Z"),
        ("2026-01-05T10:00:00Z", "2026-01-05T10:00:00.250Z"),
    ],
    ids=["spring", "autumn", "other zone", "fraction"],
)
def test_the_bookmark_is_a_moment(journal: Journal, first: str, second: str) -> None:
    """Marks are compared as moments, not as text: a server's clock changes its offset twice a year."""
    assert datetime.fromisoformat(first) < datetime.fromisoformat(second)
    journal.advance(first)
    journal.advance(second)
    assert journal.bookmark() == second
    journal.advance(first)
    assert journal.bookmark() == second


def test_intents_stay_until_settled(state: Path, journal: Journal) -> None:
    """What was sent and not confirmed is known to the next run; sent again, it stands there once."""
    one, two = Intent("1", "Observation", "s"), Intent("2", "Task", "t")
    journal.intend([two, one])
    journal.intend([one])
    journal.settle(["2", "none"])
    journal.close()
    again = Journal(state, STORE)
    assert again.unsettled() == [one]
    again.close()


def test_parked_records_stay_until_read_again(state: Path, journal: Journal) -> None:
    """A parked record stays with its newest reason until it is read; what was not read this time stays as it was."""
    a, b = "QuestionnaireResponse/a", "QuestionnaireResponse/b"
    journal.park([(a, "FA203", "old"), (b, "FA207", "why")], [])
    journal.park([(a, "FA205", "new")], [a])
    assert [tuple(one)[:3] for one in journal.parked()] == [(a, "FA205", "new"), (b, "FA207", "why")]
    journal.park([], [a])
    journal.close()
    again = Journal(state, STORE)
    assert [tuple(one)[:3] for one in again.parked()] == [(b, "FA207", "why")]
    again.close()


def test_a_mended_form_of_a_folder_leaves_the_parked(tmp_path: Path) -> None:
    """A form that was parked and is mended in its file does not stay in the journal's list."""
    file = tmp_path / "QuestionnaireResponse.ndjson"
    lists = []
    for points in ([1] * 9, [2] * 9):
        form = response_json(points, authored="2026-01-05T10:00:00+01:00" if lists else None)
        file.write_text(json.dumps(form) + "\n", encoding="utf-8")
        store = FolderStore(tmp_path)
        journal = Journal(tmp_path / ".fhir-alliance", store.name)
        sync(store, load_catalog(), journal, Policy(), NOW)
        lists.append([(reference, code) for reference, code, *_ in journal.parked()])
        store.close()
        journal.close()
    assert lists == [[("QuestionnaireResponse/r1", "FA207")], []]


def test_a_newer_version(state: Path, journal: Journal) -> None:
    """A journal of a newer version is left alone, and its lease is given back."""
    journal.close()
    with sqlite3.connect(state / "journal.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = (state / "journal.db").read_bytes()
    assert refusal(state) == refusal(state) == "FA506"
    assert (state / "journal.db").read_bytes() == before


def test_a_foreign_store(state: Path, journal: Journal) -> None:
    """A state folder serves one store: for another it is refused, for its own it still opens."""
    journal.advance("2026-01-05T10:00:00Z")
    journal.close()
    assert refusal(state, "https://other.example/fhir") == "FA507"
    own = Journal(state, STORE)
    assert own.bookmark() == "2026-01-05T10:00:00Z"
    own.close()


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777, 0o740])
def test_a_folder_that_others_can_read(state: Path, mode: int) -> None:
    """A state folder that is open to anybody else is refused, and nothing is put there."""
    state.mkdir()
    state.chmod(mode)
    assert refusal(state) == "FA505"
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("there", [True, False], ids=["to a folder", "to nothing"])
def test_a_folder_that_is_a_link(state: Path, tmp_path: Path, there: bool) -> None:
    """A state folder that leads elsewhere is refused, and nothing is put at the other end."""
    target = tmp_path / "elsewhere"
    if there:
        target.mkdir(mode=0o700)
    state.symlink_to(target)
    assert refusal(state) == "FA503"
    assert target.exists() == there
    assert not there or list(target.iterdir()) == []


@pytest.mark.parametrize("name", ["journal.db", "lease"])
def test_a_file_that_is_a_link(state: Path, tmp_path: Path, name: str) -> None:
    """A link inside the state folder is not written through."""
    state.mkdir(mode=0o700)
    (state / name).symlink_to(tmp_path / "elsewhere")
    refusal(state)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """Where a file stands in the way, the state folder cannot be made, and that is told."""
    (tmp_path / "state").write_text("a file", encoding="utf-8")
    assert refusal(tmp_path / "state") == refusal(tmp_path / "state" / "below") == "FA504"


def damaged(state: Path, how: str) -> None:
    """Damage a journal that holds something."""
    journal = Journal(state, STORE)
    journal.park([(f"QuestionnaireResponse/{n}", "FA203", "x" * 500) for n in range(100)], [])
    journal.close()
    file = state / "journal.db"
    content = file.read_bytes()
    if how == "no database":
        file.write_bytes(b"not a database " * 500)
    elif how == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif how == "a page":
        file.write_bytes(content[:4096] + b"\xff" * 4096 + content[8192:])
    else:
        file.unlink()
        file.mkdir()


@pytest.mark.parametrize("how", ["no database", "cut", "a page", "a folder"])
def test_a_damaged_journal(state: Path, how: str) -> None:
    """A journal that is damaged anywhere is refused at once, not in the middle of the run."""
    damaged(state, how)
    assert refusal(state) == "FA502"


@pytest.mark.parametrize("how", ["no database", "cut"])
def test_a_rehearsal_of_a_damaged_journal(state: Path, how: str) -> None:
    """A dry run refuses a damaged journal as a real one does."""
    damaged(state, how)
    with pytest.raises(StopRun, match="FA502"):
        Journal.rehearsal(state)


def test_a_rehearsal_leaves_no_trace(state: Path, journal: Journal) -> None:
    """A dry run sees what the journal holds, also while a run holds the lease, and changes nothing of it."""
    journal.advance("2026-01-05T10:00:00Z")
    rehearsal = Journal.rehearsal(state)
    assert rehearsal.bookmark() == "2026-01-05T10:00:00Z"
    rehearsal.advance("2026-03-01T00:00:00Z")
    rehearsal.park([("QuestionnaireResponse/a", "FA203", "why")], [])
    rehearsal.close()
    assert journal.bookmark() == "2026-01-05T10:00:00Z"
    assert journal.parked() == []


def test_a_rehearsal_of_nothing(state: Path) -> None:
    """Where no run was before, a dry run begins at the start and makes no folder."""
    rehearsal = Journal.rehearsal(state)
    assert rehearsal.bookmark() == ""
    rehearsal.close()
    assert not state.exists()
