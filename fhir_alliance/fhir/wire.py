"""QuestionnaireResponse as it comes over the wire: typed, fast, and strict about what JSON allows.

JSON libraries disagree about records that hurt: a repeated key (the last "status" would win), NaN,
numbers that overflow, thousands of nested levels. Here each of those is refused.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

import jiter
import msgspec
import orjson

from fhir_alliance.errors import ParkItem

MAX_BYTES: Final = 4 * 1024 * 1024  # a form of 1,000 items with long text is below 1 MiB


class Wire(msgspec.Struct, gc=False, omit_defaults=True, rename="camel"):
    """Base of the wire structs: FHIR's names outside, Python's inside."""


class WireReference(Wire):
    """Reference."""

    reference: str | None = None
    type: str | None = None
    display: str | None = None


class WireExtension(Wire):
    """Extension, as far as a weight or an absence reason needs it."""

    url: str
    value_decimal: Decimal | None = None
    value_integer: int | None = None
    value_code: str | None = None


class WireCoding(Wire):
    """Coding."""

    extension: tuple[WireExtension, ...] = ()
    system: str | None = None
    code: str | None = None
    display: str | None = None


class WireQuantity(Wire):
    """Quantity."""

    value: Decimal | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class WireAnswer(Wire):
    """QuestionnaireResponse.item.answer."""

    extension: tuple[WireExtension, ...] = ()
    modifier_extension: tuple[Any, ...] = ()
    value_coding: WireCoding | None = None
    value_boolean: bool | None = None
    value_integer: int | None = None
    value_decimal: Decimal | None = None
    value_quantity: WireQuantity | None = None
    value_reference: WireReference | None = None
    value_string: str | None = None
    item: tuple[WireItem, ...] = ()


class WireItem(Wire):
    """QuestionnaireResponse.item."""

    link_id: str = ""
    text: str | None = None
    extension: tuple[WireExtension, ...] = ()
    modifier_extension: tuple[Any, ...] = ()
    answer: tuple[WireAnswer, ...] = ()
    item: tuple[WireItem, ...] = ()


class WireMeta(Wire):
    """Meta."""

    version_id: str | None = None
    last_updated: str | None = None
    source: str | None = None
    profile: tuple[str, ...] = ()
    security: tuple[WireCoding, ...] = ()
    tag: tuple[WireCoding, ...] = ()


class WireIdentifier(Wire):
    """Identifier."""

    use: str | None = None
    system: str | None = None
    value: str | None = None


class PlainCoding(Wire, forbid_unknown_fields=True):
    """An answer's coding with nothing to it but system, code and display."""

    system: str
    code: str
    display: str | None = None


class PlainAnswer(Wire, forbid_unknown_fields=True):
    """An answer that is one coding."""

    value_coding: PlainCoding


class PlainItem(Wire, forbid_unknown_fields=True):
    """An item with one coded answer, and nothing in it or on it."""

    link_id: str
    answer: tuple[PlainAnswer]
    text: str | None = None


class WireForm(Wire):
    """QuestionnaireResponse, whatever its items are."""

    resource_type: str = ""
    id: str | None = None
    meta: WireMeta | None = None
    implicit_rules: str | None = None
    language: str | None = None
    modifier_extension: tuple[Any, ...] = ()
    identifier: WireIdentifier | None = None
    questionnaire: str | None = None
    status: str | None = None
    subject: WireReference | None = None
    encounter: WireReference | None = None
    authored: str | None = None
    author: WireReference | None = None
    source: WireReference | None = None


class WireResponse(WireForm):
    """QuestionnaireResponse."""

    item: tuple[WireItem, ...] = ()


class PlainResponse(WireForm, forbid_unknown_fields=True):
    """QuestionnaireResponse of plain items only: what most forms are, and the fastest to read."""

    item: tuple[PlainItem, ...] = ()

    def widened(self) -> WireResponse:
        """Return the same form for the careful way of reading."""
        return msgspec.convert(msgspec.to_builtins(self), WireResponse)


_NUMBER_AS_TEXT = re.compile(rb'"valueDecimal"\s*:\s*"|"valueQuantity"\s*:\s*\{[^{}]*"value"\s*:\s*"')
_decode_plain = msgspec.json.Decoder(PlainResponse).decode
_decode = msgspec.json.Decoder(WireResponse).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class _Named(msgspec.Struct, gc=False):
    questionnaire: str = ""


def questionnaire_of(line: bytes) -> str:
    """Return the canonical that a response names, or "" where it cannot be told."""
    try:
        return msgspec.json.decode(line, type=_Named).questionnaire
    except (msgspec.DecodeError, RecursionError):
        return ""


def decode_response(line: bytes) -> WireResponse | PlainResponse:
    """Return the response in a JSON text, as a plain one where it is.

    Raises ParkItem FA201 (not JSON), FA202 (a key twice in one object), FA204 (other shape than R4),
    FA216 (too large or nested too deep).
    """
    if len(line) > MAX_BYTES:
        raise ParkItem("FA216", f"larger than {MAX_BYTES} bytes.", "Check where the record comes from.")
    wire: WireResponse | PlainResponse
    try:
        wire = _decode_plain(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wire = _decode_carefully(line)
    # A repeated or unknown key is dropped in reading, so the same record written out again has fewer quotation marks.
    # Only then, or where an escape could stand for one, is the slower reader asked, which looks at every object.
    again = _encode(wire)
    is_proof = len(again) == len(line) and isinstance(wire, PlainResponse)
    if not is_proof and (b"\\" in line or again.count(b'"') != line.count(b'"')):
        strict_json(line)
    return wire


def _decode_carefully(line: bytes) -> WireResponse:
    try:
        wire = _decode(line)
    except msgspec.ValidationError as error:
        strict_json(line)
        raise ParkItem(*_shape_fault(error)) from None
    except RecursionError:
        raise ParkItem("FA216", "nested too deep.", "Check where the record comes from.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        strict_json(line)
        raise ParkItem("FA201", "not valid JSON.", "Export the record again.") from None
    if _NUMBER_AS_TEXT.search(line) is not None:  # which the decoder takes for a decimal, "NaN" included
        raise ParkItem("FA212", "a number is given as text.", "Check the form's answer types.")
    return wire


def strict_json(line: bytes) -> Any:
    """Return the parsed JSON; raises ParkItem where JSON is broken or says one thing twice."""
    # What comes out again byte for byte has lost nothing, a second key least of all: most machines write no blanks.
    try:
        found = orjson.loads(line)
        if orjson.dumps(found) == line:
            return found
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass
    try:
        return jiter.from_json(line, allow_inf_nan=False, catch_duplicate_keys=True)
    except (ValueError, RecursionError) as error:
        text = str(error)
        if "duplicate" in text.lower():
            raise ParkItem("FA202", "one object has the same key twice.", "Export the record again.") from None
        if "recursion" in text.lower():
            raise ParkItem("FA216", "nested too deep.", "Check where the record comes from.") from None
        raise ParkItem("FA201", "not valid JSON.", "Export the record again.") from None


def tolerant_items(items: Any) -> list[WireItem]:
    """Return the items that can be read of a list that as a whole cannot; for the safety path only."""
    readable: list[WireItem] = []
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, dict):
            continue
        try:
            readable.append(msgspec.convert(item, WireItem))
        except (msgspec.ValidationError, RecursionError):
            link_id = item.get("linkId")
            if isinstance(link_id, str):
                readable.append(WireItem(link_id=link_id, answer=(WireAnswer(value_string=""),)))
            readable.extend(tolerant_items(item.get("item")))
    return readable


def _shape_fault(error: msgspec.ValidationError) -> tuple[str, str, str]:
    """Return code, message and hint. msgspec names types and the place, never the value."""
    text = str(error)
    if ".answer" in text and "`$.item" in text:
        return "FA212", f"an answer has the wrong type: {text}.", "Check the form's answer types."
    return "FA204", f"not shaped as FHIR R4: {text}.", "Only R4 (4.0.1) is read."
