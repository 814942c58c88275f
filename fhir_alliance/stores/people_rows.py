"""What files hold about people, resource by resource, each with whom it is about.

NDJSON, single resources and Bundles are read, Bundles in Bundles and folders in folders too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import orjson

from fhir_alliance.errors import ConsentUnreachable, ParkItem
from fhir_alliance.fhir.wire import strict_json
from fhir_alliance.stores.store import PersonRecord


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A resource as JSON.

    subject: the id of whom it is about, or "".  owner: the id of the one patient of its Bundle, or "".
    A Patient is about itself.  The JSON of a Patient or a Consent has been checked, that of others is by who reads it.
    """

    subject: str
    owner: str
    is_patient: bool
    body: bytes


Take: TypeAlias = Callable[[Row], object]


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
_CHECKED: Final = frozenset({"Bundle", "Consent", "Patient"})


def people_files(folder: Path, kinds: Collection[str]) -> Iterator[Path]:
    """Yield the files of a folder, and of folders in it, that may hold people, Consents or resources of some kinds."""
    named = {*kinds, "Patient", "Consent", "Bundle"}
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".ndjson", ".json") or not path.is_file():
            continue
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        kind = path.name.partition(".")[0]
        if path.suffix == ".json" or kind in named or not kind[:1].isupper():
            yield path


class Reader:
    """Takes texts apart into rows. What is no FHIR resource, or of no kind that was asked for, is passed over."""

    def __init__(self, kinds: Collection[str], take: Take) -> None:
        """take: is given each row."""
        self._kinds = frozenset({*kinds, "Patient", "Consent"})
        self._markers = tuple(f'"{kind}"'.encode() for kind in self._kinds)
        self._stub = msgspec.json.Decoder(_Stub).decode
        self._take = take

    def text(self, body: bytes, name: str, number: int) -> None:
        """Take in one JSON text, without blanks around it. name, number: of its file, and of its line there or 0.

        Raises ConsentUnreachable FA301 or FA304 for a Consent that cannot be read, or does not say whose it is.
        """
        try:
            stub = self._stub(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._carefully(body, name, number)
            return
        if stub.kind in _CHECKED or b'"Consent"' in body:
            self._carefully(body, name, number)
        elif stub.kind in self._kinds and (subject := _patient(stub.about, {})):
            self._take(Row(subject, "", False, body))

    def _carefully(self, body: bytes, name: str, number: int) -> None:
        if not any(marker in body for marker in self._markers):
            return
        place = f"{name}:{number}" if number else name
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
                self._take(Row(stub.id, stub.id, True, body))
            elif subject or around.owner:
                self._take(Row(subject, around.owner, False, body))
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


def person_record(patient: bytes, own: Iterable[bytes], strays: Iterable[bytes]) -> PersonRecord:
    """Return a Patient with what is about them; what says one thing twice is left out.

    strays: what names somebody who is not there, but came in a Bundle of this one patient.
    """
    adopted = list(_resources(strays))
    names = {(stray.get("resourceType"), stray.get("id")) for stray in adopted}
    return PersonRecord(orjson.loads(patient), [*_resources(own), *adopted], len(names))


def _resources(bodies: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    for body in bodies:
        try:
            yield strict_json(body)
        except ParkItem:
            continue


def _patient(reference: str, urls: Mapping[str, str]) -> str:
    """Return the id for any way to name a patient of this folder, or ""."""
    named = urls.get(reference, reference).partition("/_history/")[0]
    _, found, name = named.rpartition("Patient/")
    return name if found and name and "/" not in name else ""
