"""The local audit file: private, only ever added to, each line sealed by the one after it (NDJSON of AuditEvents)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from fhir_alliance.errors import RetryLater, StopRun
from fhir_alliance.stores.files import new_folder, refuse_link

NAME: Final = "audit.ndjson"
WAIT_S: Final = 10  # another command adds its lines in milliseconds
_BLOCK: Final = 64 * 1024

Link = Callable[[str, bytes], bytes]


class AuditFile:
    """A file that several commands may add to, one at a time."""

    def __init__(self, path: Path, link: Link, head_of: Callable[[bytes], str], start: str) -> None:
        """link, head_of, start: how lines are sealed (`core.chain`)."""
        self.path = path
        self._link, self._head_of, self._start = link, head_of, start

    def append(self, events: Sequence[bytes]) -> None:
        """Add events, on disk when this returns.

        Raises StopRun FA801 (a link), FA802 (others can read it), FA803 (its end is damaged), FA804 (no such place),
        RetryLater FA805 (another command holds it).
        """
        if not events:
            return
        refuse_link(self.path)
        new_folder(self.path.parent)
        lock = FileLock(self.path.with_name(f"{self.path.name}.lock"), timeout=WAIT_S, mode=0o600)
        try:
            with lock:
                self._append(events)
        except Timeout:
            raise RetryLater("FA805", "another command holds the audit file.", "Run again.") from None

    def lines(self) -> Iterator[bytes]:
        """Yield the lines without their ends; none where there is no file."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                yield line.removesuffix(b"\n")

    def _append(self, events: Sequence[bytes]) -> None:
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StopRun(
                "FA804", f"the audit file cannot be opened ({error.strerror}); nothing is done without it.",
                "Set [audit] file.",
            ) from None  # fmt: skip
        try:
            if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
                raise StopRun("FA802", "the audit file can be read by others.", "Run: chmod 600 on it.")
            previous = self._head(handle)
            lines = []
            for event in events:
                lines.append(self._link(previous, event))
                previous = self._head_of(lines[-1])
            _write_all(handle, b"\n".join(lines) + b"\n")
            os.fsync(handle)
        except OSError as error:
            raise StopRun(
                "FA804", f"the audit file cannot be written ({error.strerror}); nothing is done without it.",
                "Make room on the disk.",
            ) from None  # fmt: skip
        finally:
            os.close(handle)

    def _head(self, handle: int) -> str:
        """Return the hash that the next line seals."""
        last = _last_line(handle)
        if last is None:
            return self._start
        try:
            return self._head_of(last)
        except ValueError:
            raise StopRun(
                "FA803", "the audit file ends within a line; nothing is done without a whole one.",
                "Keep it, move it aside, and run again: a new file begins. See: fhir-alliance audit verify",
            ) from None  # fmt: skip


def _last_line(handle: int) -> bytes | None:
    """Return the last line without its end; None of an empty file, and what is no line where its end is missing."""
    end = os.lseek(handle, 0, os.SEEK_END)
    if end == 0:
        return None
    tail = b""
    while end > 0 and b"\n" not in tail[:-1]:
        begin = max(0, end - _BLOCK)
        tail = os.pread(handle, end - begin, begin) + tail
        end = begin
    if not tail.endswith(b"\n"):
        return b""
    return tail[:-1].rpartition(b"\n")[2]


def _write_all(handle: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
