"""The picture of a course: every point where its number says, nothing drawn that is not known."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.course import Course, ErrorBand, Line, Sitting, StatedGoal
from fhir_alliance.core.model import (
    Band,
    Direction,
    Level,
    Mode,
    NoValue,
    Number,
    Rater,
    Review,
    ReviewKind,
    ReviewStatus,
    Sourced,
    Threshold,
)
from fhir_alliance.testing import START
from fhir_alliance.views.course_picture import course_picture, moment, stretches, subscales_picture
from fhir_alliance.views.drawing import Span, legible, number
from fhir_alliance.views.lanes import Timeline
from fhir_alliance.views.palette import PICTURES
from fhir_alliance.views.picture import Picture

SVG = "{http://www.w3.org/2000/svg}"
ACROSS = Span(date(2026, 1, 5).toordinal(), date(2026, 3, 31).toordinal() + 1, 84, 698)
UP = Span(0, 27, 254, 34)
HOSTILE = "</text><script>alert(1)</script>\"'&\x1b]8;;x\x07\u202e"


def sitting(value: Number | NoValue, week: int, language: str = "en", mode: Mode = Mode.IN_PERSON) -> Sitting:
    """Return a sitting some weeks after the start."""
    band = "" if isinstance(value, NoValue) else "mild"
    return Sitting(START + timedelta(weeks=week), value, band, mode, language, 9, 9, False)


def course(*sittings: Sitting, error: ErrorBand | None = None, therapist: tuple[Sitting, ...] = ()) -> Course:
    """Return a course of 0 to 27 points with a caseness line at 10."""
    lines = [Line(Rater.CLIENT, sittings, NotComputable("no."))]
    lines += [Line(Rater.THERAPIST, therapist, NotComputable("no."))] if therapist else []
    bands = (Band("mild", "mild", 0, 9, "s"), Band("bad", "bad", 10, 27, "s"))
    return Course(
        "toy", "Toy", "total", "Toy total", 0, 27, Direction.WORSE, tuple(lines), bands, Threshold(10, "s"), error
    )


def timeline(*goals: StatedGoal, reviews: tuple[Review, ...] = ()) -> Timeline:
    """Return the days of twelve weeks."""
    return Timeline(date(2026, 1, 5), date(2026, 3, 31), goals, reviews)


def parsed(picture: Picture) -> ElementTree.Element:
    """Return the picture as XML."""
    return ElementTree.fromstring(picture.standalone())  # noqa: S314 - our own markup


def points(picture: Picture, kind: str) -> list[tuple[str, str]]:
    """Return where the circles of a kind lie."""
    found = [e for e in parsed(picture).iter(f"{SVG}circle") if e.get("class") == kind]
    return [(str(e.get("cx")), str(e.get("cy"))) for e in found if e.get("cy") != "14"]  # that one is the legend's


@given(st.lists(st.integers(0, 27), min_size=1, max_size=12))
def test_points_lie_where_the_table_says(values: list[int]) -> None:
    """Each row of the table is one point, at its day and its value."""
    picture = course_picture(course(*(sitting(value, week) for week, value in enumerate(values))), timeline())
    expected = [
        (number(ACROSS.at(moment(START + timedelta(weeks=week)))), number(UP.at(value)))
        for week, value in enumerate(values)
    ]
    assert points(picture, "dot-first") == expected
    assert [row[2] for row in picture.table.rows] == [str(value) for value in values]


def test_a_gap_is_not_joined() -> None:
    """No line crosses a form without a score or a change of language; the form without a score is a cross and a row."""
    told = course(sitting(9, 0), sitting(8, 1), missing(), sitting(7, 3), sitting(6, 4, "de"), sitting(5, 5, "de"))
    assert [[s.value for s in run] for run in stretches(told.lines[0])] == [[9, 8], [7], [6, 5]]
    picture = course_picture(told, timeline())
    lines = [e for e in parsed(picture).iter(f"{SVG}polyline") if e.get("class") == "line-first"]
    assert [len(str(e.get("points")).split()) for e in lines] == [2, 1, 2]
    crosses = [e for e in parsed(picture).iter(f"{SVG}path") if e.get("class") == "missing"]
    assert len(crosses) == 1
    assert picture.table.rows[2][2:] == ("-", "", "in person", "en", "no score: 7 of 9 answered; rule needs 9")


def test_a_prorated_score_is_a_ring() -> None:
    """A score with answers missing is drawn hollow, and the table says how many were answered."""
    picture = course_picture(course(msgspec.structs.replace(sitting(9, 0), prorated=True, answered=8)), timeline())
    assert (len(points(picture, "ring-first")), points(picture, "dot-first")) == (1, [])
    assert picture.table.rows[0][-1] == "prorated: 8 of 9 answered"


def test_raters_are_told_apart_by_shape_and_stroke() -> None:
    """The therapist's points are squares on a line of their own; the table names who answered."""
    picture = course_picture(course(sitting(9, 0), therapist=(sitting(3, 0), sitting(4, 1))), timeline())
    squares = [e for e in parsed(picture).iter(f"{SVG}polygon") if e.get("class") == "dot-second"]
    assert len(squares) == 3  # two points and the legend's
    assert [row[1] for row in picture.table.rows] == ["client", "therapist", "therapist"]


def test_the_error_band_reaches_as_far_as_it_says_and_not_beyond_the_scale() -> None:
    """The band lies half its width above and below each score, cut at the scale's ends."""
    error = ErrorBand(Decimal(4), Sourced(6, "s"), Sourced(Decimal("0.9"), "s"))
    picture = course_picture(course(sitting(2, 0), sitting(25, 1), error=error), timeline())
    (band,) = [e for e in parsed(picture).iter(f"{SVG}polygon") if e.get("class") == "glow"]
    heights = [place.split(",")[1] for place in str(band.get("points")).split()]
    assert heights == [number(UP.at(value)) for value in (6, 27, 21, 0)]


@pytest.mark.parametrize("error", [None, ErrorBand(Decimal(4), Sourced(6, "s"), Sourced(Decimal("0.9"), "s"))])
def test_a_band_that_is_not_known_is_not_drawn(error: ErrorBand | None) -> None:
    """Without SD and reliability nothing is shaded and the legend does not name a band."""
    root = parsed(course_picture(course(sitting(2, 0), error=error), timeline()))
    shaded = [e for e in root.iter() if e.get("class") == "glow"]
    named = [e for e in root.iter(f"{SVG}text") if e.text == "95 % error band"]
    assert (bool(shaded), bool(named)) == (error is not None, error is not None)


def test_the_corridor_of_reliable_change_starts_at_the_first_score() -> None:
    """The grey range reaches a reliable change above and below the first score, as long as the language is the same."""
    told = msgspec.structs.replace(
        course(sitting(12, 0), sitting(9, 3), sitting(9, 6, "de")), reliable_change=Sourced(6, "manual")
    )
    root = parsed(course_picture(told, timeline()))
    (grey,) = [e for e in root.iter(f"{SVG}rect") if e.get("class") == "shade" and float(str(e.get("height"))) > 20]
    assert (grey.get("y"), grey.get("height")) == (number(UP.at(18)), number(UP.at(6) - UP.at(18)))
    right = float(str(grey.get("x"))) + float(str(grey.get("width")))
    assert right == pytest.approx(ACROSS.at(moment(START + timedelta(weeks=3))) + 6, abs=0.02)


def test_caseness_is_a_line_at_its_number() -> None:
    """The caseness line lies at its points and is named."""
    root = parsed(course_picture(course(sitting(2, 0)), timeline()))
    (limit,) = [e for e in root.iter(f"{SVG}line") if e.get("class") == "limit"]
    assert limit.get("y1") == limit.get("y2") == number(UP.at(10))
    assert [e.text for e in root.iter(f"{SVG}text") if (e.text or "").startswith("caseness")] == ["caseness 10"]


def test_lanes_show_modes_goals_and_reviews_on_the_same_days() -> None:
    """A change of mode begins a new bar on its day; a review stands from the day it was opened."""
    told = course(sitting(2, 0), sitting(2, 4, mode=Mode.VIDEO), sitting(2, 8, mode=Mode.VIDEO))
    opened = START + timedelta(weeks=8)
    review = Review("r", ReviewKind.SAFETY, ReviewStatus.OPEN, "Patient/p1", "", Level.URGENT, (), (), opened, opened)
    root = parsed(course_picture(told, timeline(StatedGoal("Goal/1", "sleep", "active"), reviews=(review,))))
    texts = [e.text for e in root.iter(f"{SVG}text")]
    assert [text for text in texts if text in ("in person", "video", "phone")] == ["video"]  # the first bar is short
    assert "sleep" in texts
    assert "review of a safety answer, open, due 2 Mar" in texts
    bars = [float(str(e.get("x"))) for e in root.iter(f"{SVG}rect") if e.get("class") == "shade"]
    assert number(ACROSS.at(date(2026, 2, 2).toordinal()) - 4) in {number(x) for x in bars}


def test_subscales_share_the_days_and_one_table() -> None:
    """Every subscale's points are drawn on the same days, and the table tells the scales apart."""
    picture = subscales_picture([course(sitting(2, 0)), course(sitting(9, 0))], timeline())
    found = points(picture, "dot-first")
    assert len(found) == 2
    assert found[0][0] == found[1][0]
    assert picture.table.head[0] == "scale"


def test_hostile_goals_stay_text() -> None:
    """A goal with markup, control characters and marks of direction is drawn as its letters."""
    root = parsed(course_picture(course(sitting(2, 0)), timeline(StatedGoal("Goal/1", HOSTILE, "active"))))
    assert legible(HOSTILE) in [e.text for e in root.iter(f"{SVG}text")]
    assert not list(root.iter(f"{SVG}script"))


def test_every_mark_has_its_colours_and_the_legend_its_room() -> None:
    """Every rater's marks, whole or prorated, stand in the style sheet, and no words of the legend lie on others."""
    hollow = msgspec.structs.replace(sitting(9, 0), prorated=True)
    raters = tuple(Line(rater, (sitting(3, 1), hollow, missing()), NotComputable("no.")) for rater in Rater)
    error = ErrorBand(Decimal(4), Sourced(6, "s"), Sourced(Decimal("0.9"), "s"))
    told = msgspec.structs.replace(course(error=error), lines=raters, reliable_change=Sourced(6, "s"))
    root = parsed(course_picture(told, timeline(StatedGoal("Goal/1", "sleep", "active"))))
    known = set(re.findall(r"[.]([a-z]+(?:-[a-z]+)*)(?=[{ ,])", PICTURES))
    assert {name for e in root.iter() for name in (e.get("class") or "").split()} <= known
    legend = [e for e in root.iter(f"{SVG}text") if e.get("y") == "18"]
    ends = [float(str(e.get("x"))) + 5.6 * len(e.text or "") for e in legend]
    assert all(end <= float(str(after.get("x"))) for end, after in zip(ends, legend[1:], strict=False))
    assert ends[-1] <= 860


def missing() -> Sitting:
    """Return a sitting without a score."""
    return sitting(NoValue("not-performed", "7 of 9 answered; rule needs 9"), 2)


def test_many_reviews_are_counted_and_not_piled_up() -> None:
    """More reviews than there are lanes for are counted in the last one."""
    opened = START + timedelta(weeks=2)
    reviews = tuple(
        Review(str(n), ReviewKind.GOAL, ReviewStatus.CANCELLED, "Patient/p1", "", Level.ROUTINE, (), (), opened, opened)
        for n in range(9)
    )
    root = parsed(course_picture(course(sitting(2, 0)), timeline(reviews=reviews)))
    texts = [e.text for e in root.iter(f"{SVG}text") if (e.text or "").startswith("goal review")]
    assert len(texts) == 4
    assert str(texts[-1]).endswith("(and 5 more)")
