"""The questions of a site's Questionnaire as items of an instrument, and the names of what it scores."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from fhir_alliance.core.model import Code, Item, Number, Option
from fhir_alliance.fhir.answers import YES_NO, whole
from fhir_alliance.fhir.expression import UNBOUNDED
from fhir_alliance.fhir.questions import Form, OfferedCoding, Question
from fhir_alliance.fhir.weights import Choice

NUMBERS: Final = frozenset({"decimal", "integer", "quantity"})
_CHOICES = frozenset({"choice", "open-choice", "string", "integer", "decimal"})
_BOUNDS = "http://hl7.org/fhir/StructureDefinition/"
_NOT_IN_CODES = re.compile(r"[^A-Za-z0-9._-]+")


def instrument_id(form: Form) -> str:
    """Return the id of a site's instrument: the end of its url, or its own id."""
    tail = _NOT_IN_CODES.sub("-", form.url.rstrip("/").rpartition("/")[2].rpartition(":")[2] or form.id).strip("-.")
    return tail[:64] or "form"


def scored_item(question: Question, choices: Sequence[Choice]) -> Item | None:
    """Return a question whose answers are worth points, None for any other."""
    codes = tuple(code_of(coding) for coding in question.code)
    if question.read_only:
        return None
    if question.type == "boolean":
        yes, no = Code(YES_NO, "Y", "Yes"), Code(YES_NO, "N", "No")
        return Item(question.link_id, codes, (Option(yes, 1), Option(no, 0)), 0, 1)
    if choices and question.type in _CHOICES:
        options = tuple(Option(Code(c.system, c.code, c.display), c.points) for c in choices if c.points is not None)
        points = [option.weight for option in options]
        if not points:
            return None
        high = sum(p for p in points if p > 0) if question.repeats else max(points)
        is_whole = all(isinstance(point, int) for point in points)
        return Item(question.link_id, codes, options, min(points), high, is_whole, repeats=question.repeats)
    if question.type in NUMBERS and not question.repeats:
        low, high = _bound(question, "minValue", -UNBOUNDED), _bound(question, "maxValue", UNBOUNDED)
        return Item(question.link_id, codes, (), low, high, question.type == "integer")
    return None


def number_bound(question: Question, name: str) -> Number | None:
    """Return the minValue or maxValue of a question, None where it states none."""
    for extension in question.extension:
        if extension.url == _BOUNDS + name:
            value = extension.value_decimal if extension.value_decimal is not None else extension.value_integer
            if type(value) in (int, float, Decimal):
                return whole(Decimal(str(value)))
    return None


def _bound(question: Question, name: str, otherwise: int) -> Number:
    stated = number_bound(question, name)
    return otherwise if stated is None else stated


def has_unknown_list(question: Question, choices: Mapping[str, Sequence[Choice]]) -> bool:
    """Return whether the answers of a question are in a ValueSet that is not there."""
    is_choice = question.type in ("choice", "open-choice") and not question.read_only
    return is_choice and bool(question.answer_value_set) and question.link_id not in choices


def bare_item(question: Question) -> Item:
    """Return a question of whose answers the form does not know the points."""
    codes = tuple(code_of(coding) for coding in question.code)
    return Item(question.link_id, codes, (), -UNBOUNDED, UNBOUNDED, False)


def likely(item: Item) -> tuple[Number, Number]:
    """Return a low and a high answer; where a number has no bounds, some that people give."""
    low = item.low if item.low > -UNBOUNDED else min(0, item.high)
    return low, item.high if item.high < UNBOUNDED else low + 10


def scale_ids(link_ids: Sequence[str]) -> dict[str, str]:
    """Return the id of each scale: "total" for the only one, else after its linkId.

    No other one ends in "-total", by which an Observation's profile tells the total from a subscale.
    """
    if len(link_ids) == 1:
        return {link_ids[0]: "total"}
    found: dict[str, str] = {}
    for link_id in link_ids:
        name = _NOT_IN_CODES.sub("-", link_id).strip("-._").removesuffix("-total") or "scale"
        taken = set(found.values())
        found[link_id] = next(
            n for k in range(1, len(link_ids) + 1) if (n := name if k == 1 else f"{name}-{k}") not in taken
        )
    return found


def code_of(coding: OfferedCoding) -> Code:
    """Return the code of a coding."""
    return Code(coding.system, coding.code, coding.display)
