"""A site's own Questionnaire from end to end: score over a folder, sync over a store, once and again."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.score import score_inputs
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.journal import Journal

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))
URL = "https://site.example/fhir/Questionnaire/mood"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
SUM = "%resource.item.answer.value.weight().sum()"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped instruments."""
    return load_catalog()


def questionnaire(path: str = SUM, url: str = URL) -> dict[str, Any]:
    """Return a Questionnaire of two questions, whose answers are in a ValueSet, and what is calculated."""
    asked = [{"linkId": name, "type": "choice", "answerValueSet": "urn:answers"} for name in ("q1", "q2")]
    expression = {"language": "text/fhirpath", "expression": path}
    extension = [{"url": f"{SDC}calculatedExpression", "valueExpression": expression}]
    total = {"linkId": "sum", "type": "decimal", "readOnly": True, "extension": extension}
    return {"resourceType": "Questionnaire", "id": url[-4:], "url": url, "version": "3", "item": [*asked, total]}


def value_set() -> dict[str, Any]:
    """Return the answers c0 to c3, whose points their CodeSystem knows."""
    concepts = [{"code": f"c{n}"} for n in range(4)]
    include = [{"system": "urn:c", "concept": concepts}]
    return {"resourceType": "ValueSet", "id": "answers", "url": "urn:answers", "compose": {"include": include}}


def code_system() -> dict[str, Any]:
    """Return the CodeSystem of the answers."""
    concepts = [{"code": f"c{n}", "property": [{"code": "itemWeight", "valueDecimal": n}]} for n in range(4)]
    return {"resourceType": "CodeSystem", "id": "c", "url": "urn:c", "concept": concepts}


def response(name: str, *codes: str, canonical: str = URL) -> dict[str, Any]:
    """Return a response with these answers."""
    items = [
        {"linkId": f"q{n}", "answer": [{"valueCoding": {"system": "urn:c", "code": code}}]}
        for n, code in enumerate(codes, start=1)
    ]
    return {
        "resourceType": "QuestionnaireResponse", "id": name, "questionnaire": canonical, "status": "completed",
        "subject": {"reference": "Patient/p1"}, "authored": f"2026-05-0{name[-1]}T10:00:00-03:30", "item": items,
    }  # fmt: skip


def write(folder: Path, *resources: dict[str, Any]) -> None:
    """Add resources to the NDJSON files of a folder."""
    for resource in resources:
        with (folder / f"{resource['resourceType']}.ndjson").open("a", encoding="utf-8") as file:
            file.write(json.dumps(resource) + "\n")


def everything(path: str = SUM) -> tuple[dict[str, Any], ...]:
    """Return a clinic with a form of its own, three answered ones, and another form that cannot be scored."""
    bad = "https://site.example/fhir/Questionnaire/half"
    return (
        questionnaire(path), questionnaire("1 +", bad), value_set(), code_system(),
        {"resourceType": "Patient", "id": "p1"},
        response("r1", "c3", "c2"), response("r2", "c1"), response("r3", "c0", "c0"),
        response("r4", "c1", "c1", canonical=bad),
    )  # fmt: skip


def values(lines: bytes) -> dict[str, Any]:
    """Return the value of each form's score, or why it has none."""
    found = {}
    for line in lines.splitlines():
        observation = json.loads(line)
        if "hasMember" not in observation:
            source = observation["derivedFrom"][0]["reference"].split("/")[1]
            absent = observation.get("dataAbsentReason", {"coding": [{}]})["coding"][0].get("code")
            found[source] = observation.get("valueQuantity", {"value": absent})["value"]
    return found


PATHS = pytest.mark.parametrize("path", [SUM, f"({SUM}).power(1)"], ids=["formula", "FHIRPath"])


@PATHS
def test_score_takes_what_lies_in_the_folder(catalog: Catalog, tmp_path: Path, path: str) -> None:
    """A Questionnaire with the ValueSet and CodeSystem beside it scores the responses; a bad one parks only its own."""
    write(tmp_path, *everything(path))
    out = tmp_path / "out"
    summary = score_inputs([str(tmp_path)], catalog, Policy(), NOW, out, lambda count: None)
    assert values(out.read_bytes()) == {"r1": 5, "r2": "not-performed", "r3": 0}
    assert (summary.scored, summary.unscorable) == (2, 1)
    assert [(parked.reference, parked.code) for parked in summary.parked] == [("QuestionnaireResponse/r4", "FA107")]


def synced(folder: Path, catalog: Catalog) -> Summary:
    """Return what a sync of a folder did."""
    store = FolderStore(folder)
    state = folder / ".state"
    state.mkdir(mode=0o700, exist_ok=True)
    journal = Journal(state, store.name)
    try:
        return sync(store, catalog, journal, Policy(), NOW)
    finally:
        journal.close()
        store.close()


@PATHS
def test_sync_scores_the_sites_forms_once(catalog: Catalog, tmp_path: Path, path: str) -> None:
    """A sync writes the scores of a site's own forms, judges nothing by them, and a second one changes nothing."""
    write(tmp_path, *everything(path))
    first = synced(tmp_path, catalog)
    written = (tmp_path / "Observation.fhir-alliance.ndjson").read_bytes()
    assert values(written) == {"r1": 5, "r2": "not-performed", "r3": 0}
    assert (first.created["Observation"], first.findings) == (6, {})
    second = synced(tmp_path, catalog)
    assert (second.created["Observation"], second.updated["Observation"]) == (0, 0)
    assert (tmp_path / "Observation.fhir-alliance.ndjson").read_bytes() == written
