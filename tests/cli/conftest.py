"""A command line in an empty folder of its own, and a small clinic to run it on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fhir_alliance.cli import program
from fhir_alliance.testing import response_json


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; nothing of the machine's own configuration or state is seen or touched."""
    for name in [name for name in os.environ if name.startswith("FHIR_ALLIANCE_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return folder


@pytest.fixture
def run(here: Path) -> Callable[..., Result]:
    """A function that runs the program with words, and stdin where given; what it does not catch, it raises."""

    def run(*words: object, stdin: str | bytes | None = None, **environment: str) -> Result:
        return CliRunner().invoke(
            program, [str(word) for word in words], input=stdin, env=environment, prog_name="fhir-alliance",
            catch_exceptions=False,
        )  # fmt: skip

    return run


@pytest.fixture
def clinic(here: Path) -> Callable[..., Path]:
    """A function that makes a folder `clinic` with these resources, or with two good forms of one client."""

    def clinic(*resources: dict[str, Any]) -> Path:
        folder = here / "clinic"
        folder.mkdir()
        by_type: dict[str, list[str]] = {"Patient": [json.dumps({"resourceType": "Patient", "id": "p1"})]}
        for resource in resources or (
            response_json([1] * 8 + [0], name="a1"),
            response_json([3] * 8 + [1], name="a2", authored="2026-01-12T10:00:00+01:00"),
        ):
            by_type.setdefault(resource["resourceType"], []).append(json.dumps(resource))
        for kind, lines in by_type.items():
            (folder / f"{kind}.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    return clinic


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[], dict[str, bytes | None]]:
    """A function that returns all that stands on disk, by path: the bytes of files, None for folders."""

    def tree() -> dict[str, bytes | None]:
        return {
            str(path.relative_to(tmp_path)): path.read_bytes() if path.is_file() else None
            for path in sorted(tmp_path.rglob("*"))
        }

    return tree


@pytest.fixture
def statement() -> dict[str, Any]:
    """What a server says of itself that takes Observations, Tasks and messages, in transactions."""
    return {
        "resourceType": "CapabilityStatement",
        "rest": [
            {
                "interaction": [{"code": "transaction"}],
                "resource": [
                    {
                        "type": kind,
                        "interaction": [{"code": code} for code in ("create", "update", "search-type")],
                        "conditionalCreate": True,
                    }
                    for kind in ("Observation", "Task", "Communication")
                ],
            }
        ],
    }
