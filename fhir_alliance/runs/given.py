"""Reads that a store may refuse: what it does not give is done without; where nothing answers, the run stops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from fhir_alliance.errors import AccessDenied, Unreachable

Resources: TypeAlias = Sequence[Mapping[str, Any]]
_NO_ANSWER: Final = "FA402"


def given(read: Callable[[], Resources]) -> Resources | None:
    """Return what is read, or None where the store does not give that; raises Unreachable FA402 where none answers."""
    try:
        return read()
    except (AccessDenied, Unreachable) as fault:
        if fault.code == _NO_ANSWER:
            raise
        return None
