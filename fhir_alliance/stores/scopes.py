"""SMART scopes: what a command has to be allowed to do, asked for as little as possible and compared with the grant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_V1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
_SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]{1,40})\.(\*|read|write|[cruds]{1,5})(\?\S{1,400})?")


class Needs(NamedTuple):
    """Resource types by what is done with them. Those "if allowed": better with them, possible without."""

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    reads_if_allowed: frozenset[str] = frozenset()
    writes_if_allowed: frozenset[str] = frozenset()

    def without_writes(self) -> Needs:
        """Return what a dry run needs."""
        return self._replace(writes=frozenset(), writes_if_allowed=frozenset())

    def without(self, kind: str) -> Needs:
        """Return what is needed where a type is not written."""
        return self._replace(writes=self.writes - {kind})

    def joined(self, other: Needs) -> Needs:
        """Return what both need together."""
        return Needs(*(mine | theirs for mine, theirs in zip(self, other, strict=True)))


def asked(needs: Needs, *, is_v2: bool) -> str:
    """Return the least scopes for these needs, by type; v2 (`.rs`, `.cu`) where the server advertises it, else v1.

    Source: SMART App Launch 2.2, Scopes and Launch Context. Nothing is ever deleted, so `d` is never asked for.
    """
    reading, writing = needs.reads | needs.reads_if_allowed, needs.writes | needs.writes_if_allowed
    if is_v2:
        rights = [f"{kind}.{_letters(kind in reading, kind in writing)}" for kind in sorted(reading | writing)]
    else:
        rights = [f"{kind}.read" for kind in sorted(reading)] + [f"{kind}.write" for kind in sorted(writing)]
    return " ".join(f"system/{right}" for right in rights)


def missing(needs: Needs, granted: str) -> list[str]:
    """Return what these needs lack in a grant, as v2 scopes; empty where all is there.

    A grant for a part of a type (`?category=...`) counts only for Observations of surveys, the only ones that we read:
    of Consents, a part could leave out the one that says no.
    """
    read = filter(None, map(_SCOPE.fullmatch, granted.split()))
    held = [(found[1], _V1.get(found[2], found[2]), found[3] or "") for found in read]
    lacking = [f"system/{kind}.rs" for kind in sorted(needs.reads) if not _covers(held, kind, "rs")]
    return lacking + [f"system/{kind}.cu" for kind in sorted(needs.writes) if not _covers(held, kind, "cu")]


def _covers(held: Iterable[tuple[str, str, str]], kind: str, letters: str) -> bool:
    rights: set[str] = set()
    for granted_kind, granted_letters, part in held:
        is_whole = not part or (kind == "Observation" and re.fullmatch(r"\?category=\S*survey", part))
        if granted_kind in ("*", kind) and is_whole:
            rights.update(granted_letters)
    return rights.issuperset(letters)


def _letters(is_read: bool, is_written: bool) -> str:
    held = ("rs" if is_read else "") + ("cu" if is_written else "")
    return "".join(letter for letter in "cruds" if letter in held)


def of(*kinds: str) -> frozenset[str]:
    """Return resource types as `Needs` takes them."""
    return frozenset(kinds)
