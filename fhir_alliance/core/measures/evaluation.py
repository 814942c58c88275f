"""Whether a person belongs to the populations of a measure, and why: a pure function of one person's facts.

What the precision of a date leaves open never counts as met, and is told in `Member.unclear`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from fhir_alliance.core.measures.calendar import (
    Answer3,
    By,
    Days,
    Edge,
    Moment,
    Span,
    at_or_before,
    days_later,
    full_years,
    moment_of,
    months_later,
    overlaps,
    thirds,
    within,
)
from fhir_alliance.core.measures.definition import (
    Clause,
    Event,
    Group,
    Measure,
    Near,
    Pick,
    Point,
    Population,
    Relation,
    Stratum,
    Window,
)
from fhir_alliance.core.measures.people import Codes, Fact, Person
from fhir_alliance.core.talking_therapies import Measured
from fhir_alliance.core.ways_out import ViewPass

ANY_SUFFICES = frozenset({Population.EXCLUSION, Population.EXCEPTION})


class Member(msgspec.Struct, frozen=True):
    """A person's place in one group of a measure.

    counts: of each population, how often the person (or what is theirs) belongs to it; 0 or 1 where people are counted.
    reasons: of each population that was looked at, in words.  evidence: references of the facts that decided.
    unclear: whether a date too coarse to tell stood in the way.
    courses: first and last scores that the place rests on, where it is about change.
    divided: where something of a person's is counted, how it falls to strata (month:2026-03).
    """

    subject: str
    group: str
    counts: dict[Population, int]
    reasons: dict[Population, str]
    strata: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    unclear: bool = False
    courses: tuple[Measured, ...] = ()
    divided: dict[str, dict[Population, int]] = {}


class Shown(NamedTuple):
    """One person's place in all groups of a measure, and what lets a reader see it.

    strata: what the person belongs to in every measure (language:de).
    """

    passed: ViewPass
    members: Sequence[Member]
    strata: tuple[str, ...] = ()

    def let_out(self) -> Sequence[Member]:
        """Return the members; raises ValueError where the pass is another client's."""
        for member in self.members:
            self.passed.demand(member.subject)
        return self.members


def evaluate(measure: Measure, person: Person, period: Days, code_sets: Mapping[str, Codes]) -> list[Member]:
    """Return the person's place in each group of a measure whose logic is events.

    period: the measurement period.  code_sets: by the measure's names for them.
    """
    found = []
    for group in measure.groups:
        days = thirds(period)[group.third - 1] if group.third else period
        found.append(_Reading(measure, person, period, days, code_sets).member(group))
    return found


def settle(counts: Mapping[Population, int]) -> dict[Population, int]:
    """Return counts as a proportion takes them: exclusions leave the numerator, exceptions only those not in it.

    Source: CQF Measures IG, "Proportion Measures": initial population, denominator, exclusion, numerator, exception.
    """
    initial = counts.get(Population.INITIAL, 0)
    denominator = min(counts.get(Population.DENOMINATOR, 0), initial)
    excluded = min(counts.get(Population.EXCLUSION, 0), denominator)
    numerator = min(counts.get(Population.NUMERATOR, 0), denominator - excluded)
    excepted = min(counts.get(Population.EXCEPTION, 0), denominator - excluded - numerator)
    settled = {Population.INITIAL: initial, Population.DENOMINATOR: denominator, Population.EXCLUSION: excluded}
    settled |= {Population.EXCEPTION: excepted, Population.NUMERATOR: numerator}
    return {population: count for population, count in settled.items() if population in counts}


class _Reading:
    """One person read by one measure; each event and window is worked out once."""

    def __init__(
        self, measure: Measure, person: Person, year: Days, period: Days, code_sets: Mapping[str, Codes]
    ) -> None:
        """year: the whole measurement period.  period: the part of it in which the group is counted."""
        self._person, self._codes = person, code_sets
        self._events = {event.name: event for event in measure.events}
        self._windows = {window.name: window for window in measure.windows}
        self._strata = measure.strata
        self._found: dict[str, list[Fact]] = {}
        self._days: dict[str, Days | None] = {"period": period, "year": year}
        self._evidence: dict[str, None] = {}
        self._unclear = False

    def member(self, group: Group) -> Member:
        """Return the person's place in a group."""
        counts: dict[Population, int] = {}
        reasons: dict[Population, str] = {}
        for population, clauses in group.populations.items():
            if counts.get(Population.INITIAL, 1) == 0:
                counts[population] = 0
                continue
            met, words = self._population(population, clauses)
            counts[population], reasons[population] = int(met), words
        counts = settle(counts)
        strata = tuple(s.id for s in self._strata if counts.get(Population.INITIAL) and self._in_stratum(s))
        evidence = tuple(self._evidence) if counts.get(Population.INITIAL) else ()
        return Member(self._person.reference, group.id, counts, reasons, strata, evidence, self._unclear)

    def _population(self, population: Population, clauses: tuple[Clause, ...]) -> tuple[bool, str]:
        """Return whether the person belongs, and the words that decided."""
        any_suffices = population in ANY_SUFFICES
        for clause in clauses:
            met = self._holds(clause)
            if met is any_suffices:
                return met, clause.words if met else f"not {clause.words}"
        words = " and ".join(clause.words for clause in clauses)
        return not any_suffices, words if not any_suffices else "none applies"

    def _in_stratum(self, stratum: Stratum) -> bool:
        return all(self._holds(clause) for clause in stratum.clauses)

    def _holds(self, clause: Clause) -> bool:
        if clause.one_of:
            return any(all(self._holds(part) for part in parts) for parts in clause.one_of)
        if clause.age_at is not None:
            return self._is_aged(clause)
        if clause.died_by:
            days, died = self._window(clause.died_by), self._person.death.when
            return (
                days is not None and died is not None and self._sure(at_or_before(died, moment_of(days.last), By.DAY))
            )
        facts = [fact for fact in self._facts(clause.event) if clause.value.hold(fact.value)]
        if clause.answer:
            facts = [fact for fact in facts if fact.answer & self._codes[clause.answer]]
        if clause.lower_by_percent is not None:
            facts = [fact for fact in facts if self._is_lower(fact, clause)]
        if clause.absent:
            return not facts
        self._evidence |= dict.fromkeys(fact.reference for fact in facts)
        return len(facts) >= clause.at_least

    def _is_aged(self, clause: Clause) -> bool:
        assert clause.age_at is not None  # noqa: S101 - the caller has looked
        at, birth = self._moment(clause.age_at), self._person.birth
        if at is None or birth is None:
            return False
        fewest, most = full_years(birth, at)
        low, high = clause.age_from, clause.age_to
        sure = (low is None or fewest >= low) and (high is None or most <= high)
        maybe = (low is None or most >= low) and (high is None or fewest <= high)
        return self._sure(True if sure else None if maybe else False)

    def _is_lower(self, fact: Fact, clause: Clause) -> bool:
        """Return whether the value fell by the part; of a first value of 0 there is no part."""
        before = next((f.value for f in self._facts(clause.than) if f.value is not None), None)
        if before is None or fact.value is None or before <= 0 or clause.lower_by_percent is None:
            return False
        return (Decimal(before) - Decimal(fact.value)) * 100 >= Decimal(clause.lower_by_percent) * Decimal(before)

    def _facts(self, name: str) -> list[Fact]:
        """Return what an event found, in the order of time."""
        if name not in self._found:
            event = self._events[name]
            if event.any_of:
                facts = list({id(fact): fact for part in event.any_of for fact in self._facts(part)}.values())
            else:
                facts = [fact for fact in self._person.facts if self._fits(fact, event)]
            self._found[name] = _picked(facts, event.pick)
        return self._found[name]

    def _fits(self, fact: Fact, event: Event) -> bool:
        return self._is_such(fact, event) and self._is_then(fact, event)

    def _is_such(self, fact: Fact, event: Event) -> bool:
        """Return whether a fact is of the event's kind, whenever it was."""
        return (
            fact.kind is event.kind
            and (not event.codes or any(fact.codes & self._codes[name] for name in event.codes))
            and (not event.status or fact.status in event.status)
            and (not event.status_not or (bool(fact.status) and fact.status not in event.status_not))
            and (not event.verification or fact.verification in event.verification)
            and (not event.intent or fact.intent in event.intent)
            and not (event.refuses_negated and fact.negated)
            and (not event.answer or bool(fact.answer & self._codes[event.answer]))
            and (not event.reason or bool(fact.reason & self._codes[event.reason]))
            and not (event.has_value and not fact.has_value)
            and (not event.disposition or bool(fact.disposition & self._codes[event.disposition]))
            and event.value.hold(fact.value)
            and (not event.same_codes_as or any(fact.codes & o.codes for o in self._facts(event.same_codes_as)))
        )

    def _is_then(self, fact: Fact, event: Event) -> bool:
        """Return whether a fact lies where the event asks for."""
        return (
            all(self._sure(self._lies(fact.when, relation, name)) for relation, name in event.windows)
            and (not event.overlaps or self._touches(fact, event))
            and (not event.before or self._is_before(fact, event.before))
            and (
                event.near is None
                or any(self._sure(_beside(fact, o, event.near)) for o in self._facts(event.near.event))
            )
        )

    def _is_before(self, fact: Fact, name: str) -> bool:
        starts = (_moved(other.when.start, -1) for other in self._facts(name))
        return any(self._sure(_begun_by(fact.when, start)) for start in starts)

    def _touches(self, fact: Fact, event: Event) -> bool:
        return any(
            self._sure(overlaps(fact.when, other.when, event.overlaps_by)) for other in self._facts(event.overlaps)
        )

    def _lies(self, when: Span, relation: Relation, name: str) -> Answer3:
        days = self._window(name)
        if days is None:
            return False
        if relation is Relation.STARTS_IN:
            when = Span(when.start, when.start)
        elif relation is Relation.ENDS_IN:
            when = Span(when.end, when.end)
        elif relation is Relation.STARTS_BY_END:
            return _begun_by(when, moment_of(days.last))
        elif relation is Relation.OVERLAPS:
            return overlaps(when, days.span(), By.DAY)
        return within(when, days.span(), By.DAY)

    def _window(self, name: str) -> Days | None:
        """Return the days of a window; None where the event that it hangs on did not happen."""
        if name not in self._days:
            self._days[name] = self._worked_out(self._windows[name])
        return self._days[name]

    def _worked_out(self, window: Window) -> Days | None:
        first, last = self._moment(window.start), self._moment(window.to)
        if first is None or last is None or first.day is None or last.day is None:
            return None
        start, end = days_later(first.day, -window.give_days), days_later(last.day, window.give_days)
        return Days(start, days_later(end, -1) if window.leaves_out_end else end)

    def _moment(self, point: Point) -> Moment | None:
        """Return a point as a moment; moved ones are whole days."""
        bound: Moment | Edge | None
        if point.of in self._days or point.of in self._windows:
            days = self._window(point.of)
            bound = None if days is None else moment_of(days.last if point.end else days.first)
        else:
            facts = self._facts(point.of)
            bound = None if not facts else facts[0].when.end if point.end else facts[0].when.start
        if not isinstance(bound, Moment) or not (point.months or point.days):
            return bound if isinstance(bound, Moment) else None
        return None if bound.day is None else moment_of(days_later(months_later(bound.day, point.months), point.days))

    def _sure(self, answer: Answer3) -> bool:
        self._unclear |= answer is None
        return answer is True


def _beside(fact: Fact, other: Fact, near: Near) -> Answer3:
    """Return whether a fact lies within the days around another."""
    start = other.when.end if near.after_end else other.when.start
    end = other.when.start if near.after_start else other.when.end
    first = fact.when.end if near.by_end else fact.when.start
    when = Span(first, fact.when.start if near.by_start else fact.when.end)
    return within(when, Span(_moved(start, -near.days_before), _moved(end, near.days_after)), By.DAY)


def _begun_by(when: Span, day: Moment | Edge) -> Answer3:
    """Return whether something began by a day; of what has no onset nobody knows, unless it had ended by then."""
    if when.start is Edge.BEGINNING:
        return True if at_or_before(when.end, day, By.DAY) and when.end is not Edge.END else None
    return at_or_before(when.start, day, By.DAY)


def _moved(bound: Moment | Edge, days: int) -> Moment | Edge:
    if not days or not isinstance(bound, Moment):
        return bound
    return msgspec.structs.replace(
        bound, first_day=days_later(bound.first_day, days), last_day=days_later(bound.last_day, days)
    )


def _picked(facts: list[Fact], pick: Pick) -> list[Fact]:
    """Return the facts in the order of time, or the first or last of them.

    Of facts that begin at the same time the higher value comes last: it is the more cautious one to end with.
    """
    ordered = sorted(facts, key=_order)
    if pick is Pick.ALL or not ordered:
        return ordered
    return ordered[:1] if pick is Pick.FIRST else ordered[-1:]


def _order(fact: Fact) -> tuple[float, float, str]:
    start = fact.when.start
    when = start.first.timestamp() if isinstance(start, Moment) else float("-inf")
    return when, float(fact.value) if fact.value is not None else float("-inf"), fact.reference
