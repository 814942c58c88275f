"""A page with a record that is nested too deep to be decoded: taken apart so that this record harms only itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_ID: Final = re.compile(rb'\s*:\s*"([A-Za-z0-9\-.]{1,64})"')


class Piece(NamedTuple):
    """A value of an object: its key, and where it stands."""

    key: bytes
    start: int
    end: int


def pieces(text: bytes, start: int = 0) -> Iterator[Piece]:
    """Yield the arrays and objects that stand directly in the object or array that begins at `start` or after it.

    key: of the value in an object; of an array's items, the last string before them, or nothing.
    """
    depth, key, opened = 0, b"", 0
    for token in _TOKEN.finditer(text, start):
        sign = token[0]
        if sign in (b"{", b"["):
            depth += 1
            if depth == 2:
                opened = token.start()
        elif sign in (b"}", b"]"):
            depth -= 1
            if depth == 1:
                yield Piece(key, opened, token.end())
                key = b""
            elif depth <= 0:
                return
        elif depth == 1:
            key = sign.strip(b'"')


def resources_in(page: bytes) -> Iterator[bytes]:
    """Yield the resource of each entry of a Bundle, as it stands."""
    for part in pieces(page):
        if part.key == b"entry":
            for entry in pieces(page, part.start):
                yield from (page[r.start : r.end] for r in pieces(page, entry.start) if r.key == b"resource")


def without_entries(page: bytes) -> bytes:
    """Return the Bundle with nothing in it."""
    for part in pieces(page):
        if part.key == b"entry":
            return page[: part.start] + b"[]" + page[part.end :]
    return page


def id_of(resource: bytes) -> str:
    """Return the id that stands directly in a resource, or ""."""
    depth = 0
    for token in _TOKEN.finditer(resource):
        depth += (token[0] in (b"{", b"[")) - (token[0] in (b"}", b"]"))
        if depth == 1 and token[0] == b'"id"':
            found = _ID.match(resource, token.end())
            if found is not None:
                return found[1].decode()
    return ""
