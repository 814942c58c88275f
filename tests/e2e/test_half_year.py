"""The larger invented clinic of `make reports`: small here, but with all that its reports rest on."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path

from click.testing import CliRunner

from fhir_alliance.cli import program

EXAMPLE = Path(__file__).parents[2] / "examples" / "half_year.py"


def test_the_clinic_of_the_reports_has_decisions_to_show(tmp_path: Path) -> None:
    """Two months of twelve clients: forms are scored, reviews done, and decisions on goals stand in the evidence."""
    clinic, out = tmp_path / "clinic", tmp_path / "out"
    runpy.run_path(str(EXAMPLE))["half_year"](clinic, clients=12, months=2)
    words = ["report", "accreditation", "--store", str(clinic), "--period", "2026-01-01/2026-02-28", "--out", str(out)]
    done = CliRunner().invoke(program, [*words, "--json"])
    assert done.exit_code == 0, done.output
    counts = json.loads(done.stdout)["counts"]
    assert counts["of all reviews, with a decision on the goal (EP 2)"] >= 5
    rows = list(csv.DictReader((out / "accreditation.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert {row["decision"] for row in rows if row["goal"]} >= {"goal-kept"}
    assert all(row["score"].startswith("Observation/") for row in rows)
