"""The people of a large folder, sorted into buckets by many processes, so that each bucket holds whole people.

First every slice of every file is taken apart, and its rows are laid into one file for each bucket, by a digest of whom
they are about. Then a bucket can be read by itself. No process holds more than a slice or a bucket.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from fhir_alliance.errors import ConsentUnreachable
from fhir_alliance.stores.files import new_file
from fhir_alliance.stores.people_rows import Reader, Row, people_files, person_record
from fhir_alliance.stores.slices import Slice, cut, lines_before, texts_in
from fhir_alliance.stores.store import PersonRecord

SIZE: Final = 16 * 1024 * 1024  # bytes of a slice and, about, of a bucket; parsed person by person
_ROWS = msgspec.msgpack.Decoder(list[Row])


class Buckets(msgspec.Struct, frozen=True):
    """Where rows go to. folder: every process sees it.  kinds: of resources."""

    folder: str
    kinds: tuple[str, ...]
    count: int

    def of(self, subject: str) -> int:
        """Return the bucket of a person, the same one in every process."""
        return crc32(subject.encode()) % self.count

    def path(self, bucket: int, number: int) -> Path:
        """Return the file of a slice's rows for a bucket."""
        return Path(self.folder) / f"{bucket}-{number}"


class Sorted(msgspec.Struct, frozen=True):
    """What one slice held. strangers: whom resources name that came in a Bundle of another patient.

    linked: patients whose record may name another, as merged ones do.
    trouble: code, message and hint of the Consent for which the run has to stop.
    """

    patients: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    trouble: tuple[str, str, str] | None = None


class Bucket(NamedTuple):
    """A bucket that is whole. slices: how many were sorted.  missing: strangers who are nowhere in the folder."""

    buckets: Buckets
    number: int
    slices: int
    missing: frozenset[str]


def people_slices(folder: Path, kinds: Collection[str], size: int = SIZE) -> list[Slice]:
    """Return the files of a folder that may tell of people, in slices."""
    return [piece for path in people_files(folder.resolve(), kinds) for piece in cut(path, size)]


def size_of(folder: Path, kinds: Collection[str]) -> int:
    """Return how many bytes the files of a folder hold that may tell of people."""
    return sum(path.stat().st_size for path in people_files(folder, kinds))


def sort_slice(buckets: Buckets, number: int, piece: bytes) -> bytes:
    """Lay the rows of a slice into the buckets; return what it held, as JSON of `Sorted`. piece: JSON of a Slice."""
    part = msgspec.json.decode(piece, type=Slice)
    try:
        return msgspec.json.encode(_sorted(buckets, number, part))
    except ConsentUnreachable:  # now the line has to be named
        first = lines_before(part) + 1
    try:
        return msgspec.json.encode(_sorted(buckets, number, part, first))
    except ConsentUnreachable as error:
        return msgspec.json.encode(Sorted(trouble=(error.code, error.message, error.hint)))


def _sorted(buckets: Buckets, number: int, piece: Slice, first: int = 1) -> Sorted:
    found: list[list[Row]] = [[] for _ in range(buckets.count)]
    patients: dict[str, None] = {}
    strangers: dict[str, None] = {}
    linked: dict[str, None] = {}

    def take(row: Row) -> None:
        home = buckets.of(row.subject)
        found[home].append(row)
        if row.is_patient:
            patients[row.subject] = None
            if b'"link"' in row.body or b"\\" in row.body:  # an escape may stand for any letter
                linked[row.subject] = None
        elif row.owner and row.owner != row.subject:
            strangers[row.subject] = None
            if (other := buckets.of(row.owner)) != home:
                found[other].append(row)

    reader, name = Reader(buckets.kinds, take), Path(piece.path).name
    for line, body in texts_in(piece, first):
        reader.text(body, name, line)
    for bucket, rows in enumerate(found):
        if rows:
            with new_file(buckets.path(bucket, number), is_passing=True) as out:
                out.write(msgspec.msgpack.encode(rows))
    return Sorted(tuple(patients), tuple(strangers), tuple(linked))


def missing_of(parts: Iterable[Sorted]) -> frozenset[str]:
    """Return whom resources name who are not there; raises the ConsentUnreachable of the first slice that has one."""
    patients: set[str] = set()
    strangers: set[str] = set()
    for part in parts:
        if part.trouble is not None:
            raise ConsentUnreachable(*part.trouble)
        patients.update(part.patients)
        strangers.update(part.strangers)
    return frozenset(strangers - patients)


def people_in(bucket: Bucket) -> Iterator[PersonRecord]:
    """Yield each Patient of a bucket by id, with what is on record about them in the order of the files."""
    patients: dict[str, bytes] = {}
    own: dict[str, list[bytes]] = {}
    strays: dict[str, list[bytes]] = {}
    for number in range(bucket.slices):
        path = bucket.buckets.path(bucket.number, number)
        for row in _ROWS.decode(path.read_bytes()) if path.exists() else ():
            if row.is_patient:
                patients[row.subject] = row.body
                continue
            own.setdefault(row.subject, []).append(row.body)
            if row.owner and row.owner != row.subject and row.subject in bucket.missing:
                strays.setdefault(row.owner, []).append(row.body)
    for name in sorted(patients):
        yield person_record(patients.pop(name), own.pop(name, ()), strays.pop(name, ()))
