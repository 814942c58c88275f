"""The audit file: private, only added to, whole, by one command at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from fhir_alliance.core import chain
from fhir_alliance.errors import AllianceError, RetryLater, StopRun
from fhir_alliance.stores import audit_file
from fhir_alliance.stores.audit_file import AuditFile


def opened(path: Path) -> AuditFile:
    """Return the file at a path."""
    return AuditFile(path, chain.link, chain.head_of, chain.START)


def test_lines_follow_one_another(tmp_path: Path) -> None:
    """What several commands add is one chain, private whatever the umask, its folder too."""
    path = tmp_path / "state" / "audit.ndjson"
    before = os.umask(0)
    try:
        opened(path).append([b'{"n":1}', b'{"n":2}'])
        opened(path).append([b'{"n":%d}' % n for n in range(3, 2000)])
        opened(path).append([b'{"n":"%b"}' % (b"x" * 200_000)])  # longer than a block of the tail
        opened(path).append([b"{}"])
        opened(path).append([])
    finally:
        os.umask(before)
    found = chain.verify(opened(path).lines())
    assert (found.lines, found.broken) == (2001, 0)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_several_at_once(tmp_path: Path) -> None:
    """Commands that add at the same time leave one unbroken chain with all of their lines."""
    path = tmp_path / "audit.ndjson"
    code = (
        "import sys; from pathlib import Path; from fhir_alliance.runs.audit import opened_file\n"
        "for n in range(20): opened_file(Path(sys.argv[1])).append([b'{}'])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    found = chain.verify(opened(path).lines())
    assert (found.lines, found.broken) == (60, 0)


@pytest.mark.parametrize(
    "content",
    [b'{"half', chain.link(chain.START, b"{}"), b"no line\n", b"\n"],
    ids=["torn", "without its end", "foreign", "empty line"],
)
def test_a_damaged_end_is_not_built_on(tmp_path: Path, content: bytes) -> None:
    """Where the last line is not whole, nothing is added and the file stays as it is for a person to look at."""
    path = tmp_path / "audit.ndjson"
    opened(path).append([b"{}"])
    whole = path.read_bytes()
    path.write_bytes(whole + content)
    with pytest.raises(StopRun, match="FA803"):
        opened(path).append([b"{}"])
    assert path.read_bytes() == whole + content


def test_a_link_is_refused(tmp_path: Path) -> None:
    """Nothing is added through a symbolic link."""
    (tmp_path / "audit.ndjson").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StopRun, match="FA111"):
        opened(tmp_path / "audit.ndjson").append([b"{}"])
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Who looked at whom is for nobody else to read."""
    path = tmp_path / "audit.ndjson"
    path.write_bytes(b"")
    path.chmod(0o640)
    with pytest.raises(StopRun, match="FA802"):
        opened(path).append([b"{}"])


def test_a_place_that_takes_no_file(tmp_path: Path) -> None:
    """Without a trail nothing is done: a place that cannot be written stops the command."""
    (tmp_path / "audit.ndjson").mkdir()
    with pytest.raises(AllianceError, match="FA804"):
        opened(tmp_path / "audit.ndjson").append([b"{}"])


def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another command holds the file, this one comes later."""
    monkeypatch.setattr(audit_file, "WAIT_S", 0)
    with FileLock(tmp_path / "audit.ndjson.lock"), pytest.raises(RetryLater, match="FA805"):
        opened(tmp_path / "audit.ndjson").append([b"{}"])
