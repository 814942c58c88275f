"""The wire: what JSON allows and records must not do is refused, and the fast way of reading loses nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.errors import ParkItem
from fhir_alliance.fhir.wire import (
    MAX_BYTES,
    PlainResponse,
    WireResponse,
    decode_response,
    strict_json,
    tolerant_items,
)
from fhir_alliance.testing import response_json

POINTS = [2, 2, 2, 2, 1, 1, 2, 0, 0]
FORM = response_json(POINTS)
COMPACT = json.dumps(FORM, separators=(",", ":")).encode()
WRITINGS: dict[str, Callable[[Any], str]] = {
    "compact": lambda value: json.dumps(value, separators=(",", ":")),
    "spaced": json.dumps,
    "space before the colon": lambda value: json.dumps(value, separators=(", ", " : ")),
    "indented": lambda value: json.dumps(value, indent=2),
    "unescaped": lambda value: json.dumps(value, ensure_ascii=False),
}


def fault(line: bytes) -> ParkItem:
    """Return the fault for which a line is refused."""
    with pytest.raises(ParkItem) as caught:
        decode_response(line)
    return caught.value


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a resource, itself included."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for inner in node if isinstance(node, list) else ():
        yield from objects(inner)


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
def test_white_space_changes_nothing(write: Callable[[Any], str]) -> None:
    """A form of plain items is read the fast way, to the same form, however its JSON is laid out."""
    read = decode_response(write(FORM).encode())
    assert isinstance(read, PlainResponse)
    assert read == decode_response(COMPACT)


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
@pytest.mark.parametrize("place", range(len(list(objects(FORM)))))
def test_a_key_that_stands_twice_is_refused(place: int, write: Callable[[Any], str]) -> None:
    """A repeated key is found in every object of a form, also as the value that JSON libraries would keep."""
    form = json.loads(COMPACT)
    node = list(objects(form))[place]
    first = next(iter(node))
    node["@twice"] = node[first]
    line = write(form).replace("@twice", first).encode()
    assert fault(line).code == "FA202"


def test_a_key_that_stands_twice_is_refused_in_mixed_layout() -> None:
    """A repeated key is found also where one other key has a space before its colon."""
    twice = COMPACT.replace(b'"status":', b'"status":"entered-in-error","status":')
    assert fault(twice).code == "FA202"
    assert fault(twice.replace(b'"id":', b'"id" :')).code == "FA202"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param(b"", "FA201", id="nothing"),
        pytest.param(COMPACT[:-1], "FA201", id="cut off"),
        pytest.param(COMPACT + b"{}", "FA201", id="two in one line"),
        pytest.param(COMPACT.replace(b'"id"', b"'id'"), "FA201", id="single quotes"),
        pytest.param(COMPACT.replace(b'"meta"', b'"language":"\xff","meta"'), "FA201", id="not UTF-8"),
        pytest.param(COMPACT.replace(b'"meta"', b'"x":"\xff","meta"'), "FA201", id="not UTF-8, in what is not read"),
        pytest.param(COMPACT.replace(b'"meta"', b'"x":NaN,"meta"'), "FA201", id="NaN in what is not read"),
        pytest.param(COMPACT.replace(b'"meta"', b'"x":1,"x":2,"meta"'), "FA202", id="twice in what is not read"),
        pytest.param(COMPACT.replace(b'"meta":{', b'"meta":{"versionId":"1",'), "FA202", id="twice the same value"),
        pytest.param(COMPACT.replace(b'"status"', b'"st\\u0061tus":"stopped","status"'), "FA202", id="twice, escaped"),
        pytest.param(b"[" + COMPACT + b"]", "FA204", id="a list"),
        pytest.param(COMPACT.replace(b'"r1"', b"1"), "FA204", id="a number as id"),
        pytest.param(b'{"item":[{"linkId":"q","answer":{}}]}', "FA212", id="an answer that is no list"),
        pytest.param(COMPACT[:-1] + b" " * MAX_BYTES + b"}", "FA216", id="too large"),
        pytest.param(b'{"x":' * 100_000, "FA216", id="too deep"),
        pytest.param(COMPACT.replace(b'"item":[', b'"item":[' + b'{"item":[' * 5000), "FA216", id="items too deep"),
    ],
)
def test_what_is_refused(line: bytes, code: str) -> None:
    """Each kind of broken record has its code, and the message repeats nothing of the record."""
    refused = fault(line)
    assert refused.code == code
    assert not any(word in str(refused) for word in ("LA65", "p1", "44250"))


def test_a_type_error_names_the_place_and_not_the_value() -> None:
    """An answer of the wrong type is named by where it stands; what was answered is not said."""
    answer = {"linkId": "/44250-9", "answer": [{"valueInteger": "very often"}]}
    refused = fault(json.dumps(FORM | {"item": [answer]}).encode())
    assert refused.code == "FA212"
    assert "$.item[0].answer[0].valueInteger" in str(refused)
    assert "very often" not in str(refused)


def test_the_size_limit_is_a_limit() -> None:
    """A record of exactly the largest size is read; one byte more is refused."""
    filled = COMPACT[:-1] + b" " * (MAX_BYTES - len(COMPACT)) + b"}"
    assert decode_response(filled) == decode_response(COMPACT)
    assert fault(filled + b" ").code == "FA216"


@pytest.mark.parametrize(
    "item",
    [
        {"linkId": "q"},
        {"linkId": "q", "extension": [{"url": "urn:x"}], "answer": [{"valueCoding": {"system": "s", "code": "c"}}]},
        {"linkId": "q", "answer": [{"valueCoding": {"code": "c"}}]},
        {"linkId": "q", "answer": [{"valueCoding": {"system": "s", "code": "c", "version": "2"}}]},
        {"linkId": "q", "answer": [{"valueCoding": {"system": "s", "code": "c"}, "item": []}]},
        {"linkId": "q", "answer": [{"valueInteger": 1}]},
        {"linkId": "q", "answer": [{"valueCoding": {"system": "s", "code": "c"}}] * 2},
        {"linkId": "q", "item": [{"linkId": "r"}]},
    ],
)
def test_what_is_not_plain_is_read_with_care(item: dict[str, Any]) -> None:
    """One item that is more than a single coded answer is enough for the careful way."""
    assert isinstance(decode_response(json.dumps(FORM | {"item": [*FORM["item"], item]}).encode()), WireResponse)


def test_a_plain_form_loses_nothing_when_it_is_widened() -> None:
    """The plain form, widened, is what the careful way reads."""
    plain = decode_response(COMPACT)
    assert isinstance(plain, PlainResponse)
    assert plain.widened() == msgspec.json.decode(COMPACT, type=WireResponse)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(value=JSON, write=st.sampled_from(sorted(WRITINGS)))
def test_sound_json_is_read_as_it_stands(value: Any, write: str) -> None:
    """What another JSON library wrote, the strict reader gives back, in every layout."""
    assert strict_json(WRITINGS[write](value).encode()) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"[NaN]", "FA201"),
        (b"[Infinity]", "FA201"),
        (b'"\\ud800"', "FA201"),
        (b'{"a":1,"a":1}', "FA202"),
        (b'[{"a":{"b":1,"b":2}}]', "FA202"),
        (b"[" * 100_000, "FA216"),
    ],
)
def test_the_strict_reader_is_strict_by_itself(text: bytes, code: str) -> None:
    """Questionnaires, Consents and folders are read by it alone: it refuses the same things."""
    with pytest.raises(ParkItem) as caught:
        strict_json(text)
    assert caught.value.code == code


@given(line=st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    """No bytes whatever raise anything but a reason to park them."""
    for reader in (strict_json, decode_response):
        with contextlib.suppress(ParkItem):
            reader(line)


def test_a_wreck_gives_what_can_be_read() -> None:
    """Of items that as a whole cannot be read, the sound ones are; a broken one keeps its linkId, not its answer."""
    sound = {"linkId": "safe", "answer": [{"valueInteger": 3}]}
    wreck = [
        "no item", None, {"linkId": 5}, {"linkId": "broken", "answer": {"valueInteger": 3}, "item": [sound]},
        {"text": "no linkId", "answer": 7, "item": [sound]}, sound,
    ]  # fmt: skip
    items = tolerant_items(wreck)
    assert [item.link_id for item in items] == ["broken", "safe", "safe", "safe"]
    assert [item.answer[0].value_integer for item in items] == [None, 3, 3, 3]


@pytest.mark.parametrize("items", [None, {}, "x", 3, [], [[]]])
def test_a_wreck_without_items_gives_none(items: Any) -> None:
    """Where items should be and are none, nothing is read and nothing raised."""
    assert tolerant_items(items) == []
