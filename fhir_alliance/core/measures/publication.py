"""A tally as it may leave the clinic: no count of 1 to 10 is shown or follows from what is, here or in earlier reports.

What readers can work out is put to `core.suppression` as a table: who is left between two populations, sums over the
strata, populations that several rates share, numerators that lie within one another, the change since an earlier
report, and what is left of a report when others on parts of its days are taken away. The whole is settled first. A
population that is hidden in the whole is hidden in every stratum; given that, strata of different kinds tell nothing of
each other and are settled one kind after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from fhir_alliance.core.measures.adjoining import Earlier, Key, month_of, months_of, side_by_side
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Clause, Group, Measure, Population
from fhir_alliance.core.model import Count, Missing, Part, Tally
from fhir_alliance.core.suppression import SMALL, Cell, Standing, Total, suppressed
from fhir_alliance.errors import StopRun

_EVERYBODY: Final = "in the initial population"  # as measures word a denominator that adds no condition
_NOW: Final = "now"
# who is between two populations, by the population that names the cell: never shown, but reports tell it
_BETWEEN: Final = {"outside": Population.INITIAL, "not": Population.NUMERATOR}
_INSIDE: Final = (Population.EXCLUSION, Population.EXCEPTION, Population.NUMERATOR)


def protected(measure: Measure, tally: Tally, earlier: Sequence[Earlier] = ()) -> Tally:
    """Return the tally with every count masked that is of 1 to 10, or lets one be worked out.

    Raises StopRun FA610 where what the same readers have already gives a count away.
    """
    table = _Table(measure, tally, earlier)
    hidden = table.settle([""], table.around(tally), frozenset())
    kinds = dict.fromkeys(part.stratum.partition(":")[0] for part in tally.parts if part.stratum)
    for kind in kinds:
        strata = list(dict.fromkeys(p.stratum for p in tally.parts if p.stratum.partition(":")[0] == kind))
        try:
            hidden |= table.settle(strata, ((), ()), hidden)
        except StopRun:  # this division cannot be shown at all
            hidden |= {table.named(Key(g, s, p)) for g, s, p in table.keys if s in strata}
    parts = tuple(_shown(part, table, hidden) for part in tally.parts)
    withheld = {reason: _masked(f"withheld {reason}", count, hidden) for reason, count in tally.withheld.items()}
    odd: dict[str, Count] = {rule: _unless_small(count) for rule, count in tally.odd.items()}
    people = _masked("people", tally.people, hidden)
    return msgspec.structs.replace(tally, parts=parts, people=people, withheld=withheld, odd=odd)


class _Table:
    """The numbers of a tally by key, and which of them are one and the same."""

    def __init__(self, measure: Measure, tally: Tally, earlier: Sequence[Earlier]) -> None:
        self._measure, self._days = measure, Days(*tally.period)
        known = [msgspec.structs.replace(one, counts=one.counts | self._between(one.counts)) for one in earlier]
        months = {days: counts for one in known for days, counts in months_of(one)}
        reports = (*known, *months.values())  # the same days may come twice
        self._earlier = {f"{number} {one.name}": one for number, one in enumerate(reports)}
        self.keys = {
            Key(part.group, part.stratum, code): _known(count)
            for part in tally.parts
            for code, count in part.counts.items()
        }
        self._owners = _owners(measure.groups)
        self._alike = frozenset(group.id for group in measure.groups if self._are_alike(group))

    def named(self, key: Key) -> str:
        """Return the name of a cell; populations that rates share, or that are the same by their words, have one."""
        if key.population in _BETWEEN:
            return f"{self.named(key._replace(population=_BETWEEN[key.population].value))} {key.population}"
        is_initial = key.group in self._alike and key.population == Population.DENOMINATOR
        population = Population.INITIAL.value if is_initial else key.population
        owner = self._owners.get((key.group, population), key.group)
        return f"{owner} {key.stratum} {population}"

    def _are_alike(self, group: Group) -> bool:
        """Return whether a rate's denominator is everybody in the initial population, by the measure's own words.

        They stand in every report, so that a reader takes the one number for the other. Where the numbers do not bear
        the words out, they are two.
        """
        words = {clause.words for clause in group.populations[Population.DENOMINATOR]}
        keys = [key for key in self.keys if key.group == group.id and key.population == Population.INITIAL]
        return words == {_EVERYBODY} and all(
            self.keys[key] == self.keys[key._replace(population=Population.DENOMINATOR.value)] for key in keys
        )

    def around(self, tally: Tally) -> tuple[list[Cell], list[Total]]:
        """Return the people who were looked at, as sums of those left out, those in a rate, and those in none."""
        reasons = {f"withheld {reason}": _known(count) for reason, count in tally.withheld.items()}
        people = _known(tally.people)
        looked_at = Cell("looked at", people - sum(reasons.values()), Standing.NEVER_SHOWN)
        cells = [Cell("people", people), looked_at, *(Cell(name, count) for name, count in reasons.items())]
        totals = [Total("people", (looked_at.name, *reasons))]
        for group in self._measure.groups if self._measure.basis == "person" else ():
            key = Key(group.id, "", Population.INITIAL.value)
            none = Cell(f"{self.named(key)} none", looked_at.count - self.keys[key], Standing.NEVER_SHOWN)
            if none.name not in {cell.name for cell in cells}:
                cells.append(none)
                totals.append(Total(looked_at.name, (self.named(key), none.name)))
        return cells, totals

    def settle(
        self, strata: Sequence[str], more: tuple[Iterable[Cell], Iterable[Total]], before: frozenset[str]
    ) -> frozenset[str]:
        """Return the names of the cells of some strata that are hidden. before: what is hidden in the whole."""
        cells: dict[str, Cell] = {}
        totals: list[Total] = []
        for group in self._measure.groups:
            for stratum in strata:
                self._add_populations(group, stratum, before, cells, totals)
        for stratum in strata:
            self._add_nested(stratum, cells, totals)
            self._add_counted(stratum, cells, totals)
        if strata != [""]:
            self._add_sums(strata, before, cells, totals)
        self._add_earlier(strata, cells, totals)
        self._add_adjoining(strata, cells, totals)
        self._add_months(strata, cells, totals)
        extra, sums = more
        cells |= {cell.name: cell for cell in extra}
        return suppressed(list(cells.values()), [*totals, *sums])

    def _add_populations(
        self, group: Group, stratum: str, before: frozenset[str], cells: dict[str, Cell], totals: list[Total]
    ) -> None:
        """Add a rate's populations, and who lies between them."""
        counts = {
            population: self.keys.get(Key(group.id, stratum, population.value), 0) for population in group.populations
        }
        names = {population: self.named(Key(group.id, stratum, population.value)) for population in group.populations}
        for population, name in names.items():
            whole = self.named(Key(group.id, "", population.value))
            standing = Standing.HIDDEN_BEFORE if stratum and whole in before else Standing.NEW
            numbers = sum(other == name for other in names.values())
            cells[name] = Cell(name, counts[population], standing, numbers)
        inside = [population for population in _INSIDE if population in counts]
        left = counts[Population.DENOMINATOR] - sum(counts[population] for population in inside)
        rest = Cell(f"{names[Population.NUMERATOR]} not", left, Standing.NEVER_SHOWN)
        cells[rest.name] = rest
        if names[Population.INITIAL] != names[Population.DENOMINATOR]:
            gap = counts[Population.INITIAL] - counts[Population.DENOMINATOR]
            outside = Cell(f"{names[Population.INITIAL]} outside", gap, Standing.NEVER_SHOWN)
            cells[outside.name] = outside
            totals.append(Total(names[Population.INITIAL], (names[Population.DENOMINATOR], outside.name)))
        totals.append(Total(names[Population.DENOMINATOR], (*(names[population] for population in inside), rest.name)))

    def _add_nested(self, stratum: str, cells: dict[str, Cell], totals: list[Total]) -> None:
        """Add who is in one numerator but not in another that lies within it."""
        for group in self._measure.groups:
            for outer in group.within:
                inner_name, outer_name = (
                    self.named(Key(name, stratum, Population.NUMERATOR.value)) for name in (group.id, outer)
                )
                gap = cells[outer_name].count - cells[inner_name].count
                between = Cell(f"{outer_name} without {inner_name}", gap, Standing.NEVER_SHOWN)
                cells[between.name] = between
                totals.append(Total(outer_name, (inner_name, between.name)))

    def _add_counted(self, stratum: str, cells: dict[str, Cell], totals: list[Total]) -> None:
        """Add that all who are counted in one rate lie in another's numerator, and who is in that beside them."""
        for group in self._measure.groups:
            if not group.of:
                continue
            outer = self.named(Key(group.of, stratum, Population.NUMERATOR.value))
            inner = self.named(Key(group.id, stratum, Population.NUMERATOR.value))
            counted: tuple[str, ...] = (inner, f"{inner} not")
            gap = cells[outer].count - sum(cells[name].count for name in counted)
            if gap:
                cells[f"{outer} beside {inner}"] = Cell(f"{outer} beside {inner}", gap, Standing.NEVER_SHOWN)
                counted = (*counted, f"{outer} beside {inner}")
            totals.append(Total(outer, counted))

    def _add_sums(
        self, strata: Sequence[str], before: frozenset[str], cells: dict[str, Cell], totals: list[Total]
    ) -> None:
        """Add that the strata of a kind are everybody, or everybody but those in none of them."""
        for name, whole in {
            (self.named(key), self.named(Key(key.group, strata[0], key.population))): key
            for key in self.keys
            if not key.stratum
        }.items():
            names = tuple(dict.fromkeys(self.named(Key(whole.group, s, whole.population)) for s in strata))
            others = self.keys[whole] - sum(cells[part].count for part in names)
            standing = Standing.HIDDEN_BEFORE if name[0] in before else Standing.SHOWN_BEFORE
            cells[name[0]] = Cell(name[0], self.keys[whole], standing)
            if others:
                stray = Cell(f"{name[0]} in no stratum", others, Standing.NEVER_SHOWN)
                cells[stray.name] = stray
                names = (*names, stray.name)
            totals.append(Total(name[0], names))

    def _between(self, counts: Mapping[Key, int | None]) -> dict[Key, int | None]:
        """Return who lies between the populations of a report, where its numbers tell."""
        found: dict[Key, int | None] = {}
        for group in self._measure.groups:
            inside = [p for p in _INSIDE if p in group.populations]
            for stratum in dict.fromkeys(key.stratum for key in counts):
                for line, whole, parts in (
                    ("outside", Population.INITIAL, [Population.DENOMINATOR]), ("not", Population.DENOMINATOR, inside)
                ):  # fmt: skip
                    told = [counts.get(Key(group.id, stratum, p.value)) for p in (whole, *parts)]
                    known = [n for n in told if n is not None]
                    if len(known) == len(told):
                        found[Key(group.id, stratum, line)] = known[0] - sum(known[1:])
        return found

    def _add_earlier(self, strata: Sequence[str], cells: dict[str, Cell], totals: list[Total]) -> None:
        """Add how many came or went since an earlier report; what was masked there stays masked."""
        for label, report in self._earlier.items():
            for key, count in report.counts.items() if self._overlaps(report) else ():
                name = self.named(key)
                if key.stratum not in strata or name not in cells:
                    continue
                if count is None:
                    cells[name] = msgspec.structs.replace(cells[name], standing=Standing.HIDDEN_BEFORE)
                    continue
                now = cells[name].count
                then = Cell(f"{label} {name}", count, Standing.SHOWN_BEFORE)
                moved = Cell(f"{then.name} moved", abs(now - count), Standing.NEVER_SHOWN)
                cells |= {then.name: then, moved.name: moved}
                larger, smaller = (name, then.name) if now >= count else (then.name, name)
                totals.append(Total(larger, (smaller, moved.name)))

    def _overlaps(self, report: Earlier) -> bool:
        days = report.days or self._days
        return days.first <= self._days.last and self._days.first <= days.last

    def _add_adjoining(self, strata: Sequence[str], cells: dict[str, Cell], totals: list[Total]) -> None:
        """Add what is left of one report when others, on parts of its days, are taken away from it.

        Of people it is a bound, since somebody can be in several; it is protected as if it were exact.
        """
        between = self._between(dict(self.keys))
        for key in (*self.keys, *between) if self._earlier else ():
            name = self.named(key)
            if key.stratum not in strata or name not in cells:
                continue
            counts = {_NOW: cells[name].count}
            counts |= {label: n for label, e in self._earlier.items() if (n := e.counts.get(key)) is not None}
            days = {label: self._days_of(label) for label in counts}
            for whole, parts, covers in side_by_side(days, _NOW):
                rest = counts[whole] - sum(counts[part] for part in parts)
                if rest < 0:
                    continue
                for label in {whole, *parts} - {_NOW}:
                    cells[f"{label} {name}"] = Cell(f"{label} {name}", counts[label], Standing.SHOWN_BEFORE)
                names = [name if label == _NOW else f"{label} {name}" for label in (whole, *parts)]
                if rest or not covers or self._measure.basis == "person":
                    left = Cell(f"{' and '.join(parts)} {name} left of {whole}", rest, Standing.NEVER_SHOWN)
                    cells[left.name] = left
                    names.append(left.name)
                totals.append(Total(names[0], tuple(names[1:])))

    def _add_months(self, strata: Sequence[str], cells: dict[str, Cell], totals: list[Total]) -> None:
        """Add that an earlier report on other days is the months within it that this one shows, and what is left."""
        months = {stratum: days for stratum in strata if (days := month_of(stratum, self._days)) is not None}
        for label, report in self._earlier.items() if months else ():
            days = self._days_of(label)
            inside = [s for s, m in months.items() if days.first <= m.first and m.last <= days.last]
            covered = sum((months[s].last - months[s].first).days + 1 for s in inside)
            for key, count in report.counts.items():
                names = tuple(self.named(key._replace(stratum=stratum)) for stratum in inside)
                if key.stratum or count is None or not names or days == self._days or not cells.keys() >= {*names}:
                    continue
                rest = count - sum(cells[name].count for name in names)
                if rest < 0:
                    continue
                whole = Cell(f"{label} {self.named(key)}", count, Standing.SHOWN_BEFORE)
                left = Cell(f"{whole.name} left of months", rest, Standing.NEVER_SHOWN)
                known = not rest and covered == (days.last - days.first).days + 1
                cells |= {whole.name: whole} | ({} if known else {left.name: left})
                totals.append(Total(whole.name, names if known else (*names, left.name)))

    def _days_of(self, label: str) -> Days:
        return self._days if label == _NOW else self._earlier[label].days or self._days


def _owners(groups: Sequence[Group]) -> dict[tuple[str, str], str]:
    """Return the first rate that has a population, for each that has the same one in the same days."""
    found: dict[tuple[str, str], str] = {}
    seen: dict[object, str] = {}
    for group in groups:
        for population, clauses in group.populations.items():
            what = (group.third, population, _rule(clauses), _rule(group.populations.get(Population.INITIAL, ())))
            found[group.id, population.value] = seen.setdefault(what, group.id)
    return found


def _rule(clauses: Sequence[Clause]) -> bytes:
    return msgspec.json.encode(clauses)


def _shown(part: Part, table: _Table, hidden: frozenset[str]) -> Part:
    counts: dict[str, Count] = {
        code: Missing.MASKED if table.named(Key(part.group, part.stratum, code)) in hidden else count
        for code, count in part.counts.items()
    }
    return msgspec.structs.replace(part, counts=counts)


def _masked(name: str, count: Count, hidden: frozenset[str]) -> Count:
    return Missing.MASKED if name in hidden else count


def _unless_small(count: Count) -> Count:
    return Missing.MASKED if isinstance(count, int) and 1 <= count <= SMALL else count


def _known(count: Count) -> int:
    if isinstance(count, Missing):
        raise StopRun("FA611", "a masked tally cannot be protected again.", "This is a defect: report it.")
    return count
