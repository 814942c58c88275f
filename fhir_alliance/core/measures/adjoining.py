"""Reports whose days lie side by side within those of another, so that readers can subtract them and learn the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import msgspec

from fhir_alliance.core.measures.calendar import Days, days_later, months_later
from fhir_alliance.core.measures.equity import MONTH


class Key(NamedTuple):
    """A published number: a rate's population, for everybody (stratum "") or in one stratum."""

    group: str
    stratum: str
    population: str


class Earlier(msgspec.Struct, frozen=True):
    """A report that the same readers have: its numbers, None where one was masked.

    name: for a reader.  days: of its period; None is taken for the same days as the report's that is to be made.
    """

    name: str
    counts: dict[Key, int | None]
    days: Days | None = None


class SideBySide(NamedTuple):
    """A report, two or more others within its days that share none, and whether these are all of its days."""

    whole: str
    parts: tuple[str, ...]
    covers: bool


def side_by_side(reports: Mapping[str, Days], mine: str) -> Iterator[SideBySide]:
    """Yield every such set that cannot be made larger and that one report belongs to.

    reports: the days of each by its name.  mine: the name of the one that is asked about.
    """
    for whole, days in reports.items():
        inside = [
            (own.first, own.last, name)
            for name, own in reports.items()
            if name != whole and days.first <= own.first and own.last <= days.last
        ]
        for parts in _chains(inside, date.min):
            if len(parts) > 1 and mine in (whole, *parts):
                yield SideBySide(whole, parts, _is_covered(days, [reports[part] for part in parts]))


def month_of(stratum: str, within: Days) -> Days | None:
    """Return the days of a month's stratum that lie in a period; None for another stratum."""
    kind, _, month = stratum.partition(":")
    if kind != MONTH:
        return None
    first = date.fromisoformat(f"{month}-01")
    return Days(max(first, within.first), min(days_later(months_later(first, 1), -1), within.last))


def months_of(report: Earlier) -> Iterator[tuple[Days, Earlier]]:
    """Yield the months that a report shows, each as a report of its own."""
    if report.days is None:
        return
    for stratum in dict.fromkeys(key.stratum for key in report.counts):
        days = month_of(stratum, report.days)
        if days is None:
            continue
        shown: dict[Key, int | None] = {
            k._replace(stratum=""): n for k, n in report.counts.items() if k.stratum == stratum and n is not None
        }
        yield days, Earlier(f"{report.name} {stratum}", shown, days)


def _chains(inside: Sequence[tuple[date, date, str]], since: date) -> Iterator[tuple[str, ...]]:
    """Yield the names of spans that follow one another from a day on, with no other that fits between."""
    left = [span for span in inside if span[0] >= since]
    if not left:
        yield ()
        return
    soonest = min(last for _, last, _ in left)
    for first, last, name in left:
        if first <= soonest:
            for rest in _chains(left, days_later(last, 1)):
                yield (name, *rest)


def _is_covered(days: Days, parts: Sequence[Days]) -> bool:
    """Return whether spans that share no day are all days of a period."""
    return sum((part.last - part.first).days + 1 for part in parts) == (days.last - days.first).days + 1
