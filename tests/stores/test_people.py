"""The people of a store, each with what is on record about them, however it lies there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import responses

from fhir_alliance.errors import ConsentUnreachable
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.server import ServerStore

BASE = "https://ehr.example/fhir"


def patient(name: str) -> dict[str, Any]:
    """Return a Patient."""
    return {"resourceType": "Patient", "id": name}


def about(kind: str, name: str, subject: str, element: str = "subject") -> dict[str, Any]:
    """Return a resource about somebody."""
    return {"resourceType": kind, "id": name, element: {"reference": subject}}


def bundle(*resources: dict[str, Any], urls: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a collection, its entries named by `urls` as far as they go."""
    entries = [{"resource": r} | ({"fullUrl": urls[n]} if n < len(urls) else {}) for n, r in enumerate(resources)]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def found(folder: Path, *kinds: str) -> dict[str, list[str]]:
    """Return the ids of what is about each patient of a folder."""
    records = FolderStore(folder).people(kinds)
    return {record.patient["id"]: [r["id"] for r in record.resources] for record in records}


def put(path: Path, *resources: dict[str, Any]) -> None:
    """Write resources: a line each in NDJSON, else one JSON text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(resource) for resource in resources))


def test_ndjson_json_and_bundles_are_read_alike(tmp_path: Path) -> None:
    """What is about a patient is found in any of the layouts, in folders within the folder too."""
    put(tmp_path / "Patient.ndjson", patient("a"), patient("b"))
    put(tmp_path / "Observation.ndjson", about("Observation", "o1", "Patient/a"))
    put(tmp_path / "one.json", about("Condition", "c1", "Patient/a"))
    put(tmp_path / "deep" / "er" / "Bundle.json", bundle(about("Encounter", "e1", "Patient/b")))
    kinds = ("Observation", "Condition", "Encounter")
    assert found(tmp_path, *kinds) == {"a": ["o1", "c1"], "b": ["e1"]}


def test_only_what_was_asked_for_comes(tmp_path: Path) -> None:
    """Other types are passed over; Consents always come."""
    put(
        tmp_path / "x.json",
        bundle(patient("a"), about("Flag", "f", "Patient/a"), about("Consent", "c", "Patient/a", "patient")),
    )
    assert found(tmp_path, "Observation") == {"a": ["c"]}


@pytest.mark.parametrize(
    "reference", ["Patient/a", "https://x.example/fhir/Patient/a", "urn:uuid:1", "Patient/a/_history/3"]
)
def test_every_way_to_name_a_patient_is_understood(tmp_path: Path, reference: str) -> None:
    """A reference may be relative, absolute, the entry's fullUrl, or to a version."""
    put(tmp_path / "x.json", bundle(patient("a"), about("Observation", "o", reference), urls=("urn:uuid:1",)))
    assert found(tmp_path, "Observation") == {"a": ["o"]}


def test_a_bundle_of_one_patient_is_that_patients_record(tmp_path: Path) -> None:
    """What names a subject who is nowhere belongs to the one patient of its Bundle, and is counted."""
    put(tmp_path / "x.json", bundle(patient("a"), about("Observation", "o", "https://y.example/Patient/46")))
    [record] = FolderStore(tmp_path).people(("Observation",))
    assert ([r["id"] for r in record.resources], record.adopted) == (["o"], 1)


def test_nobody_gets_what_belongs_to_another(tmp_path: Path) -> None:
    """Where the subject is a patient of the folder, it is theirs; in a Bundle of two, a stray is nobody's."""
    put(tmp_path / "x.json", bundle(patient("a"), about("Observation", "o1", "Patient/b")))
    put(tmp_path / "y.json", bundle(patient("b"), patient("c"), about("Observation", "o2", "Patient/46")))
    assert found(tmp_path, "Observation") == {"a": [], "b": ["o1"], "c": []}


def test_a_bundle_in_a_bundle_is_read(tmp_path: Path) -> None:
    """Test patients come as Bundles in Bundles."""
    put(tmp_path / "x.json", bundle(bundle(patient("a"), about("Observation", "o", "Patient/a"))))
    assert found(tmp_path, "Observation") == {"a": ["o"]}


@pytest.mark.parametrize(
    "text", ['{"resourceType": "Consent", "id"', '{"resourceType": "Consent", "id": "c", "status": "active"}']
)
def test_a_consent_that_cannot_be_relied_on_stops_the_run(tmp_path: Path, text: str) -> None:
    """A broken Consent, or one that does not say whose it is, and nobody is told of."""
    put(tmp_path / "Patient.ndjson", patient("a"))
    (tmp_path / "Consent.ndjson").write_text(text)
    with pytest.raises(ConsentUnreachable):
        found(tmp_path, "Observation")


def searched(kind: str, *resources: dict[str, Any]) -> None:
    """Let the server answer a search for a type, by GET and by POST."""
    answer = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in resources]}
    responses.get(f"{BASE}/{kind}", json=answer)
    responses.post(f"{BASE}/{kind}/_search", json=answer)


@responses.activate
def test_a_server_gives_the_same_people() -> None:
    """A server's patients come with their resources and Consents."""
    searched("Patient", patient("a"), patient("b"))
    searched("Observation", about("Observation", "o1", "Patient/a"), about("Observation", "o2", f"{BASE}/Patient/b"))
    searched("Consent", about("Consent", "c", "Patient/b", "patient"))
    records = {
        r.patient["id"]: sorted(x["id"] for x in r.resources) for r in ServerStore(BASE).people(("Observation",))
    }
    assert records == {"a": ["o1"], "b": ["c", "o2"]}


@responses.activate
def test_a_server_that_gives_another_clients_consent_is_not_believed() -> None:
    """A Consent of somebody who was not asked for stops the run."""
    searched("Patient", patient("a"))
    searched("Consent", about("Consent", "c", "Patient/z", "patient"))
    with pytest.raises(ConsentUnreachable, match="FA303"):
        list(ServerStore(BASE).people(()))
