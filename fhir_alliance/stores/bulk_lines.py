"""NDJSON as it arrives: every line is looked at before any of its file counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from fhir_alliance.errors import StopRun, Unreachable
from fhir_alliance.stores.files import BUFFER

MAX_LINE: Final = 32 * 1024 * 1024  # bytes; a form with scanned pages in it is smaller


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


class Lines:
    """Takes bytes, and gives whole lines of one type to a file. Raises Unreachable FA447 for any other line."""

    def __init__(self, out: IO[bytes], kind: str) -> None:
        self._out, self._kind, self._rest = out, kind, bytearray()
        self.count = 0

    def take(self, piece: bytes) -> None:
        """Take the next bytes, wherever they are divided."""
        self._rest += piece
        *whole, rest = self._rest.split(b"\n")
        self._rest = rest
        for line in whole:
            self._keep(line)
        if len(rest) > MAX_LINE:
            raise self._wrong(f"is longer than {MAX_LINE} bytes")

    def end(self, count: int) -> None:
        """Take the last line, and hold the number of lines against what was announced (-1: nothing was)."""
        self._keep(self._rest)
        if count not in (-1, self.count):
            raise Unreachable(
                "FA447", f"a {self._kind} file has {self.count} lines, not the {count} announced.", "Run again."
            )

    def _keep(self, line: bytearray) -> None:
        text = bytes(line.strip())
        if not text:
            return
        self.count += 1
        try:
            named = msgspec.json.decode(text, type=Named)
        except (msgspec.DecodeError, RecursionError):
            raise self._wrong("is no resource") from None
        if named.resource_type != self._kind:
            raise self._wrong("is of another type")
        try:
            self._out.write(text + b"\n")
        except OSError as error:
            raise StopRun("FA124", f"the folder cannot be written ({error.strerror}).", "Make room.") from None

    def _wrong(self, what: str) -> Unreachable:
        return Unreachable("FA447", f"line {self.count} of a {self._kind} file {what}.", "Nothing of it was kept.")


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
