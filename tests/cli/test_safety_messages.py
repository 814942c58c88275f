"""What a person at the terminal is told about safety answers: how many, never whose, and loudly where they wait."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import responses
from click.testing import Result

from fhir_alliance.testing import response_json

EHR = "https://ehr.example/fhir"
KIND = "application/fhir+json"
Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]


@pytest.fixture
def ehr(statement: dict[str, Any]) -> Iterator[responses.RequestsMock]:
    """A server with one form that asks for a look, and nothing else; tests add what it says to writes."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as server:
        server.get(f"{EHR}/metadata", json=statement, content_type=KIND)
        form = {"resource": response_json([1] * 9), "search": {"mode": "match"}}
        for known in ("Task", "Questionnaire"):
            server.get(f"{EHR}/{known}", json={"resourceType": "Bundle"}, content_type=KIND)
        server.get(f"{EHR}/QuestionnaireResponse", json={"resourceType": "Bundle", "entry": [form]}, content_type=KIND)
        yield server


def told(done: Result) -> str:
    """Return what stands on stderr, in one line."""
    return " ".join(done.stderr.split())


def test_score_says_how_many_ask_for_a_look(run: Run, clinic: Clinic) -> None:
    """Local scoring has no store to write a Task to: it says on stderr how many forms ask, and nothing about whose."""
    folder = clinic(response_json([1] * 9, name="r1"), response_json([0] * 9, name="r2"))
    done = run("score", folder)
    assert "1 with a safety item that a clinician should look at" in told(done)
    assert "Patient/p1" not in done.stderr


def test_what_waits_is_said_loudly(run: Run, ehr: responses.RequestsMock) -> None:
    """24: refused as Task and as message, the review waits; stderr says so in capitals, --json as a number."""
    ehr.post(re.compile(rf"{EHR}/\w+/_search"), json={"resourceType": "Bundle"}, content_type=KIND)
    ehr.post(re.compile(rf"{EHR}/(Communication)?$"), status=422)
    done = run("sync", "--store", EHR, "--json")
    assert done.exit_code == 24
    assert "SAFETY REVIEWS THAT WAIT IN THE LOCAL OUTBOX, in no record yet: 1." in told(done)
    assert "Tell the on-call clinician now" in told(done)
    assert json.loads(done.stdout)["safety_reviews"]["waiting"] == 1
    assert "Patient/p1" not in done.stderr


def test_what_waits_when_the_run_stops(run: Run, here: Path, ehr: responses.RequestsMock) -> None:
    """24: where the server goes away after the form was read, the one line says what waits and what stopped the run."""
    ehr.post(re.compile(rf"{EHR}/\w+/_search"), status=503, headers={"Retry-After": "0"})
    done = run("sync", "--store", EHR)
    assert done.exit_code == 24
    assert re.fullmatch(r"FA511 1 safety review\(s\) wait in the local outbox.+FA403 .+\n", done.stderr)
    [kept] = (here.parent / "state").rglob("safety-outbox.ndjson")
    assert json.loads(kept.read_text())["concern"]["reference"] == "QuestionnaireResponse/r1"


def test_what_went_as_a_message_is_said(run: Run, ehr: responses.RequestsMock) -> None:
    """Where no Task was taken, the summary says how many reviews went as messages."""
    ehr.post(re.compile(rf"{EHR}/\w+/_search"), json={"resourceType": "Bundle"}, content_type=KIND)
    ehr.post(f"{EHR}/Communication", status=201, json={"resourceType": "Communication"}, content_type=KIND)
    ehr.post(f"{EHR}/", status=422)
    done = run("sync", "--store", EHR)
    assert "Safety reviews that went as messages, as no Task was taken: 1." in told(done)


def test_an_overdue_review_without_a_supervisor_is_said(run: Run, clinic: Clinic) -> None:
    """A review that nobody took, and of which nobody is to be told, is said in the summary of every run."""
    folder = clinic(response_json([1] * 9))
    run("sync", "--store", folder)
    file = folder / "Task.fhir-alliance.ndjson"
    tasks = [json.loads(line) | {"authoredOn": "2026-01-06T10:00:00Z"} for line in file.read_text().splitlines()]
    file.write_text("\n".join(map(json.dumps, tasks)) + "\n")
    done = run("sync", "--store", folder)
    assert "safety reviews: 1 open, 0 acknowledged, 1 overdue, 0 escalated" in told(done)
    assert "[safety] escalate_to" in told(done)
    assert done.exit_code == 0
