"""A picture: its SVG, what it says in words, and the table of the numbers behind it.

Pictures and who they are for:
- `course_picture.course_picture`: one client's scale over sessions, for the client's own therapist.
- `prepost_picture.prepost_picture`: first against last scores with the reliable-change corridor. A point can be one
  person: for supervisors, never for insurers.
- `funnel_picture.funnel_picture`: therapists or sites, without names, inside the limits of chance.
- `run_chart.run_chart`: a measure over months or quarters, with its median.
- `population_flow.population_flow`: who came in, who was left out and why, who reached the numerator.

Each takes one frozen noun and returns a `Picture`. `Picture.standalone()` is an SVG file; `Picture.element()` is the
same drawing for a page that brings the style sheet (`views/page.py`). The same noun gives the same bytes.

A count that may not be shown is `Missing.MASKED`: its box or point has a size that does not depend on the count, and
the number is nowhere in the drawing, because it never came in.
"""

from __future__ import annotations

from typing import Final

import msgspec
from htpy import Element, Node

from fhir_alliance.core.model import Count, Missing
from fhir_alliance.views.drawing import element, legible
from fhir_alliance.views.palette import COLOURS, PICTURES, PRINTED

HIDDEN: Final = "hidden, so that nobody in a small group is known by it"


class Table(msgspec.Struct, frozen=True):
    """The numbers behind a picture, as people read them: one row each, as many cells as the head."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Drawn(msgspec.Struct, frozen=True):
    """The marks of a picture and its size in pixels."""

    width: int
    height: int
    marks: Node


class Picture(msgspec.Struct, frozen=True):
    """What is drawn, and the same in words and numbers.

    name: letters, digits and hyphens; tells pictures on one page apart.
    description: what somebody who cannot see it needs to know.
    """

    name: str
    title: str
    description: str
    drawn: Drawn
    table: Table

    def element(self, style: str = "") -> Element:
        """Return the drawing as an SVG element. style: a style sheet of its own, where no page brings one."""
        title, description = f"{self.name}-title", f"{self.name}-description"
        return self._frame({"role": "img", "aria-labelledby": f"{title} {description}"})[
            element("title", children=self.title, id=title),
            element("desc", children=self.description, id=description),
            Element("style")[style] if style else None,
            self.drawn.marks,
        ]

    def printed(self) -> str:
        """Return the drawing for a PDF, in the colours of paper; its title and description stand beside it there."""
        return legible("".join(self._frame({})[Element("style")[PRINTED], self.drawn.marks].iter_chunks()))

    def standalone(self) -> str:
        """Return an SVG file that needs nothing else: no font, script or address."""
        return legible("".join(self.element(COLOURS + PICTURES).iter_chunks())) + "\n"

    def _frame(self, attributes: dict[str, str]) -> Element:
        width, height = self.drawn.width, self.drawn.height
        size = {"viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
        return Element("svg")({"xmlns": "http://www.w3.org/2000/svg", "class": "picture"} | attributes | size)


def counted(count: Count) -> str:
    """Return a count for people, or the word for one that may not be shown."""
    return "hidden" if isinstance(count, Missing) else f"{count:,}"


def explained(count: Count) -> str:
    """Return a count for the table, or why it may not be shown."""
    return HIDDEN if isinstance(count, Missing) else f"{count:,}"
