"""A measure as data: which facts are events, which days are windows, and which of them make a population.

Read `measures/*.toml` beside this: each table there becomes one struct here.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from fhir_alliance.core.measures.calendar import By
from fhir_alliance.core.measures.people import Kind
from fhir_alliance.core.model import Number


class Population(StrEnum):
    """The populations of a proportion measure, by the codes of HL7's measure-population."""

    INITIAL = "initial-population"
    DENOMINATOR = "denominator"
    EXCLUSION = "denominator-exclusion"
    EXCEPTION = "denominator-exception"
    NUMERATOR = "numerator"


class Relation(StrEnum):
    """How a fact's time has to lie to a window, counted in whole days."""

    STARTS_IN = "starts-in"
    ENDS_IN = "ends-in"
    WITHIN = "within"
    OVERLAPS = "overlaps"
    STARTS_BY_END = "starts-by-end-of"


class Pick(StrEnum):
    """Which of the facts that fit an event stands for it."""

    ALL = "all"
    FIRST = "first"
    LAST = "last"


class Improvement(StrEnum):
    """Whether a higher rate is better."""

    INCREASE = "increase"
    DECREASE = "decrease"


class CodeSet(msgspec.Struct, frozen=True):
    """Codes by name: given here, or those of a ValueSet that the site supplies."""

    name: str
    codes: frozenset[tuple[str, str]] = frozenset()
    value_set: str = ""
    title: str = ""


class Bounds(msgspec.Struct, frozen=True):
    """Limits of points; an absent limit is no limit."""

    above: Number | None = None
    at_least: Number | None = None
    below: Number | None = None
    at_most: Number | None = None

    def hold(self, value: Number | None) -> bool:
        """Return whether there is a value, and it lies within the limits."""
        if value is None:
            return self == Bounds()
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )


class Near(msgspec.Struct, frozen=True):
    """Wholly within the days from so many before another event's start to so many after its end.

    after_start, after_end: the days are counted from the other event's start, or from its end, on both sides.
    by_start, by_end: only the start, or the end, of the fact has to lie there.
    """

    event: str
    days_before: int = 0
    days_after: int = 0
    after_start: bool = False
    by_start: bool = False
    after_end: bool = False
    by_end: bool = False


class Event(msgspec.Struct, frozen=True):
    """Facts that count: of a kind, with one of some codes, in a status, at a time, with a value.

    codes: names of code sets, any of which suffices; empty means any.  has_value: there is one, of whatever kind.
    answer, disposition, reason: names of code sets.  windows: each has to hold.
    overlaps: an event with which it shares a moment (to the instant, not the day).
    near: an event beside which it lies.  before: an event before whose day it began.
    same_codes_as: an event with which it shares a code (a score, and the goal that is measured by it).
    any_of: this event is what some others are together.
    """

    name: str
    kind: Kind = Kind.OBSERVATION
    codes: tuple[str, ...] = ()
    status: frozenset[str] = frozenset()
    status_not: frozenset[str] = frozenset()
    verification: frozenset[str] = frozenset()
    intent: frozenset[str] = frozenset()
    refuses_negated: bool = False
    answer: str = ""
    disposition: str = ""
    reason: str = ""
    has_value: bool = False
    value: Bounds = Bounds()
    windows: tuple[tuple[Relation, str], ...] = ()
    overlaps: str = ""
    overlaps_by: By = By.INSTANT
    near: Near | None = None
    before: str = ""
    any_of: tuple[str, ...] = ()
    pick: Pick = Pick.ALL
    same_codes_as: str = ""


class Point(msgspec.Struct, frozen=True):
    """A day: an end of the period, of a window or of an event, moved by days or months."""

    of: str
    end: bool = False
    months: int = 0
    days: int = 0


class Window(msgspec.Struct, frozen=True):
    """Days from one point to another.

    leaves_out_end: the last day is the one before `to`.  give_days: added on both sides.
    """

    name: str
    start: Point
    to: Point
    leaves_out_end: bool = False
    give_days: int = 0


class Clause(msgspec.Struct, frozen=True):
    """One condition of a population, and the words for it.

    event: has at least `at_least` facts; of a picked one the value lies in `value`, or its answer in a code set.
    one_of: alternatives, each of clauses that all have to hold.
    absent: the condition is that there is none.  age_at: the point at which the age lies from `age_from` to `age_to`.
    died_by: the window by whose last day the person had died.
    lower_by_percent, than: the picked value is lower than another event's by at least that part of it.
    """

    words: str
    event: str = ""
    at_least: int = 1
    value: Bounds = Bounds()
    absent: bool = False
    age_at: Point | None = None
    age_from: int | None = None
    age_to: int | None = None
    died_by: str = ""
    lower_by_percent: Number | None = None
    than: str = ""
    answer: str = ""
    one_of: tuple[tuple[Clause, ...], ...] = ()


class Group(msgspec.Struct, frozen=True):
    """One rate. All clauses of a population have to hold, but any one of an exclusion or exception suffices.

    third: of the measurement year, 1 to 3, in which it is counted; 0 for the whole period.
    within: rates in whose numerator this one's lies.  of: the rate in whose numerator all lie who are counted here.
    """

    id: str
    title: str
    populations: dict[Population, tuple[Clause, ...]]
    third: int = 0
    within: tuple[str, ...] = ()
    of: str = ""


class Stratum(msgspec.Struct, frozen=True):
    """A part of the population that is shown on its own."""

    id: str
    title: str
    clauses: tuple[Clause, ...]


class Measure(msgspec.Struct, frozen=True):
    """A measure: what is counted, in which edition of whose rules, and what it does not claim.

    logic: "events", or the name of a function that says what tables cannot.  settings: of that function.
    basis: what is counted, "person" or something that people have.
    by_month: it tells also in which month what it counts fell due.
    is_about_alliance: it rests on ratings of the alliance, which no insurer sees.
    """

    id: str
    version: str
    title: str
    steward: str
    edition: str
    improvement: Improvement
    source: tuple[str, ...]
    does_not_claim: tuple[str, ...]
    groups: tuple[Group, ...]
    description: str = ""
    logic: str = "events"
    settings: dict[str, Number | str] = {}
    basis: str = "person"
    url: str = ""
    code_sets: tuple[CodeSet, ...] = ()
    events: tuple[Event, ...] = ()
    windows: tuple[Window, ...] = ()
    strata: tuple[Stratum, ...] = ()
    by_month: bool = False
    is_about_alliance: bool = False
    program: str = ""
