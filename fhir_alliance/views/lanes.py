"""Lanes below a course: care mode, language, goals and reviews on the same time axis as the scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from itertools import groupby
from typing import Final, NamedTuple

import msgspec
from htpy import Element, Fragment, fragment

from fhir_alliance.core.course import Course, Sitting, StatedGoal
from fhir_alliance.core.model import Mode, Review, ReviewStatus
from fhir_alliance.views import review_words
from fhir_alliance.views.drawing import Shape, Span, box, cut, point, words

HEIGHT: Final = 22
_WIDE: Final = 6.2  # a letter of 11 pixels, in pixels
_MARGIN: Final = 140  # room at the right of the days
_MOST: Final = 4  # rows for goals and for reviews; the page's tables have them all
MODE_WORDS: Final = {
    Mode.IN_PERSON: "in person",
    Mode.VIDEO: "video",
    Mode.PHONE: "phone",
    Mode.UNKNOWN: "not known",
}


class Timeline(msgspec.Struct, frozen=True):
    """The days that all of one client's pictures share, with what else happened on them."""

    first: date
    last: date
    goals: tuple[StatedGoal, ...] = ()
    reviews: tuple[Review, ...] = ()


class _Bar(NamedTuple):
    """A stretch of days with a word in it. kind: its look; point: a mark at its start, where it has one."""

    start: date
    end: date
    label: str
    kind: str = "shade"
    point: str = ""


def lanes(course: Course, timeline: Timeline, across: Span, top: float) -> tuple[Fragment, float]:
    """Return the lanes from `top` down, and where they end. across: of days as ordinals."""
    rows = [("care", _runs(course, lambda sitting: MODE_WORDS[sitting.mode]))]
    rows.append(("language", _runs(course, lambda sitting: sitting.language or "not known")))
    rows += _rows("goals", [_goal_bar(goal, timeline) for goal in timeline.goals])
    rows += _rows("reviews", [_review_bar(review) for review in timeline.reviews])
    marks = [_lane(label, bars, across, top + place * HEIGHT) for place, (label, bars) in enumerate(rows)]
    return fragment[marks], top + len(rows) * HEIGHT


def _rows(label: str, bars: Sequence[_Bar]) -> list[tuple[str, list[_Bar]]]:
    shown = [(label if place == 0 else "", [bar]) for place, bar in enumerate(bars[:_MOST])]
    if len(bars) > _MOST:
        last = bars[_MOST - 1]
        shown[-1] = ("", [last._replace(label=f"{last.label} (and {len(bars) - _MOST} more)")])
    return shown


def _lane(label: str, bars: Sequence[_Bar], across: Span, top: float) -> Fragment:
    marks: list[Element] = [words((across.start - 8, top + 15), label, "quiet", "end")] if label else []
    for bar in bars:
        left = max(across.start, across.at(bar.start.toordinal()) - 4)
        right = max(left + 8, min(across.end + 4, across.at(bar.end.toordinal()) + 4))
        marks.append(box((left, top + 3), (right - left, HEIGHT - 6), bar.kind, 3))
        if bar.point:
            marks.append(point((left + 4, top + HEIGHT / 2), Shape.DIAMOND, bar.point))
        marks += _label(bar, (left, right), across, top, is_alone=len(bars) == 1)
    return fragment[marks]


def _label(bar: _Bar, sides: tuple[float, float], across: Span, top: float, *, is_alone: bool) -> list[Element]:
    """Return a bar's word inside it, or beside it where it is too short and alone in its lane."""
    left, right = sides
    begin, y = left + (14 if bar.point else 6), top + 15
    if begin + len(bar.label) * _WIDE <= right:
        return [words((begin, y), bar.label, "small")]
    before, after = left - across.start - 8, across.end + _MARGIN - right - 8
    if is_alone and max(before, after) > right - begin:
        if after >= min(before, len(bar.label) * _WIDE):
            return [words((right + 8, y), cut(bar.label, after, 11), "small")]
        return [words((left - 8, y), cut(bar.label, before, 11), "small", "end")]
    return [words((begin, y), cut(bar.label, right - begin, 11), "small")] if right - begin >= 40 else []


def _runs(course: Course, what: Callable[[Sitting], str]) -> list[_Bar]:
    """Return the stretches over which something stayed the same, in the order of all sittings."""
    sittings = sorted((s for drawn in course.lines for s in drawn.sittings), key=lambda sitting: sitting.when)
    bars = []
    for label, run in groupby(sittings, key=what):
        members = list(run)
        bars.append(_Bar(members[0].when.date(), members[-1].when.date(), label))
    return bars


def _goal_bar(goal: StatedGoal, timeline: Timeline) -> _Bar:
    return _Bar(goal.starts or timeline.first, goal.due or timeline.last, goal.words, "frame")


def _review_bar(review: Review) -> _Bar:
    name = f"{review_words.title(review)}, {review_words.state(review)}"
    if review.status is ReviewStatus.OPEN:
        label = f"{name}, due {review.due.day} {review.due:%b}"
        return _Bar(review.opened.date(), review.due.date(), label, "frame", "ring-second")
    return _Bar(review.opened.date(), review.closed_on or review.opened.date(), name, "frame", "dot-quiet")
