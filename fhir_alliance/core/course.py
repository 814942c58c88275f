"""A client's course: every scale over sessions, with goals and reviews, from what stands in the record.

Nothing is scored here. Scores of forms that the client and the therapist answer in parallel are put side by side, the
measurement error is reckoned from published numbers, and where a number is not known, nothing stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from fhir_alliance.core.change import Change, change, comparable
from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.change_settings import Asked, Published, settle
from fhir_alliance.core.control_limits import TWO_SD
from fhir_alliance.core.model import (
    Band,
    ChangeNumbers,
    Direction,
    Instrument,
    Mode,
    NoValue,
    Number,
    Rater,
    Review,
    Scale,
    Score,
    Sourced,
    Threshold,
)

# A parallel form of another rater is named after the client's: alliance-checkin, alliance-checkin-therapist.
_PARALLEL: Final = {f"-{rater.value}": rater for rater in Rater}
_CALENDAR: Final = (1900, 2199)  # years; what lies outside is a mistake, and would stretch the axis beyond use
_BEFORE, _AFTER = timedelta(days=30), timedelta(days=45)


class Sitting(msgspec.Struct, frozen=True):
    """One score on the time axis. value: points, or why there are none.

    answered, asked: items.  language: as the form says; empty where unknown.
    """

    when: datetime
    value: Number | NoValue
    band: str
    mode: Mode
    language: str
    answered: int
    asked: int
    prorated: bool


class ErrorBand(msgspec.Struct, frozen=True):
    """How far a score lies from the true one by measurement error alone, in 95 of 100 cases.

    half_width: in points, 1.96 * SD * sqrt(1 - reliability), the standard error of measurement of classical test theory
    (Lord & Novick 1968).
    """

    half_width: Decimal
    sd: Sourced
    reliability: Sourced


class Line(msgspec.Struct, frozen=True):
    """The scores of one rater, oldest first; at least one. change: between the first and last that have a value."""

    rater: Rater
    sittings: tuple[Sitting, ...]
    change: Change | NotComputable


class Course(msgspec.Struct, frozen=True):
    """One scale over sessions. low, high: its range.  lines: by rater, the client's first."""

    instrument: str
    instrument_title: str
    scale: str
    title: str
    low: Number
    high: Number
    higher_is: Direction
    lines: tuple[Line, ...]
    bands: tuple[Band, ...] = ()
    caseness: Threshold | None = None
    error: ErrorBand | None = None
    reliable_change: Sourced | None = None
    focus: str = ""


class StatedGoal(msgspec.Struct, frozen=True):
    """A Goal in the words in which it stands in the record. due: of its first target that has a date."""

    reference: str
    words: str
    state: str
    starts: date | None = None
    due: date | None = None


class StoodFinding(msgspec.Struct, frozen=True):
    """A finding as a review in the record states it. when: of the score that it rests on, where it rests on one."""

    sentence: str
    rule: str
    citation: str
    when: date | None = None


class Kept(msgspec.Struct, frozen=True):
    """What consent keeps from the viewer: the instrument or kind of record, and the reasons in words."""

    what: str
    reasons: tuple[str, ...]


class ClientCourse(msgspec.Struct, frozen=True):
    """All that `show` tells of one client. kept: what consent withholds; with `all_kept` there is nothing else.

    withdrawn: scores marked as entered in error; undated: scores whose day cannot be read. Neither is shown.
    """

    subject: str
    name: str
    as_of: datetime
    courses: tuple[Course, ...] = ()
    goals: tuple[StatedGoal, ...] = ()
    reviews: tuple[Review, ...] = ()
    findings: tuple[StoodFinding, ...] = ()
    kept: tuple[Kept, ...] = ()
    all_kept: bool = False
    withdrawn: int = 0
    undated: int = 0


def error_band(numbers: ChangeNumbers) -> ErrorBand | None:
    """Return the 95 % band of measurement error, or None where SD or reliability is not published with the scale."""
    if numbers.sd is None or numbers.reliability is None or not 0 <= numbers.reliability.value <= 1:
        return None
    error = Decimal(numbers.sd.value) * (1 - Decimal(numbers.reliability.value)).sqrt()
    return ErrorBand(TWO_SD * error, numbers.sd, numbers.reliability)


def courses_of(
    history: Iterable[Score], instruments: Mapping[str, Instrument], modes: Mapping[str, Mode]
) -> tuple[Course, ...]:
    """Return the scales that one client was scored on, by instrument, totals first.

    history: one client's scores, in any order.  modes: of a score's session, by the score's key.
    Withdrawn and undated scores and those of instruments that are not known are left out.
    """
    grouped: dict[tuple[str, str, str], dict[tuple[Rater, str], list[Score]]] = {}
    for score in history:
        if score.withdrawn or not is_dated(score) or score.instrument not in instruments:
            continue
        place = (_client_form(score.instrument, instruments), score.scale, _goal(score.focus))
        grouped.setdefault(place, {}).setdefault((score.rater, score.instrument), []).append(score)
    found = [course for place, lines in grouped.items() if (course := _course(place, lines, instruments, modes))]
    return tuple(sorted(found, key=lambda course: _rank(course, instruments)))


def is_dated(score: Score) -> bool:
    """Return whether a score has a day on a calendar; a store may have lost it."""
    return _CALENDAR[0] <= score.when.year <= _CALENDAR[1]


def findings_of(reviews: Iterable[Review], history: Iterable[Score]) -> tuple[StoodFinding, ...]:
    """Return the findings that reviews rest on, each once, the newest first."""
    days = {name: score.when.date() for score in history for name in score.names}
    found = {
        evidence.key: StoodFinding(evidence.sentence, evidence.rule, evidence.citation, days.get(evidence.score_key))
        for review in reviews
        for evidence in review.evidence
    }
    return tuple(sorted(found.values(), key=lambda finding: finding.when or date.min, reverse=True))


def span_of(told: ClientCourse) -> tuple[date, date]:
    """Return the first and last day of the time axis: all sittings, with reviews and goals as far as they are near.

    A goal that is due in a year does not push twelve weeks of sessions into a corner.
    """
    days = [sitting.when.date() for c in told.courses for line in c.lines for sitting in line.sittings]
    days = days or [told.as_of.date()]
    first, last = min(days), max(days)
    starts = [goal.starts for goal in told.goals if goal.starts] + [review.opened.date() for review in told.reviews]
    ends = [goal.due for goal in told.goals if goal.due] + [review.due.date() for review in told.reviews]
    near_first = [day for day in starts if first - _BEFORE <= day < first]
    near_last = [day for day in (*starts, *ends) if last < day <= last + _AFTER]
    return min([first, *near_first]), max([last, *near_last])


def _client_form(name: str, instruments: Mapping[str, Instrument]) -> str:
    """Return the form that a rater's form is parallel to, or itself."""
    for ending in _PARALLEL:
        if name.endswith(ending) and name.removesuffix(ending) in instruments:
            return name.removesuffix(ending)
    return name


def _course(
    place: tuple[str, str, str],
    lines: Mapping[tuple[Rater, str], list[Score]],
    instruments: Mapping[str, Instrument],
    modes: Mapping[str, Mode],
) -> Course | None:
    """Return one scale's course; the numbers are the client's form's, where it has that scale."""
    name, scale_id, focus = place
    known = [instruments[name], *(instruments[form] for _, form in lines)]
    home = next(((i, s) for i in known for s in i.scales if s.id == scale_id), None)
    if home is None:
        return None
    instrument, scale = home
    drawn = [_line(rater, scores, scale, modes) for (rater, _), scores in lines.items()]
    return Course(
        instrument.id,
        instrument.title,
        scale.id,
        scale.title,
        scale.low,
        scale.high,
        scale.higher_is,
        tuple(sorted(drawn, key=lambda line: list(Rater).index(line.rater))),
        scale.bands,
        scale.caseness,
        error_band(scale.change),
        scale.change.reliable_change,
        focus,
    )


def _line(rater: Rater, scores: list[Score], scale: Scale, modes: Mapping[str, Mode]) -> Line:
    ordered = sorted(scores, key=lambda score: (score.when, score.key))
    return Line(rater, tuple(_sitting(score, modes) for score in ordered), _change(ordered, scale))


def _sitting(score: Score, modes: Mapping[str, Mode]) -> Sitting:
    band = score.band.label if score.band is not None else ""
    mode = modes.get(score.key, Mode.UNKNOWN)
    return Sitting(score.when, score.value, band, mode, score.language, score.answered, score.asked, score.prorated)


def _change(scores: list[Score], scale: Scale) -> Change | NotComputable:
    """Return what became of the client from the first to the last score that has a value, or why that is not said."""
    valued = [score for score in scores if not isinstance(score.value, NoValue)]
    if len(valued) < 2:
        return NotComputable("Change needs two scores.")
    if scale.higher_is is Direction.UNKNOWN:
        return NotComputable("The form does not say what a higher score means.")
    pair = comparable(valued[0], valued[-1])
    if isinstance(pair, NotComputable):
        return pair
    how = settle(Asked(), Published(scale.higher_is, scale.caseness, scale.change))
    return how if isinstance(how, NotComputable) else change(pair, how)


def _goal(focus: str) -> str:
    return focus if focus.startswith("Goal/") else ""


def _rank(course: Course, instruments: Mapping[str, Instrument]) -> tuple[int, str, int, str]:
    """Return where a course stands: outcome before alliance, by instrument, scales in the instrument's order."""
    instrument = instruments[course.instrument]
    place = next(place for place, scale in enumerate(instrument.scales) if scale.id == course.scale)
    return instrument.family.value != "outcome", course.instrument, place, course.focus
