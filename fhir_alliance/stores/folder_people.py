"""The people of a folder, one by one, each with all that is on record about them.

NDJSON, single resources and Bundles are read, Bundles in Bundles and folders in folders too. What a person's facts are
is put into a temporary SQLite file first, so memory does not grow with the folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from fhir_alliance.errors import ConsentUnreachable, ParkItem
from fhir_alliance.fhir.wire import strict_json
from fhir_alliance.stores.files import nameless_database
from fhir_alliance.stores.store import PersonRecord


class _Reference(msgspec.Struct, frozen=True, gc=False):
    reference: str = ""


class _Stub(msgspec.Struct, gc=False, rename={"kind": "resourceType", "for_": "for"}):
    kind: str = ""
    id: str = ""
    subject: _Reference = _Reference()
    patient: _Reference = _Reference()
    for_: _Reference = _Reference()
    beneficiary: _Reference = _Reference()

    @property
    def about(self) -> str:
        return self.subject.reference or self.patient.reference or self.for_.reference or self.beneficiary.reference


class _Around(NamedTuple):
    """The Bundle around a resource: what its fullUrls name, and its patient where there is just one."""

    urls: Mapping[str, str]
    owner: str


_ALONE: Final = _Around({}, "")
_STRAYS: Final = """SELECT body FROM fact
    WHERE owner = ? AND subject <> ? AND subject NOT IN (SELECT id FROM patient) ORDER BY rowid"""


def folder_people(folder: Path, kinds: Collection[str]) -> Iterator[PersonRecord]:
    """Yield each Patient of a folder by id, with the resources of some kinds about them; their Consents are included.

    Raises ConsentUnreachable FA301 or FA304 for a Consent that cannot be read, or does not say whose it is.
    """
    index = _Index(frozenset({*kinds, "Patient", "Consent"}))
    try:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
                index.read(path)
        yield from index.people()
    finally:
        index.close()


class _Index:
    """Resources by the patient that they are about."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self._db = nameless_database(
            """CREATE TABLE patient (id TEXT PRIMARY KEY, body BLOB);
            CREATE TABLE fact (subject TEXT, owner TEXT, body BLOB);
            CREATE INDEX by_subject ON fact (subject);
            CREATE INDEX by_owner ON fact (owner);"""
        )
        self._kinds = kinds
        self._markers = tuple(f'"{kind}"'.encode() for kind in kinds)

    def read(self, path: Path) -> None:
        """Take in what a file holds; what is no FHIR resource is passed over."""
        if path.suffix == ".ndjson":
            if not self._may_hold(path.name):
                return
            with path.open("rb") as stream:
                for number, line in enumerate(stream, start=1):
                    self._text(line.removeprefix(b"\xef\xbb\xbf").strip(), f"{path.name}:{number}")
        elif path.suffix == ".json":
            self._text(path.read_bytes().removeprefix(b"\xef\xbb\xbf").strip(), path.name)

    def people(self) -> Iterator[PersonRecord]:
        """Yield the patients, by id."""
        for name, body in self._db.execute("SELECT id, body FROM patient ORDER BY id"):
            rows = self._db.execute("SELECT body FROM fact WHERE subject = ? ORDER BY rowid", (name,))
            own = [orjson.loads(row[0]) for row in rows]
            rows = self._db.execute(_STRAYS, (name, name))
            strays = [orjson.loads(row[0]) for row in rows]
            adopted = {(stray.get("resourceType"), stray.get("id")) for stray in strays}
            yield PersonRecord(orjson.loads(body), [*own, *strays], len(adopted))

    def close(self) -> None:
        self._db.close()

    def _may_hold(self, name: str) -> bool:
        kind = name.partition(".")[0]
        return kind in self._kinds or kind == "Bundle" or not kind[:1].isupper()

    def _text(self, body: bytes, place: str) -> None:
        if not any(marker in body for marker in self._markers):
            return
        try:
            resource = strict_json(body)
        except ParkItem:
            if b'"Consent"' in body:
                raise ConsentUnreachable(
                    "FA301", f"{place} cannot be read, so nothing is shared.", "Correct that Consent."
                ) from None
            return
        if isinstance(resource, dict):
            self._resource(resource, body, place, _ALONE)

    def _resource(self, resource: Mapping[str, Any], body: bytes, place: str, around: _Around) -> None:
        kind = resource.get("resourceType")
        if kind == "Bundle":
            self._bundle(resource, place)
        elif kind in self._kinds:
            try:
                stub = msgspec.convert(resource, _Stub)
            except msgspec.ValidationError:
                stub = _Stub(kind=str(kind))
            subject = _patient(stub.about, around.urls)
            if kind == "Patient":
                self._db.execute("INSERT OR REPLACE INTO patient VALUES (?, ?)", (stub.id, body))
            elif subject or around.owner:
                self._db.execute("INSERT INTO fact VALUES (?, ?, ?)", (subject, around.owner, body))
            elif kind == "Consent":
                raise ConsentUnreachable(
                    "FA304", f"{place} does not say whose it is; nothing is shared.", "Correct that Consent."
                )

    def _bundle(self, bundle: Mapping[str, Any], place: str) -> None:
        """Take in the entries; references by fullUrl are those of the same Bundle.

        A Bundle of one patient is that patient's record, as QI-Core and test patients come.
        """
        listed = bundle.get("entry")
        entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
        inner = [(e.get("fullUrl"), r) for e in entries if isinstance(r := e.get("resource"), dict)]
        urls = {str(url): f"{r.get('resourceType')}/{r.get('id')}" for url, r in inner if url}
        patients = {str(r.get("id", "")) for _, r in inner if r.get("resourceType") == "Patient"} - {""}
        around = _Around(urls, patients.pop() if len(patients) == 1 else "")
        for number, (_, resource) in enumerate(inner, start=1):
            self._resource(resource, orjson.dumps(resource), f"{place}#{number}", around)


def _patient(reference: str, urls: Mapping[str, str]) -> str:
    """Return the id for any way to name a patient of this folder, or ""."""
    named = urls.get(reference, reference).partition("/_history/")[0]
    _, found, name = named.rpartition("Patient/")
    return name if found and name and "/" not in name else ""
