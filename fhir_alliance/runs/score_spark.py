"""The story of local scoring on Spark: the same scorer, slice by slice, and the same lines in the same order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Final, NamedTuple

import msgspec

from fhir_alliance.fhir.inbound import Parked
from fhir_alliance.runs.score import Consents, Desk, Engine, Out, Watch, score
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.files import BLOCK, new_file
from fhir_alliance.stores.folder import response_slices, responses_in
from fhir_alliance.stores.slices import SLICE, Lines, Slice
from fhir_alliance.stores.spark import spark_crew

LOOK_AGAIN: Final = 0.1  # seconds


class Counted(msgspec.Struct, frozen=True):
    """What was done with a slice, in the numbers of a Summary.

    lines: how many it has.  parked: without a concern; a place is one within the slice.
    """

    lines: int
    read: int
    scored: int
    unscorable: int
    withheld: int
    unfinished: int
    withdrawn: int
    safety: int
    parked: tuple[Parked, ...]

    @classmethod
    def of(cls, summary: Summary, lines: int) -> Counted:
        """Return what a summary counts. What a clinician should look at is counted there, and stays there."""
        counts = {name: getattr(summary, name) for name in _COUNTS}
        parked = (Parked(p.reference, p.code, p.reason, place=p.place) for p in summary.parked)
        return cls(lines, **counts, parked=tuple(parked))

    def add_to(self, summary: Summary, before: int) -> None:
        """Count this in a summary too. before: how many lines of the file come before the slice."""
        for name in _COUNTS:
            setattr(summary, name, getattr(summary, name) + getattr(self, name))
        for parked in self.parked:
            place = parked.place
            if place is not None and place.line:
                parked = parked.at(place._replace(line=place.line + before))
            summary.parked.append(parked)


_COUNTS: Final = ("read", "scored", "unscorable", "withheld", "unfinished", "withdrawn", "safety")


class Bench(NamedTuple):
    """What each worker needs. parts: the folder for their Observations, one file for each slice."""

    desk: Desk
    consents: Consents
    now: datetime
    parts: Path


def on_spark(out_file: Path | None, size: int = SLICE) -> Engine:
    """Return the engine that scores on Spark. size: of a slice, which is a task, in bytes.

    Observations wait in a folder beside out_file (or where temporary files are) until those before them are there: all
    workers have to see that folder, and the inputs.
    """

    def engine(paths: Sequence[Path], desk: Desk, consents: Consents, now: datetime, out: Out, watch: Watch) -> Summary:
        crew = spark_crew()
        pieces = response_slices(paths, size)
        summary = Summary()
        beside = out_file.resolve().parent if out_file is not None else None
        with tempfile.TemporaryDirectory(prefix=".fhir-alliance-", dir=beside) as parts, ThreadPoolExecutor(1) as pool:
            bench, over = Bench(desk, consents, now, Path(parts)), Event()
            joined = pool.submit(_join, bench, len(pieces), out, over)
            try:
                done = crew([msgspec.json.encode(piece) for piece in pieces], _score_slice, bench)
                _add_up(summary, pieces, (msgspec.json.decode(counted, type=Counted) for counted in done))
            finally:
                over.set()
            joined.result()
        watch(summary.read)
        return summary

    return engine


def _score_slice(bench: Bench, number: int, piece: bytes) -> bytes:
    lines = Lines(msgspec.json.decode(piece, type=Slice))
    with new_file(_part(bench, number), is_passing=True) as part:
        summary = score(responses_in(lines), bench.desk, bench.consents, bench.now, part.write)
    return msgspec.json.encode(Counted.of(summary, lines.read))


def _add_up(summary: Summary, pieces: Iterable[Slice], done: Iterable[Counted]) -> None:
    """Add up what was done with slices, which come in the order of their files."""
    before = 0
    for piece, counted in zip(pieces, done, strict=True):
        before = before if piece.start else 0
        counted.add_to(summary, before)
        before += counted.lines


def _part(bench: Bench, number: int) -> Path:
    return bench.parts / f"{number}.ndjson"


def _join(bench: Bench, count: int, out: Out, over: Event) -> None:
    """Move the parts to the output in their order, each when it is there, while others are still worked on.

    over: no further part comes.
    """
    for number in range(count):
        part = _part(bench, number)
        while not part.exists() and not over.wait(LOOK_AGAIN):
            pass
        _move(part, out)


def _move(part: Path, out: Out) -> None:
    with part.open("rb") as stream:
        while block := stream.read(BLOCK):
            out(block)
    part.unlink()
