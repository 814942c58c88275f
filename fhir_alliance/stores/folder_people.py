"""The people of a folder, one by one, each with all that is on record about them.

What a person's facts are is put into a temporary SQLite file first, so memory does not grow with the folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

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
    index = _Index()
    try:
        reader = Reader(kinds, index.take)
        for path in people_files(folder, kinds):
            for piece in cut(path):
                for number, body in texts_in(piece):
                    reader.text(body, path.name, number)
        yield from index.people()
    finally:
        index.close()


class _Index:
    """Resources by the patient that they are about."""

    def __init__(self) -> None:
        self._db = nameless_database(
            """CREATE TABLE patient (id TEXT PRIMARY KEY, body BLOB);
            CREATE TABLE fact (subject TEXT, owner TEXT, body BLOB);
            CREATE INDEX by_subject ON fact (subject);
            CREATE INDEX by_owner ON fact (owner);"""
        )

    def take(self, row: Row) -> None:
        """Take in a resource; of Patients with the same id the last one counts."""
        if row.is_patient:
            self._db.execute("INSERT OR REPLACE INTO patient VALUES (?, ?)", (row.subject, row.body))
        else:
            self._db.execute("INSERT INTO fact VALUES (?, ?, ?)", (row.subject, row.owner, row.body))

    def people(self) -> Iterator[PersonRecord]:
        """Yield the patients, by id."""
        for name, body in self._db.execute("SELECT id, body FROM patient ORDER BY id"):
            rows = self._db.execute("SELECT body FROM fact WHERE subject = ? ORDER BY rowid", (name,))
            own = [row[0] for row in rows]
            rows = self._db.execute(_STRAYS, (name, name))
            yield person_record(body, own, [row[0] for row in rows])

    def close(self) -> None:
        self._db.close()
