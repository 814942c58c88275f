"""One person read by a measure that has a function of its own: sessions, ratings, and how a place is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Group, Measure, Population
from fhir_alliance.core.measures.evaluation import Member, settle
from fhir_alliance.core.measures.people import Episode, Fact, Kind, Person
from fhir_alliance.core.model import Family, NoValue, Rater, Review, Score
from fhir_alliance.core.rules.chart import Rulebook

_WHOLE = Episode(date.min, None, False)


def observation(score: Score) -> str:
    """Return where a score stands; a store may have given it an id of its own."""
    return f"Observation/{score.stored or score.key}"


def task(review: Review) -> str:
    """Return where a review stands."""
    return f"Task/{review.stored or review.key}"


class Reading(NamedTuple):
    """A person, and the measure and period that they are read by."""

    measure: Measure
    person: Person
    period: Days
    book: Rulebook

    def in_period(self, day: date) -> bool:
        """Return whether a day lies in the period."""
        return self.period.first <= day <= self.period.last

    def episodes(self) -> tuple[Episode, ...]:
        """Return the times in care; all time is one where the record has none."""
        return self.person.episodes or (_WHOLE,)

    def sessions(self, episode: Episode) -> list[Fact]:
        """Return the finished encounters of an episode, in the order of time; one that has no day is none."""
        held = (fact for fact in self.person.of(Kind.ENCOUNTER) if fact.status == "finished")
        dated = [(fact.day, fact.reference, fact) for fact in held if fact.day is not None and episode.holds(fact.day)]
        return [fact for _, _, fact in sorted(dated, key=lambda entry: entry[:2])]

    def ratings(self, rater: Rater) -> list[Score]:
        """Return the alliance scores of a rater that have a value, in the order of time."""
        return [s for s in self._valued() if s.rater is rater and self.family(s) is Family.ALLIANCE]

    def scores(self, instrument: str, scale: str = "total") -> list[Score]:
        """Return an instrument's scores by the client that have a value, in the order of time."""
        wanted = (instrument, scale, Rater.CLIENT)
        return [s for s in self._valued() if (s.instrument, s.scale, s.rater) == wanted]

    def setting(self, name: str) -> int:
        """Return a whole number that the measure's file sets."""
        return int(self.measure.settings[name])

    def member(
        self, group: Group, counts: Mapping[Population, int], words: str = "", evidence: Iterable[str] = ()
    ) -> Member:
        """Return the person's place, with the words of the file for each population that was reached.

        evidence: references of what decided, told of those who are in the initial population.
        """
        told = {population: " and ".join(c.words for c in clauses) for population, clauses in group.populations.items()}
        reasons = {p: told[p] if counts.get(p) else f"not {told[p]}" for p in group.populations}
        if words:
            reasons[Population.NUMERATOR] = words
        every = {population: counts.get(population, 0) for population in group.populations}
        settled = settle(every)
        shown = tuple(dict.fromkeys(evidence)) if settled.get(Population.INITIAL) else ()
        return Member(self.person.reference, group.id, settled, reasons, evidence=shown)

    def yes_or_no(self, counted: bool, met: bool, evidence: Iterable[str] = ()) -> list[Member]:
        """Return the place of somebody who is counted or not, and meets the measure or not."""
        [group] = self.measure.groups
        counts = dict.fromkeys((Population.INITIAL, Population.DENOMINATOR), int(counted))
        return [self.member(group, counts | {Population.NUMERATOR: int(counted and met)}, evidence=evidence)]

    def family(self, score: Score) -> Family | None:
        """Return what a score is about; None for an instrument that is not known."""
        instrument = self.book.instruments.get(score.instrument)
        return None if instrument is None else instrument.family

    def _valued(self) -> list[Score]:
        known = (s for s in self.person.scores if not s.withdrawn and not isinstance(s.value, NoValue))
        return sorted(known, key=lambda score: (score.when, score.key))
