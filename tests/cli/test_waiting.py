"""What waits is listed and tried again: parked records, and the journal that knows of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from click.testing import Result

from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]

WRONG = {"authored": "2199-01-01T10:00:00+01:00"}


def parked(run: Run) -> list[tuple[str, str]]:
    """Return reference and code of what is parked, as a machine reads it."""
    found = json.loads(run("parked", "list", "--store", "clinic", "--json").stdout)["parked"]
    return [(one["reference"], one["code"]) for one in found]


def corrected(folder: Path, **names: str) -> None:
    """Put right the dates of the forms named in the export."""
    file = folder / "QuestionnaireResponse.ndjson"
    forms = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for form in forms:
        form["authored"] = names.get(form["id"], form["authored"])
    file.write_text("\n".join(map(json.dumps, forms)) + "\n", encoding="utf-8")


def test_what_is_parked_is_listed_and_shown(run: Run, clinic: Clinic) -> None:
    """A parked record stands in the list with code and reason; one that is not parked is an error."""
    clinic(response_json([1] * 9, name="fine"), response_json([1] * 9, name="late") | WRONG)
    assert run("parked", "list", "--store", "clinic").stderr == "Nothing is parked.\n"
    assert run("sync", "--store", "clinic").exit_code == 20
    assert parked(run) == [("QuestionnaireResponse/late", "FA207")]
    assert "QuestionnaireResponse/late" in run("parked", "list", "--store", "clinic").stdout
    assert "FA207" in run("parked", "show", "late", "--store", "clinic").stdout
    assert run("parked", "show", "fine", "--store", "clinic").exit_code == 10


def test_a_corrected_record_is_read_again_alone(run: Run, clinic: Clinic) -> None:
    """A retry scores what was put right, reads nothing else, and leaves the others parked."""
    folder = clinic(
        response_json([1] * 9, name="fine"),
        response_json([1] * 9, name="late") | WRONG,
        response_json([1] * 9, name="later") | WRONG,
    )
    run("sync", "--store", "clinic")
    corrected(folder, late="2026-01-19T10:00:00+01:00")
    counts = json.loads(run("parked", "retry", "--store", "clinic", "--json").stdout)
    assert (counts["read"], counts["scored"], counts["parked"]) == (2, 1, 1)
    assert parked(run) == [("QuestionnaireResponse/later", "FA207")]
    corrected(folder, later="2026-01-26T10:00:00+01:00")
    done = run("parked", "retry", "QuestionnaireResponse/later", "--store", "clinic", "--json")
    assert (done.exit_code, json.loads(done.stdout)["scored"], parked(run)) == (0, 1, [])
    assert run("parked", "retry", "--store", "clinic").stderr == "Nothing is parked.\n"


def test_the_state_is_told(run: Run, clinic: Clinic) -> None:
    """The state says in numbers what waits, without a lease and without a trace."""
    clinic(response_json([1] * 9, name="late") | WRONG)
    before = json.loads(run("state", "show", "--store", "clinic", "--json").stdout)
    assert (before["parked"], before["unsettled"], before["safety"]) == (0, 0, 0)
    run("sync", "--store", "clinic")
    assert json.loads(run("state", "show", "--store", "clinic", "--json").stdout)["parked"] == 1
    assert "wait for a person" in run("state", "show", "--store", "clinic").stdout


def test_a_damaged_journal_is_put_aside(run: Run, clinic: Clinic) -> None:
    """A journal that cannot be read stops every run until it is recovered; then nothing is written twice."""
    folder = clinic(response_json([1] * 9, name="fine"))
    run("sync", "--store", "clinic")
    sound = run("state", "recover", "--store", "clinic")
    assert (sound.exit_code, "nothing was changed" in sound.stderr) == (0, True)
    (folder / ".fhir-alliance" / "journal.db").write_bytes(b"damaged" * 1000)
    stopped = run("sync", "--store", "clinic")
    assert (stopped.exit_code, "state recover" in stopped.stderr) == (10, True)
    assert run("state", "recover", "--store", "clinic").exit_code == 0
    assert len(list((folder / ".fhir-alliance").glob("journal.db.broken-*"))) == 1
    counts = json.loads(run("sync", "--store", "clinic", "--json").stdout)
    assert (counts["created"], counts["updated"], counts["unchanged"]) == ({}, {}, {"Observation": 2, "Task": 1})
