"""The axes of pictures: round numbers, days and months where a reader expects them, lines and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from htpy import Element, Fragment, fragment

from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Number
from fhir_alliance.views.drawing import Span, line, words

_HALF: Final = 3.3  # half a letter of a label, in pixels


def ticks(low: Number, high: Number, most: int = 6) -> list[Decimal]:
    """Return round numbers from low to high, both included where they are round: at most `most` + 1, at least one."""
    if high <= low:
        return [Decimal(low)]
    rough = float(high - low) / most
    power = Decimal(10) ** math.floor(math.log10(rough))
    step = next(power * size for size in (1, 2, 5, 10) if float(power * size) >= rough * 0.999)
    first = (Decimal(low) / step).to_integral_value(rounding="ROUND_CEILING") * step
    if first > high:
        return [Decimal(low)]
    return [first + step * count for count in range(int((Decimal(high) - first) / step) + 1)]


def days(first: date, last: date) -> list[date]:
    """Return the days to label: weeks in a short span, months or quarters in a longer one; always at least one."""
    length = (last - first).days
    if length <= 56:
        step = 7 if length > 13 else max(1, length // 4)
        return [first + timedelta(days=count) for count in range(0, length + 1, step)]
    each = 1 if length <= 400 else 3 if length <= 1200 else 12
    months = range(first.year * 12 + first.month, last.year * 12 + last.month)
    return [first, *(date(month // 12, month % 12 + 1, 1) for month in months if month % each == 0)]


def day_words(day: date, first: date) -> str:
    """Return a day's label: the year stands with the first one and with each January."""
    is_month = day.day == 1
    year = f" {day.year}" if day == first or (is_month and day.month == 1) else ""
    return f"{day:%b}{year}" if is_month else f"{day.day} {day:%b}{year}"


def whole_day(day: date) -> str:
    """Return a day in words; a server may have lost it, and then it stands at the beginning of time."""
    return "on a day that cannot be read" if day.year < 1900 else f"{day.day} {day:%B %Y}"


def value_axis(span: Span, left: float, right: float, values: Sequence[Number]) -> Fragment:
    """Return grid lines from left to right with their values at the left."""
    return fragment[[_value_tick(span.at(float(value)), left, right, value) for value in values]]


def day_axis(span: Span, top: float, bottom: float, labelled: Sequence[date]) -> Fragment:
    """Return the line of days at the bottom, with labels below and faint lines up to the top.

    span: of days as ordinals.
    """
    marks = [line((span.start, bottom), (span.end, bottom), "axis")]
    last = -math.inf
    for day in labelled:
        x = span.at(day.toordinal())
        marks.append(line((x, top), (x, bottom), "grid"))
        label = day_words(day, labelled[0])
        is_first = x - span.start < _HALF * len(label)
        begin = x if is_first else x - _HALF * len(label)
        if begin >= last:
            marks.append(words((x, bottom + 18), label, "quiet", "start" if is_first else "middle"))
            last = begin + 2 * _HALF * len(label) + 12
    return fragment[marks]


def _value_tick(y: float, left: float, right: float, value: Number) -> list[Element]:
    label = words((left - 8, y + 4), plain(value), "quiet", "end")
    return [line((left, y), (right, y), "grid"), label]
