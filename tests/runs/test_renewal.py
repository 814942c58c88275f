"""A sync asks for Consents that run out, once, and stops when a new one stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fhir.resources.R4B import get_fhir_model_class

from fhir_alliance.cli import program


def consent(name: str, ends: str | None) -> dict[str, Any]:
    """Return a Consent to treatment."""
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    return {
        "resourceType": "Consent", "id": name, "status": "active", "scope": {"coding": [scope]},
        "patient": {"reference": "Patient/anna"}, "dateTime": "2020-01-01",
        "provision": {"type": "permit"} | ({"period": {"end": ends}} if ends else {}),
    }  # fmt: skip


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """A folder with a Consent that has run out."""
    (tmp_path / "Consent.ndjson").write_text(json.dumps(consent("old", "2021-01-01")) + "\n", encoding="utf-8")
    return tmp_path


def sync(folder: Path, *words: str, days: int = 30) -> dict[str, Any]:
    """Sync and return what was counted."""
    told = CliRunner().invoke(
        program, ["sync", "--store", str(folder), "--json", *words],
        env={"FHIR_ALLIANCE_CONSENT__RENEW_DAYS_BEFORE": str(days)}, catch_exceptions=False,
    )  # fmt: skip
    assert told.exit_code == 0, told.stderr
    counts: dict[str, Any] = json.loads(told.stdout)
    return counts


def tasks(folder: Path) -> list[dict[str, Any]]:
    """Return the Tasks."""
    return [json.loads(line) for line in (folder / "Task.fhir-alliance.ndjson").read_bytes().splitlines()]


def test_it_asks_once_and_stops(clinic: Path) -> None:
    """One Task for the Consent that ran out; none more in later runs; completed when a new Consent stands."""
    assert sync(clinic, "--dry-run")["created"] == {"Task": 1}
    assert sync(clinic)["created"] == {"Task": 1}
    [task] = tasks(clinic)
    assert (task["status"], task["focus"], task["for"]) == (
        "requested", {"reference": "Consent/old"}, {"reference": "Patient/anna"},
    )  # fmt: skip
    assert "2021-01-01" in task["description"]
    get_fhir_model_class("Task").model_validate(task)
    again = sync(clinic)
    assert (again["created"], again["updated"]) == ({}, {})
    with (clinic / "Consent.ndjson").open("a", encoding="utf-8") as file:
        file.write(json.dumps(consent("new", None)) + "\n")
    assert sync(clinic)["updated"] == {"Task": 1}
    assert [task["status"] for task in tasks(clinic)] == ["completed"]
    assert sync(clinic)["updated"] == {}


def test_only_where_the_site_wants_it(clinic: Path) -> None:
    """Without a number of days, nobody is asked."""
    assert sync(clinic, days=0)["created"] == {}
