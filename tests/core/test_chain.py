"""Lines that seal one another: what was changed, taken out or put in between is found, and where."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.chain import START, event_of, head_of, link, verify

EVENTS = st.lists(st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2), min_size=1, max_size=6)


def chained(events: list[dict[str, int]]) -> list[bytes]:
    """Return events as the lines of a chain."""
    lines: list[bytes] = []
    for event in events:
        lines.append(link(head_of(lines[-1]) if lines else START, orjson.dumps(event)))
    return lines


@given(EVENTS)
def test_an_untouched_chain_holds(events: list[dict[str, int]]) -> None:
    """Every line is counted, and the events come back byte by byte."""
    lines = chained(events)
    found = verify(lines)
    assert (found.lines, found.broken, found.head) == (len(lines), 0, head_of(lines[-1]))
    assert [event_of(line) for line in lines] == [orjson.dumps(event) for event in events]


@given(EVENTS, st.data())
def test_any_changed_byte_is_found(events: list[dict[str, int]], data: st.DataObject) -> None:
    """Whatever byte of whatever line differs, verification fails at that line."""
    lines = chained(events)
    number = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[number]) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != lines[number][at]))
    lines[number] = lines[number][:at] + bytes([other]) + lines[number][at + 1 :]
    assert verify(lines).broken == number + 1


@given(EVENTS, st.data())
def test_a_missing_or_moved_line_is_found(events: list[dict[str, int]], data: st.DataObject) -> None:
    """A line taken out or put at another place breaks the chain there; at the very end only the kept hash tells."""
    lines = chained(events)
    head = head_of(lines[-1])
    number = data.draw(st.integers(0, len(lines) - 1))
    rest = lines[:number] + lines[number + 1 :]
    assert verify(rest, head).broken == number + 1
    if number < len(lines) - 1:
        assert verify(rest).broken == number + 1
        assert verify([*rest[: number + 1], lines[number], *rest[number + 1 :]]).broken == number + 1


def test_a_hash_kept_earlier_still_holds() -> None:
    """A hash kept last night is found in a chain that has grown since."""
    lines = chained([{"a": 1}, {"a": 2}, {"a": 3}])
    assert verify(lines, head_of(lines[1])).broken == 0
    assert verify(lines, START).broken == 0
    assert verify(lines, "f" * 64).broken == 4


@pytest.mark.parametrize("line", [b"", b"{}", b"x", b"\xff", b'{"previous":"","hash":"","event":1,"more":2}'])
def test_what_is_no_line(line: bytes) -> None:
    """What is not of the chain's shape is named, not passed over."""
    assert verify([line]).broken == 1
    with pytest.raises(ValueError, match="not a line"):
        head_of(line)
    with pytest.raises(ValueError, match="not a line"):
        event_of(line)
