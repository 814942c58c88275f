"""Tokens: read from a private file, shown to one server, told to nobody."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.auth import BearerFile
from fhir_alliance.stores.http import Http

Serve: TypeAlias = Callable[..., Any]  # see conftest.py

TOKEN = "t0p-s3cret"  # noqa: S105 - invented
OK = (200, {"resourceType": "Bundle"}, {})


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A token in a file that only we can read."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n", encoding="utf-8")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_token_from_a_private_file(serve: Serve, token: Path, mode: int) -> None:
    """A token is read without its newline from a file that only we can read."""
    token.chmod(mode)
    server = serve(OK)
    session = Http(server.base, BearerFile(token))
    session.get("Patient")
    session.close()
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601])
def test_a_token_that_others_can_read(token: Path, mode: int) -> None:
    """A secret file that is open to anybody else is refused."""
    token.chmod(mode)
    with pytest.raises(StopRun, match="FA113"):
        BearerFile(token)


@pytest.mark.parametrize("text", [b"", b"\n", b"two\nlines", b"\xff\xfe", "tök\u2028en".encode()])
def test_a_file_that_holds_no_token(token: Path, text: bytes) -> None:
    """A file that cannot be a token is a fault of the configuration, and what it holds is not told."""
    token.write_bytes(text)
    with pytest.raises(StopRun) as told:
        BearerFile(token)
    assert "two" not in str(told.value)


def test_no_token_file(tmp_path: Path) -> None:
    """A token file that is not there is a fault of the configuration."""
    with pytest.raises(StopRun, match="FA112"):
        BearerFile(tmp_path / "none")


@pytest.mark.parametrize("with_token", [True, False])
def test_the_environment_changes_nothing(
    serve: Serve, token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_token: bool
) -> None:
    """A proxy or a .netrc on the machine neither leads a request elsewhere nor replaces our token."""
    proxy, server = serve((500, {}, {})), serve(OK)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.base)
    for name in [name for name in os.environ if name.lower() == "no_proxy"]:
        monkeypatch.delenv(name)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    session = Http(server.base, BearerFile(token) if with_token else None)
    assert session.get("Patient").ok
    session.close()
    assert proxy.requests == []
    assert server.requests[0].headers.get("Authorization") == (f"Bearer {TOKEN}" if with_token else None)
