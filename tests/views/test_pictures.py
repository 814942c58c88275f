"""Pictures: well-formed, told in words and numbers, without anything from outside, the same bytes every time."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.change import ChangeClass
from fhir_alliance.core.model import Count, Direction, Missing, Sourced, Threshold
from fhir_alliance.views.axes import day_words, days, ticks
from fhir_alliance.views.drawing import Span, legible, number
from fhir_alliance.views.funnel_picture import Funnel, Group, funnel_picture
from fhir_alliance.views.palette import DARK, LIGHT
from fhir_alliance.views.palette import PICTURES as PICTURES_STYLE
from fhir_alliance.views.picture import HIDDEN, Picture
from fhir_alliance.views.population_flow import Flow, LeftOut, Stage, population_flow
from fhir_alliance.views.prepost_picture import Dot, PrePost, prepost_picture
from fhir_alliance.views.run_chart import Period, RunChart, run_chart

SVG = "{http://www.w3.org/2000/svg}"
SHAPES = {"rect", "line", "polyline", "polygon", "circle", "path"}
HOSTILE = "</text></svg><script>alert(1)</script>&amp;\"' onload=x\x00\x1b]8;;\ud800"


def flow(title: str = "Remission", hidden: Count = 14) -> Picture:
    """Return a flow with one exclusion."""
    left = LeftOut(f"Exclusion: {title}", hidden)
    return population_flow(Flow(title, (Stage(title, 212, (left,)), Stage("Numerator", 61, note="rate 31 %"))))


def prepost(title: str = "PHQ-9") -> Picture:
    """Return a scatter of four clients, two of them at the same place."""
    dots = (
        Dot(20, 7, ChangeClass.RECOVERED),
        Dot(12, 11, ChangeClass.UNCHANGED),
        Dot(12, 11, ChangeClass.UNCHANGED),
        Dot(9, 21, ChangeClass.HARMED),
    )
    return prepost_picture(
        PrePost(title, 0, 27, Direction.WORSE, dots, Sourced(6, f"source {title}"), Threshold(10, "manual"))
    )


def funnel(title: str = "Improved") -> Picture:
    """Return a funnel of three therapists, one of them far outside."""
    groups = (Group(40, 20), Group(80, 4), Group(12, 7))
    return funnel_picture(Funnel(title, title, Decimal("0.5"), groups))


def run(title: str = "Timely reviews") -> Picture:
    """Return a run chart with one period that may not be shown."""
    periods = (
        Period(f"Jan {title}", Decimal(60), 20),
        Period("Feb", Missing.MASKED, Missing.MASKED),
        Period("Mar", Decimal("85.5"), 31),
    )
    return run_chart(RunChart(title, "%", periods, Decimal(100), Decimal(80)))


PICTURES = pytest.mark.parametrize("draw", [flow, prepost, funnel, run], ids=lambda draw: draw.__name__)


def parsed(picture: Picture) -> ElementTree.Element:
    """Return the picture's file as XML."""
    return ElementTree.fromstring(picture.standalone())  # noqa: S314 - our own markup


@PICTURES
def test_a_picture_says_what_it_shows(draw: type[Picture]) -> None:
    """Every picture is an image with a title and a description that its label names, and a table of equal rows."""
    picture = draw()
    root = parsed(picture)
    assert (root.tag, root.get("role")) == (f"{SVG}svg", "img")
    named = {element.get("id"): element.text for element in root if element.tag in (f"{SVG}title", f"{SVG}desc")}
    assert [named[name] for name in str(root.get("aria-labelledby")).split()] == [picture.title, picture.description]
    assert picture.description
    assert {len(row) for row in picture.table.rows} == {len(picture.table.head)}


@PICTURES
def test_a_picture_needs_nothing_from_outside(draw: type[Picture]) -> None:
    """No address, link, script, image, foreign object or style attribute stands in a picture."""
    root = parsed(draw())
    allowed = {"title", "desc", "style", "g", "rect", "line", "polyline", "polygon", "circle", "path", "text"}
    for element in root.iter():
        assert element is root or element.tag.removeprefix(SVG) in allowed
        for name in element.attrib:
            assert name not in ("href", "style", "src")
            assert not name.startswith("on")
    assert "url(" not in str(draw().standalone())
    assert re.findall(r"https?://[^\"]*", draw().standalone()) == ["http://www.w3.org/2000/svg"]


@PICTURES
def test_every_mark_has_its_colours(draw: type[Picture]) -> None:
    """Every class of a mark stands in the style sheet: without it, a mark would be black on every ground."""
    known = set(re.findall(r"[.]([a-z]+(?:-[a-z]+)*)(?=[{ ,])", PICTURES_STYLE))
    used = {name for element in parsed(draw()).iter() for name in (element.get("class") or "").split()}
    assert used <= known
    bare = [e.tag for e in parsed(draw()).iter() if e.tag.removeprefix(SVG) in SHAPES and not e.get("class")]
    assert bare == []


@PICTURES
def test_hostile_text_stays_text(draw: type[Picture]) -> None:
    """Markup, quotes and control characters in a name come out as the same letters, and as no element."""
    root = parsed(draw(HOSTILE))  # type: ignore[call-arg]
    assert next(element.text for element in root if element.tag == f"{SVG}title") == legible(HOSTILE)
    assert not list(root.iter(f"{SVG}script"))
    assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)


@PICTURES
def test_the_same_noun_gives_the_same_bytes(draw: type[Picture]) -> None:
    """A picture drawn twice is the same to the byte."""
    assert draw().standalone() == draw().standalone()


@PICTURES
def test_marks_lie_inside_the_picture(draw: type[Picture]) -> None:
    """No mark starts outside the picture's own size."""
    picture = draw()
    for element in parsed(picture).iter():
        for names, most in ((("x", "x1", "x2", "cx"), picture.drawn.width), (("y", "y1", "cy"), picture.drawn.height)):
            for name in names:
                assert 0 <= float(element.get(name, "0")) <= most


def test_every_row_of_the_scatter_is_one_point() -> None:
    """The points lie where the rows of the table say, one each, larger where a row counts several clients."""
    picture = prepost()
    across, up = Span(0, 27, 64, 504), Span(0, 27, 460, 20)
    drawn = [e for e in parsed(picture).iter() if (e.get("class") or "").startswith(("dot-", "ring-"))][:3]
    assert [row[3] for row in picture.table.rows] == ["1", "2", "1"]
    centres = {_centre(element) for element in drawn}
    rows = {(number(across.at(float(r[0]))), number(up.at(float(r[1])))) for r in picture.table.rows}
    assert {(x, y) for x, y in centres if (x, y) in rows} == centres - _triangles(drawn)
    assert len(drawn) == len(picture.table.rows)


def _centre(element: ElementTree.Element) -> tuple[str, str]:
    if element.get("cx"):
        return str(element.get("cx")), str(element.get("cy"))
    places = [tuple(map(float, place.split(","))) for place in str(element.get("points")).split()]
    x, y = ([place[axis] for place in places] for axis in (0, 1))
    return number((min(x) + max(x)) / 2), number((min(y) + max(y)) / 2)


def _triangles(elements: list[ElementTree.Element]) -> set[tuple[str, str]]:
    """Return the centres of triangles, whose middle is not that of their box."""
    return {_centre(e) for e in elements if len(str(e.get("points", "")).split()) == 3}


def test_a_hidden_count_shows_in_no_size() -> None:
    """The boxes of a flow are the same for a hidden count, a small one and a large one."""
    sizes = [
        [
            (e.get("x"), e.get("y"), e.get("width"), e.get("height"))
            for e in parsed(flow(hidden=count)).iter(f"{SVG}rect")
        ]
        for count in (Missing.MASKED, 1, 9000)
    ]
    assert sizes[0] == sizes[1] == sizes[2]
    assert HIDDEN in [row[1] for row in flow(hidden=Missing.MASKED).table.rows]


def test_therapists_who_are_alike_are_one_larger_shape() -> None:
    """Of three therapists two have the same numbers: no dot hides another, and the table counts all three."""
    picture = funnel_picture(Funnel("x", "x", Decimal("0.5"), (Group(40, 20), Group(40, 20), Group(30, 12))))
    radii = re.findall(r'<circle[^>]* r="([0-9.]+)"', picture.standalone())
    assert sorted(radii) == ["5", "7.07"]
    assert picture.table.rows == (("20 to 49", "0", "3", "0"),)


def test_the_funnel_names_nobody_and_marks_what_lies_outside() -> None:
    """The group outside the limits of 99.8 % has another shape; the table gives nobody's own share."""
    picture = funnel()
    assert picture.table.head == ("clients", "below 99.8 %", "within 99.8 %", "above 99.8 %")
    rows = (("11 to 19", "0", "1", "0"), ("20 to 49", "0", "1", "0"), ("50 to 99", "1", "0", "0"))
    assert picture.table.rows == rows
    kinds = [
        element.get("class") for element in parsed(picture).iter() if (element.get("class") or "").startswith("dot")
    ]
    assert kinds == ["dot-first", "dot-first", "dot-second"]


def test_a_hidden_period_breaks_the_line() -> None:
    """A run chart draws no line across a period that may not be shown, and no point in it."""
    root = parsed(run())
    lines = [element for element in root.iter(f"{SVG}polyline") if element.get("class") == "line-first"]
    assert [len(str(element.get("points")).split()) for element in lines] == [1, 1]
    assert len(list(root.iter(f"{SVG}circle"))) == 2


@pytest.mark.parametrize("ground", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_keep_their_contrast(ground: dict[str, str]) -> None:
    """Text reaches 4.5:1 and graphics 3:1 against every ground that they stand on (WCAG 2.2, 1.4.3 and 1.4.11)."""
    for paper in ("paper", "faint", "glow"):
        assert contrast(ground["ink"], ground[paper]) >= 4.5
        for series in ("first", "second", "third"):
            assert contrast(ground[series], ground[paper]) >= 3.0 or paper == "faint"
    for text in ("muted",):
        assert contrast(ground[text], ground["paper"]) >= 4.5
        assert contrast(ground[text], ground["faint"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours as WCAG 2.2 defines it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@given(st.integers(-50, 50), st.integers(1, 500), st.integers(2, 10))
def test_ticks_are_few_and_within(low: int, width: int, most: int) -> None:
    """Ticks lie inside the range, rise evenly, and are at most one more than asked for."""
    found = ticks(low, low + width, most)
    assert 1 <= len(found) <= most + 1
    assert low <= found[0]
    assert found[-1] <= low + width
    assert len({b - a for a, b in pairwise(found)}) <= 1


@given(st.dates(date(1990, 1, 1), date(2060, 1, 1)), st.integers(0, 4000))
def test_labelled_days_are_few_and_within(first: date, length: int) -> None:
    """The days to label begin with the first, rise, lie within, and are never so many that they cannot be read."""
    found = days(first, first + timedelta(days=length))
    assert found[0] == first
    assert found == sorted(set(found))
    assert found[-1] <= first + timedelta(days=length)
    assert len(found) <= 16
    assert all(day_words(day, first) for day in found)


def test_shapes_are_told_apart_without_colour() -> None:
    """Every class of change is drawn in a combination of shape and filling that no other class has."""
    looks = set()
    for kind in ChangeClass:
        root = parsed(prepost_picture(PrePost("x", 0, 27, Direction.WORSE, (Dot(5, 5, kind),))))
        drawn = next(e for e in root.iter() if (e.get("class") or "").startswith(("dot-", "ring-")))
        looks.add((drawn.tag, len(str(drawn.get("points", "")).split()), str(drawn.get("class")).split("-")[0]))
    assert len(looks) == len(ChangeClass)
