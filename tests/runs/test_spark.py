"""On Spark the program does what it does in one process: the same results, and the same words where it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner

from fhir_alliance.cli import program
from fhir_alliance.runs import score_spark
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.demo import demo
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.score import Desk, in_one_process, score_inputs
from fhir_alliance.runs.score_spark import on_spark
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.crew import Work
from fhir_alliance.stores.spark import spark_crew
from fhir_alliance.testing import response_json

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """The example clinic, scored."""
    demo(tmp_path / "clinic")
    return tmp_path / "clinic"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An export with all that a run meets: forms to score, to park, to withhold, unfinished; Bundles and odd lines."""
    folder = tmp_path / "export"
    folder.mkdir()
    forms = [response_json([n % 4] * 9, name=f"r{n}", subject=f"Patient/p{n % 7}") for n in range(60)]
    forms[7] |= {"status": "in-progress"}
    forms[8] |= {"status": "entered-in-error"}
    forms[9] |= {"questionnaire": "https://example.org/none"}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": form} for form in forms[10:12]]}
    lines = [json.dumps(form) for form in [*forms[:10], bundle, *forms[12:40]]]
    lost = json.dumps(
        bundle | {"entry": [{"resource": {**forms[13], "id": None, "authored": None}}, {"resource": {"id": "x"}}]}
    )
    lines[20:20] = ["", "{broken", "  ", lost, "\ufeff" + lines[20]]
    lines.append("{broken again")
    (folder / "QuestionnaireResponse.000.ndjson").write_text("\ufeff" + "\n".join(lines))
    (folder / "QuestionnaireResponse.001.ndjson").write_text("\n".join(map(json.dumps, forms[40:])) + "\n{broken\n")
    (folder / "more.json").write_text(json.dumps(bundle | {"entry": [{"resource": {**forms[0], "id": "more"}}]}))
    denied = {
        "resourceType": "Consent", "id": "c", "status": "active", "dateTime": "2026-01-01",
        "scope": {"coding": [{"code": "patient-privacy"}]}, "patient": {"reference": "Patient/p3"},
        "provision": {"type": "deny"},
    }  # fmt: skip
    (folder / "Consent.ndjson").write_text(json.dumps(denied))
    return folder


def told(summary: Summary) -> tuple[Any, ...]:
    """Return what the command line tells of a summary, and what it parks."""
    return summary.as_object(), summary.exit, [(p.reference, p.code, p.reason) for p in summary.parked]


def test_scores_are_the_same_on_spark(spark: Any, export: Path, tmp_path: Path) -> None:
    """Cut into slices of some forms, an export gives the same bytes, counts, parked records and exit status."""
    one, other = tmp_path / "one.ndjson", tmp_path / "other.ndjson"

    def scored(out: Path, engine: Any) -> Summary:
        return score_inputs([str(export)], load_catalog(), Policy(), NOW, out, lambda count: None, engine)

    alone, together = scored(one, in_one_process), scored(other, on_spark(other, size=15_000))
    assert told(together) == told(alone)
    assert (alone.withheld, alone.unfinished, alone.withdrawn, len(alone.parked)) == (9, 1, 1, 6)
    assert other.read_bytes() == one.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"export", "one.ndjson", "other.ndjson"}


@pytest.mark.parametrize("breaks", [False, True])
def test_parts_are_joined_while_others_are_made(export: Path, monkeypatch: pytest.MonkeyPatch, breaks: bool) -> None:
    """What is made of the first slice is written before the last is worked on; an error of a slice ends the run."""
    wrote = Event()

    def crew(pieces: Sequence[bytes], work: Work, shared: Any) -> Iterator[bytes]:
        for number, piece in enumerate(pieces):
            if number:
                assert wrote.wait(60)
                if breaks:
                    raise RuntimeError("lost")
            yield work(shared, number, piece)

    monkeypatch.setattr(score_spark, "spark_crew", lambda: crew)
    run = on_spark(None, size=15_000)
    desk = Desk(load_catalog(), Policy())
    with pytest.raises(RuntimeError, match="lost") if breaks else nullcontext():
        run([export], desk, {}, NOW, lambda block: wrote.set(), lambda count: None)


def test_the_command_scores_on_spark(spark: Any, export: Path) -> None:
    """`score --engine spark` prints what `score` prints, and ends with its status."""
    alone, together = (
        CliRunner().invoke(program, ["score", str(export), "--engine", engine]) for engine in ("local", "spark")
    )
    assert (together.exit_code, together.stdout_bytes) == (alone.exit_code, alone.stdout_bytes)
    assert together.stderr == alone.stderr


def test_a_report_is_the_same_on_spark(spark: Any, clinic: Path, tmp_path: Path) -> None:
    """`report run --engine spark` writes the same files to the byte, and prints the same."""
    words = ["report", "run", "outcome-by-mode", "--store", str(clinic), "--period", "2026-Q1", "--as", "supervisor"]
    done = [
        CliRunner().invoke(program, [*words, "--out", str(tmp_path / engine), "--engine", engine])
        for engine in ("local", "spark")
    ]
    assert [one.exit_code for one in done] == [0, 0], [one.output for one in done]
    alone, together = ({p.name: p.read_bytes() for p in (tmp_path / e).iterdir()} for e in ("local", "spark"))
    assert together == alone
    assert len(alone) == 7
    said = ["".join(one.output.split()) for one in done]  # it says where its files are, and wraps it
    assert said[1].replace("/spark", "/local") == said[0]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def quoting(shared: None, number: int, piece: bytes) -> bytes:
    """Fail as code does that quotes what it works on."""
    raise ValueError(piece.decode())


def test_what_fails_in_a_worker_quotes_no_record(spark: Any) -> None:
    """An error in a worker names its kind and the task, and nothing of what the task was about."""
    with pytest.raises(Exception, match="ValueError in task 0") as failed:
        spark_crew()([b"Anna Muster"], quoting, None)
    assert "Muster" not in str(failed.value)


@pytest.mark.parametrize(("lacks", "code"), [("pyspark", "FA731"), ("java", "FA732")])
def test_what_is_missing_is_said(tmp_path: Path, lacks: str, code: str) -> None:
    """Without the extra, or without Java, the command says what to install and ends with status 10."""
    (tmp_path / "r.json").write_text(json.dumps(response_json([1] * 9)))
    prelude = "import sys; sys.modules['pyspark'] = None; " if lacks == "pyspark" else ""
    script = f"{prelude}from fhir_alliance.cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAVA", "SPARK"))}
    environment["PATH"] = "/usr/bin:/bin" if lacks == "pyspark" else str(tmp_path)
    words = ["score", str(tmp_path / "r.json"), "--engine", "spark"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 10, done.stderr
    assert code in done.stderr
    assert done.stdout == ""
