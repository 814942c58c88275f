"""A FHIR R4 server as a store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import msgspec
import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.errors import AllianceError, ConsentUnreachable, RetryLater, ServerRefuses, Unreachable
from fhir_alliance.fhir.difference import CANONICAL, Change, ChangeKind, Known
from fhir_alliance.fhir.elements import has_code
from fhir_alliance.fhir.identifiers import TERMS, local, urn
from fhir_alliance.stores.http import Http, Reply, json_of
from fhir_alliance.stores.journal import Intent, Journal
from fhir_alliance.stores.store import Page, PersonRecord, Record, Refusal, Written

PAGE_SIZE: Final = 500
PEOPLE_AT_ONCE: Final = 40  # as many as one search can name
SUBJECTS_AT_ONCE: Final = 40  # keeps a search below the length that proxies cut
ENTRIES: Final = 100  # a transaction of about 100 is fastest on HAPI, and below every known platform's cap
OVERLAP_S: Final = 120  # a server may commit a little out of the order of its own clock
MAX_PAGES: Final = 100_000
_PATIENT_PARAMETER = {"Task": "patient", "Encounter": "patient"}


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw()
    search: dict[str, Any] = {}


class _Link(msgspec.Struct):
    relation: str = ""
    url: str = ""


class _Bundle(msgspec.Struct):
    entry: list[_Entry] = []
    link: list[_Link] = []


class _Stub(msgspec.Struct, rename="camel"):
    id: str = ""
    meta: dict[str, Any] = {}
    resource_type: str = ""


class ServerStore:
    """Resources on a server."""

    def __init__(self, base: str, http: Http | None = None) -> None:
        """base: the FHIR base address.  http: a session with it that is configured already."""
        self._http = http or Http(base)
        self.base = self._http.base
        self.name = self.base

    def responses(self, since: str, again: Collection[str]) -> Iterator[Page]:
        """Yield pages of QuestionnaireResponses changed since the mark, oldest change first."""
        missing = set(again)
        params = {"_sort": "_lastUpdated", "_count": str(PAGE_SIZE)}
        if since:
            params["_lastUpdated"] = f"ge{_earlier(since)}"
        for bundle in self._pages(self._http.get("QuestionnaireResponse", params)):
            records, mark = [], ""
            for body in _matches(bundle):
                stub = _stub(body)
                if stub.resource_type == "QuestionnaireResponse":
                    records.append(Record(f"QuestionnaireResponse/{stub.id}", body))
                    mark = max(mark, str(stub.meta.get("lastUpdated", "")))
            missing -= {record.place for record in records}
            yield Page(records, mark)
        if missing:
            yield from self.again(missing)

    def again(self, references: Collection[str]) -> Iterator[Page]:
        """Yield the QuestionnaireResponses with these references; those that are gone are left out."""
        yield Page([Record(*pair) for pair in self._raw_named("QuestionnaireResponse", references)], "")

    def about(self, kind: str, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all resources of a type about these patients; all pages are read."""
        found: list[Mapping[str, Any]] = []
        wanted = list(dict.fromkeys(subjects))
        for start in range(0, len(wanted), SUBJECTS_AT_ONCE):
            params = {"patient": ",".join(wanted[start : start + SUBJECTS_AT_ONCE]), "_count": str(PAGE_SIZE)}
            if kind == "Observation":
                params["category"] = "survey"
            found += self._all(self._http.search(kind, params))
        return found

    def active(self, kind: str) -> list[Mapping[str, Any]]:
        """Return all resources of a type whose status is active."""
        return self._all(self._http.get(kind, {"status": "active", "_count": str(PAGE_SIZE)}))

    def tasks(self, code: str, statuses: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all Tasks with a code of ours in these statuses; a server that narrows less is corrected here."""
        params = {"code": f"{TERMS}|{code}", "status": ",".join(statuses), "_count": str(PAGE_SIZE)}
        return [task for task in self._all(self._http.get("Task", params)) if has_code(task, code, statuses)]

    def named(self, kind: str, references: Collection[str]) -> list[Mapping[str, Any]]:
        """Return resources by reference."""
        return [orjson.loads(body) for _, body in self._raw_named(kind, references)]

    def canonicals(self, kind: str, urls: Collection[str]) -> list[Mapping[str, Any]]:
        """Return Questionnaires and the like by url."""
        if not urls:
            return self._all(self._http.get(kind, {"_count": str(PAGE_SIZE)}))
        found: list[Mapping[str, Any]] = []
        wanted = list(urls)
        for start in range(0, len(wanted), SUBJECTS_AT_ONCE):
            found += self._all(self._http.get(kind, {"url": ",".join(wanted[start : start + SUBJECTS_AT_ONCE])}))
        return found

    def people(self, kinds: Collection[str]) -> Iterator[PersonRecord]:
        """Yield all patients with what is on record about them, page by page."""
        for bundle in self._pages(self._http.get("Patient", {"_sort": "_id", "_count": str(PEOPLE_AT_ONCE)})):
            patients = {f"Patient/{p.get('id')}": p for p in map(orjson.loads, _matches(bundle))}
            about: dict[str, list[Mapping[str, Any]]] = {reference: [] for reference in patients}
            for kind in sorted({*kinds, "Consent"}) if patients else ():
                for resource in self._about(kind, patients):
                    about.setdefault(_patient_of(resource, self.base), []).append(resource)
            for reference, patient in patients.items():
                yield PersonRecord(patient, about[reference])

    def put(self, changes: Sequence[Change], known: Known, journal: Journal) -> Written:
        """Write in transactions of about a hundred entries; a group is never divided."""
        written = Written()
        for batch in _batches(changes):
            journal.intend(Intent(write.value, write.type, write.system) for write in _outcomes(batch))
            self._transact(batch, known, journal, written)
        return written

    def log(self, events: Sequence[bytes]) -> bool:
        """Take AuditEvents, all of them or none."""
        try:
            return all(self._logged(events[at : at + ENTRIES]) for at in range(0, len(events), ENTRIES))
        except AllianceError:
            return False

    def _logged(self, events: Sequence[bytes]) -> bool:
        request = {"method": "POST", "url": "AuditEvent"}
        entries = [{"fullUrl": uuid4().urn, "resource": orjson.Fragment(event), "request": request} for event in events]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        return self._http.post("", orjson.dumps(bundle)).ok

    def create(self, change: Change, known: Known, journal: Journal) -> Written:
        """Create one resource by itself, unless its identifier stands there already."""
        written, write = Written(), change.write
        journal.intend([Intent(write.value, write.type, write.system)])
        resource = orjson.loads(known.resolve(write.body))
        resource.pop("id", None)
        try:
            reply = self._http.write("POST", write.type, orjson.dumps(resource), {"If-None-Exist": _criteria(write)})
        except RetryLater:
            written.unknown.append(write)
            return written
        if reply.ok:
            counter = written.created if reply.status == 201 else written.unchanged
            counter[write.type] += 1
        elif reply.is_second and reply.status in (409, 412):  # perhaps by our own first attempt
            written.unknown.append(write)
            return written
        else:
            written.refused.append(Refusal(write.group, *_refusal(reply)))
        journal.settle([write.value])
        return written

    def finish(self) -> None:
        """Nothing is held back: a server's answer is its promise."""

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _about(self, kind: str, patients: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all resources of a type about some patients; without their Consents nothing is shared."""
        params = {"patient": ",".join(patients), "_count": str(PAGE_SIZE)}
        if kind != "Consent":
            return self._all(self._http.search(kind, params))
        try:
            found = self._all(self._http.search(kind, params))
        except AllianceError as error:
            raise ConsentUnreachable("FA302", f"consents cannot be read ({error.code}); nothing is shared.") from error
        if any(_patient_of(consent, self.base) not in patients for consent in found):
            raise ConsentUnreachable("FA303", "the store gave a Consent of another client; nothing is shared.")
        return found

    def _transact(self, batch: Sequence[Change], known: Known, journal: Journal, written: Written) -> None:
        """Send one transaction; where it is refused, find the group that it is refused for."""
        try:
            reply = self._http.post("", _transaction(batch, known))
        except RetryLater:
            written.unknown += _outcomes(batch)
            return
        if reply.ok:
            _count(batch, _answered(reply), written, known)
            unknown = {write.value for write in written.unknown}
            journal.settle(change.write.value for change in batch if change.write.value not in unknown)
            return
        if reply.is_second and reply.status in (409, 412):  # perhaps by our own first attempt
            written.unknown += _outcomes(batch)
            return
        if reply.status in (404, 405, 501):
            raise ServerRefuses("FA408", f"the server takes no transactions ({reply.problem()}).", "Enable them.")
        groups = _groups(batch)
        if len(groups) == 1:
            written.refused.append(Refusal(batch[0].write.group, *_refusal(reply)))
            journal.settle(change.write.value for change in batch)
            return
        for group in groups:
            self._transact(group, known, journal, written)

    def _raw_named(self, kind: str, references: Collection[str]) -> list[tuple[str, bytes]]:
        found = []
        wanted = list(dict.fromkeys(reference.rpartition("/")[2] for reference in references if reference))
        for start in range(0, len(wanted), SUBJECTS_AT_ONCE):
            params = {"_id": ",".join(wanted[start : start + SUBJECTS_AT_ONCE]), "_count": str(PAGE_SIZE)}
            for bundle in self._pages(self._http.search(kind, params)):
                found += [(f"{kind}/{_stub(body).id}", body) for body in _matches(bundle)]
        return found

    def _all(self, first: Reply) -> list[Mapping[str, Any]]:
        return [orjson.loads(body) for bundle in self._pages(first) for body in _matches(bundle)]

    def _pages(self, reply: Reply) -> Iterator[_Bundle]:
        """Yield the pages of a search, following `next` on this server only, and never in a circle."""
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            if not reply.ok:
                raise Unreachable("FA409", f"a search failed ({reply.problem()}).", "Check what the server supports.")
            bundle = _bundle(reply)
            yield bundle
            following = next((link.url for link in bundle.link if link.relation == "next"), "")
            if not following:
                return
            if following in seen:
                raise RetryLater("FA410", "the server's pages lead in a circle.", "Run again later.")
            seen.add(following)
            reply = self._http.get(following)
        raise RetryLater("FA411", f"more than {MAX_PAGES} pages.", "Run again: it goes on from the bookmark.")


def _bundle(reply: Reply) -> _Bundle:
    try:
        return msgspec.json.decode(reply.body, type=_Bundle)
    except msgspec.DecodeError:
        raise Unreachable("FA407", "the answer is not a FHIR Bundle.", "Is this a FHIR base address?") from None


def _matches(bundle: _Bundle) -> list[bytes]:
    """Return the resources that were searched for; outcomes and included ones are left out."""
    return [
        bytes(entry.resource)
        for entry in bundle.entry
        if bytes(entry.resource) and entry.search.get("mode", "match") == "match"
    ]


def _patient_of(resource: Mapping[str, Any], base: str) -> str:
    named = (resource.get(element) for element in ("subject", "patient", "for", "beneficiary"))
    return next((local(str(n.get("reference", "")), base) for n in named if isinstance(n, dict)), "")


def _stub(body: bytes) -> _Stub:
    try:
        return msgspec.json.decode(body, type=_Stub)
    except msgspec.DecodeError:
        return _Stub()


def _earlier(mark: str) -> str:
    return (datetime.fromisoformat(mark) - timedelta(seconds=OVERLAP_S)).isoformat()


def _outcomes(batch: Sequence[Change]) -> list[Write]:
    """Return the writes whose outcome has to be known; what accompanies them stands or falls with them."""
    return [change.write for change in batch if change.write.mode is not WriteMode.ACCOMPANY]


def _groups(changes: Sequence[Change]) -> list[list[Change]]:
    grouped: dict[str, list[Change]] = {}
    for change in changes:
        grouped.setdefault(change.write.group or change.write.value, []).append(change)
    return list(grouped.values())


def _batches(changes: Sequence[Change]) -> Iterator[list[Change]]:
    batch: list[Change] = []
    for group in _groups(changes):
        if batch and len(batch) + len(group) > ENTRIES:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


def _transaction(batch: Sequence[Change], known: Known) -> bytes:
    new = {c.write.value: _full_url(c) for c in batch if c.kind is ChangeKind.CREATE}
    entries = [_entry(change, orjson.loads(known.resolve(change.write.body, new))) for change in batch]
    return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _entry(change: Change, resource: dict[str, Any]) -> dict[str, Any]:
    """Return a transaction entry: a conditional create, or an update guarded by the version that was read."""
    write = change.write
    if change.kind is ChangeKind.CREATE:
        resource.pop("id", None)
        if write.system == CANONICAL:
            criteria = f"url={quote(write.value, safe='')}&version={quote(str(resource.get('version', '')), safe='')}"
            criteria = criteria if resource.get("version") else criteria.partition("&")[0]
        else:
            criteria = _criteria(write)
        request = {"method": "POST", "url": write.type, "ifNoneExist": criteria}
        return {"fullUrl": _full_url(change), "resource": resource, "request": request}
    request = {"method": "PUT", "url": f"{write.type}/{change.stored_id}"}
    if change.stored_version:
        request["ifMatch"] = f'W/"{change.stored_version}"'
    return {"fullUrl": _full_url(change), "resource": resource, "request": request}


def _criteria(write: Write) -> str:
    """Return the search that finds what has the identifier of a write; Provenance has none in R4, its key is a tag."""
    element = "_tag" if write.type == "Provenance" else "identifier"
    return f"{element}={quote(write.system, safe='')}%7C{write.value}"


def _full_url(change: Change) -> str:
    """Return what other entries of the transaction call the resource."""
    value = change.write.value
    return urn(value if change.write.system != CANONICAL else sha256(value.encode()).hexdigest())


def _answered(reply: Reply) -> Any:
    """Return what the server says it did, or nothing where its answer cannot be read: the write may have happened."""
    try:
        return json_of(reply)
    except Unreachable:
        return None


def _count(batch: Sequence[Change], answer: Any, written: Written, known: Known) -> None:
    """Count what the server says it did, entry by entry; what it does not mention stays unknown.

    The ids it gave are added to what is known, so that later transactions can refer to them.
    """
    entries = answer.get("entry") if isinstance(answer, dict) else None
    if not isinstance(entries, list) or len(entries) != len(batch):
        written.unknown += _outcomes(batch)
        return
    for change, entry in zip(batch, entries, strict=True):
        said = entry.get("response") if isinstance(entry, dict) else None
        response = said if isinstance(said, dict) else {}
        status = str(response.get("status", ""))
        if not status.startswith("2"):
            written.unknown += _outcomes([change])
            continue
        place = str(response.get("location", "")).partition("/_history/")[0]
        known.by_value.setdefault(change.write.value, {"id": place.rpartition("/")[2]})
        if change.kind is ChangeKind.UPDATE:
            written.updated[change.write.type] += 1
        elif status.startswith("201"):
            written.created[change.write.type] += 1
        else:
            written.unchanged[change.write.type] += 1


def _refusal(reply: Reply) -> tuple[str, str]:
    if reply.status in (409, 412):
        return "FA412", f"somebody changed it in the meantime ({reply.problem()}). It is tried again in the next run."
    return "FA413", f"the server does not take what is derived from it ({reply.problem()})."
