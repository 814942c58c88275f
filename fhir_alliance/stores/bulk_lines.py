"""NDJSON as it arrives: every line is looked at before any of its file counts.

A line that is no resource of the announced type, or too long to be held, is left out and told by its place. Not so in
files whose every line can forbid something: who lost the one line that says no would share.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from fhir_alliance.errors import StopRun, Unreachable
from fhir_alliance.stores.files import BUFFER

MAX_LINE: Final = 32 * 1024 * 1024  # bytes; a form with scanned pages in it is smaller
MOST_BAD: Final = 1000  # of one file; more is no slip
# Consents, what was deleted ("Bundle"), and what tells of which program a form is (42 CFR Part 2, runs/programs.py).
WHOLE: Final = frozenset({"Consent", "Bundle", "EpisodeOfCare", "Encounter"})
_FORBIDS: Final = "Consent"
_SAYS_SO: Final = re.compile(rb'"resourceType"\s*:\s*"Consent"')
_OVERLAP: Final = 64  # bytes of the last piece that are looked at again with the next, for what is divided between them


class Named(msgspec.Struct, frozen=True, rename="camel"):
    """What every resource says of itself."""

    resource_type: str
    id: str = ""


class Request(msgspec.Struct, frozen=True):
    """Bundle.entry.request."""

    method: str = ""
    url: str = ""


class Entry(msgspec.Struct, frozen=True):
    """Bundle.entry."""

    request: Request = Request()


class Deleted(msgspec.Struct, frozen=True):
    """A Bundle of what was deleted (Bulk Data, "deleted" files)."""

    entry: list[Entry] = []


class BadLine(msgspec.Struct, frozen=True):
    """A line that was left out. file: its place in the manifest, from 1.  line: from 1.  reason: none of its text."""

    type: str
    file: int
    line: int
    reason: str


class Lines:
    """Takes bytes, and gives whole lines of one type to a file. Others are left out, and kept in `bad` by their place.

    Raises Unreachable FA447 where that cannot be: in a file that has to be whole, where nothing in it is a resource, at
    a line that is cut off, and where a Consent stands in another type's file. No more than MAX_LINE is ever held.
    """

    def __init__(self, out: IO[bytes], kind: str, number: int = 0) -> None:
        """number: the file's place in the manifest, from 1."""
        self._out, self._kind, self._number, self._rest = out, kind, number, bytearray()
        self._line = 0
        self._is_too_long = self._forbids = False  # the line that is being read, of which only the end is held then
        self.count = 0
        self.bad: list[BadLine] = []

    def take(self, piece: bytes) -> None:
        """Take the next bytes, wherever they are divided."""
        first, *others = piece.split(b"\n")
        self._add(first)
        for other in others:
            self._close()
            self._add(other)

    def end(self, count: int) -> None:
        """Take the last line, and hold the number of lines against what was announced (-1: nothing was)."""
        self._close(is_cut=True)
        if count not in (-1, self.count + len(self.bad)):
            found = self.count + len(self.bad)
            raise Unreachable(
                "FA447", f"a {self._kind} file has {found} lines, not the {count} announced.", "Run again."
            )
        if self.bad and not self.count:
            raise self._wrong("is the first of a file without any resource")

    def _add(self, part: bytes) -> None:
        """Hold a part of a line; of one that is too long only what tells whether it is one that forbids."""
        self._rest += part
        if self._is_too_long or len(self._rest) > MAX_LINE:
            self._is_too_long = True
            self._forbids = self._forbids or _SAYS_SO.search(self._rest) is not None
            del self._rest[:-_OVERLAP]

    def _close(self, *, is_cut: bool = False) -> None:
        """Keep the line that has come to its end, or leave it out. is_cut: no line feed came after it."""
        line, is_too_long, forbids = self._rest, self._is_too_long, self._forbids
        self._rest, self._is_too_long, self._forbids = bytearray(), False, False
        if not is_too_long:
            self._keep(line, is_cut=is_cut)
            return
        self._line += 1
        self._leave_out(f"is longer than {MAX_LINE} bytes", must_stop=is_cut or forbids)

    def _keep(self, line: bytearray, *, is_cut: bool = False) -> None:
        """Give a line to the file. is_cut: no line feed came after it; what is no resource may be half of one."""
        self._line += 1
        text = bytes(line.strip())
        if not text:
            return
        try:
            named = msgspec.json.decode(text, type=Named)
        except (msgspec.DecodeError, RecursionError):
            self._leave_out("is no resource", must_stop=is_cut)
            return
        if named.resource_type != self._kind:
            self._leave_out("is of another type", must_stop=named.resource_type == _FORBIDS)
            return
        self.count += 1
        try:
            self._out.write(text + b"\n")
        except OSError as error:
            raise StopRun("FA124", f"the folder cannot be written ({error.strerror}).", "Make room.") from None

    def _leave_out(self, what: str, *, must_stop: bool) -> None:
        if must_stop or self._kind in WHOLE or len(self.bad) == MOST_BAD:
            raise self._wrong(what)
        self.bad.append(BadLine(self._kind, self._number, self._line, what))

    def _wrong(self, what: str) -> Unreachable:
        return Unreachable("FA447", f"line {self._line} of a {self._kind} file {what}.", "Nothing of it was kept.")


def ids_in(path: Path) -> Iterator[str]:
    """Yield the ids of a file's resources."""
    with path.open("rb", buffering=BUFFER) as lines:
        for line in lines:
            yield msgspec.json.decode(line, type=Named).id


def deleted_in(path: Path) -> Iterator[tuple[str, str]]:
    """Yield type and id of what a file says was deleted."""
    with path.open("rb", buffering=BUFFER) as lines:
        for line in lines:
            for entry in msgspec.json.decode(line, type=Deleted).entry:
                kind, _, name = entry.request.url.partition("/")
                if entry.request.method == "DELETE" and name:
                    yield kind, name
