"""Business versions of artefacts: which of two is newer, and what comes next."""

from __future__ import annotations

import re
from typing import TypeAlias

Order: TypeAlias = tuple[tuple[tuple[int, str], ...], bool, tuple[tuple[int, str], ...]]

_LAST_NUMBER = re.compile(r"(\d+)(?!.*\d)")


def order(version: str) -> Order:
    """Return what versions are compared by: number by number, and "1.0.0-draft" before "1.0.0"."""
    release, dash, preliminary = version.partition("-")
    return _parts(release), not dash, _parts(preliminary)


def raised(version: str) -> str:
    """Return the next version: its last number is one higher."""
    return _LAST_NUMBER.sub(lambda found: str(int(found[1]) + 1), version, count=1)


def _parts(text: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"[.+]", text))
