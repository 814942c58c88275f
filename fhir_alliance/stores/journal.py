"""The journal: bookmark, write intents, parked records, and the lease that one run at a time holds.

It holds no answers and no names, only keys, references and codes. Deleting it costs time, never correctness, but for
what nobody can read back (`delivered`: files in the drop folder, servers that cannot be searched). For all else
the store is the record, and every write is found again there by its identifier.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from filelock import FileLock, Timeout

from fhir_alliance.errors import RetryLater, StopRun
from fhir_alliance.stores.outbox import Outbox
from fhir_alliance.stores.receipts import Receipts

_VERSION = 1
_UNUSABLE = "FA502"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS bookmark (id INTEGER PRIMARY KEY CHECK (id = 1), mark TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS intent (key TEXT PRIMARY KEY, type TEXT NOT NULL, system TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS parked (
  reference TEXT PRIMARY KEY, code TEXT NOT NULL, reason TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seen (reference TEXT PRIMARY KEY, digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refusal (what TEXT PRIMARY KEY, until TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS delivered (key TEXT PRIMARY KEY, id TEXT NOT NULL, digest TEXT NOT NULL);
"""
REFUSED_DAYS: Final = 1  # asking again costs one request; a site that mends what it refused is not left waiting


class Intent(NamedTuple):
    """A write that was sent and not yet confirmed."""

    key: str
    type: str
    system: str


class Waiting(NamedTuple):
    """A parked record: where it is, a stable code, the reason, and since when (UTC)."""

    reference: str
    code: str
    reason: str
    since: str


class Journal:
    """One state folder, opened by one run at a time."""

    def __init__(self, folder: Path, store: str) -> None:
        """Open, or make, the journal of a store.

        folder: private to us (0700).  store: its name, so that one folder never serves two stores.
        Raises RetryLater FA501 when another run holds it, StopRun FA502-FA505 when it cannot be trusted.
        """
        self._folder = _private(folder)
        self.outbox = Outbox(self._folder)
        self._lock = lease(self._folder)
        self.receipts = Receipts(self._folder)
        try:
            self._db = _opened(self._folder / "journal.db", store)
        except BaseException:
            self._lock.release()
            raise

    @classmethod
    def recover(cls, folder: Path, store: str, now: datetime) -> Path | None:
        """Return where a journal that cannot be used was put aside; None where nothing is wrong with it.

        What it knew is found again: the next run reads the store from its beginning, and writes what is not there.
        """
        try:
            cls(folder, store).close()
        except StopRun as fault:
            if fault.code != _UNUSABLE:
                raise
        else:
            return None
        aside = folder / f"journal.db.broken-{now:%Y%m%dT%H%M%SZ}"
        with FileLock(folder / "lease", timeout=0, mode=0o600):
            for end in ("-wal", "-shm", ""):
                if (folder / f"journal.db{end}").exists():
                    os.replace(folder / f"journal.db{end}", f"{aside}{end}")
        cls(folder, store).close()
        return aside

    @classmethod
    def rehearsal(cls, folder: Path) -> Journal:
        """Return a copy in memory, without the lease, for a dry run: it leaves no trace."""
        journal = cls.__new__(cls)
        journal._folder, journal._lock = folder, FileLock(folder / "lease")
        journal.outbox = Outbox(folder, frozen=True)
        journal.receipts = Receipts(folder, frozen=True)
        journal._db = sqlite3.connect(":memory:")
        with tempfile.TemporaryDirectory() as name:  # opening the real one, even to read, would leave files beside it
            for file in ("journal.db", "journal.db-wal"):
                if (folder / file).is_file():
                    shutil.copyfile(folder / file, Path(name) / file)
            try:
                if (Path(name) / "journal.db").is_file():
                    copy = sqlite3.connect(Path(name) / "journal.db")
                    copy.backup(journal._db)
                    copy.close()
                journal._db.executescript(_SCHEMA)
            except sqlite3.DatabaseError as error:
                raise _unusable(error) from None
        return journal

    def bookmark(self) -> str:
        """Return the server time up to which all is done, or "" at the start."""
        row = self._db.execute("SELECT mark FROM bookmark").fetchone()
        return str(row[0]) if row else ""

    def advance(self, mark: str, until: datetime | None = None) -> None:
        """Move the bookmark; never backwards, and never past `until`: what changes later would be missed."""
        if _is_later(mark, self.bookmark()) and (until is None or datetime.fromisoformat(mark) <= until):
            with self._changing():
                self._db.execute("INSERT OR REPLACE INTO bookmark VALUES (1, ?)", (mark,))

    def remember(self, digests: Mapping[str, str]) -> None:
        """Keep what responses were like whose scores are confirmed."""
        with self._changing():
            self._db.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", list(digests.items()))

    def seen(self, reference: str) -> str:
        """Return the digest of a response that was read and confirmed, or an empty string."""
        row = self._db.execute("SELECT digest FROM seen WHERE reference = ?", (reference,)).fetchone()
        return str(row[0]) if row else ""

    def intend(self, intents: Iterable[Intent]) -> None:
        """Note what is about to be sent, on disk before it is."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._changing():
            self._db.executemany("INSERT OR REPLACE INTO intent VALUES (?, ?, ?, ?)", [(*i, now) for i in intents])

    def settle(self, keys: Iterable[str]) -> None:
        """Note that the outcome of these writes is known."""
        with self._changing():
            self._db.executemany("DELETE FROM intent WHERE key = ?", [(key,) for key in keys])

    def unsettled(self) -> list[Intent]:
        """Return writes whose outcome an earlier run did not learn."""
        return [Intent(*row) for row in self._db.execute("SELECT key, type, system FROM intent ORDER BY key")]

    def age_s(self, key: str, now: datetime) -> float | None:
        """Return how many seconds ago a write was sent whose outcome is not known; None where there is none."""
        row = self._db.execute("SELECT since FROM intent WHERE key = ?", (key,)).fetchone()
        return (now - datetime.fromisoformat(row[0])).total_seconds() if row else None

    def refuse(self, what: str, now: datetime) -> frozenset[str]:
        """Remember for a while that the server does not take something; return all that it does not take."""
        until = (now + timedelta(days=REFUSED_DAYS)).isoformat(timespec="seconds")
        with self._changing():
            self._db.execute("INSERT OR REPLACE INTO refusal VALUES (?, ?)", (what, until))
        return self.refusals(now)

    def refusals(self, now: datetime) -> frozenset[str]:
        """Return what the server has lately refused."""
        return frozenset(what for what, _ in self.lately_refused(now))

    def lately_refused(self, now: datetime) -> list[tuple[str, str]]:
        """Return what the server has lately refused, each with the moment until which it is not asked again."""
        rows = self._db.execute("SELECT what, until FROM refusal ORDER BY what").fetchall()
        return [(what, until) for what, until in rows if datetime.fromisoformat(until) > now]

    def forget_refusals(self) -> None:
        """Ask the server again for whatever it has refused."""
        with self._changing():
            self._db.execute("DELETE FROM refusal")

    def deliver(self, key: str, stored_id: str, digest: str) -> None:
        """Note where a write stands, for servers that cannot be searched for it; without digest, forget it."""
        with self._changing():
            self._db.execute("DELETE FROM delivered WHERE key = ?", (key,))
            if digest:
                self._db.execute("INSERT INTO delivered VALUES (?, ?, ?)", (key, stored_id, digest))

    def delivered(self, key: str) -> tuple[str, str] | None:
        """Return the id and digest of a write that was delivered to such a server."""
        row = self._db.execute("SELECT id, digest FROM delivered WHERE key = ?", (key,)).fetchone()
        return (str(row[0]), str(row[1])) if row else None

    def park(self, parked: Iterable[tuple[str, str, str]], cleared: Collection[str]) -> None:
        """Keep parked records (reference, code, reason), and forget those that were read this time."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._changing():
            self._db.executemany("DELETE FROM parked WHERE reference = ?", [(r,) for r in cleared])
            self._db.executemany("INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?)", [(*p, now) for p in parked])

    def parked(self) -> list[Waiting]:
        """Return every record that waits for a person."""
        return [Waiting(*row) for row in self._db.execute("SELECT * FROM parked ORDER BY reference")]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Keep what is noted, all of it or none; raises StopRun FA508 where it cannot be kept: nothing is sent then."""
        try:
            with self._db:
                yield
        except sqlite3.OperationalError:
            raise StopRun("FA508", "the journal cannot be written.", "Make room on its disk, then run again.") from None

    def close(self) -> None:
        """Give the lease back."""
        self._db.close()
        self._lock.release()


def lease(folder: Path) -> FileLock:
    """Return the lease of a state folder, taken; raises RetryLater FA501 (it is held), StopRun FA503 (a link)."""
    if (_private(folder) / "lease").is_symlink():
        raise StopRun("FA503", "the lease is a symbolic link.", "Name the real folder in [state] folder.")
    lock = FileLock(folder / "lease", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise RetryLater(
            "FA501", "another run holds the lease of this store.", "Wait for it to end, then run again."
        ) from None
    return lock


def refuse_open_folder(folder: Path) -> None:
    """Raise StopRun FA503 (a link), FA505 (others can read it) for a state folder that cannot be used as it is."""
    if folder.is_symlink():
        raise StopRun("FA503", "the state folder is a symbolic link.", "Name the real folder in [state] folder.")
    if folder.is_dir() and stat.S_IMODE(os.stat(folder).st_mode) & 0o077:
        raise StopRun("FA505", "the state folder can be read by others.", "Run: chmod 700 on it.")


def _private(folder: Path) -> Path:
    """Return the state folder, made if needed; refuses one that others can read or that leads elsewhere."""
    refuse_open_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StopRun("FA504", f"the state folder cannot be made: {error.strerror}.", "Set [state] folder.") from None
    refuse_open_folder(folder)
    return folder


def _is_later(mark: str, before: str) -> bool:
    """Return whether a mark is a moment after another; what is no moment never moves the bookmark."""
    try:
        moment = datetime.fromisoformat(mark)
        return not before or moment > datetime.fromisoformat(before)
    except (ValueError, TypeError):
        return False


def _unusable(error: Exception) -> StopRun:
    return StopRun(
        _UNUSABLE, f"the journal cannot be used ({error}).", "Run: fhir-alliance state recover. It costs time, no data."
    )


def _opened(path: Path, store: str) -> sqlite3.Connection:
    if path.is_symlink():
        raise StopRun("FA503", "the journal is a symbolic link.", "Name the real folder in [state] folder.")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise StopRun("FA506", "the journal is from a newer version.", "Use that version, or another state folder.")
        db.executescript(_SCHEMA)
        db.execute("CREATE TABLE IF NOT EXISTS store (name TEXT NOT NULL)")
        row = db.execute("SELECT name FROM store").fetchone()
        if row is None:
            db.execute("INSERT INTO store VALUES (?)", (store,))
        elif row[0] != store:
            raise StopRun(
                "FA507",
                f"{path.parent} holds the state of another store.",
                "Name another in [state] folder; in a copy of a folder store, remove it.",
            )
        db.execute(f"PRAGMA user_version = {_VERSION}")
        db.commit()
        if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise _unusable(sqlite3.DatabaseError("damaged"))
    except (sqlite3.DatabaseError, OSError) as error:
        raise _unusable(error) from None
    return db
