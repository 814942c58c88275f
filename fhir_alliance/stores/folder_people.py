"""The people of a folder, one by one, each with all that is on record about them.

What a person's facts are is put into a temporary SQLite file first, so memory does not grow with the folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson

from fhir_alliance.stores.files import nameless_database
from fhir_alliance.stores.people_rows import Reader, Row, people_files, person_record
from fhir_alliance.stores.slices import cut, texts_in
from fhir_alliance.stores.store import PersonRecord

_STRAYS: Final = """SELECT body FROM fact
    WHERE owner = ? AND subject <> ? AND subject NOT IN (SELECT id FROM patient) ORDER BY rowid"""


def folder_people(folder: Path, kinds: Collection[str]) -> Iterator[PersonRecord]:
    """Yield each Patient of a folder by id, with the resources of some kinds about them; their Consents are included.

    Raises ConsentUnreachable FA301 or FA304 for a Consent that cannot be read, or does not say whose it is.
    """
    with closing(FolderPeople(folder, kinds)) as found:
        yield from found.people()


class FolderPeople:
    """Resources by the patient that they are about."""

    base = ""

    def __init__(self, folder: Path, kinds: Collection[str]) -> None:
        """Read a folder. Raises ConsentUnreachable FA301 or FA304; kinds: as `folder_people` has them."""
        self._db = nameless_database(
            """CREATE TABLE patient (id TEXT PRIMARY KEY, body BLOB);
            CREATE TABLE fact (subject TEXT, owner TEXT, body BLOB);
            CREATE INDEX by_subject ON fact (subject);
            CREATE INDEX by_owner ON fact (owner);"""
        )
        reader = Reader(kinds, self._take)
        for path in people_files(folder, kinds):
            for piece in cut(path):
                for number, body in texts_in(piece):
                    reader.text(body, path.name, number)

    def _take(self, row: Row) -> None:
        """Take in a resource; of Patients with the same id the last one counts."""
        if row.is_patient:
            self._db.execute("INSERT OR REPLACE INTO patient VALUES (?, ?)", (row.subject, row.body))
        else:
            self._db.execute("INSERT INTO fact VALUES (?, ?, ?)", (row.subject, row.owner, row.body))

    def people(self) -> Iterator[PersonRecord]:
        """Yield the patients, by id."""
        for name, body in self._db.execute("SELECT id, body FROM patient ORDER BY id"):
            yield self._record(name, body)

    def named(self, kind: str, references: Collection[str]) -> list[Mapping[str, Any]]:
        """Return the Patients with these references, as a store does."""
        names = [reference.removeprefix("Patient/") for reference in references]
        found = (self._db.execute("SELECT body FROM patient WHERE id = ?", (name,)).fetchone() for name in names)
        return [orjson.loads(row[0]) for row in found if row is not None]

    def about(self, kind: str, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return the Consents of these patients, there or not; each names its patient as the folder does."""
        found: list[Mapping[str, Any]] = []
        for subject in subjects:
            record = self._record(subject.removeprefix("Patient/"), b"{}")
            consents = (r for r in record.resources if r.get("resourceType") == kind)
            found += [{**consent, "patient": {"reference": subject}} for consent in consents]
        return found

    def _record(self, name: str, patient: bytes) -> PersonRecord:
        rows = self._db.execute("SELECT body FROM fact WHERE subject = ? ORDER BY rowid", (name,))
        own = [row[0] for row in rows]
        rows = self._db.execute(_STRAYS, (name, name))
        return person_record(patient, own, [row[0] for row in rows])

    def close(self) -> None:
        self._db.close()
