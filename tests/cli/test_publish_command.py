"""What `publish` tells people and machines: the plan before, the counts after, and what stops it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import Result

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]

PHQ = "https://fhir-alliance.org/fhir/Questionnaire/phq-9"


def stored(folder: Path) -> list[dict[str, Any]]:
    """Return the Questionnaires in the folder."""
    lines = (folder / "Questionnaire.fhir-alliance.ndjson").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def change(folder: Path, **elements: Any) -> None:
    """Change the PHQ-9 in the folder, as another program would have published it."""
    forms = [form | elements if form["url"] == PHQ else form for form in stored(folder)]
    text = "".join(json.dumps(form) + "\n" for form in forms)
    (folder / "Questionnaire.fhir-alliance.ndjson").write_text(text, encoding="utf-8")


def rows(text: str) -> set[tuple[str, ...]]:
    """Return the rows of the plan about the PHQ-9 as state, version and address."""
    return set(re.findall(r"^(\w+(?: \w+)?) +(\d\S+) +(\S+/phq-9) *$", text, re.MULTILINE))


@pytest.fixture
def published(run: Run, clinic: Clinic) -> Path:
    """A folder into which everything has been published."""
    folder = clinic()
    assert run("publish", "--store", folder).exit_code == 0
    return folder


def test_the_plan_shows_what_is_new(run: Run, clinic: Clinic) -> None:
    """On an empty store every artefact is shown as new, with address and version."""
    told = run("publish", "--store", clinic(), "--dry-run").stderr
    assert rows(told) == {("new", "1.0.0", PHQ)}
    assert "would be created: " in told


def test_the_plan_shows_what_is_unchanged(run: Run, published: Path) -> None:
    """Where everything stands, the plan says so line by line, and that nothing changed."""
    told = run("publish", "--store", published, "--dry-run").stderr
    assert rows(told) == {("unchanged", "1.0.0", PHQ)}
    assert "Nothing changed." in told


def test_the_plan_shows_what_is_retired(run: Run, published: Path) -> None:
    """An older version is shown as to retire beside the new one; the run then counts it, for machines too."""
    change(published, version="0.9.0")
    told = run("publish", "--store", published, "--dry-run", "--json")
    assert rows(told.stderr) == {("new", "1.0.0", PHQ), ("to retire", "0.9.0", PHQ)}
    assert "would be retired: 1 Questionnaire" in told.stderr
    done = run("publish", "--store", published, "--json")
    assert "  retired: 1 Questionnaire" in done.stderr
    for said in (told, done):
        counts = json.loads(said.stdout)
        assert (counts["created"], counts["updated"], counts["retired"]) == (
            {"Questionnaire": 1},
            {},
            {"Questionnaire": 1},
        )


def test_the_plan_shows_which_elements_change(run: Run, published: Path) -> None:
    """A draft that will be updated is shown as changed, with the names of its elements that differ."""
    change(published, status="draft", title="First idea")
    told = run("publish", "--store", published, "--dry-run").stderr
    assert rows(told) == {("changed", "1.0.0", PHQ)}
    assert re.search(r"^changed .*phq-9 *\n +status, title *$", told, re.MULTILINE)


def test_a_conflict_is_shown_and_stops(run: Run, published: Path) -> None:
    """A version in use with other content ends with status 10 by name, in a dry run after the plan, and stands."""
    change(published, title="Another title")
    before = stored(published)
    told = run("publish", "--store", published, "--dry-run")
    assert told.exit_code == 10
    assert rows(told.stderr) == {("conflict", "1.0.0", PHQ)}
    done = run("publish", "--store", published)
    assert done.exit_code == 10
    for said in (told, done):
        assert f"FA130 {PHQ}|1.0.0 is active in the store with other content (title)" in " ".join(said.stderr.split())
    assert stored(published) == before
