"""Outcomes of a course of treatment, from its first to its last score."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeAlias

import msgspec

from fhir_alliance.core.change import Pair
from fhir_alliance.core.cutoffs import sign
from fhir_alliance.core.measures.definition import Population
from fhir_alliance.core.measures.evaluation import Member
from fhir_alliance.core.measures.people import Episode
from fhir_alliance.core.measures.reading import Reading, observation
from fhir_alliance.core.model import NoValue, Scale, Score
from fhir_alliance.core.rules.chart import Rulebook
from fhir_alliance.core.talking_therapies import Measured, TalkingTherapies, talking_therapies

_Course: TypeAlias = tuple[Measured, tuple[str, str]]


def talking_therapies_courses(reading: Reading) -> list[Member]:
    """Return the outcome of the course that ended in the period, as NHS Talking Therapies count it.

    A course counts as finished with two attended sessions or more. Who was not at caseness at the start is
    excluded from recovery, and only from that.
    """
    episode = _finished(reading)
    pairs = () if episode is None else _measured(reading, episode)
    measured = [course for course, _ in pairs]
    outcome = talking_therapies(*measured) if measured else None
    attended = [] if episode is None else [session.reference for session in reading.sessions(episode)]
    evidence = [*attended, *(reference for _, references in pairs for reference in references)]
    paired = isinstance(outcome, TalkingTherapies)
    found = []
    for group in reading.measure.groups:
        counts = {Population.INITIAL: int(episode is not None), Population.DENOMINATOR: int(paired)}
        if isinstance(outcome, TalkingTherapies):
            about_recovery = group.id in ("recovery", "reliable-recovery")
            counts[Population.EXCLUSION] = int(about_recovery and not outcome.began_at_caseness)
            counts[Population.NUMERATOR] = int(_reached(group.id, outcome))
        words = outcome.sentence if isinstance(outcome, TalkingTherapies) else ""
        member = reading.member(group, counts, words, evidence)
        found.append(msgspec.structs.replace(member, courses=tuple(measured) if paired else ()))
    return found


def outcome_by_mode(reading: Reading) -> list[Member]:
    """Return whether a client improved reliably from the first to the last score of an episode.

    How care was given is a stratum of every measure.
    """
    instrument = str(reading.measure.settings["instrument"])
    scale = _scale(reading.book, instrument)
    needed = scale.change.reliable_change
    for episode in reversed(reading.episodes()):
        scores = [s for s in reading.scores(instrument) if episode.holds(s.when.date())]
        if len(scores) < 2 or not reading.in_period(scores[-1].when.date()) or needed is None:
            continue
        gained = sign(scale.higher_is) * (_points(scores[-1]) - _points(scores[0]))
        [group] = reading.measure.groups
        counts = dict.fromkeys((Population.INITIAL, Population.DENOMINATOR), 1)
        counts[Population.NUMERATOR] = int(gained >= needed.value)
        words = f"{gained} points better; reliable from {needed.value}"
        course, evidence = _from_first_to_last(scale, scores)
        return [msgspec.structs.replace(reading.member(group, counts, words, evidence), courses=(course,))]
    return reading.yes_or_no(False, False)


def _finished(reading: Reading) -> Episode | None:
    """Return the last episode that ended in the period after enough attended sessions."""
    for episode in reversed(reading.person.episodes):
        if episode.is_finished and episode.last is not None and reading.in_period(episode.last):
            return episode if len(reading.sessions(episode)) >= reading.setting("sessions") else None
    return None


def _measured(reading: Reading, episode: Episode) -> list[_Course]:
    """Return the courses of depression and of anxiety in an episode; nothing where one is missing."""
    measured = []
    for key in ("depression", "anxiety"):
        instrument = str(reading.measure.settings[key])
        scale = _scale(reading.book, instrument)
        scores = [s for s in reading.scores(instrument) if episode.holds(s.when.date())]
        if len(scores) < 2:
            return []
        measured.append(_from_first_to_last(scale, scores))
    return measured


def _from_first_to_last(scale: Scale, scores: Sequence[Score]) -> _Course:
    """Return the change from the first to the last score, and where these stand."""
    first, last = scores[0], scores[-1]
    return Measured(scale, scale.change, Pair(first.value, last.value)), (observation(first), observation(last))


def _reached(group: str, outcome: TalkingTherapies) -> bool:
    return {
        "recovery": outcome.recovered,
        "reliable-improvement": outcome.reliably_improved,
        "reliable-recovery": outcome.reliably_recovered,
        "reliable-deterioration": outcome.reliably_deteriorated,
        "no-reliable-change": outcome.no_reliable_change,
    }[group]


def _scale(book: Rulebook, instrument: str) -> Scale:
    return next(scale for scale in book.instruments[instrument].scales if scale.id == "total")


def _points(score: Score) -> Decimal:
    assert not isinstance(score.value, NoValue)  # noqa: S101 - `Reading.scores` gives none without a value
    return Decimal(score.value)
