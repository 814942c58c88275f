"""One client's scale over sessions: scores of each rater, measurement error, caseness line, severity bands, lanes.

For the client's own therapist. Lines are broken where a score has no value and where the language changed: what lies
between two such points is not known, or not comparable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple

from htpy import Element, Fragment, fragment

from fhir_alliance.core.change import Change
from fhir_alliance.core.course import Course, Line, Sitting
from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Direction, NoValue, Rater
from fhir_alliance.views.axes import day_axis, days, ticks, value_axis
from fhir_alliance.views.drawing import Shape, Span, area, box, cut, joined, line, point, words
from fhir_alliance.views.lanes import MODE_WORDS, Timeline, lanes
from fhir_alliance.views.picture import Drawn, Picture, Table

_WIDTH, _LEFT, _RIGHT, _TOP = 860, 76, 706, 34
_HEIGHT, _SMALL_HEIGHT, _GAP = 220, 76, 34
_LABEL_GAP: Final = 13.0
# Colour, shape and stroke all tell the rater.
_LOOKS: Final = {
    Rater.CLIENT: (Shape.CIRCLE, "first"),
    Rater.THERAPIST: (Shape.SQUARE, "second"),
    Rater.PROXY: (Shape.TRIANGLE, "third"),
}
_DIRECTION: Final = {
    Direction.WORSE: "higher is worse",
    Direction.BETTER: "higher is better",
    Direction.UNKNOWN: "direction not stated",
}


class Panel(NamedTuple):
    """Where one scale is drawn: days across, points up."""

    across: Span
    up: Span

    def place(self, sitting: Sitting) -> tuple[float, float]:
        """Return where a sitting with a value lies."""
        if isinstance(sitting.value, NoValue):
            raise TypeError("only a score with a value has a place")
        return self.across.at(moment(sitting.when)), self.up.at(float(sitting.value))


def moment(when: datetime) -> float:
    """Return a moment as a day's ordinal with the part of the day that has passed, in UTC."""
    utc = when.astimezone(UTC)
    return utc.toordinal() + (utc.hour * 60 + utc.minute) / 1440


def course_picture(course: Course, timeline: Timeline, name: str = "course") -> Picture:
    """Return one scale with its lanes."""
    panel = _panel(course, timeline, _TOP, _HEIGHT)
    bottom = _TOP + _HEIGHT
    drawn, end = lanes(course, timeline, panel.across, bottom + 28)
    marks = fragment[
        _heading(course),
        _scale(course, panel, wide=True),
        _review_guides(timeline, panel),
        day_axis(panel.across, _TOP, bottom, days(timeline.first, timeline.last)),
        _lines(course, panel),
        drawn,
    ]
    return Picture(name, course.title, told(course), Drawn(_WIDTH, round(end + 12), marks), _table([course]))


def subscales_picture(courses: Sequence[Course], timeline: Timeline, name: str = "subscales") -> Picture:
    """Return subscales below each other on one time axis."""
    marks: list[Element | Fragment] = []
    top = float(_TOP)
    panel = _panel(courses[0], timeline, top, _SMALL_HEIGHT)
    for course in courses:
        panel = _panel(course, timeline, top, _SMALL_HEIGHT)
        title = cut(course.title, _RIGHT - _LEFT - 10, 13)
        marks += [words((_LEFT, top - 8), title, "strong"), _scale(course, panel, wide=False), _lines(course, panel)]
        top += _SMALL_HEIGHT + _GAP
    bottom = top - _GAP
    marks.insert(0, day_axis(panel.across, _TOP, bottom, days(timeline.first, timeline.last)))
    title = courses[0].title if len(courses) == 1 else "Further scales"
    said = " ".join(told(course) for course in courses)
    return Picture(name, title, said, Drawn(_WIDTH, round(bottom + 28), fragment[marks]), _table(courses))


def told(course: Course) -> str:
    """Return a scale's course in words: for each rater how many scores, the first, the last, and the change."""
    parts = [f"{course.title}, from {plain(course.low)} to {plain(course.high)}, {_DIRECTION[course.higher_is]}."]
    for drawn in course.lines:
        valued = [s for s in drawn.sittings if not isinstance(s.value, NoValue)]
        parts.append(f"{drawn.rater.value.capitalize()}: {len(valued)} scores")
        if valued:
            first, last = valued[0], valued[-1]
            parts[-1] += f", first {_points(first)} on {_day(first)}, last {_points(last)} on {_day(last)}"
        missing = len(drawn.sittings) - len(valued)
        parts[-1] += f", and {missing} without a value." if missing else "."
        if isinstance(drawn.change, Change):
            parts.append(drawn.change.explanation)
    return " ".join(parts)


def _panel(course: Course, timeline: Timeline, top: float, height: float) -> Panel:
    across = Span(timeline.first.toordinal(), timeline.last.toordinal() + 1, _LEFT + 8, _RIGHT - 8)
    values = [float(s.value) for drawn in course.lines for s in drawn.sittings if not isinstance(s.value, NoValue)]
    low, high = float(course.low), float(course.high)
    if low == high:  # a site's own form without bounds: what was scored tells the range
        low, high = min([0.0, *values]), max([1.0, *values])
    return Panel(across, Span(low, high, top + height, top))


def _heading(course: Course) -> Fragment:
    """Return the legend: raters, what is shaded, and what a higher score means."""
    marks: list[Element] = []
    x = float(_LEFT)
    for drawn in course.lines:
        shape, look = _LOOKS[drawn.rater]
        marks += [line((x, 14), (x + 26, 14), f"line-{look}"), point((x + 13, 14), shape, f"dot-{look}")]
        marks.append(words((x + 32, 18), drawn.rater.value))
        x += 44 + 7 * len(drawn.rater.value)
    if course.error is not None:
        marks += [box((x, 8), (26, 12), "glow"), words((x + 32, 18), "95 % error band")]
        x += 140
    if course.reliable_change is not None:
        marks += [
            box((x, 8), (26, 12), "shade"),
            words((x + 32, 18), "no reliable change since the first"),
        ]
    marks.append(words((_RIGHT + 10, 18), _DIRECTION[course.higher_is], "quiet"))
    return fragment[marks]


def _scale(course: Course, panel: Panel, *, wide: bool) -> Fragment:
    """Return grid, measurement error, caseness line, and names of bands at the right."""
    low, high = panel.up.low, panel.up.high
    values = ticks(round(low), round(high)) if wide else [Decimal(str(low)), Decimal(str(high))]
    marks: list[Element | Fragment] = [*_corridor(course, panel), value_axis(panel.up, _LEFT, _RIGHT, values)]
    marks += [_error(course, drawn, panel) for drawn in course.lines[:1] if course.error is not None]
    labels: list[tuple[float, str, str]] = []
    if course.caseness is not None:
        y = panel.up.at(float(course.caseness.at))
        marks.append(line((_LEFT, y), (_RIGHT, y), "limit"))
        labels.append((y, f"caseness {plain(course.caseness.at)}", "strong small"))
    if wide:
        for band in course.bands:
            middle = (panel.up.at(float(band.low)) + panel.up.at(float(band.high))) / 2
            labels.append((middle, cut(band.label, 130, 11), "quiet small"))
        marks += [line((_RIGHT, y), (_RIGHT + 7, y), "axis") for y in _borders(course, panel)]
    marks += [words((_RIGHT + 10, y + 4), text, kind) for y, text, kind in _spread(labels)]
    return fragment[marks]


def _corridor(course: Course, panel: Panel) -> list[Element]:
    """Return the range of the first score with less than a reliable change, as long as scores are comparable to it."""
    runs = stretches(course.lines[0])
    if course.reliable_change is None or not runs:
        return []
    first = runs[0][0]
    same = [sitting for run in runs for sitting in run if sitting.language == first.language]
    value, reach = float(first.value) if not isinstance(first.value, NoValue) else 0.0, course.reliable_change.value
    upper = panel.up.at(min(panel.up.high, value + float(reach)))
    lower = panel.up.at(max(panel.up.low, value - float(reach)))
    left, right = panel.place(first)[0] - 6, panel.place(same[-1])[0] + 6
    return [box((left, upper), (right - left, lower - upper), "shade")]


def _borders(course: Course, panel: Panel) -> list[float]:
    """Return where one severity band ends and the next begins: between their last and first points."""
    ordered = sorted(course.bands, key=lambda band: band.low)
    return [panel.up.at(float(a.high + b.low) / 2) for a, b in pairwise(ordered)]


def _spread(labels: Sequence[tuple[float, str, str]]) -> Iterator[tuple[float, str, str]]:
    """Yield labels from top to bottom, moved down where they would lie on each other."""
    below = float("-inf")
    for y, text, kind in sorted(labels):
        below = max(y, below + _LABEL_GAP)
        yield below, text, kind


def _error(course: Course, drawn: Line, panel: Panel) -> Fragment:
    reach = float(course.error.half_width) if course.error is not None else 0.0
    shapes = []
    for stretch in stretches(drawn):
        places = [(panel.place(s)[0], float(s.value)) for s in stretch if not isinstance(s.value, NoValue)]
        if len(places) == 1:
            x, value = places[0]
            places = [(x - 5, value), (x + 5, value)]
        upper = [(x, panel.up.at(min(panel.up.high, value + reach))) for x, value in places]
        lower = [(x, panel.up.at(max(panel.up.low, value - reach))) for x, value in reversed(places)]
        shapes.append(area([*upper, *lower], "glow"))
    return fragment[shapes]


def stretches(drawn: Line) -> list[list[Sitting]]:
    """Return the runs of sittings that a line may join: each has a value, and the language stays the same."""
    found: list[list[Sitting]] = []
    run: list[Sitting] = []
    for sitting in drawn.sittings:
        if isinstance(sitting.value, NoValue) or (run and run[-1].language != sitting.language):
            found += [run] if run else []
            run = []
        if not isinstance(sitting.value, NoValue):
            run.append(sitting)
    return found + ([run] if run else [])


def _lines(course: Course, panel: Panel) -> Fragment:
    return fragment[[_rater_line(drawn, panel) for drawn in course.lines]]


def _rater_line(drawn: Line, panel: Panel) -> Fragment:
    shape, look = _LOOKS[drawn.rater]
    marks = [joined([panel.place(s) for s in stretch], f"line-{look}") for stretch in stretches(drawn)]
    for sitting in drawn.sittings:
        if isinstance(sitting.value, NoValue):
            place = (panel.across.at(moment(sitting.when)), panel.up.start - 8)
            marks.append(point(place, Shape.CROSS, "missing"))
        else:
            kind = f"ring-{look}" if sitting.prorated else f"dot-{look}"
            marks.append(point(panel.place(sitting), shape, kind))
    return fragment[marks]


def _review_guides(timeline: Timeline, panel: Panel) -> Fragment:
    opened = {review.opened.date() for review in timeline.reviews}
    inside = sorted(day for day in opened if timeline.first <= day <= timeline.last)
    places = [panel.across.at(day.toordinal()) for day in inside]
    return fragment[[line((x, panel.up.end), (x, panel.up.start), "guide") for x in places]]


def _table(courses: Sequence[Course]) -> Table:
    head = ("date", "answered by", "score", "band", "care", "language", "remark")
    is_many = len(courses) > 1
    rows = [
        (*((course.title,) if is_many else ()), *_row(drawn, sitting))
        for course in courses
        for drawn in course.lines
        for sitting in drawn.sittings
    ]
    caption = "Further scales" if is_many else courses[0].title
    return Table(caption, (*(("scale",) if is_many else ()), *head), tuple(rows))


def _row(drawn: Line, sitting: Sitting) -> tuple[str, ...]:
    return (
        f"{sitting.when:%Y-%m-%d}",
        drawn.rater.value,
        _points(sitting),
        sitting.band,
        MODE_WORDS[sitting.mode],
        sitting.language or "not known",
        remark(sitting),
    )


def remark(sitting: Sitting) -> str:
    """Return what a reader has to know of a score: why there is none, or that answers are missing in it."""
    if isinstance(sitting.value, NoValue):
        return f"no score: {sitting.value.note or sitting.value.code}"
    if sitting.prorated:
        return f"prorated: {sitting.answered} of {sitting.asked} answered"
    return ""


def _points(sitting: Sitting) -> str:
    return "-" if isinstance(sitting.value, NoValue) else plain(sitting.value)


def _day(sitting: Sitting) -> str:
    return f"{sitting.when:%Y-%m-%d}"
