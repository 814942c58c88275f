"""Input files in slices that many processes can read at once: what they read together is what one would read.

An NDJSON file is cut between lines; any other file is one slice. Every process has to see the files by the same path.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from fhir_alliance.stores.files import BLOCK, BUFFER

SLICE: Final = 32 * 1024 * 1024  # bytes; some 25,000 forms, a third of a second of scoring
WHOLE: Final = -1


class Slice(msgspec.Struct, frozen=True):
    """A part of a file, in bytes: `start` begins a line, `end` is where the next slice does; -1 is the file's end."""

    path: str
    start: int = 0
    end: int = WHOLE


def cut(path: Path, size: int = sys.maxsize) -> Iterator[Slice]:
    """Yield the slices of a file, of about `size` bytes."""
    if path.suffix != ".ndjson":
        yield Slice(str(path))
        return
    length, start = path.stat().st_size, 0
    with path.open("rb") as stream:
        while length - start > size:
            stream.seek(start + size)
            stream.readline()
            end = stream.tell()
            yield Slice(str(path), start, end)
            start = end
    if start < length:
        yield Slice(str(path), start, length)


def lines_before(piece: Slice) -> int:
    """Return how many lines of its file end before a slice."""
    found, left = 0, piece.start
    with Path(piece.path).open("rb", buffering=0) as stream:
        while left > 0 and (block := stream.read(min(left, BLOCK))):
            found += block.count(b"\n")
            left -= len(block)
    return found


def texts_in(piece: Slice, first: int = 1) -> Iterator[tuple[int, bytes]]:
    """Yield the JSON texts of a slice with their line numbers; of a whole file its one text, with 0.

    first: the number of its first line in the file.
    """
    if piece.end == WHOLE:
        yield 0, Path(piece.path).read_bytes().removeprefix(b"\xef\xbb\xbf").strip()
        return
    for number, line in enumerate(Lines(piece), start=first):
        if body := line.removeprefix(b"\xef\xbb\xbf").strip():
            yield number, body


class Lines:
    """The lines of a slice, as they are; of a file that was not cut there are none to tell apart.

    read: how many have been.
    """

    def __init__(self, piece: Slice) -> None:
        self.piece, self.read = piece, 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield them."""
        left = self.piece.end - self.piece.start
        with Path(self.piece.path).open("rb", buffering=BUFFER) as stream:
            stream.seek(self.piece.start)
            while left > 0 and (line := stream.readline()):
                left -= len(line)
                self.read += 1
                yield line
