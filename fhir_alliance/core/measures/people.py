"""One person's facts, frozen: what a measure may know, and nothing that says who it is but a reference.

Codes are pairs of system and code. Where a fact has several codings, each of them counts.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import TypeAlias

import msgspec

from fhir_alliance.core.measures.calendar import Bound, Moment, Span
from fhir_alliance.core.model import Mode, Number, Review, Score

Codes: TypeAlias = frozenset[tuple[str, str]]
NO_CODES: Codes = frozenset()


class Kind(StrEnum):
    """What a fact is, by the FHIR resource that it comes from."""

    ENCOUNTER = "encounter"
    CONDITION = "condition"
    OBSERVATION = "observation"
    PROCEDURE = "procedure"
    REQUEST = "service-request"
    MEDICATION = "medication-request"
    GOAL = "goal"


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One thing on record.

    when: the encounter's period, the observation's time, the condition's prevalence, the procedure's performance,
    the order's or the goal's date.  value: points of an observation.  answer: its coded value.
    has_value: there is a value, of whatever kind.
    status: as the resource says; of a condition its clinical status.  verification: of a condition.
    disposition: of a stay, where the person went.  intent, negated: of an order; negated: it says not to do it.
    mode, place: of an encounter.  recorded: when it was last written down, where the record says so.
    reason: why an observation was not made.
    """

    kind: Kind
    reference: str
    codes: Codes
    status: str
    when: Span
    value: Number | None = None
    answer: Codes = NO_CODES
    has_value: bool = False
    verification: str = ""
    reason: Codes = NO_CODES
    disposition: Codes = NO_CODES
    intent: str = ""
    negated: bool = False
    mode: Mode = Mode.UNKNOWN
    encounter: str = ""
    place: str = ""
    recorded: Moment | None = None

    @property
    def start(self) -> Bound:
        """Return when it began."""
        return self.when.start

    @property
    def day(self) -> date | None:
        """Return the local day on which it began, as written; None where that is not known to the day."""
        return self.when.start.day if isinstance(self.when.start, Moment) else None


class Episode(msgspec.Struct, frozen=True, gc=False):
    """A time in care, from day to day. last: None while it goes on.  is_finished: the record says that it ended."""

    first: date
    last: date | None
    is_finished: bool

    def holds(self, day: date) -> bool:
        """Return whether a day lies in the episode."""
        return self.first <= day and (self.last is None or day <= self.last)


class Death(msgspec.Struct, frozen=True):
    """What the record says of a person's death: nothing, that it happened, or when."""

    happened: bool = False
    when: Moment | None = None


class Person(msgspec.Struct, frozen=True):
    """Everything that a measure may look at, of one person.

    gender: administrative gender as recorded.  sex: as the record's sex extension has it.
    languages: of communication, the preferred first.  payers: codes of the coverage.
    episodes: in the order of time; those that overlap are one.  scores: ours, with rater and language.
    reviews: ours.  odd: what was wrong with the record, by rule.
    """

    reference: str
    birth: Moment | None
    death: Death = Death()
    gender: str = ""
    sex: str = ""
    languages: tuple[str, ...] = ()
    payers: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    episodes: tuple[Episode, ...] = ()
    scores: tuple[Score, ...] = ()
    reviews: tuple[Review, ...] = ()
    clinics: tuple[str, ...] = ()
    therapist: str = ""
    odd: tuple[tuple[str, int], ...] = ()

    def of(self, kind: Kind) -> list[Fact]:
        """Return the facts of one kind, in the record's order."""
        return [fact for fact in self.facts if fact.kind is kind]
