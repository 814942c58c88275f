"""The one way in which this program writes files: private, whole or not at all, and never through a link.

What is written may be about patients, so only its owner can read it (0600), whatever the umask says. Readers see the
old file or the new one; a crash leaves no part of one.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from fhir_alliance.errors import StopRun

BUFFER: Final = 1024 * 1024  # bytes; the usual 8 KiB would be a system call every few forms


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
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise StopRun("FA124", f"{path} cannot be written ({error.strerror}).", "Choose another place.") from None
    try:
        with os.fdopen(handle, "wb", buffering=BUFFER) as out:
            yield out
            out.flush()
            if not is_passing:
                os.fsync(out.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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
