"""The one way in which this program writes files: private, whole or not at all, and never through a link.

What is written may be about patients, so only its owner can read it (0600), whatever the umask says. Readers see the
old file or the new one. Until it is whole a file has no name, and goes with a run that is killed. Where the file system
has no files without a name (NFS, SMB), half of one stays beside the target, hidden.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Final

from fhir_alliance.errors import StopRun

BUFFER: Final = 1024 * 1024  # bytes; the usual 8 KiB would be a system call every few forms
# Bytes read at a time where each read takes new memory: larger blocks get theirs from the system, page by page, which
# took several times as long as the copying.
BLOCK: Final = 64 * 1024
_NO_NAMELESS: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)  # as open(2) says of O_TMPFILE


@contextmanager
def new_file(path: Path, *, is_passing: bool = False) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path` when all is written: readers see the old one or the new one.

    Only we can read it (0600). Nothing is written through a symbolic link.
    is_passing: it goes with this run, so the disk is not waited for.
    Raises StopRun FA111 (a link), FA124 (no such place).
    """
    if path.is_dir():
        raise StopRun("FA124", f"{path} is a folder.", "Name a file.")
    refuse_link(path)
    try:
        handle, temporary = _begun(path)
    except OSError as error:
        raise StopRun("FA124", f"{path} cannot be written ({error.strerror}).", "Choose another place.") from None
    try:
        with os.fdopen(handle, "wb", buffering=BUFFER) as out:
            yield out
            out.flush()
            if not is_passing:
                os.fsync(out.fileno())
            if not temporary:
                _name(out.fileno(), path)
        if temporary:
            os.replace(temporary, path)
    except BaseException:
        if temporary:
            os.unlink(temporary)
        raise


def _begun(path: Path) -> tuple[int, str]:
    """Return a new file beside a path and its name, "" where it has none yet; only we can read it."""
    try:
        handle = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except AttributeError:  # not Linux
        return tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
        return tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    if os.path.exists(_open_file(handle)):
        return handle, ""
    os.close(handle)  # without /proc it could never be given a name
    return tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)


def _name(handle: int, path: Path) -> None:
    """Give a whole file without a name the name that it is for.

    A name that is taken cannot be given in one step: between the two, the file stands by a hidden name of its own, and
    whole. Once it has lost a name, a file cannot be given another, so nobody takes the hidden name of somebody else's.
    """
    folder = os.open(path.parent, os.O_DIRECTORY)
    hidden = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with suppress(FileExistsError):
            os.link(_open_file(handle), path.name, dst_dir_fd=folder)
            return
        os.link(_open_file(handle), hidden.name, dst_dir_fd=folder)
        os.replace(hidden, path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    finally:
        os.close(folder)


def _open_file(handle: int) -> str:
    """Return the path at which an open file without a name can be reached, as open(2) shows for O_TMPFILE."""
    return f"/proc/self/fd/{handle}"


def replace_file(path: Path, lines: Iterable[bytes]) -> None:
    """Write lines to a file in one step."""
    with new_file(path) as out:
        for line in lines:
            out.write(line)
            out.write(b"\n")


def first_file(path: Path, content: bytes) -> None:
    """Write a file where none is; raises StopRun FA123 where one is, FA124 where none can be."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise StopRun("FA123", f"{path} is there already.", "Move it away first; it is never overwritten.") from None
    except OSError as error:
        raise StopRun("FA124", f"{path} cannot be written ({error.strerror}).", "Choose another place.") from None
    with os.fdopen(handle, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def file_to_add(path: Path) -> IO[bytes]:
    """Return a file, open to add to its end; it is made where there is none, and only we can read it (0600).

    Raises StopRun FA111 (a link), FA124 (no such place).
    """
    refuse_link(path)
    try:
        return os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600), "ab")
    except OSError as error:
        raise StopRun("FA124", f"{path} cannot be written ({error.strerror}).", "Choose another place.") from None


def new_folder(path: Path) -> Path:
    """Return a folder that only we can open (0700), made with what leads to it; one that is there stays as it is.

    Raises StopRun FA111 (a link), FA124 (no such place).
    """
    refuse_link(path)
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StopRun("FA124", f"{path} cannot be made ({error.strerror}).", "Choose another place.") from None
    return path


def nameless_database(schema: str) -> sqlite3.Connection:
    """Return an empty database with a schema, in a file without a name; it goes with this process, however it ends."""
    handle, path = tempfile.mkstemp(prefix="fhir-alliance-", suffix=".index")
    os.close(handle)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = OFF")
    os.unlink(path)  # the open file lives on; nothing is left behind
    database.executescript(f"PRAGMA synchronous = OFF; {schema}")
    return database


def refuse_link(path: Path) -> None:
    """Raise StopRun FA111 where a path is a symbolic link: it may lead to what others can read."""
    if path.is_symlink():
        raise StopRun("FA111", f"{path.name} is a symbolic link.", "Remove it; nothing is written through a link.")
