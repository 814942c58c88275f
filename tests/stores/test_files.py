"""Files that this program writes: private, whole or not at all, and never through a link."""

from __future__ import annotations

import ast
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.files import first_file, new_folder, replace_file

PACKAGE = Path(__file__).parents[2] / "fhir_alliance"
# what opens files for writing in its own way, and why
OWN_WAY = {
    "stores/files.py": "the one way",
    "stores/journal.py": "SQLite, 0600",
    "stores/folder.py": "an index without a name",
    "stores/folder_people.py": "an index without a name",
    "stores/audit_file.py": "grows at its end",
    "runs/score.py": "stdin, spooled into a folder of its own (0700) that goes with the run",
    "runs/package.py": "an archive in memory",
    "runs/demo.py": "copies the bundled clinic, which is made up",
}


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    """Readers see the old file until all of the new one is written; only we can read it, whatever the umask."""
    file = tmp_path / "out.ndjson"
    file.write_text("old", encoding="utf-8")
    file.chmod(0o644)
    seen = []

    def lines() -> Iterator[bytes]:
        yield b"new"
        seen.append(file.read_text(encoding="utf-8"))
        yield b"newer"

    before = os.umask(0)
    try:
        replace_file(file, lines())
    finally:
        os.umask(before)
    assert seen == ["old"]
    assert file.read_bytes() == b"new\nnewer\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    """Where writing breaks off, the old file stands as it was and no part of the new one is left."""
    file = tmp_path / "out.ndjson"
    file.write_text("old", encoding="utf-8")

    def lines() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(file, lines())
    assert file.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("place", ["none/out", "folder"])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    """A place that takes no file is a matter of configuration, and nothing is left beside it."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(StopRun, match="FA124"):
        replace_file(tmp_path / place, [b"x"])
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_first_file_replaces_none(tmp_path: Path) -> None:
    """A file that must be new is private from its first byte, and one that is there stays as it is."""
    before = os.umask(0)
    try:
        first_file(tmp_path / "new", b"mine")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    with pytest.raises(StopRun, match="FA123"):
        first_file(tmp_path / "new", b"yours")
    assert (tmp_path / "new").read_bytes() == b"mine"


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_first_file_follows_no_link(tmp_path: Path, there: bool) -> None:
    """Where the name is a symbolic link, nothing is made or changed behind it."""
    target = tmp_path / "elsewhere"
    if there:
        target.write_text("mine", encoding="utf-8")
    (tmp_path / "new").symlink_to(target)
    with pytest.raises(StopRun, match=r"FA12[34]"):
        first_file(tmp_path / "new", b"yours")
    assert (target.read_text(encoding="utf-8") if target.exists() else "") == ("mine" if there else "")


def test_a_folder_is_private(tmp_path: Path) -> None:
    """A folder for what is about people can be opened by its owner only; a link to one is refused."""
    made = new_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(made)
    with pytest.raises(StopRun, match="FA111"):
        new_folder(tmp_path / "link")


def writes_in_its_own_way(source: str) -> bool:
    """Return whether a module opens a file for writing by itself."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("write_text", "write_bytes", "mkstemp", "NamedTemporaryFile", "copyfile", "fdopen"):
            return True
        modes = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        if name == "open" and any(isinstance(m, str) and set(m) & set("wax+") and len(m) <= 3 for m in modes):
            return True
    return False


def test_all_files_are_written_in_one_way() -> None:
    """No module opens a file for writing by itself, but for those that say why."""
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if writes_in_its_own_way(path.read_text(encoding="utf-8"))
    }
    assert found <= set(OWN_WAY), "use stores/files.py"
    assert writes_in_its_own_way("open('x', 'w')")
    assert writes_in_its_own_way("p.write_text('x')")


KILLED = """
import errno, json, os, signal, sys
from pathlib import Path
from fhir_alliance.stores import files

files.BUFFER = BUFFER = 4096  # so that parts are written before the end

folder, is_there, can = Path(sys.argv[1]), sys.argv[2] == "there", sys.argv[3] == "nameless"
out, really_open = folder / "out", os.open

def opened(path, flags, *rest, **named):
    if not can and flags & os.O_TMPFILE == os.O_TMPFILE:
        raise OSError(errno.EOPNOTSUPP, "as on NFS")
    return really_open(path, flags, *rest, **named)

def die_before(step):
    left = [step]
    def counted(function):
        def stepped(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)
        return stepped
    for name in ("open", "fsync", "link", "replace", "unlink", "close"):
        setattr(os, name, counted(getattr(os, name)))
    return counted(lambda line: line)

def write(step):
    child = os.fork()
    if child == 0:
        os.open = opened
        line = die_before(step)
        files.replace_file(out, (line(b"new" * BUFFER) for _ in range(3)))
        os._exit(0)
    return os.waitpid(child, 0)[1]

def stands():
    return "" if not out.exists() else "old" if out.read_bytes() == b"old" else "new" * (out.stat().st_size == whole)

whole, step = 3 * (3 * BUFFER + 1), 0
while True:
    step += 1
    for path in folder.iterdir():
        path.unlink()
    if is_there:
        out.write_bytes(b"old")
    died = os.WIFSIGNALED(write(step))
    after, beside = stands(), sorted(path.name for path in folder.iterdir() if path != out)
    write(0)
    again = sorted(path.name for path in folder.iterdir())
    print(json.dumps([died, after, beside, stands(), again]))
    if not died:
        break
"""


@pytest.mark.parametrize("there", ["there", "none"])
@pytest.mark.parametrize("can", ["nameless", "named"])
def test_a_killed_run_leaves_nothing(tmp_path: Path, there: str, can: str) -> None:
    """Killed (SIGKILL) at every step, a run leaves the old file or the new one, and no part of either.

    Between the two steps in which it takes the place of another, a whole file stands by a hidden name. Only where the
    file system has no files without a name, half of one can be left.
    """
    words = [sys.executable, "-c", KILLED, str(tmp_path), there, can]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    runs = [json.loads(line) for line in told.stdout.splitlines()]
    assert [died for died, *_ in runs] == [True] * (len(runs) - 1) + [False]
    assert len(runs) > 5
    between = 0
    for _, after, beside, then, again in runs:
        assert after in ("old" if there == "there" else "", "new")
        assert then == "new"
        if can == "nameless":
            between += beside != []
            assert again == [*beside, "out"]
            assert len(beside) <= 1
    assert between == (1 if (there, can) == ("there", "nameless") else 0)
