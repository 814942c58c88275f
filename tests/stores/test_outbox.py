"""The outbox: private, whole or not at all, and nothing leaves it but what was delivered."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.outbox import FILE, Outbox


def line(key: str, said: str = "") -> bytes:
    """Return an entry."""
    return json.dumps({"key": key, "said": said}).encode()


def test_it_keeps_and_forgets(tmp_path: Path) -> None:
    """What is kept waits in its order, the first word on it stands, and only what is named is forgotten."""
    outbox = Outbox(tmp_path)
    assert outbox.waiting() == {}
    outbox.keep({"a": line("a", "first"), "b": line("b")})
    outbox.keep({"a": line("a", "second"), "c": line("c")})
    assert outbox.waiting() == {"a": line("a", "first"), "b": line("b"), "c": line("c")}
    outbox.remove({"b", "nobody"})
    assert set(Outbox(tmp_path).waiting()) == {"a", "c"}


def test_only_we_can_read_it_and_nothing_else_is_left(tmp_path: Path) -> None:
    """The file is private whatever the umask says, and no part of an earlier one lies beside it."""
    before = os.umask(0)
    try:
        Outbox(tmp_path).keep({"a": line("a")})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    """Keeping what waits already, or forgetting what does not, leaves the file as it is."""
    outbox = Outbox(tmp_path)
    outbox.remove({"a"})
    outbox.keep({})
    assert not (tmp_path / FILE).exists()
    outbox.keep({"a": line("a")})
    before = (tmp_path / FILE).stat()
    outbox.keep({"a": line("a")})
    outbox.remove({"b"})
    after = (tmp_path / FILE).stat()  # without the time of reading, which a machine may keep
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("content", [b"{", b"[]\n", b'{"no": "key"}\n', b"\xff\n"])
def test_a_damaged_one_stops_and_stays(tmp_path: Path, content: bytes) -> None:
    """What cannot be read is neither taken for empty nor written over."""
    (tmp_path / FILE).write_bytes(content)
    outbox = Outbox(tmp_path)
    for use in (outbox.waiting, lambda: outbox.keep({"a": line("a")}), lambda: outbox.remove({"a"})):
        with pytest.raises(StopRun, match="FA510"):
            use()
    assert (tmp_path / FILE).read_bytes() == content


def test_a_link_is_refused(tmp_path: Path) -> None:
    """An outbox that leads elsewhere is neither read nor written."""
    (tmp_path / "elsewhere").write_bytes(line("a"))
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StopRun, match="FA111"):
        Outbox(tmp_path).waiting()


def test_a_rehearsal_writes_nothing(tmp_path: Path) -> None:
    """A dry run's outbox shows what waits and stays as it is."""
    Outbox(tmp_path).keep({"a": line("a")})
    journal = Journal.rehearsal(tmp_path)
    journal.outbox.keep({"b": line("b")})
    journal.outbox.remove({"a"})
    assert set(journal.outbox.waiting()) == {"a"}
    journal.close()
