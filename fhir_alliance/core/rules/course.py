"""The expected course: where a client who began like this one stands by now, and who is not on track."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from fhir_alliance.core.cutoffs import plain, sign
from fhir_alliance.core.model import Finding
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.chart import Course
from fhir_alliance.core.rules.page import Moment, Note

NOT_ON_TRACK = "not-on-track"


class Expected(NamedTuple):
    """What a course expects after a number of sessions: the mean, and its standard deviation, in points."""

    mean: float
    sd: float


def expected(course: Course, first: float, session: int) -> Expected:
    """Return what is expected at a session (1 is the first score itself) of a client who began at `first` points."""
    time = math.log(session)
    mean = first + (course.slope + course.slope_by_first * first) * time
    return Expected(mean, math.hypot(course.slope_sd * time, course.residual_sd))


def covers(course: Course, first: float, session: int) -> bool:
    """Return whether a course was fitted on such first scores and so many sessions."""
    return course.first_low <= first <= course.first_high and 2 <= session <= course.sessions


def reach(band: float) -> float:
    """Return how many standard deviations a band around the mean reaches that holds this share of clients, 0 to 1."""
    return NormalDist().inv_cdf(0.5 + band / 2)


def not_on_track(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when a score is newly worse than the band of the expected course."""
    series = moment.series
    course = next(
        (c for c in moment.page.book.courses if (c.instrument, c.scale) == (series.instrument.id, series.scale.id)),
        None,
    )
    note("an expected course of this scale", course.source if course else "none is set")
    if course is None or not moment.is_outcome or course.higher_is is not series.scale.higher_is:
        return None
    gap = _beyond(moment, course, moment.at)
    if gap is None:
        note("fitted on such first scores and so many sessions", False)
        return None
    mean, edge = gap.mean, _edge(moment, course, gap)
    note("first score, session", (series.points[0], moment.at + 1))
    note("expected by now", f"{mean:.2f}")
    note(f"edge of the band that holds {moment.page.settings.track_band:.0%}", f"{edge:.2f}")
    before = _beyond(moment, course, moment.at - 1)
    was_off = before is not None and _is_off(moment, course, moment.at - 1, before)
    note("off track at the score before", was_off)
    if not _is_off(moment, course, moment.at, gap) or was_off:
        return None
    words = (
        f"{series.scale.title} is {plain(moment.points)} at session {moment.at + 1}; of clients who began at "
        f"{plain(series.points[0])}, {mean:.1f} is expected, and {edge:.1f} is the worse edge of the band that holds "
        f"{moment.page.settings.track_band:.0%} of them ({course.source})."
    )
    return moment.finding(NOT_ON_TRACK, words, AGENDA["worse"])


def _beyond(moment: Moment, course: Course, at: int) -> Expected | None:
    first = float(moment.series.points[0])
    return expected(course, first, at + 1) if at > 0 and covers(course, first, at + 1) else None


def _edge(moment: Moment, course: Course, gap: Expected) -> float:
    return gap.mean - sign(course.higher_is) * reach(moment.page.settings.track_band) * gap.sd


def _is_off(moment: Moment, course: Course, at: int, gap: Expected) -> bool:
    toward = sign(course.higher_is)
    return toward * float(moment.series.points[at]) < toward * _edge(moment, course, gap)
