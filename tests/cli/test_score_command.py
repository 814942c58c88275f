"""The `score` command: every way in, and what comes out where."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import Result

from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]

GOOD = response_json([1] * 9, name="good")
BAD = response_json([1] * 9, name="bad", questionnaire="https://example.org/Questionnaire/none", item=[])


def ndjson(*resources: dict[str, Any]) -> str:
    """Return resources, one a line."""
    return "".join(json.dumps(resource) + "\n" for resource in resources)


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    """Return a collection."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}


def forms_of(lines: str) -> set[str]:
    """Return the forms whose scores these lines of NDJSON are; every line has to be an Observation."""
    observations = [json.loads(line) for line in lines.splitlines()]
    assert {observation["resourceType"] for observation in observations} == {"Observation"}
    return {observation["derivedFrom"][0]["reference"].split("/")[1] for observation in observations}


@pytest.mark.parametrize("indent", [None, 2], ids=["one line", "many lines"])
@pytest.mark.parametrize("way", ["ndjson", "json", "folder", "bundle", "stdin", "stdin bundle"])
def test_ways_in(run: Run, here: Path, way: str, indent: int | None) -> None:
    """A form is scored the same from a file, a folder, a Bundle with other resources, and stdin."""
    patient = {"resourceType": "Patient", "id": "p1"}
    text = json.dumps(bundle(patient, GOOD) if "bundle" in way else GOOD, indent=indent)
    stdin = text if "stdin" in way else None
    place = {"folder": "in/QuestionnaireResponse.ndjson", "ndjson": "r.ndjson"}.get(way, "r.json")
    (here / "in").mkdir()
    (here / place).write_text(json.dumps(GOOD) if place.endswith(".ndjson") else text, encoding="utf-8")
    done = run("score", "-" if stdin else "in" if way == "folder" else place, stdin=stdin)
    assert done.exit_code == 0, done.stderr
    assert forms_of(done.stdout) == {"good"}


@pytest.mark.parametrize("place", ["-", "bundles.ndjson", "Bundle.ndjson"])
def test_bundles_line_by_line(run: Run, here: Path, place: str) -> None:
    """Lines that are Bundles are unpacked, or at least told: forms never vanish without a word."""
    text = ndjson(*(bundle(response_json([1] * 9, name=name)) for name in ("one", "two")))
    (here / place.replace("-", "unused")).write_text(text, encoding="utf-8")
    done = run("score", place, stdin=text if place == "-" else None)
    assert done.exit_code == 20 or forms_of(done.stdout) == {"one", "two"}


def test_ways_in_mixed(run: Run, here: Path) -> None:
    """A folder, a Bundle, a file and stdin in one call are all scored."""
    (here / "in").mkdir()
    names = ("one", "two", "three", "four")
    one, two, three, four = (response_json([1] * 9, name=name) for name in names)
    (here / "in" / "QuestionnaireResponse.000.ndjson").write_text(ndjson(one), encoding="utf-8")
    (here / "bundle.json").write_text(json.dumps(bundle(two)), encoding="utf-8")
    (here / "file.ndjson").write_text(ndjson(three), encoding="utf-8")
    done = run("score", "in", "-", "bundle.json", "file.ndjson", stdin=ndjson(four))
    assert done.exit_code == 0
    assert forms_of(done.stdout) == set(names)


def test_out_takes_what_would_go_to_stdout(run: Run, clinic: Clinic, here: Path) -> None:
    """--out holds the same bytes as stdout would, for our eyes only, and stdout stays empty."""
    folder = clinic()
    piped = run("score", folder)
    done = run("score", folder, "--out", "scores.ndjson")
    assert done.stdout == ""
    assert (here / "scores.ndjson").read_bytes() == piped.stdout_bytes
    assert stat.S_IMODE((here / "scores.ndjson").stat().st_mode) == 0o600
    assert "2 forms read" in done.stderr


def test_parked_file(run: Run, here: Path) -> None:
    """--parked holds reference, code and reason of each parked record; one without an id is named by its line."""
    (here / "r.ndjson").write_text(ndjson(BAD, GOOD) + "{broken\n", encoding="utf-8")
    done = run("score", "r.ndjson", "--parked", "parked.ndjson")
    assert done.exit_code == 20
    parked = [json.loads(line) for line in (here / "parked.ndjson").read_text(encoding="utf-8").splitlines()]
    assert [set(record) for record in parked] == [{"reference", "code", "reason"}] * 2
    assert [(record["reference"], record["code"]) for record in parked] == [
        ("QuestionnaireResponse/bad", "FA208"),
        ("r.ndjson:3", "FA201"),
    ]
    assert forms_of(done.stdout) == {"good"}


def test_json_and_observations_do_not_share_stdout(run: Run, clinic: Clinic) -> None:
    """`score --json` without --out is a usage error: stdout would carry two kinds of data."""
    done = run("score", clinic(), "--json")
    assert done.exit_code == 2
    assert done.stdout == ""


@pytest.mark.parametrize("option", ["--out", "--parked"])
def test_an_input_is_never_overwritten(run: Run, here: Path, option: str) -> None:
    """An output that names an input file is refused; the clinic's record stays as it was."""
    (here / "r.ndjson").write_text(ndjson(GOOD), encoding="utf-8")
    done = run("score", "r.ndjson", option, "./r.ndjson")
    assert (here / "r.ndjson").read_text(encoding="utf-8") == ndjson(GOOD)
    assert done.exit_code in (2, 10)


def test_scores_and_parked_do_not_share_a_file(run: Run, here: Path) -> None:
    """One file for both would lose the scores, so it is refused."""
    (here / "r.ndjson").write_text(ndjson(GOOD, BAD), encoding="utf-8")
    assert run("score", "r.ndjson", "--out", "same", "--parked", "./same").exit_code in (2, 10)
    assert not (here / "same").exists()


def test_a_reader_that_has_gone_is_no_error(clinic: Clinic) -> None:
    """`fhir-alliance score ... | head -1` ends quietly."""
    many = [response_json([1] * 9, name=f"r{n}") for n in range(200)]  # more than a pipe holds
    words = [sys.executable, "-m", "fhir_alliance", "score", str(clinic(*many))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() == 0
