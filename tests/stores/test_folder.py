"""A folder as a store: what is read of it, and what is found in it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from fhir_alliance.errors import ConsentUnreachable, ParkItem, StopRun
from fhir_alliance.fhir.wire import strict_json
from fhir_alliance.stores.folder import (
    PAGE_SIZE,
    FolderStore,
    records_of,
    response_records,
    stream_records,
)
from fhir_alliance.stores.store import Record
from fhir_alliance.testing import response_json

ANNA, BEN = "Patient/anna", "Patient/ben"
BOM = b"\xef\xbb\xbf"


def form(name: str) -> bytes:
    """Return a form as a line."""
    return json.dumps(response_json([1] * 9, name=name)).encode()


def bundle(*resources: Any) -> dict[str, Any]:
    """Return a collection of resources, of whatever else too."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}


def read(*paths: Path) -> dict[str, str]:
    """Return what is read as responses: by place the id, or "broken"."""
    return {str(record.place): told(record) for record in response_records(paths)}


def told(record: Record) -> str:
    """Return a record's id, or "broken"."""
    try:
        return str(strict_json(record.body)["id"])
    except (ParkItem, TypeError, KeyError):
        return "broken"


@pytest.mark.parametrize(
    ("name", "is_read"),
    [
        ("QuestionnaireResponse.ndjson", True),
        ("QuestionnaireResponse.000.ndjson", True),
        ("QuestionnaireResponse.2026-01.part-1.ndjson", True),
        ("QuestionnaireResponse.json", True),
        ("anything.json", True),
        ("Observation.ndjson", False),
        ("questionnaireresponse.ndjson", False),
        ("parked.ndjson", False),
        ("QuestionnaireResponse.ndjson.bak", False),
        ("QuestionnaireResponse.ndjson.gz", False),
        (".QuestionnaireResponse.ndjson.x1", False),
        ("notes.txt", False),
    ],
)
def test_what_is_read_in_a_folder(tmp_path: Path, name: str, is_read: bool) -> None:
    """In a folder the Bulk Data names of responses and .json files are read, and nothing else."""
    (tmp_path / name).write_bytes(form("r1"))
    assert list(read(tmp_path).values()) == (["r1"] if is_read else [])


def test_a_named_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    """A file that a person names is read, its other resources passed over."""
    file = tmp_path / "export.txt"
    file.write_bytes(b'{"resourceType": "Patient", "id": "p1"}\n' + form("r1"))
    assert read(file) == {"export.txt:2": "r1"}


def test_lines_and_their_places(tmp_path: Path) -> None:
    """A byte order mark, blank lines, Windows line ends and a missing last newline change no record and no place."""
    file = tmp_path / "QuestionnaireResponse.ndjson"
    file.write_bytes(BOM + form("a") + b"\r\n\r\n  \n" + form("b") + b"\n{broken\n" + form("c"))
    assert read(tmp_path) == {f"{file.name}:1": "a", f"{file.name}:4": "b", f"{file.name}:5": "broken",
                              f"{file.name}:6": "c"}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("mark", [b"", BOM])
def test_a_bundle(tmp_path: Path, indent: int | None, mark: bytes) -> None:
    """The responses of a Bundle are read with the number of their entry; its other resources are passed over."""
    content = bundle(json.loads(form("a")), {"resourceType": "Patient", "id": "p"}, json.loads(form("b")))
    (tmp_path / "b.json").write_bytes(mark + json.dumps(content, indent=indent).encode())
    assert read(tmp_path) == {"b.json#1": "a", "b.json#3": "b"}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"resourceType": "Bundle"}, []),
        ({"resourceType": "Bundle", "entry": []}, []),
        ({"resourceType": "Bundle", "entry": 5}, []),
        ({"resourceType": "Bundle", "entry": {"resource": 5}}, []),
        ({"resourceType": "Bundle", "entry": [None, 5, {}, {"resource": None}, {"fullUrl": "x"}]}, []),
        (bundle(5, json.loads(form("a"))), ["broken", "a"]),
        (bundle({"resourceType": "Patient"}, json.loads(form("a"))), ["a"]),
    ],
    ids=["none", "empty", "number", "object", "odd entries", "no resource", "others"],
)
def test_a_misshapen_bundle(tmp_path: Path, content: dict[str, Any], found: list[str]) -> None:
    """A Bundle that is not shaped as FHIR loses no form that is in it and stops nothing."""
    (tmp_path / "b.json").write_text(json.dumps(content), encoding="utf-8")
    assert list(read(tmp_path).values()) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (form("a") + b"\n" + form("b") + b"\n", ["a", "b"]),
        (b"{broken\n" + form("b") + b"\n", ["broken", "b"]),
        (BOM + form("a"), ["a"]),
        (json.dumps(json.loads(form("a")), indent=1).encode(), ["a"]),
        (json.dumps(bundle(json.loads(form("a"))), indent=1).encode(), ["a"]),
        (json.dumps(bundle(json.loads(form("a")))).encode(), ["a"]),
        (b"\n\n" + form("a"), ["a"]),
        (b"", []),
        (b"\n \n", []),
    ],
    ids=[
        "lines", "broken first", "mark", "text", "bundle text", "bundle line", "blank first", "empty", "blank only",
    ],
)  # fmt: skip
def test_a_stream(text: bytes, found: list[str]) -> None:
    """A stream is read line by line, or as one text over many lines; a broken first line loses no other."""
    assert [told(record) for record in stream_records(io.BytesIO(text), "stdin")] == found


def test_places_in_a_stream() -> None:
    """Blank lines at the start of a stream count, so that the number told is the number an editor shows."""
    records = stream_records(io.BytesIO(b"\n\n{broken\n" + form("a") + b"\n" + form("b")), "stdin")
    assert [str(record.place) for record in records] == ["stdin:3", "stdin:4", "stdin:5"]


def test_pages(tmp_path: Path) -> None:
    """A folder comes in pages of bounded size that hold every form once, and has no mark."""
    names = [f"r{n}" for n in range(PAGE_SIZE * 2 + 1)]
    (tmp_path / "QuestionnaireResponse.ndjson").write_bytes(b"\n".join(map(form, names)))
    pages = list(FolderStore(tmp_path).responses("2026-01-01T00:00:00Z", ()))
    assert [len(page.records) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1]
    assert [told(record) for page in pages for record in page.records] == names
    assert {page.mark for page in pages} == {""}


@pytest.mark.parametrize("name", ["Consent.ndjson", "Consent.01.ndjson", "Consent.json", "all.json"])
def test_a_consent_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A broken Consent stops both ways of looking for it, in whatever file it lies: it may be somebody's no."""
    (tmp_path / name).write_text('{"resourceType": "Consent", "patient"', encoding="utf-8")
    with pytest.raises(ConsentUnreachable, match="FA301"):
        list(records_of([tmp_path], "Consent"))
    store = FolderStore(tmp_path)
    with pytest.raises(ConsentUnreachable, match="FA301"):
        store.about("Consent", [ANNA])
    store.close()


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there, or is a file, is told as FA110."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    for name in ("none", "file"):
        with pytest.raises(StopRun, match="FA110"):
            FolderStore(tmp_path / name)


def test_looking_up(tmp_path: Path) -> None:
    """Resources are found by client, reference and url, in whatever files they lie."""
    goals = [{"resourceType": "Goal", "id": n, "subject": {"reference": s}} for n, s in (("a", ANNA), ("b", BEN))]
    (tmp_path / "Goal.000.ndjson").write_text(json.dumps(goals[0]) + "\nbroken\n", encoding="utf-8")
    profile = {"resourceType": "ValueSet", "id": "v", "url": "https://example.org/v"}
    (tmp_path / "more.json").write_text(json.dumps(bundle(goals[1], profile)), encoding="utf-8")
    store = FolderStore(tmp_path)
    assert store.about("Goal", [ANNA]) == [goals[0]]
    assert store.about("Goal", [BEN, ANNA, BEN, "Patient/none"]) == [goals[1], goals[0]]
    assert store.named("Goal", ["Goal/b", "Goal/none"]) == [goals[1]]
    assert store.canonicals("ValueSet", ()) == store.canonicals("ValueSet", [profile["url"]]) == [profile]
    assert store.canonicals("ValueSet", ["https://example.org/none"]) == []
    store.close()


@pytest.mark.parametrize("kind", ["Patient", "Location"])
def test_any_type_is_found_by_reference(tmp_path: Path, kind: str) -> None:
    """A resource is found by its reference also where it is of a type that is seldom looked up."""
    (tmp_path / f"{kind}.ndjson").write_text(json.dumps({"resourceType": kind, "id": "x"}) + "\n")
    store = FolderStore(tmp_path)
    assert [resource["id"] for resource in store.named(kind, [f"{kind}/x"])] == ["x"]
    store.close()
