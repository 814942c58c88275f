"""`rescore` and `sync --explain` at the command line: what people and machines are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from click.testing import Result

from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]


def test_a_story_is_told_on_stdout(run: Run, clinic: Clinic) -> None:
    """`sync --explain` tells one client's changes as data, by reference or id, and with --json as an object."""
    folder = str(clinic(response_json([1] * 8 + [0], name="good")))
    for client in ("Patient/p1", "p1"):
        told = run("sync", "--store", folder, "--dry-run", "--explain", client)
        assert "PHQ-9 total\n      is:  8 (mild)\n      why: a new form" in told.stdout
    [first, *_] = json.loads(run("sync", "--store", folder, "--explain", "p1", "--json").stdout)["story"]
    assert (first["subject"], first["what"]) == ("Patient/p1", "PHQ-9 total")
    assert (first["was"], first["now"]) == ("", "8 (mild)")
    assert "Nothing changed." in run("sync", "--store", folder, "--explain", "p1").stdout


def test_scoring_again_needs_a_reason(run: Run, clinic: Clinic) -> None:
    """Without a reason nothing is scored again: it will stand in the record."""
    folder = str(clinic(response_json([1] * 8 + [0], name="good")))
    assert run("rescore", "--store", folder).exit_code == 2
    assert run("rescore", "--store", folder, "--reason", " ").exit_code == 2


def test_scoring_again_what_comes_out_the_same_changes_nothing(run: Run, clinic: Clinic) -> None:
    """With the same instruments, scoring again says that nothing changes, and writes nothing."""
    folder = clinic(response_json([1] * 8 + [0], name="good"))
    run("sync", "--store", str(folder))
    before = (folder / "Observation.fhir-alliance.ndjson").read_bytes()
    told = run("rescore", "--store", str(folder), "--reason", "A test.", "--dry-run")
    assert "Nothing changes." in told.stdout
    counts = json.loads(run("rescore", "--store", str(folder), "--reason", "A test.", "--json").stdout)
    assert (counts["read"], counts["updated"], counts["moves"]) == (1, {}, [])
    assert (folder / "Observation.fhir-alliance.ndjson").read_bytes() == before
