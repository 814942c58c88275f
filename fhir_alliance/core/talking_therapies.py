"""Outcomes of a course of treatment as NHS Talking Therapies count them, and remission and response on one scale.

Recovery and reliable improvement rest on a pair of measures, one of depression and one of anxiety; neither is ever
told from one alone. Definitions: NHS Talking Therapies manual; NHS Scorecard metrics 6228 and 6229.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from fhir_alliance.core.change import Pair
from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.cutoffs import sign
from fhir_alliance.core.model import ChangeNumbers, NoValue, Number, Scale


class Measured(NamedTuple):
    """A first and a last score, and the scale and published numbers that they are read by."""

    scale: Scale
    numbers: ChangeNumbers
    pair: Pair


class TalkingTherapies(msgspec.Struct, frozen=True):
    """The outcome of a course. Who did not begin at caseness can improve or deteriorate, but not recover."""

    began_at_caseness: bool
    recovered: bool
    reliably_improved: bool
    reliably_deteriorated: bool
    sentence: str

    @property
    def reliably_recovered(self) -> bool:
        """Return whether the client recovered and also improved reliably."""
        return self.recovered and self.reliably_improved

    @property
    def no_reliable_change(self) -> bool:
        """Return whether neither holds, be it for small changes or for two that go opposite ways."""
        return not self.reliably_improved and not self.reliably_deteriorated


class _Course(NamedTuple):
    began_case: bool
    ended_case: bool
    better: bool
    worse: bool


def talking_therapies(depression: Measured, anxiety: Measured) -> TalkingTherapies | NotComputable:
    """Return the outcome on a depression and an anxiety measure, or what it lacks.

    Recovered: at caseness on at least one at the start, on neither at the end.  Reliably improved: at least one
    better by its reliable change, neither worse by its own; reliably deteriorated is the mirror of it.
    """
    if depression.scale == anxiety.scale:
        return NotComputable("Two measures are needed, one of depression and one of anxiety; one was given twice.")
    courses = []
    for measured in (depression, anxiety):
        course = _course(measured)
        if isinstance(course, NotComputable):
            return course
        courses.append(course)
    began = any(course.began_case for course in courses)
    recovered = began and not any(course.ended_case for course in courses)
    better, worse = any(course.better for course in courses), any(course.worse for course in courses)
    improved, deteriorated = better and not worse, worse and not better
    told = [
        "At caseness at the start" if began else "Not at caseness at the start, so recovery does not apply",
        *(["recovered" if recovered else "not recovered"] if began else []),
        _change_words(better, worse),
    ]
    return TalkingTherapies(began, recovered, improved, deteriorated, f"{'; '.join(told)}.")


def remission(points: Number | NoValue, numbers: ChangeNumbers) -> bool | NotComputable:
    """Return whether a score lies below the scale's published line of remission (PHQ-9: below 5)."""
    if isinstance(points, NoValue):
        return NotComputable(f"There is no score: {points.note}")
    if numbers.remission_below is None:
        return NotComputable("No line of remission is published with this scale.")
    return points < numbers.remission_below.value


def response(pair: Pair, numbers: ChangeNumbers) -> bool | NotComputable:
    """Return whether a score fell by at least the published part of the first one (PHQ-9: 50 %).

    Of a first score of 0 there is no part: response is not defined then.
    """
    before, after = pair.before, pair.after
    if isinstance(before, NoValue) or isinstance(after, NoValue):
        return NotComputable("Response needs a first and a last score; one has no value.")
    if numbers.response_percent is None:
        return NotComputable("No percentage of response is published with this scale.")
    if before <= 0:
        return NotComputable("Response needs a first score above 0.")
    return (before - after) * 100 >= numbers.response_percent.value * before


def _course(measured: Measured) -> _Course | NotComputable:
    """Return what one measure did, or what it lacks."""
    scale, pair = measured.scale, measured.pair
    if scale.caseness is None or measured.numbers.reliable_change is None:
        return NotComputable(f"{scale.title} has no published caseness, or no published reliable change.")
    if isinstance(pair.before, NoValue) or isinstance(pair.after, NoValue):
        return NotComputable(f"{scale.title} has no first or no last score: no outcome is told from one measure.")
    better, line, needed = sign(scale.higher_is), scale.caseness.at, measured.numbers.reliable_change.value
    toward_better = better * (Decimal(pair.after) - Decimal(pair.before))
    return _Course(
        better * pair.before <= better * line,
        better * pair.after <= better * line,
        toward_better >= needed,
        toward_better <= -needed,
    )


def _change_words(better: bool, worse: bool) -> str:
    if better and worse:
        return "no reliable change: one measure is reliably better, the other reliably worse"
    if better or worse:
        return f"reliably {'improved' if better else 'deteriorated'}"
    return "no reliable change"
