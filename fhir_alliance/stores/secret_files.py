"""Secrets are named by the path of a file that nobody else can read, and never stand in the configuration."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from fhir_alliance.errors import StopRun

_ONE_LINE = re.compile(r"[\x21-\x7e]+")
LARGEST: Final = 64 * 1024  # bytes; a set of a dozen RSA-4096 keys is half of it


def read_private(path: Path) -> str:
    """Return the text of a file that only we can read.

    Raises StopRun FA112 (not there, or not plain text), FA113 (others can read or change it).
    """
    try:
        with path.open("rb") as file:  # mode and text of the same file, even if the path is swapped meanwhile
            found = os.fstat(file.fileno())
            text = file.read(LARGEST).decode("utf-8").strip()
    except OSError as error:
        raise StopRun("FA112", f"the secret file cannot be read ({error.strerror}).", "Check its path.") from None
    except UnicodeDecodeError:
        raise StopRun("FA112", "the secret file holds no secret.", "It takes one line of plain characters.") from None
    if not is_private(found.st_mode, found.st_uid, os.geteuid()):
        raise StopRun("FA113", "the secret file can be read by others.", "Run: chmod 600 on it.")
    return text


def is_private(mode: int, owner: int, reader: int) -> bool:
    """Return whether a file is a secret between its owner and us. owner, reader: user ids.

    Our own file is nobody else's to read. One of root's may come to us through its group, as Kubernetes (fsGroup makes
    0400 to 0440) and systemd (an access list shows as the group's bits) give secrets to a process that is not root.
    """
    is_handed_over = owner == 0 != reader
    return not stat.S_IMODE(mode) & (0o037 if is_handed_over else 0o077)


def read_secret(path: Path) -> str:
    """Return a token or password: one line of printable ASCII, as HTTP headers and forms take it.

    Raises StopRun FA112, FA113.
    """
    text = read_private(path)
    if _ONE_LINE.fullmatch(text) is None:
        raise StopRun("FA112", "the secret file holds no secret.", "It takes one line of plain characters.")
    return text
