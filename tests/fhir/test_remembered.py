"""What a record repeats is read once; what is another is never taken for it."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_alliance.fhir.remembered import remembered


@pytest.mark.parametrize(
    ("first", "second", "reads"),
    [
        ({"a": [1, "x"]}, {"a": [1, "x"]}, 1),
        ({"a": 1}, {"a": 1.0}, 2),
        ({"a": 1}, {"a": True}, 2),
        ({"a": None}, {}, 2),
        ({"a": "1"}, {"a": 1}, 2),
        ({"a": 2**70}, {"a": 2**70}, 2),
        ({"a": "\ud800"}, {"a": "\ud800"}, 2),
        ({"a": "x" * 5000}, {"a": "x" * 5000}, 2),
    ],
)
def test_only_what_is_equal_as_json_is_read_once(first: Any, second: Any, reads: int) -> None:
    """Equal elements share a reading; what differs in type or value, is long, or no JSON, is read by itself."""
    seen: list[Any] = []

    @remembered
    def read(*elements: Any) -> str:
        seen.append(elements)
        return repr(elements)

    told = [read("same", first), read("same", second)]
    assert told == [repr(("same", first)), repr(("same", second))]
    assert len(seen) == reads
