"""Lines that seal one another: each holds the hash of the line before, so that none can be changed or taken out.

What the chain cannot tell by itself is that lines at its end are gone. Whoever keeps the last hash elsewhere (printed,
or sent away each night) can tell that too, by giving it to `verify`.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

START: Final = "0" * 64  # what the first line names as the one before


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    previous: str
    hash: str
    event: msgspec.Raw


class Verified(msgspec.Struct, frozen=True):
    """How far a chain holds. head: the last good hash.  broken: the first bad line's number, 0 where all hold."""

    lines: int
    head: str
    broken: int = 0
    why: str = ""


def link(previous: str, event: bytes) -> bytes:
    """Return the line that holds an event (JSON without line ends) and seals what came before."""
    return b'{"previous":"%b","hash":"%b","event":%b}' % (previous.encode(), _seal(previous, event).encode(), event)


def head_of(line: bytes) -> str:
    """Return the hash of a line; raises ValueError where it is not one of a chain."""
    try:
        return msgspec.json.decode(line, type=_Line).hash
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("not a line of the chain") from None


def event_of(line: bytes) -> bytes:
    """Return the event in a line, as it was given; raises ValueError where it is not one of a chain."""
    try:
        return bytes(msgspec.json.decode(line, type=_Line).event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("not a line of the chain") from None


def verify(lines: Iterable[bytes], head: str = "") -> Verified:
    """Return how far a chain holds.

    lines: without line ends.  head: a hash that was kept elsewhere; it must be that of some line, or else lines at the
    end are gone.
    """
    previous, count, found = START, 0, not head or head == START
    for number, line in enumerate(lines, start=1):
        try:
            event = event_of(line)
        except ValueError:
            return Verified(count, previous, number, "is not a line of the chain")
        if line != link(previous, event):  # byte by byte: nothing can hide beside what is sealed
            return Verified(count, previous, number, "does not follow from the line before, or was changed")
        previous, count = head_of(line), number
        found = found or previous == head
    if not found:
        return Verified(count, previous, count + 1, "is missing: the hash that was kept is not in the chain")
    return Verified(count, previous)


def _seal(previous: str, event: bytes) -> str:
    return sha256(previous.encode() + b"\n" + event).hexdigest()
