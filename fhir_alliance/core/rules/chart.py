"""What the rules are told: one client's chart, and the book that it is judged by. Read by a run, never fetched here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import msgspec

from fhir_alliance.core.model import Direction, Instrument, Mode, Number, Score
from fhir_alliance.core.rules.card import Cards
from fhir_alliance.core.rules.settings import RuleSettings


class Session(msgspec.Struct, frozen=True):
    """One meeting: its Encounter, when it began, how care was given, with which therapist, whether it took place."""

    reference: str
    when: datetime
    mode: Mode = Mode.UNKNOWN
    therapist: str = ""
    is_held: bool = True


class GoalTarget(msgspec.Struct, frozen=True):
    """What one active Goal wants of a scale, and by when.

    goal: its reference.  low, high: the points that count as reached, both included; None is open.
    below: points below which it is reached, where the target says "less than".
    """

    goal: str
    due: date | None = None
    instrument: str = ""
    scale: str = ""
    low: Number | None = None
    high: Number | None = None
    below: Number | None = None
    above: Number | None = None

    @property
    def is_measured(self) -> bool:
        """Return whether the target is a number on a scale that is known here."""
        return bool(self.scale) and any(n is not None for n in (self.low, self.high, self.below, self.above))

    def is_reached(self, points: Number) -> bool:
        """Return whether so many points lie within the target."""
        return (
            (self.low is None or points >= self.low)
            and (self.high is None or points <= self.high)
            and (self.below is None or points < self.below)
            and (self.above is None or points > self.above)
        )


class Chart(msgspec.Struct, frozen=True):
    """All that is known of one client, in any order. has_left: care plans are on record, and none is active."""

    subject: str
    scores: tuple[Score, ...]
    sessions: tuple[Session, ...] = ()
    goals: tuple[GoalTarget, ...] = ()
    has_left: bool = False


class Course(msgspec.Struct, frozen=True):
    """An expected course: log-linear growth from the first score on, fitted to a site's own scores or published.

    The change after session j of a client who began at b points is (slope + slope_by_first * b) * ln(j), with
    standard deviation sqrt((slope_sd * ln(j))^2 + residual_sd^2).
    first_low, first_high, sessions: the first scores and sessions that it was fitted on; beyond them it says nothing.
    """

    instrument: str
    scale: str
    higher_is: Direction
    slope: float
    slope_by_first: float
    slope_sd: float
    residual_sd: float
    first_low: float
    first_high: float
    sessions: int
    source: str


class Rulebook(msgspec.Struct, frozen=True):
    """By what charts are judged: instruments, cards, the site's settings, and expected courses."""

    instruments: Mapping[str, Instrument]
    cards: Cards
    settings: RuleSettings = RuleSettings()
    courses: tuple[Course, ...] = ()
