"""The people of a report, looked at by many: files are sorted into buckets of whole people, then each is examined."""

from __future__ import annotations

import heapq
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.person import KINDS
from fhir_alliance.runs.readers import Kin, kin_in
from fhir_alliance.runs.report_people import Brief, Examined, Examiner, examined, one_by_one
from fhir_alliance.stores.crew import Crew, processes
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.people_buckets import (
    SIZE,
    Bucket,
    Buckets,
    Sorted,
    missing_of,
    people_in,
    people_slices,
    size_of,
    sort_slice,
)
from fhir_alliance.stores.spark import spark_crew
from fhir_alliance.stores.store import Store

MOST_SLICES: Final = 512  # each makes a file for each bucket, so that their number grows with the square
TOGETHER: Final = 32  # people who come back as one; of each bucket so many are held at a time
WORTH_A_CREW: Final = 64 * 1024 * 1024  # bytes; below, starting processes costs more than they save


class Desk(NamedTuple):
    """What each worker needs to examine a bucket. kin: of those whose record was merged, by id."""

    brief: Brief
    buckets: Buckets
    slices: int
    missing: frozenset[str]
    kin: Mapping[str, Kin]


def here(store: Store, brief: Brief) -> Iterator[Examined]:
    """Yield what became of each person, by processes of this machine where the store is a large folder."""
    if isinstance(store, FolderStore) and size_of(store.folder, KINDS) > WORTH_A_CREW:
        return by_crew(store, brief, processes(), None)
    return one_by_one(store, brief)


def on_spark(out: Path) -> Examiner:
    """Return what looks at the people of a folder on Spark.

    out: beside it lie the buckets while they are needed: all workers have to see that place, and the folder.
    Raises StopRun FA731 or FA732, and FA733 for a server.
    """
    crew = spark_crew()

    def examine(store: Store, brief: Brief) -> Iterator[Examined]:
        return by_crew(store, brief, crew, out.resolve().parent)

    return examine


def by_crew(store: Store, brief: Brief, crew: Crew, beside: Path | None, size: int = SIZE) -> Iterator[Examined]:
    """Yield what became of each person, by id.

    beside: where the buckets lie, by default where temporary files do.  size: of a slice and a bucket, in bytes.
    Raises ConsentUnreachable FA301 or FA304.
    """
    if not isinstance(store, FolderStore):
        raise StopRun("FA733", "--engine spark reads a folder.", "Bring the record there: fhir-alliance export.")
    total = size_of(store.folder, KINDS)
    size = max(size, total // MOST_SLICES)
    pieces = people_slices(store.folder, KINDS, size)
    with tempfile.TemporaryDirectory(prefix=".fhir-alliance-", dir=beside) as place:
        count = max(1, total // size)
        buckets = Buckets(place, KINDS, count)
        made = crew([msgspec.json.encode(piece) for piece in pieces], sort_slice, buckets)
        parts = [msgspec.json.decode(part, type=Sorted) for part in made]
        desk = Desk(brief, buckets, len(pieces), missing_of(parts), _kin(store, parts))
        found = [_people(part) for part in crew([b""] * count, _examine_bucket, desk)]
    return heapq.merge(*found, key=lambda one: one.subject)


def _kin(store: FolderStore, parts: Iterable[Sorted]) -> dict[str, Kin]:
    """Return what else there is of the people whose records were merged: looked up once, and not by each worker."""
    linked = sorted({subject for part in parts for subject in part.linked})
    with kin_in(store) as look_up:
        return {subject: kin for subject in linked if (kin := look_up(subject)) is not None}


def _examine_bucket(desk: Desk, number: int, piece: bytes) -> bytes:
    """Return the people of a bucket by id, some together: what they share is written once."""
    bucket = Bucket(desk.buckets, number, desk.slices, desk.missing)
    people = (examined(record, desk.brief, desk.kin.get) for record in people_in(bucket))
    return msgspec.msgpack.encode([pickle.dumps(some) for some in iter(lambda: list(islice(people, TOGETHER)), [])])


def _people(part: bytes) -> Iterator[Examined]:
    """Yield the people of a bucket when their turn comes."""
    for some in msgspec.msgpack.decode(part, type=list[bytes]):
        yield from pickle.loads(some)  # noqa: S301 - from our own workers
