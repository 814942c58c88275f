"""The example clinic through the command line, on a real FHIR server that validates every write."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fhir_alliance.stores.journal import Journal

pytestmark = pytest.mark.hapi

# Clients of every kind, and few: the server takes some 40 ms to validate each of their hundred Observations. From mild
# to severe, amended, withdrawn, a safety answer, seven of nine answered, consent denied, and all of the faulty forms.
CLIENTS = frozenset({"02", "05", "06", "08", "16", "30", "38"})
CLINIC = Path(__file__).parents[2] / "examples" / "clinic"
# each kind after what it refers to
KINDS = (
    "Organization", "Patient", "Practitioner", "PractitionerRole", "EpisodeOfCare", "Goal", "CareTeam", "CarePlan",
    "Consent", "Encounter", "QuestionnaireResponse",
)  # fmt: skip
_CLIENT = re.compile(r"client-(\d\d)")


class Run(NamedTuple):
    """One call of the command line: exit status, and the JSON object that it printed."""

    status: int
    counts: dict[str, Any]


class Story(NamedTuple):
    """The runs in their order, and what stood on the server after them."""

    published: Run
    first: Run
    again: Run
    changed: Run
    before: dict[str, dict[str, Any]]
    after: dict[str, dict[str, Any]]
    held: Run


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Publish, load the clinic, sync twice, amend one form and withdraw another, sync; and sync beside a run."""
    hapi_server = sys.modules["hapi_server"]  # loaded by the conftest of all tests
    state = tmp_path_factory.mktemp("clinic") / "state"
    with hapi_server.start(validate=True) as server, hapi_server.FhirClient(server.base) as fhir:

        def run(*arguments: str) -> Run:
            return _run(server.base, state, *arguments)

        published = run("publish")
        _load(fhir)
        first, again = run("sync"), run("sync")
        before = _ours(fhir)
        amended = fhir.get("QuestionnaireResponse/phq9-05-06")
        amended["status"] = "amended"
        amended["item"][0]["answer"] = [{"valueCoding": {"system": "http://loinc.org", "code": "LA6571-9"}}]
        fhir.put(amended)
        fhir.put(fhir.get("QuestionnaireResponse/phq9-06-06") | {"status": "entered-in-error"})
        changed = run("sync")
        after = _ours(fhir)
        with closing(Journal(state, server.base)):  # as another run holds it
            held = run("sync")
        yield Story(published, first, again, changed, before, after, held)


def test_everything_is_published(story: Story) -> None:
    """A server that knows nothing of us takes all artefacts in one run."""
    assert story.published.status == 0
    assert story.published.counts["created"]["Questionnaire"] >= 6
    assert story.published.counts["unknown"] == 0


def test_the_clinic_is_scored_and_reviewed(story: Story) -> None:
    """Every form of the clinic is scored, withheld, set aside or parked with a reason, and all writes are valid.

    The server validates each write against core and our profiles; a refused one would be parked.
    """
    status, counts = story.first
    assert status == 20
    forms = [form for form in _clinic("QuestionnaireResponse") if not form["id"].startswith("faulty")]
    denied = [form for form in forms if form["subject"]["reference"] == "Patient/client-30"]
    assert (counts["withheld"], counts["unscorable"]) == (len(denied), 1)
    assert counts["scored"] == len(forms) - len(denied) - 1
    assert counts["parked"] == 8  # the eight faulty forms, and nothing that the server refused
    assert counts["created"]["Observation"] == len([r for r in story.before.values() if _kind(r) == "Observation"])
    assert counts["created"]["Task"] == len([r for r in story.before.values() if _kind(r) == "Task"])


def test_a_second_run_writes_nothing(story: Story) -> None:
    """Over the same server a second run creates and updates nothing."""
    assert (story.again.counts["created"], story.again.counts["updated"]) == ({}, {})


def test_only_what_rests_on_changed_forms_changes(story: Story) -> None:
    """Amending one form and withdrawing another changes their own Observations and their clients' reviews, only."""
    changed = {key for key, resource in story.after.items() if resource != story.before.get(key)}
    observations = [story.after[key] for key in changed if _kind(story.after[key]) == "Observation"]
    sources = {o["derivedFrom"][0]["reference"].split("/")[1]: o["status"] for o in observations}
    assert sources == {"phq9-05-06": "amended", "phq9-06-06": "entered-in-error"}
    clients = {story.after[key]["for"]["reference"] for key in changed if _kind(story.after[key]) == "Task"}
    assert clients <= {"Patient/client-05", "Patient/client-06"}
    assert story.changed.counts["updated"]["Observation"] == len(observations)
    assert "Observation" not in story.changed.counts["created"]


def test_a_run_beside_another_comes_later(story: Story) -> None:
    """While another process holds the lease, a sync ends with status 75 and writes nothing."""
    assert story.held.status == 75


def test_no_identifier_stands_twice(story: Story) -> None:
    """Each of our identifiers is on exactly one resource."""
    identifiers = [resource["identifier"][0]["value"] for resource in story.after.values()]
    assert len(identifiers) == len(set(identifiers))


def _run(base: str, state: Path, *arguments: str) -> Run:
    environment = {**os.environ, "FHIR_ALLIANCE_STORE": base, "FHIR_ALLIANCE_STATE__FOLDER": str(state)}
    command = [sys.executable, "-m", "fhir_alliance", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "internal error" not in done.stderr
    return Run(done.returncode, json.loads(done.stdout or "{}"))


def _clinic(kind: str) -> list[dict[str, Any]]:
    """Return the clinic's resources of a kind, as far as they are about the chosen clients or about nobody."""
    files = [*CLINIC.glob(f"{kind}.ndjson"), *sorted(CLINIC.glob(f"{kind}.0*.ndjson"))]
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    return [json.loads(line) for line in lines if set(_CLIENT.findall(line.decode())) <= CLIENTS]


def _load(fhir: Any) -> None:
    """Put the clinic on the server as an EHR would, in transactions of a hundred."""
    for kind in KINDS:
        resources = _clinic(kind)
        for start in range(0, len(resources), 100):
            entries = [_put(resource) for resource in resources[start : start + 100]]
            fhir.post({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _put(resource: dict[str, Any]) -> dict[str, Any]:
    place = f"{resource['resourceType']}/{resource['id']}"
    url = f"https://ehr.example/fhir/{place}"
    return {"fullUrl": url, "resource": resource, "request": {"method": "PUT", "url": place}}


def _ours(fhir: Any) -> dict[str, dict[str, Any]]:
    """Return every Observation and Task on the server, by reference."""
    found: dict[str, dict[str, Any]] = {}
    for kind in ("Observation", "Task"):
        page = fhir.get(kind, _count="1000")
        while page is not None:
            found |= {f"{kind}/{e['resource']['id']}": e["resource"] for e in page.get("entry", ())}
            following = next((link["url"] for link in page.get("link", ()) if link["relation"] == "next"), None)
            page = fhir.get(following.removeprefix(fhir.base + "/").removeprefix(fhir.base)) if following else None
    return found


def _kind(resource: dict[str, Any]) -> str:
    return str(resource["resourceType"])
