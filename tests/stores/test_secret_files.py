"""Secrets in files: whose they may be, and who else may read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.secret_files import is_private, read_secret

US, SOMEBODY = 10001, 10002


@pytest.mark.parametrize(
    ("mode", "owner", "reader", "private"),
    [
        (0o600, US, US, True),
        (0o400, US, US, True),
        (0o440, US, US, False),
        (0o440, 0, US, True),  # Kubernetes with fsGroup; systemd with an access list
        (0o640, 0, US, True),
        (0o660, 0, US, False),
        (0o444, 0, US, False),
        (0o441, 0, US, False),
        (0o440, SOMEBODY, US, False),
        (0o440, 0, 0, False),
        (0o400, 0, 0, True),
    ],
)
def test_who_may_read_a_secret(mode: int, owner: int, reader: int, private: bool) -> None:
    """Nobody but us reads our own file; a group may read, not change, one that root hands to us."""
    assert is_private(0o100000 | mode, owner, reader) is private


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that root owns")
def test_a_secret_as_kubernetes_mounts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of root's with mode 0440, behind a link, is read by who is not root."""
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "token"
    file.write_text("abc", encoding="utf-8")
    file.chmod(0o440)
    (tmp_path / "token").symlink_to(file)
    with pytest.raises(StopRun, match="FA113"):
        read_secret(tmp_path / "token")
    monkeypatch.setattr(os, "geteuid", lambda: US)
    assert read_secret(tmp_path / "token") == "abc"
