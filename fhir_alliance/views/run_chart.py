"""A run chart: a measure over months or quarters, such as how timely reviews are, with its median and a target."""

from __future__ import annotations

from decimal import Decimal
from statistics import median
from typing import Final

import msgspec
from htpy import Element, Fragment, fragment

from fhir_alliance.core.control_limits import shifts
from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Count, Missing
from fhir_alliance.views.axes import ticks
from fhir_alliance.views.drawing import Shape, Span, box, joined, line, point, words
from fhir_alliance.views.picture import HIDDEN, Drawn, Picture, Table, counted, explained

_LEFT, _TOP, _BOTTOM, _RIGHT, _WIDTH, _HEIGHT = 64, 40, 300, 620, 760, 372
_SOURCE: Final = "Perla, Provost & Murray 2011, BMJ Qual Saf 20(1):46-51"


class Period(msgspec.Struct, frozen=True):
    """One month or quarter: its value in the chart's unit, or why it is not shown, and what it rests on.

    why: in a word or two, why there is no value, where that is not to protect a small group.
    """

    label: str
    value: Decimal | Missing
    cases: Count
    why: str = ""


class RunChart(msgspec.Struct, frozen=True):
    """What is drawn. unit: of the values, e.g. "% of reviews done within their due date".

    top: where the axis ends; 100 for percent.  target: in the unit.  cases: what a period's count counts.
    """

    title: str
    unit: str
    periods: tuple[Period, ...]
    top: Decimal | None = None
    target: Decimal | None = None
    cases: str = "reviews"


def run_chart(told: RunChart, name: str = "run-chart") -> Picture:
    """Return the chart; a hidden value is a gap, and a shift of six or more on one side of the median is marked."""
    known = _known(told)
    most = told.top or max([*known, told.target or Decimal(0), Decimal(1)]) * Decimal("1.1")
    up = Span(0, float(most), _BOTTOM, _TOP)
    across = Span(0, max(1, len(told.periods) - 1), _LEFT + 24, _RIGHT - 24)
    marks = fragment[
        _shifts(told, across),
        _axes(told, most, across, up),
        _reference_lines(told, up),
        _line(told, across, up),
    ]
    return Picture(name, told.title, _said(told), Drawn(_WIDTH, _HEIGHT, marks), _table(told))


def _axes(told: RunChart, most: Decimal, across: Span, up: Span) -> Fragment:
    marks: list[Element] = []
    for value in ticks(0, most):
        y = up.at(float(value))
        marks += [line((_LEFT, y), (_RIGHT, y), "grid"), words((_LEFT - 8, y + 4), plain(value), "quiet", "end")]
    every = max(1, -(-len(told.periods) * 52 // (_RIGHT - _LEFT)))
    for place, period in enumerate(told.periods):
        if place % every == 0:
            marks.append(words((across.at(place), _BOTTOM + 18), period.label, "quiet", "middle"))
            marks.append(words((across.at(place), _BOTTOM + 36), f"n {counted(period.cases)}", "quiet small", "middle"))
    return fragment[
        marks,
        line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM), "axis"),
        words((14, 20), told.unit, "strong"),
    ]


def _reference_lines(told: RunChart, up: Span) -> Fragment:
    known = _known(told)
    drawn = [(median(known), "guide", "median")] if known else []
    drawn += [(told.target, "limit", "target")] if told.target is not None else []
    marks: list[Element] = []
    taken: list[float] = []
    for value, kind, label in drawn:
        y = up.at(float(value))
        marks.append(line((_LEFT, y), (_RIGHT, y), kind))
        below = any(abs(y - other) < 14 for other in taken)
        marks.append(words((_RIGHT + 8, y + (18 if below else 4)), f"{label} {plain(value)}", "small"))
        taken.append(y)
    return fragment[marks]


def _line(told: RunChart, across: Span, up: Span) -> Fragment:
    marks: list[Element] = []
    stretch: list[tuple[float, float]] = []
    for place, period in enumerate(told.periods):
        if isinstance(period.value, Missing):
            marks.append(joined(stretch, "line-first"))
            stretch = []
            marks.append(words((across.at(place), _BOTTOM - 8), period.why or "hidden", "quiet small", "middle"))
        else:
            stretch.append((across.at(place), up.at(float(period.value))))
    marks.append(joined(stretch, "line-first"))
    dots = [
        point((across.at(place), up.at(float(period.value))), Shape.CIRCLE, "dot-first", 5)
        for place, period in enumerate(told.periods)
        if not isinstance(period.value, Missing)
    ]
    return fragment[marks, dots]


def _shifts(told: RunChart, across: Span) -> Fragment:
    shown = [place for place, period in enumerate(told.periods) if not isinstance(period.value, Missing)]
    marks: list[Element] = []
    for first, last in shifts(_known(told)):
        left, right = across.at(shown[first]) - 14, across.at(shown[last]) + 14
        marks.append(box((left, _TOP), (right - left, _BOTTOM - _TOP), "shade"))
        marks.append(words(((left + right) / 2, _TOP + 14), "shift", "quiet small", "middle"))
    return fragment[marks]


def _known(told: RunChart) -> list[Decimal]:
    return [period.value for period in told.periods if not isinstance(period.value, Missing)]


def _said(told: RunChart) -> str:
    known = _known(told)
    if not known:
        return f"{told.unit}: no period has a value that may be shown."
    found = shifts(known)
    shift = f" {len(found)} shift(s) of six or more on one side of the median ({_SOURCE})." if found else " No shift."
    aim = f" The target is {plain(told.target)}." if told.target is not None else ""
    return f"{told.unit}, {len(told.periods)} periods; median {plain(median(known))}.{aim}{shift}"


def _table(told: RunChart) -> Table:
    rows = [
        (
            period.label,
            _shown(period),
            explained(period.cases),
        )
        for period in told.periods
    ]
    return Table(told.title, ("period", told.unit, told.cases), tuple(rows))


def _shown(period: Period) -> str:
    if not isinstance(period.value, Missing):
        return plain(period.value)
    return period.why or HIDDEN
