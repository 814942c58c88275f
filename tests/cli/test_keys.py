"""`fhir-alliance keys`: private where it is written, public where it is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import Result

Run: TypeAlias = Callable[..., Result]


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_new_and_published(run: Run, here: Path, algorithm: str) -> None:
    """A new key is readable by its owner alone; what is printed for the site holds only the public half."""
    done = run("keys", "new", "keys.json", "--algorithm", algorithm)
    assert (done.exit_code, done.stdout) == (0, "")
    assert (here / "keys.json").stat().st_mode & 0o777 == 0o600
    [private] = json.loads((here / "keys.json").read_text(encoding="utf-8"))["keys"]
    [public] = json.loads(run("keys", "jwks", "keys.json").stdout)["keys"]
    assert public["kid"] == private["kid"]
    assert public["alg"] == algorithm
    assert private["d"] not in json.dumps(public) + done.stderr


def test_a_key_is_never_overwritten(run: Run, here: Path) -> None:
    """A second `new` on the same file, or through a link, changes nothing."""
    (here / "link").symlink_to("elsewhere")
    assert run("keys", "new", "keys.json").exit_code == 0
    before = (here / "keys.json").read_bytes()
    for name in ("keys.json", "link"):
        done = run("keys", "new", name)
        assert (done.exit_code, done.stderr[:5]) == (10, "FA123")
    assert (here / "keys.json").read_bytes() == before
    assert not (here / "elsewhere").exists()


def test_rotation_in_three_steps(run: Run, here: Path) -> None:
    """Rotation adds a key that does not sign, lets it sign, and drops the old one; each step keeps the file private."""

    def published() -> list[str]:
        return [key["kid"] for key in json.loads(run("keys", "jwks", "keys.json").stdout)["keys"]]

    run("keys", "new", "keys.json")
    [first] = published()
    assert f"{first} signs" in run("keys", "rotate", "keys.json").stderr
    assert published()[0] == first
    _, second = published()
    assert f"{second} signs" in run("keys", "rotate", "keys.json", "--sign").stderr
    assert published() == [first, second]
    run("keys", "rotate", "keys.json", "--retire")
    assert published() == [second]
    assert (here / "keys.json").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in here.iterdir()) == ["keys.json"]


@pytest.mark.parametrize("command", [["jwks"], ["rotate"]])
def test_a_key_file_that_others_can_read(run: Run, here: Path, command: list[str]) -> None:
    """A key file that is open to others is refused."""
    run("keys", "new", "keys.json")
    (here / "keys.json").chmod(0o644)
    done = run("keys", *command, "keys.json")
    assert (done.exit_code, done.stderr[:5], done.stdout) == (10, "FA113", "")


def test_no_secret_on_the_command_line(run: Run, here: Path) -> None:
    """Row 165: no command takes a token, secret or password: other users of the machine can read the process list."""
    for word in ("--token", "--secret", "--password", "--client-secret"):
        assert run("sync", word, "x", "--store", "https://ehr.example/fhir").exit_code == 2
