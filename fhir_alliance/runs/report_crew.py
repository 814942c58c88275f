"""The people of a report, looked at by many: files are sorted into buckets of whole people, then each is examined."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.person import KINDS
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
WORTH_A_CREW: Final = 64 * 1024 * 1024  # bytes; below, starting processes costs more than they save


class Desk(NamedTuple):
    """What each worker needs to examine a bucket."""

    brief: Brief
    buckets: Buckets
    slices: int
    missing: frozenset[str]


class Filed(msgspec.Struct, frozen=True, array_like=True):
    """A person who was examined: the id, to put all in order by, and the rest pickled until its turn comes."""

    subject: str
    examined: bytes


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
        parts = crew([msgspec.json.encode(piece) for piece in pieces], sort_slice, buckets)
        missing = missing_of(msgspec.json.decode(part, type=Sorted) for part in parts)
        desk = Desk(brief, buckets, len(pieces), missing)
        found: list[Filed] = []
        for part in crew([b""] * count, _examine_bucket, desk):
            found += _FILES.decode(part)
    found.sort(key=lambda one: one.subject)
    return (pickle.loads(one.examined) for one in found)  # noqa: S301 - from our own workers


_FILES: Final = msgspec.msgpack.Decoder(list[Filed])


def _examine_bucket(desk: Desk, number: int, piece: bytes) -> bytes:
    bucket = Bucket(desk.buckets, number, desk.slices, desk.missing)
    people = (examined(record, desk.brief) for record in people_in(bucket))
    return msgspec.msgpack.encode([Filed(one.subject, pickle.dumps(one)) for one in people])
