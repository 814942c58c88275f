"""First against last scores of many clients, with the corridor of reliable change and the caseness lines.

A point can be a single person: the picture is for supervisors and quality work, never for an insurer.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Final

import msgspec
from htpy import Element, Fragment, fragment

from fhir_alliance.core.change import ChangeClass
from fhir_alliance.core.cutoffs import plain, sign
from fhir_alliance.core.model import Direction, Number, Sourced, Threshold
from fhir_alliance.views.axes import ticks
from fhir_alliance.views.drawing import Shape, Span, area, cut, line, point, words
from fhir_alliance.views.picture import Drawn, Picture, Table

_LEFT, _TOP, _SIZE, _WIDTH, _HEIGHT = 64, 20, 440, 760, 520
_ASIDE: Final = _LEFT + _SIZE + 24
# Colour and shape both tell the class; better is blue and round, worse is vermillion and pointed.
_LOOKS: Final = {
    ChangeClass.RECOVERED: (Shape.CIRCLE, "dot-first", "recovered"),
    ChangeClass.IMPROVED: (Shape.CIRCLE, "ring-first", "reliably improved"),
    ChangeClass.UNCHANGED: (Shape.SQUARE, "ring-quiet", "no reliable change"),
    ChangeClass.DETERIORATED: (Shape.TRIANGLE, "ring-second", "reliably deteriorated"),
    ChangeClass.HARMED: (Shape.TRIANGLE, "dot-second", "deteriorated beyond the cut-off"),
}


class Dot(msgspec.Struct, frozen=True):
    """A client's first and last score in points, and the class of the change as `core.change` gives it."""

    before: Number
    after: Number
    kind: ChangeClass


class PrePost(msgspec.Struct, frozen=True):
    """What is drawn. low, high: the scale's range in points.  reliable_change: half the corridor's width, in points."""

    title: str
    low: Number
    high: Number
    higher_is: Direction
    dots: tuple[Dot, ...]
    reliable_change: Sourced | None = None
    caseness: Threshold | None = None


def prepost_picture(told: PrePost, name: str = "prepost") -> Picture:
    """Return the scatter: each shape stands for the clients with that first and last score, larger where several."""
    across = Span(float(told.low), float(told.high), _LEFT, _LEFT + _SIZE)
    up = Span(float(told.low), float(told.high), _TOP + _SIZE, _TOP)
    marks = fragment[
        _corridor(told, across, up),
        _axes(told, across, up),
        _caseness(told, across, up),
        _dots(told, across, up),
        _legend(told),
    ]
    return Picture(name, told.title, _said(told), Drawn(_WIDTH, _HEIGHT, marks), _table(told))


def _corridor(told: PrePost, across: Span, up: Span) -> Fragment:
    low, high = float(told.low), float(told.high)
    marks: list[Element] = []
    if told.reliable_change is not None:
        reach = float(told.reliable_change.value)
        corners = [(low, low), (low, low + reach), (high - reach, high), (high, high), (high, high - reach)]
        corners.append((low + reach, low))
        marks.append(area([(across.at(x), up.at(y)) for x, y in corners], "shade"))
    marks.append(line((across.start, up.start), (across.end, up.end), "guide"))
    return fragment[marks]


def _axes(told: PrePost, across: Span, up: Span) -> Fragment:
    marks: list[Element] = []
    for value in ticks(told.low, told.high):
        x, y = across.at(float(value)), up.at(float(value))
        marks += [
            line((x, up.start), (x, up.start + 5), "axis"),
            line((across.start - 5, y), (across.start, y), "axis"),
        ]
        marks.append(words((x, up.start + 20), plain(value), "quiet", "middle"))
        marks.append(words((across.start - 10, y + 4), plain(value), "quiet", "end"))
    return fragment[
        line((across.start, up.start), (across.end, up.start), "axis"),
        line((across.start, up.start), (across.start, up.end), "axis"),
        marks,
        words(((across.start + across.end) / 2, up.start + 42), "first score", "strong", "middle"),
        words((14, _TOP - 6), "last score", "strong"),
    ]


def _caseness(told: PrePost, across: Span, up: Span) -> Fragment | None:
    if told.caseness is None:
        return None
    at = float(told.caseness.at)
    return fragment[
        line((across.at(at), up.start), (across.at(at), up.end), "limit"),
        line((across.start, up.at(at)), (across.end, up.at(at)), "limit"),
    ]


def _dots(told: PrePost, across: Span, up: Span) -> Fragment:
    drawn = sorted(Counter(told.dots).items(), key=lambda entry: (-entry[1], _order(entry[0])))
    return fragment[[_dot(dot, many, across, up) for dot, many in drawn]]


def _dot(dot: Dot, many: int, across: Span, up: Span) -> Element:
    shape, kind, _ = _LOOKS[dot.kind]
    radius = 4.5 * float(Decimal(many).sqrt())  # the area tells how many
    return point((across.at(float(dot.before)), up.at(float(dot.after))), shape, kind, min(radius, 18))


def _legend(told: PrePost) -> Fragment:
    many = Counter(dot.kind for dot in told.dots)
    marks: list[Element] = [words((_ASIDE, 40), f"{len(told.dots):,} clients", "heading")]
    for row, kind in enumerate(ChangeClass):
        shape, look, label = _LOOKS[kind]
        y = 72 + row * 26
        marks.append(point((_ASIDE + 6, y - 4), shape, look, 5.5))
        marks.append(words((_ASIDE + 22, y), f"{label}: {many[kind]:,}"))
    y = 72 + len(ChangeClass) * 26 + 10
    for text in _notes(told):
        marks.append(words((_ASIDE, y), cut(text, _WIDTH - _ASIDE, 11), "quiet small"))
        y += 18
    return fragment[marks]


def _notes(told: PrePost) -> list[str]:
    notes = [f"Better lies {'below' if sign(told.higher_is) < 0 else 'above'} the diagonal."]
    if told.reliable_change is not None:
        notes.append(f"Grey: less than {plain(told.reliable_change.value)} points.")
    if told.caseness is not None:
        notes.append(f"Dashed: caseness, {plain(told.caseness.at)}.")
    return [*notes, "Larger: several clients."]


def _said(told: PrePost) -> str:
    many = Counter(dot.kind for dot in told.dots)
    classes = ", ".join(f"{many[kind]:,} {_LOOKS[kind][2]}" for kind in ChangeClass)
    said = f"First against last scores of {len(told.dots):,} clients: {classes}."
    if told.reliable_change is not None:
        change = told.reliable_change
        said += f" The corridor is {plain(change.value)} points wide to each side ({change.source})."
    if told.caseness is not None:
        said += f" Caseness is {plain(told.caseness.at)} ({told.caseness.source})."
    return said


def _table(told: PrePost) -> Table:
    counted = sorted(Counter(told.dots).items(), key=lambda entry: _order(entry[0]))
    rows = [(plain(dot.before), plain(dot.after), _LOOKS[dot.kind][2], f"{many:,}") for dot, many in counted]
    return Table(told.title, ("first score", "last score", "change", "clients"), tuple(rows))


def _order(dot: Dot) -> tuple[Number, Number, str]:
    return dot.before, dot.after, dot.kind.value
