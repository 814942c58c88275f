"""What the commands promise: their words, their files, and what goes to stdout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import click
import pytest
from click.testing import Result

from fhir_alliance.cli import program
from fhir_alliance.config import Config, IntakeSection, load_config
from fhir_alliance.fhir.identifiers import SCORE_FORM
from fhir_alliance.runs.catalog import load_catalog, shipped
from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]
Tree: TypeAlias = Callable[[], dict[str, bytes | None]]

PROMISED = {"read", "scored", "unscorable", "withheld", "parked", "unknown", "created", "updated", "unchanged"}
# beside the nine; whoever adds another decides it here too
MORE = {"unfinished", "withdrawn", "deceased", "safety", "safety_reviews"}
OF_PUBLISH = {"retired"}
MAPS = {"created", "updated", "unchanged"}
GOOD = response_json([1] * 9, name="good")


def commands(group: click.Group = program, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of the program, of every group and of every command."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def test_the_commands_are_there() -> None:
    """The commands that the contract names can be called."""
    assert {
        ("demo",), ("init",), ("publish",), ("score",), ("sync",),
        ("instruments", "list"), ("instruments", "show"), ("instruments", "check"),
    } <= set(commands())  # fmt: skip


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_shows_an_example(run: Run, words: tuple[str, ...]) -> None:
    """Every command explains itself, with an example that calls it."""
    told = run(*words, "--help")
    assert told.exit_code == 0
    assert f"Usage: {' '.join(('fhir-alliance', *words))}" in told.stdout
    _, _, examples = told.stdout.partition("Example:\n")
    assert any(line.strip().startswith(" ".join(("fhir-alliance", *words))) for line in examples.splitlines())


@pytest.mark.parametrize(
    ("words", "has"),
    [
        ("publish", {"--store", "--dry-run", "--json"}),
        ("sync", {"--store", "--dry-run", "--json"}),
        ("score", {"--out", "--parked", "--json"}),
        ("instruments list", {"--json"}),
        ("instruments show", {"--fhir"}),
    ],
)
def test_options(words: str, has: set[str]) -> None:
    """The options that the contract names are there."""
    command: click.Command = program
    for word in words.split():
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert has <= {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize(
    "words", ["score clinic --out o", "publish --store clinic", "sync --store clinic", "sync --store clinic --dry-run"]
)
def test_json_counts(run: Run, clinic: Clinic, words: str) -> None:
    """--json prints one object with exactly the promised counts: numbers, and maps from type to number."""
    clinic()
    done = run(*words.split(), "--json")
    counts = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert set(counts) - {"dry_run"} == PROMISED | MORE | (OF_PUBLISH if "publish" in words else set())
    assert ("dry_run" in counts) == ("--dry-run" in words)
    assert {name for name in PROMISED if isinstance(counts[name], dict)} == MAPS
    numbers = [counts[name] for name in PROMISED - MAPS] + [n for name in MAPS for n in counts[name].values()]
    assert {type(number) for number in numbers} == {int}
    if words.startswith("sync"):
        assert (counts["read"], counts["scored"]) == (2, 2)
        assert counts["created"] == {"Observation": 4, "Provenance": 2, "Task": 2}


def test_sync_writes_beside_and_changes_no_input(run: Run, clinic: Clinic) -> None:
    """Derived resources stand in TYPE.fhir-alliance.ndjson, once each; inputs keep their bytes, run after run."""
    folder = clinic()
    (folder / "more.json").write_text(
        json.dumps({"resourceType": "Bundle", "entry": [{"resource": GOOD}]}, indent=1), encoding="utf-8"
    )
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run("sync", "--store", folder).exit_code == 0
    derived = {path.name: path.read_bytes() for path in folder.glob("*.fhir-alliance.ndjson")}
    assert set(derived) == {f"{kind}.fhir-alliance.ndjson" for kind in ("Observation", "Provenance", "Task")}
    for text in derived.values():
        keys = [json.loads(line)["id"] for line in text.splitlines()]
        assert len(keys) == len(set(keys)) > 0
    again = run("sync", "--store", folder)
    assert "Nothing changed." in again.stderr
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {name: after[name] for name in before | derived} == before | derived


@pytest.mark.parametrize("command", ["publish", "sync"])
@pytest.mark.parametrize("name", ["clinic", "clinic #1? 100%20"])
@pytest.mark.parametrize("earlier", ["never run", "run before"])
def test_a_dry_run_writes_nothing_at_all(
    run: Run, clinic: Clinic, tree: Tree, command: str, name: str, earlier: str
) -> None:
    """--dry-run shows the difference and leaves every file and folder as it was, also after a real run."""
    folder = clinic().rename(name)
    if earlier == "run before":
        assert run(command, "--store", folder).exit_code == 0
    before = tree()
    done = run(command, "--store", folder, "--dry-run", "--json")
    assert done.exit_code == 0
    assert tree() == before
    assert bool(json.loads(done.stdout)["created"]) == (earlier == "never run")
    assert "dry run: nothing was written" in done.stderr
    assert ("create" in done.stderr) == (earlier == "never run")


def test_the_store_comes_from_flag_environment_or_file(run: Run, clinic: Clinic, here: Path) -> None:
    """A flag wins over FHIR_ALLIANCE_STORE, which wins over [store] location."""
    clinic()
    file, environment = here / "from-file", here / "from-environment"
    for place in (file, environment):
        place.mkdir()
    (here / "fhir-alliance.toml").write_text(f'[store]\nlocation = "{file.name}"\n', encoding="utf-8")
    assert json.loads(run("sync", "--json").stdout)["read"] == 0
    assert (file / "parked.ndjson").exists()
    run("sync", FHIR_ALLIANCE_STORE=environment.name)
    assert (environment / "parked.ndjson").exists()
    told = run("sync", "--json", "--store", "clinic", FHIR_ALLIANCE_STORE=environment.name)
    assert json.loads(told.stdout)["read"] == 2


def test_publish_puts_every_instrument(run: Run, clinic: Clinic) -> None:
    """`publish` puts each instrument's Questionnaire, the score sheet, and all they refer to, beside the record."""
    folder = clinic()
    counts = json.loads(run("publish", "--store", folder, "--json").stdout)
    assert set(counts["created"]) >= {"Questionnaire", "CodeSystem", "ValueSet", "StructureDefinition"}
    lines = (folder / "Questionnaire.fhir-alliance.ndjson").read_text(encoding="utf-8").splitlines()
    instruments = {i.url for i in load_catalog().instruments.values()}
    assert {json.loads(line)["url"] for line in lines} == instruments | {SCORE_FORM.partition("|")[0]}


def test_instruments_list_and_show(run: Run) -> None:
    """The list holds every instrument under the plural noun, and each of them can be shown, also as FHIR."""
    listed = json.loads(run("instruments", "list", "--json").stdout)
    assert set(listed) == {"instruments"}
    assert {row["id"]: row["title"] for row in listed["instruments"]} == {
        name: instrument.title for name, instrument in load_catalog().instruments.items()
    }
    told = run("instruments", "list").stdout
    for row in listed["instruments"]:
        assert row["id"] in told
        assert row["url"] in run("instruments", "show", row["id"]).stdout
        questionnaire = json.loads(run("instruments", "show", row["id"], "--fhir").stdout)
        assert (questionnaire["resourceType"], questionnaire["url"]) == ("Questionnaire", row["url"])


@pytest.mark.parametrize("place", ["gad-7", "gad-7/questionnaire.json"], ids=["folder", "file"])
def test_instruments_check_agrees(run: Run, place: str) -> None:
    """`instruments check` takes an instrument's folder or file and finds nothing wrong with one that ships."""
    done = run("instruments", "check", shipped("questionnaires") / place)
    assert done.exit_code == 0
    assert "all agree" in done.stdout


def test_instruments_check_finds_what_is_wrong(run: Run, here: Path) -> None:
    """An instrument with a band that leaves a gap ends with status 10 and the place of the fault."""
    for file in (shipped("questionnaires") / "gad-7").iterdir():
        text = file.read_text(encoding="utf-8")
        (here / file.name).write_text(text.replace("high = 9", "high = 8"), encoding="utf-8")
    done = run("instruments", "check", here, "--json")
    assert done.exit_code == 10
    assert json.loads(done.stdout)["problems"]


def test_init_writes_every_key_once(run: Run, here: Path) -> None:
    """`init` writes a file that says the defaults, explains every key, and is never overwritten."""
    assert run("init").exit_code == 0
    file = here / "fhir-alliance.toml"
    assert load_config(file, {}) == Config()
    section, found = "", set()
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            found.add(tuple(section.split(".")))
        elif " = " in line:
            found.add((section, line.removeprefix("# ").partition(" = ")[0]))
        elif line.startswith("# [["):
            found.add(tuple(line.strip("# []").split(".")))
    for name, field in Config.model_fields.items():
        assert {(name, key) for key in type(field.default).model_fields} <= found
    assert {("consent.intake", key) for key in IntakeSection.model_fields} <= found
    file.write_text("mine", encoding="utf-8")
    assert run("init").exit_code == 10
    assert file.read_text(encoding="utf-8") == "mine"
