"""A folder of NDJSON in the Bulk Data layout, as a store.

Input files are read and never changed. What is derived stands beside them in `Type.fhir-alliance.ndjson`,
one resource per identifier, replaced as a whole at the end of a run (temporary file, fsync, rename).
What a run has to look up is indexed in a temporary SQLite file, so memory does not grow with the folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import orjson

from fhir_alliance.errors import ConsentUnreachable, ParkItem, StopRun
from fhir_alliance.fhir.difference import Change, ChangeKind, Known
from fhir_alliance.fhir.elements import has_code
from fhir_alliance.fhir.goal import version_of
from fhir_alliance.fhir.wire import strict_json
from fhir_alliance.stores.files import BUFFER, nameless_database, replace_file
from fhir_alliance.stores.folder_people import folder_people
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.slices import WHOLE, Lines, Slice, cut
from fhir_alliance.stores.store import Page, PersonRecord, Record, Refusal, Seen, Written, unseen

PAGE_SIZE: Final = 500
# How most lines begin; there is no Bundle to look for in them.
_FORM: Final = b'{"resourceType":"QuestionnaireResponse"'
DERIVED: Final = ".fhir-alliance.ndjson"
ASIDE: Final = ".export"  # where an export lies until it is whole
LANDING: Final = "landing"  # there while files of an export come to stand beside older ones
_TYPED_FILE = re.compile(r"([A-Z][A-Za-z]+)(\..+)?\.ndjson")
_LOOKED_UP = frozenset(
    {
        "Consent", "Encounter", "Goal", "CarePlan", "CareTeam", "Observation", "Task", "Questionnaire",
        "StructureDefinition", "CodeSystem", "ValueSet", "ConceptMap", "Measure",
    }
)  # fmt: skip


class FolderStore:
    """Resources in a folder."""

    base = ""
    pulled_by = ""  # a folder is read whole

    def __init__(self, folder: Path) -> None:
        """folder: must exist; nothing is read until it is asked for."""
        if not folder.is_dir():
            raise StopRun(
                "FA110", f"there is no folder {folder}.", "Name a folder of NDJSON files, or a server's address."
            )
        self.folder = folder
        self.name = str(folder.resolve())
        self._index: _Index | None = None

    def responses(self, since: str, again: Collection[str], seen: Seen = unseen) -> Iterator[Page]:
        """Yield all QuestionnaireResponses: a folder has no clock, so it is always read whole."""
        records: list[Record] = []
        for record in response_records([self.folder]):
            records.append(record)
            if len(records) >= PAGE_SIZE:
                yield Page(records, "")
                records = []
        if records:
            yield Page(records, "")

    def again(self, references: Collection[str]) -> Iterator[Page]:
        """Yield the QuestionnaireResponses with these references; the folder is read whole to find them."""
        ids = {reference.rpartition("/")[2] for reference in references}
        records = (record for page in self.responses("", ()) for record in page.records)
        yield Page([record for record in records if _id_of(record.body) in ids], "")

    def about(self, kind: str, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all resources of a type about these patients."""
        index = self._opened(kind)
        if kind == "Consent" and index.broken_consent is not None:
            raise index.broken_consent
        return _standing(kind, index.about(kind, subjects))

    def active(self, kind: str) -> list[Mapping[str, Any]]:
        """Return all resources of a type whose status is active."""
        return [r for r in self._opened(kind).all_of(kind) if r.get("status") == "active"]

    def tasks(self, code: str, statuses: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all Tasks with a code of ours in these statuses; a derived one stands for an exported one."""
        return self._with_code("Task", code, statuses)

    def messages(self, topic: str, statuses: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all Communications with a topic of ours in these statuses."""
        return self._with_code("Communication", topic, statuses)

    def _with_code(self, kind: str, code: str, statuses: Collection[str]) -> list[Mapping[str, Any]]:
        latest = {str(resource.get("id")): resource for resource in self._opened(kind).all_of(kind)}
        return [resource for resource in latest.values() if has_code(resource, code, statuses)]

    def named(self, kind: str, references: Collection[str]) -> list[Mapping[str, Any]]:
        """Return resources by reference."""
        return _standing(kind, self._opened(kind).named(kind, references))

    def canonicals(self, kind: str, urls: Collection[str]) -> list[Mapping[str, Any]]:
        """Return Questionnaires and the like by url."""
        return [r for r in self._opened(kind).all_of(kind) if not urls or r.get("url") in urls]

    def people(self, kinds: Collection[str]) -> Iterator[PersonRecord]:
        """Yield all patients with what is on record about them; the files are read whole first."""
        return folder_people(self.folder, kinds)

    def put(self, changes: Sequence[Change], known: Known, journal: Journal) -> Written:
        """Take the changes in; they reach the files at `finish`."""
        written = Written()
        stale = {change.write.group for change in changes if change.write.type == "Goal" and self._is_stale(change)}
        written.refused += [
            Refusal(group, "FA412", "somebody changed it in the meantime. It is tried again in the next run.")
            for group in sorted(stale)
        ]
        for change in changes:
            if change.write.group in stale:
                continue
            index = self._opened(change.write.type)  # what was derived before is kept
            body = known.resolve(change.write.body)
            index.take(change.write.type, orjson.loads(body), body, derived=True)
            counter = written.created if change.kind is ChangeKind.CREATE else written.updated
            counter[change.write.type] += 1
        return written

    def _is_stale(self, change: Change) -> bool:
        """Return whether the Goal that stands is another than the one that the change was made of."""
        return [version_of(goal) for goal in self.named("Goal", [change.stored_id])] != [change.stored_version]

    def takes(self, kind: str, journal: Journal) -> bool:
        """Return that a folder takes everything."""
        return True

    def updates(self, kind: str, journal: Journal) -> bool:
        """Return that what we derived can be changed."""
        return True

    def log(self, events: Sequence[bytes]) -> bool:
        """Take none: the audit trail of a folder is the local file, which seals its lines."""
        return False

    def create(self, change: Change, known: Known, journal: Journal) -> Written:
        """Take one resource in, as `put` does: a folder has no transactions."""
        return self.put([change], known, journal)

    def finish(self) -> None:
        """Replace the derived files that changed."""
        if self._index is None:
            return
        for kind in self._index.touched():
            replace_file(self.folder / f"{kind}{DERIVED}", self._index.derived(kind))

    def close(self) -> None:
        """Remove the temporary index."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def _opened(self, kind: str = "") -> _Index:
        """Return the index; a type that is seldom looked up is taken in when it first is."""
        if self._index is None:
            self._index = _Index()
            self._index.load(_files([self.folder]), _LOOKED_UP)
        if kind and not self._index.holds(kind):
            self._index.load(_files([self.folder]), frozenset({kind}))
        return self._index


class _Index:
    """Resources by type, reference, subject and identifier, in a temporary database."""

    def __init__(self) -> None:
        self._db = nameless_database(
            """CREATE TABLE resource (type TEXT, id TEXT, subject TEXT, derived INTEGER, body BLOB);
            CREATE INDEX by_subject ON resource (type, subject);
            CREATE INDEX by_id ON resource (type, id);"""
        )
        self.broken_consent: ConsentUnreachable | None = None  # told to who asks for Consents: safety comes before them
        self._touched: set[str] = set()
        self._kinds: frozenset[str] = frozenset()

    def holds(self, kind: str) -> bool:
        """Return whether a type has been taken in."""
        return kind in self._kinds

    def load(self, paths: Iterable[Path], kinds: frozenset[str]) -> None:
        """Take in what files hold of some types."""
        self._kinds |= kinds
        for path in paths:
            self._load(path, kinds)

    def _load(self, path: Path, kinds: frozenset[str]) -> None:
        typed = _typed(path)
        if typed and typed[1] not in kinds:
            return
        for record in _records(path):
            try:
                resource = strict_json(record.body)
            except ParkItem:
                if _is_consent(typed, record.body):
                    self.broken_consent = ConsentUnreachable(
                        "FA301", f"{record.place} cannot be read, so nothing is shared.", "Correct that Consent."
                    )
                continue
            if isinstance(resource, dict) and resource.get("resourceType") in kinds:
                if _has_no_patient(resource):
                    self.broken_consent = ConsentUnreachable(
                        "FA304", f"{record.place} does not say whose it is; nothing is shared.", "Correct that Consent."
                    )
                self._insert(resource["resourceType"], resource, record.body, path.name.endswith(DERIVED))

    def take(self, kind: str, resource: Mapping[str, Any], body: bytes, *, derived: bool) -> None:
        """Put a resource in place of the one with the same id."""
        row = self._db.execute(
            "SELECT rowid FROM resource WHERE type = ? AND id = ? AND derived = ?", (kind, resource["id"], int(derived))
        ).fetchone()
        if row is None:
            self._insert(kind, resource, body, derived)
        else:
            self._db.execute("UPDATE resource SET body = ? WHERE rowid = ?", (body, row[0]))
        self._touched.add(kind)

    def about(self, kind: str, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        return self._select(kind, "subject", subjects)

    def named(self, kind: str, references: Collection[str]) -> list[Mapping[str, Any]]:
        return self._select(kind, "id", [reference.rpartition("/")[2] for reference in references])

    def all_of(self, kind: str) -> list[Mapping[str, Any]]:
        rows = self._db.execute("SELECT body FROM resource WHERE type = ? ORDER BY derived, rowid", (kind,))
        return [orjson.loads(row[0]) for row in rows]

    def derived(self, kind: str) -> Iterator[bytes]:
        rows = self._db.execute("SELECT body FROM resource WHERE type = ? AND derived ORDER BY rowid", (kind,))
        return (row[0] for row in rows)

    def touched(self) -> list[str]:
        return sorted(self._touched)

    def close(self) -> None:
        self._db.close()

    def _insert(self, kind: str, resource: Mapping[str, Any], body: bytes, derived: bool) -> None:
        self._db.execute(
            "INSERT INTO resource VALUES (?, ?, ?, ?, ?)",
            (kind, str(resource.get("id", "")), _subject_of(resource), int(derived), body),
        )

    def _select(self, kind: str, column: str, values: Collection[str]) -> list[Mapping[str, Any]]:
        """Return resources where a column has one of the values; a derived one comes last, so that it wins."""
        found: list[Mapping[str, Any]] = []
        for value in dict.fromkeys(values):
            rows = self._db.execute(
                f"SELECT body FROM resource WHERE type = ? AND {column} = ? ORDER BY derived, rowid",  # noqa: S608 - own column names
                (kind, value),
            )
            found += [orjson.loads(row[0]) for row in rows]
        return found


def _standing(kind: str, resources: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return resources as they stand: a Goal that we updated in place of the exported one it was made of.

    Once the record holds another version of that Goal, ours is history, and the record's counts.
    """
    if kind != "Goal":
        return resources
    stand: dict[str, Mapping[str, Any]] = {}
    for goal in resources:  # derived ones come last
        name = str(goal.get("id"))
        if name not in stand or version_of(stand[name]) == version_of(goal):
            stand[name] = goal
    return list(stand.values())


def _id_of(body: bytes) -> str:
    try:
        resource = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return str(resource.get("id", "")) if isinstance(resource, dict) else ""


def response_records(inputs: Iterable[Path]) -> Iterator[Record]:
    """Yield every QuestionnaireResponse in files and folders, broken ones included, with its place."""
    for path in _response_files(inputs):
        yield from _responses_among(_records(path), path)


def response_slices(inputs: Iterable[Path], size: int) -> list[Slice]:
    """Return the files that may hold QuestionnaireResponses, cut into slices of about `size` bytes."""
    return [piece for path in _response_files(inputs) for piece in cut(path.resolve(), size)]


def responses_in(lines: Lines) -> Iterator[Record]:
    """Yield every QuestionnaireResponse of a slice, broken ones included. Lines are counted within the slice."""
    piece, path = lines.piece, Path(lines.piece.path)
    records = _records(path) if piece.end == WHOLE else numbered_lines(lines, path.name, begins=not piece.start)
    yield from _responses_among(records, path)


def _response_files(inputs: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that may hold QuestionnaireResponses, in the order in which they are read."""
    for path in _files(inputs):
        typed = _typed(path)
        if typed is None or typed[1] == "QuestionnaireResponse":
            yield path


def _responses_among(records: Iterable[Record], path: Path) -> Iterator[Record]:
    is_typed = _typed(path) is not None
    return (record for record in records if is_typed or _is_response(record.body))


def records_of(inputs: Iterable[Path], kind: str) -> Iterator[Mapping[str, Any]]:
    """Yield every readable resource of a type in files and folders."""
    for path in _files(inputs):
        typed = _typed(path)
        if typed is not None and typed[1] != kind:
            continue
        for record in _records(path):
            if typed is None and f'"{kind}"'.encode() not in record.body:
                continue
            try:
                resource = strict_json(record.body)
            except ParkItem:
                if kind == "Consent":
                    raise ConsentUnreachable(
                        "FA301", f"{record.place} cannot be read, so nothing is shared.", "Correct that Consent."
                    ) from None
                continue
            if isinstance(resource, dict) and resource.get("resourceType") == kind:
                yield resource


def _files(inputs: Iterable[Path]) -> Iterator[Path]:
    """Yield the files to read: those named, and in folders NDJSON named by type and JSON; derived ones last."""
    for path in inputs:
        if path.is_dir():
            if (path / ASIDE / LANDING).exists():
                raise StopRun("FA126", "an export has landed by half in that folder.", "Run the same export again.")
            names = sorted(path.iterdir(), key=lambda p: (p.name.endswith(DERIVED), p.name))
            for entry in names:
                if entry.is_file() and (entry.suffix == ".json" or _TYPED_FILE.fullmatch(entry.name)):
                    yield entry
        else:
            yield path


def _typed(path: Path) -> re.Match[str] | None:
    """Return the type in a file's name; Bundles hold all types, so their name tells none."""
    typed = _TYPED_FILE.fullmatch(path.name)
    return None if typed is not None and typed[1] == "Bundle" else typed


def _records(path: Path) -> Iterator[Record]:
    """Yield the resources of a file: a line each in NDJSON, the entries of a Bundle, or one resource."""
    if path.suffix == ".json":
        yield from whole_file(path.read_bytes(), path.name)
        return
    with path.open("rb", buffering=BUFFER) as stream:
        if path.suffix == ".ndjson":
            yield from numbered_lines(stream, path.name)
        else:
            yield from stream_records(stream, path.name)


def numbered_lines(lines: Iterable[bytes], name: str, *, begins: bool = True) -> Iterator[Record]:
    """Yield the lines of an NDJSON file with their place; empty lines and a byte order mark are passed over.

    begins: they are the first of their file.
    """
    for number, line in enumerate(lines, start=1):
        if begins and number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        line = line.strip()
        if not line.startswith(_FORM) and b'"Bundle"' in line:  # a line can hold a whole Bundle
            yield from whole_file(line, name, number)
        elif line:
            yield Record(name, line, number)


def stream_records(stream: IO[bytes], name: str) -> Iterator[Record]:
    """Yield the resources of a stream: NDJSON line by line, or one JSON text over many lines."""
    first, passed = stream.readline(), []
    while first and not first.strip():
        passed.append(first)  # they count as lines
        first = stream.readline()
    try:
        strict_json(first.removeprefix(b"\xef\xbb\xbf"))
    except ParkItem:
        following = stream.readline()
        if not first:
            return
        if following and not following.lstrip().startswith(b"{"):  # a text that goes on, not a broken line
            yield from whole_file(first + following + stream.read(), name)
            return
        yield from numbered_lines(chain([*passed, first, following], stream), name)
        return
    rest = stream.readline()
    if rest.strip():
        yield from numbered_lines(chain([*passed, first, rest], stream), name)
    else:
        yield from whole_file(first, name)


def whole_file(body: bytes, name: str, line: int = 0) -> Iterator[Record]:
    """Yield what one JSON text holds: the resources of a Bundle, or the resource itself.

    line: where the text stands, if it is one of several in its file.
    """
    body = body.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        resource = strict_json(body)
    except ParkItem:
        yield Record(name, body, line)
        return
    if isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
        entries = resource.get("entry")
        for number, entry in enumerate(entries if isinstance(entries, list) else (), start=1):
            inner = entry.get("resource") if isinstance(entry, dict) else None
            if inner is not None:
                yield Record(name, json.dumps(inner, separators=(",", ":")).encode(), line, number)
    else:
        yield Record(name, body, line)


def _is_response(body: bytes) -> bool:
    """Return whether a record from a file without a type in its name is a response, or too broken to tell."""
    try:
        resource = strict_json(body)
    except ParkItem:
        return True
    return not isinstance(resource, dict) or resource.get("resourceType") == "QuestionnaireResponse"


def _subject_of(resource: Mapping[str, Any]) -> str:
    for element in ("subject", "patient", "for"):
        named = resource.get(element)
        reference = named.get("reference") if isinstance(named, dict) else None
        if isinstance(reference, str):
            return reference
    return ""


def _is_consent(typed: re.Match[str] | None, body: bytes) -> bool:
    """Return whether a record that cannot be read is, or may be, a Consent."""
    return typed[1] == "Consent" if typed else b'"Consent"' in body


def _has_no_patient(resource: Mapping[str, Any]) -> bool:
    return resource["resourceType"] == "Consent" and not isinstance(resource.get("patient"), dict)
