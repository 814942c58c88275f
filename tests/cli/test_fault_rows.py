"""Faults of what people write and of what is written, by number in the list of faults (docs/reference/faults.md)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import Result

from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Tree: TypeAlias = Callable[[], dict[str, bytes | None]]

SECRET = "t0p-s3cret"  # noqa: S105 - invented


@pytest.mark.parametrize("key", ["token", "secret", "client_secret", "password", "private_key", "key"])
@pytest.mark.parametrize("where", ["file", "environment"])
def test_row_164(run: Run, here: Path, tree: Tree, key: str, where: str) -> None:
    """Row 164: a secret in the configuration is refused before anything is done, and is not repeated."""
    (here / "clinic").mkdir()
    text = f'[auth]\nkind = "bearer"\n{key} = "{SECRET}"\n' if where == "file" else ""
    (here / "fhir-alliance.toml").write_text(text, encoding="utf-8")
    given = {f"FHIR_ALLIANCE_AUTH__{key.upper()}": SECRET} if where == "environment" else {}
    before = tree()
    done = run("sync", "--store", "clinic", **given)
    assert done.exit_code == 10
    assert SECRET not in done.output
    assert tree() == before


@pytest.mark.parametrize("name", ["../../x", "..", "CON", "nul.txt", "a" * 300, "/etc/x", "~root", "con\x00"])
def test_row_173(run: Run, clinic: Callable[..., Path], here: Path, tree: Tree, name: str) -> None:
    """Row 173: whatever a record calls itself, no file is named after it, and none stands outside its place."""
    folder = clinic(response_json([1] * 9, name=name), response_json([1] * 9, name="good"))
    for words in (
        ("score", folder, "--out", "scores.ndjson", "--parked", "parked.ndjson"),
        ("sync", "--store", folder),
        ("parked", "list", "--store", folder),
    ):
        assert run(*words).exit_code in (0, 20)
    assert (here / "scores.ndjson").read_bytes() != b""
    made = [Path(path) for path, content in tree().items() if content is not None]
    assert len(made) > 5
    for path in made:
        assert path.parts[0] in ("here", "state")
        assert name not in path.parts
        assert re.fullmatch(r"[A-Za-z]+([.-][a-z-]+)*", path.name), path
