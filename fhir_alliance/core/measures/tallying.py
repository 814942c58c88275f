"""Members to a tally: how many belong to each population, for everybody and for each stratum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal

from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Group, Measure, Population
from fhir_alliance.core.measures.evaluation import Member
from fhir_alliance.core.model import Count, Missing, Part, Tally
from fhir_alliance.core.ways_out import ReportPass


class Tallying:
    """Counts people as they come, none without a pass; who they are is forgotten at once."""

    def __init__(self, measure: Measure, period: Days) -> None:
        self._measure, self._period = measure, period
        self._counts: Counter[tuple[str, str, Population]] = Counter()
        self._people = 0
        self._withheld: Counter[str] = Counter()
        self._odd: Counter[str] = Counter()

    def add(
        self, passed: ReportPass, members: Iterable[Member], strata: Iterable[str], odd: Iterable[tuple[str, int]]
    ) -> None:
        """Count one person's place in all groups.

        passed: what lets this person be counted; raises ValueError where it is another's.
        strata: what the person belongs to in every measure (language:de).  odd: what was wrong in the record.
        """
        self._people += 1
        for rule, count in odd:
            self._odd[rule] += count
        common = tuple(strata)
        for member in members:
            passed.demand(member.subject)
            self._odd["date-too-coarse"] += member.unclear
            own = (f"measure:{stratum}" for stratum in member.strata)
            for stratum in ("", *own, *common) if member.counts.get(Population.INITIAL) else ("",):
                self._count(member.group, stratum, member.counts)
            for stratum, counts in member.divided.items():
                self._count(member.group, stratum, counts)

    def _count(self, group: str, stratum: str, counts: Mapping[Population, int]) -> None:
        for population, count in counts.items():  # one by one: a Counter is slow to take in a few, and half are zero
            if count:
                self._counts[group, stratum, population] += count

    def withhold(self, reason: str) -> None:
        """Count one person who is left out."""
        self._people += 1
        self._withheld[reason] += 1

    def tally(self) -> Tally:
        """Return what was counted."""
        titles = {stratum.id: stratum.title for stratum in self._measure.strata}
        parts = [
            Part(group.id, stratum, _title(group, stratum, titles), self._of(group, stratum))
            for group in self._measure.groups
            for stratum in ("", *sorted({s for g, s, _ in self._counts if g == group.id and s}))
        ]
        return Tally(
            self._measure.id,
            self._measure.version,
            (self._period.first, self._period.last),
            self._measure.basis,
            self._people,
            tuple(parts),
            dict(sorted(self._withheld.items())),
            {rule: count for rule, count in sorted(self._odd.items()) if count},
        )

    def _of(self, group: Group, stratum: str) -> dict[str, Count]:
        return {population.value: self._counts[group.id, stratum, population] for population in group.populations}


def rate(counts: Mapping[str, Count]) -> Decimal | None:
    """Return numerator / (denominator - exclusions - exceptions), unrounded; None where nobody is left or it is masked.

    Source: CQF Measures IG, "Proportion Measures".
    """
    left, numerator = eligible(counts), counts.get(Population.NUMERATOR, 0)
    return None if isinstance(numerator, Missing) or not left else Decimal(numerator) / left


def eligible(counts: Mapping[str, Count]) -> int | None:
    """Return denominator - exclusions - exceptions: what a rate rests on; None where one of them is masked."""
    parts = [counts.get(p.value, 0) for p in (Population.DENOMINATOR, Population.EXCLUSION, Population.EXCEPTION)]
    known = [part for part in parts if not isinstance(part, Missing)]
    return known[0] - known[1] - known[2] if len(known) == len(parts) else None


def _title(group: Group, stratum: str, titles: Mapping[str, str]) -> str:
    if not stratum:
        return group.title
    kind, _, value = stratum.partition(":")
    return titles.get(value, value) if kind == "measure" else f"{kind} {value}"
