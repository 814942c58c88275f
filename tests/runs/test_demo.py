"""The demo: the whole loop offline, once and again, and only in a folder of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fhir_alliance.cli import program
from fhir_alliance.runs import reading
from fhir_alliance.runs.catalog import shipped


def demo(folder: Path) -> Result:
    """Run the demo as a person does."""
    return CliRunner().invoke(program, ["demo", "--folder", str(folder)], catch_exceptions=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder; the journal beside them keeps its own time."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder in which the demo ran once, and what it told."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "clinic"
    return folder, demo(folder)


def test_the_loop_runs(clinic: tuple[Path, Result]) -> None:
    """The first run ends with 0 and leaves scores, reviews, parked records and the published forms."""
    folder, told = clinic
    assert told.exit_code == 0
    assert told.stdout == ""
    made = contents(folder)
    for kind in ("Observation", "Task", "Questionnaire", "StructureDefinition", "CodeSystem", "ValueSet"):
        assert json.loads(made[f"{kind}.fhir-alliance.ndjson"].splitlines()[0])["resourceType"] == kind
    assert made["parked.ndjson"]
    source = {path.name: path.read_bytes() for path in shipped("clinic").glob("*.ndjson")}
    assert source
    assert {name: made[name] for name in source} == source


def test_whatever_its_parts_the_same_stands_there(
    clinic: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read client by client, the clinic ends with the same scores, reviews and parked records, to the byte."""
    monkeypatch.setattr(reading, "RECORDS_AT_ONCE", 1)
    folder = tmp_path / "clinic"
    assert demo(folder).exit_code == 0
    parted, whole = ({name: sorted(c.splitlines()) for name, c in contents(f).items()} for f in (folder, clinic[0]))
    assert parted == whole


def test_what_it_tells_is_what_stands_there(clinic: tuple[Path, Result]) -> None:
    """The numbers told are those of the files, and every file named is there."""
    folder, told = clinic
    made = contents(folder)
    text = told.stderr.replace(",", "")
    forms = sum(made[name].count(b"\n") for name in made if name.startswith("QuestionnaireResponse."))
    tasks = [json.loads(line) for line in made["Task.fhir-alliance.ndjson"].splitlines()]
    codes = [task["code"]["coding"][0]["code"] for task in tasks]
    assert f"{forms} questionnaires" in text
    assert f"{made['parked.ndjson'].count(bytes([10]))} parked" in text
    assert f"{len(made['Observation.fhir-alliance.ndjson'].splitlines())} Observation" in text
    assert f"{codes.count('safety-review')} clinician reviews" in text
    assert f"{codes.count('goal-review')} goal reviews" in text
    named = re.findall(r"(\S+\.ndjson) ", text)
    assert len(named) >= 3
    assert {Path(name).name for name in named} <= set(made)


def test_a_second_run_writes_nothing_and_says_so(clinic: tuple[Path, Result]) -> None:
    """Run again, the demo keeps its folder, changes no file of it, and says that nothing changed."""
    folder, first = clinic
    assert "nothing changed" not in first.stderr
    before = contents(folder)
    inodes = {path.name: path.stat().st_ino for path in folder.glob("*.fhir-alliance.ndjson")}
    told = demo(folder)
    assert told.exit_code == 0
    assert re.search(r"published: nothing changed.*\n.*synced: nothing changed", told.stderr)
    assert contents(folder) == before
    assert {path.name: path.stat().st_ino for path in folder.glob("*.fhir-alliance.ndjson")} == inodes


@pytest.mark.parametrize(
    "name", ["notes.txt", "Patient.ndjson", "QuestionnaireResponse.ndjson", "QuestionnaireResponse.000.ndjson"]
)
def test_a_foreign_folder_is_refused(tmp_path: Path, name: str) -> None:
    """A folder that holds something else, a real export above all, is left exactly as it was."""
    (tmp_path / name).write_text('{"resourceType": "Patient", "id": "real"}\n', encoding="utf-8")
    told = demo(tmp_path)
    assert (told.exit_code, told.stderr[:5]) == (10, "FA116")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    """An empty folder that is there already can be the demo's: the refusal of a foreign one asks for such."""
    told = demo(tmp_path)
    assert told.exit_code == 0, told.stderr
    assert (tmp_path / "Observation.fhir-alliance.ndjson").is_file()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    """Where a file has the folder's name, that is told and the file stays."""
    (tmp_path / "demo").write_text("mine", encoding="utf-8")
    told = demo(tmp_path / "demo")
    assert (told.exit_code, told.stderr[:5]) == (10, "FA116")
    assert (tmp_path / "demo").read_text(encoding="utf-8") == "mine"
