"""What is read from elements of JSON that a record repeats: read once, and remembered by their JSON.

A hundred thousand scores carry the same few codes, categories and labels; to write such elements out again costs a
tenth of reading them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Final, TypeVar

import orjson

_MOST: Final = 1024  # of one function; a clinic has some dozens
_LONGEST: Final = 4096  # bytes; together at most 4 MiB, whatever a hostile record holds

Read = TypeVar("Read")


def remembered(read: Callable[..., Read]) -> Callable[..., Read]:
    """Return a function that reads equal elements once. read: depends on nothing else, and returns what is frozen."""

    @lru_cache(_MOST)
    def once(encoded: bytes) -> Read:
        return read(*orjson.loads(encoded))

    @wraps(read)
    def asked(*elements: Any) -> Read:
        try:
            encoded = orjson.dumps(elements)
        except orjson.JSONEncodeError:  # such as a number beyond 64 bits
            return read(*elements)
        return once(encoded) if len(encoded) <= _LONGEST else read(*elements)

    return asked
