"""Input files in slices that many processes can read at once: what they read together is what one would read.

An NDJSON file is cut between lines; any other file is one slice. Every process has to see the files by the same path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from fhir_alliance.stores.files import BUFFER
from fhir_alliance.stores.folder import numbered_lines, records_in, response_files, responses_among
from fhir_alliance.stores.store import Record

SLICE: Final = 32 * 1024 * 1024  # bytes; some 25,000 forms, a third of a second of scoring
_WHOLE: Final = -1


class Slice(msgspec.Struct, frozen=True):
    """A part of a file, in bytes: `start` begins a line, `end` is where the next slice does; -1 is the file's end.

    first: the number of its first line in the file.
    """

    path: str
    start: int = 0
    end: int = _WHOLE
    first: int = 1


def response_slices(inputs: Iterable[Path], size: int = SLICE) -> list[Slice]:
    """Return the files that may hold QuestionnaireResponses, cut into slices of about `size` bytes.

    Their line numbers are not known yet: see `numbered`.
    """
    return [piece for path in response_files(inputs) for piece in cut(path.resolve(), size)]


def cut(path: Path, size: int) -> Iterator[Slice]:
    """Yield the slices of a file."""
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


def lines_of(piece: Slice) -> int:
    """Return how many lines end in a slice; 0 for a whole file."""
    return sum(block.count(b"\n") for block in _blocks(piece)) if piece.end != _WHOLE else 0


def numbered(pieces: Iterable[Slice], lines: Iterable[int]) -> list[Slice]:
    """Return slices with the numbers of their first lines. lines: how many end in each."""
    found: list[Slice] = []
    before = 0
    for piece, count in zip(pieces, lines, strict=True):
        before = before if piece.start else 0
        found.append(msgspec.structs.replace(piece, first=before + 1))
        before += count
    return found


def responses_in(piece: Slice) -> Iterator[Record]:
    """Yield every QuestionnaireResponse of a slice, broken ones included, with its place."""
    path = Path(piece.path)
    records = records_in(path) if piece.end == _WHOLE else numbered_lines(_lines(piece), path.name, piece.first)
    yield from responses_among(records, path)


def _blocks(piece: Slice) -> Iterator[bytes]:
    """Yield the bytes of a slice."""
    with Path(piece.path).open("rb", buffering=0) as stream:
        stream.seek(piece.start)
        left = piece.end - piece.start
        while left > 0 and (block := stream.read(min(left, BUFFER))):
            left -= len(block)
            yield block


def _lines(piece: Slice) -> Iterator[bytes]:
    """Yield the lines of a slice."""
    with Path(piece.path).open("rb", buffering=BUFFER) as stream:
        stream.seek(piece.start)
        left = piece.end - piece.start
        while left > 0 and (line := stream.readline()):
            left -= len(line)
            yield line
