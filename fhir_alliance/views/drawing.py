"""The marks that pictures are made of: lines, areas, text and points as SVG elements, placed by spans.

Markup is made with htpy, which escapes every text and attribute; no string of ours is ever pasted into markup.
Elements carry classes and no colours: colours stand in one style sheet (`views/palette.py`), for light, dark and print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from htpy import Element, Node

# An average letter of a sans-serif face is a little over half as wide as it is high; cutting text needs no more.
LETTER: Final = 0.56
SMALL: Final = 12

# XML 1.0 forbids control characters even when escaped, and a terminal obeys them; the marks of direction (Unicode
# UAX 9) would let a name turn the text around it. A name or a goal may hold any of them.
_CONTROLS: Final = (range(0x20), range(0x7F, 0xA0), range(0x202A, 0x202F), range(0x2066, 0x206A))
_NO_XML: Final = (range(0xD800, 0xE000), range(0xFFFE, 0x10000))
_FORBIDDEN: Final = {code: " " for codes in (*_CONTROLS, *_NO_XML) for code in codes}


class Shape(StrEnum):
    """The shape of a point, so that colour is never the only difference."""

    CIRCLE = "circle"
    SQUARE = "square"
    DIAMOND = "diamond"
    TRIANGLE = "triangle"
    CROSS = "cross"


class Span(NamedTuple):
    """A range of values laid along a line of pixels; `start` is where `low` lies."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return where a value lies, in pixels; a range of one value lies in the middle."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def number(value: float) -> str:
    """Return a coordinate with at most two decimals, so that the same picture has the same bytes everywhere."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def legible(text: str) -> str:
    """Return a text without the characters that no XML document may hold and no terminal should be sent."""
    return text.translate(_FORBIDDEN)


def cut(text: str, width: float, size: float = SMALL) -> str:
    """Return a text that fits into a width, in pixels; a cut one ends in an ellipsis."""
    most = max(1, int(width / (size * LETTER)))
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def element(name: str, kind: str = "", children: Node = None, **attributes: float | str) -> Element:
    """Return an SVG element; an underscore in an attribute's name becomes a hyphen.

    kind: its classes.  attributes: numbers are written with at most two decimals.
    """
    said = {key.replace("_", "-"): _said(value) for key, value in attributes.items()}
    return Element(name)({"class": kind} if kind else {}, said)[children]


def line(start: tuple[float, float], end: tuple[float, float], kind: str) -> Element:
    """Return a straight line."""
    return element("line", kind, x1=start[0], y1=start[1], x2=end[0], y2=end[1])


def box(corner: tuple[float, float], size: tuple[float, float], kind: str, radius: float = 0) -> Element:
    """Return a rectangle by its upper left corner and its width and height."""
    return element("rect", kind, x=corner[0], y=corner[1], width=size[0], height=size[1], rx=radius)


def words(place: tuple[float, float], text: str, kind: str = "", anchor: str = "start") -> Element:
    """Return a text at a place. anchor: start, middle or end."""
    return element("text", kind, text, x=place[0], y=place[1], text_anchor=anchor)


def joined(places: Sequence[tuple[float, float]], kind: str) -> Element:
    """Return places joined by straight lines."""
    return element("polyline", kind, points=_points(places))


def area(places: Iterable[tuple[float, float]], kind: str) -> Element:
    """Return the area that places enclose."""
    return element("polygon", kind, points=_points(places))


def point(place: tuple[float, float], shape: Shape, kind: str, radius: float = 4.5) -> Element:
    """Return a point in a shape; shapes of one radius look equally large."""
    x, y = place
    if shape is Shape.CIRCLE:
        return element("circle", kind, cx=x, cy=y, r=radius)
    if shape is Shape.CROSS:
        arm = radius * 0.8
        strokes = f"M{number(x - arm)} {number(y - arm)}L{number(x + arm)} {number(y + arm)}"
        strokes += f"M{number(x - arm)} {number(y + arm)}L{number(x + arm)} {number(y - arm)}"
        return element("path", kind, d=strokes)
    return area([(x + dx * radius, y + dy * radius) for dx, dy in _CORNERS[shape]], kind)


_CORNERS: Final = {
    Shape.SQUARE: ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)),
    Shape.DIAMOND: ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    Shape.TRIANGLE: ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
}


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in places)


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)
