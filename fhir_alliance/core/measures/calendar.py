"""The calendar of all measures: moments as precise as they were written, spans, windows in whole days, ages.

A date is the local date of a datetime *as it was written*; no zone of a reader or a server changes it.
A comparison of moments answers True, False, or None where the precision of what was written leaves it open,
as in CQL (cql.hl7.org, Appendix I, "Date and time operators"). None never counts as met.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from enum import Enum, auto
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

import msgspec

Answer3: TypeAlias = bool | None

_TICK: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
_WRITTEN: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)


class Moment(msgspec.Struct, frozen=True, gc=False):
    """A date or datetime as precise as it was written.

    first, last: the earliest and the latest instant it can mean, aware; a bare date counts in UTC.
    first_day, last_day: the earliest and the latest local date it can mean, as written.
    """

    first: datetime
    last: datetime
    first_day: date
    last_day: date

    @property
    def day(self) -> date | None:
        """Return the local date as written; None where only a month or year was written."""
        return self.first_day if self.first_day == self.last_day else None


class Edge(Enum):
    """What stands in place of a moment at the end of a span that has none."""

    BEGINNING = auto()  # of time
    END = auto()  # of time
    UNKNOWN = auto()


class By(Enum):
    """How finely two moments are compared."""

    DAY = auto()
    INSTANT = auto()


Bound: TypeAlias = Moment | Edge


class Span(NamedTuple):
    """From one moment to another, both included."""

    start: Bound
    end: Bound


class Days(NamedTuple):
    """A window of whole days, both included."""

    first: date
    last: date

    def span(self) -> Span:
        """Return the window as a span."""
        return Span(moment_of(self.first), moment_of(self.last))


@lru_cache(maxsize=4096)  # a record says the same time of many things
def moment(text: str) -> Moment | None:
    """Return what FHIR writes as date, dateTime or instant; None for anything else."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        if hour is None:
            return _of_days(int(year), month, day)
        second = "59" if second == "60" else second  # a leap second
        seconds = f"{second or '00'}.{(fraction or '0')[:6].ljust(6, '0')}"
        offset = "+00:00" if zone in (None, "Z") else zone
        start = datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{seconds}{offset}")
        width = timedelta(microseconds=10 ** max(0, 6 - len(fraction))) if fraction else timedelta(seconds=1)
        local = start.date()
        return Moment(start, start + (width if second else timedelta(minutes=1)) - _TICK, local, local)
    except (ValueError, OverflowError):
        return None


def moment_of(day: date) -> Moment:
    """Return a whole day as a moment."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Moment(start, start + _DAY - _TICK, day, day)


def at_or_before(one: Bound, other: Bound, by: By) -> Answer3:
    """Return whether one moment is the other or earlier; None where what was written leaves it open."""
    if Edge.UNKNOWN in (one, other):
        return None
    if isinstance(one, Edge) or isinstance(other, Edge):
        return one is Edge.BEGINNING or other is Edge.END
    low, high = (one.first_day, one.last_day) if by is By.DAY else (one.first, one.last)
    other_low, other_high = (other.first_day, other.last_day) if by is By.DAY else (other.first, other.last)
    if (low, high) == (other_low, other_high) or high <= other_low:
        return True
    return False if low > other_high else None


def overlaps(one: Span, other: Span, by: By) -> Answer3:
    """Return whether two spans share a moment; one known end of a span can suffice to be sure that they do."""
    return both(_reaches(one, other, by), _reaches(other, one, by))


def within(inner: Span, outer: Span, by: By) -> Answer3:
    """Return whether a span lies wholly in another."""
    return both(at_or_before(outer.start, inner.start, by), at_or_before(inner.end, outer.end, by))


def both(one: Answer3, other: Answer3) -> Answer3:
    """Return the three-valued "and"."""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _reaches(one: Span, other: Span, by: By) -> Answer3:
    """Return whether a span starts by the end of another; a start not known is by its own span's end at the latest."""
    start = one.end if one.start is Edge.UNKNOWN else one.start
    end = other.start if other.end is Edge.UNKNOWN else other.end
    sure = at_or_before(start, end, by)
    return sure or (sure if (start, end) == (one.start, other.end) else None)


def before(point: Moment) -> Moment:
    """Return the last moment before a point, as precise as the point: the end of a span that leaves it out."""
    if point.last - point.first >= _DAY - _TICK:  # a day, a month or a year
        return moment_of(days_later(point.first_day, -1))
    start = point.first - _MILLISECOND  # CQL counts datetimes in milliseconds
    return Moment(start, start + _MILLISECOND - _TICK, start.date(), start.date())


def months_later(day: date, months: int) -> date:
    """Return the same day of another month; a day that the month lacks becomes its last (29 February, 12: the 28th)."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def days_later(day: date, days: int) -> date:
    """Return the day so many days later; the calendar's first or last where it ends before."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.max if days > 0 else date.min


def thirds(period: Days) -> tuple[Days, ...]:
    """Return the assessment periods of four months that a measurement year is divided into (DMS-E, CMS160)."""
    starts = [months_later(period.first, 4 * number) for number in range(4)]
    return tuple(Days(start, after - _DAY) for start, after in pairwise(starts))


def full_years(birth: Moment, at: Moment) -> tuple[int, int]:
    """Return the fewest and the most full years of age that the two dates allow.

    Who was born on 29 February is a year older on 1 March where there is no 29th.
    """
    return _years(birth.last_day, at.first_day), _years(birth.first_day, at.last_day)


def _years(birth: date, on: date) -> int:
    return on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))


def _of_days(year: int, month: str | None, day: str | None) -> Moment:
    first = date(year, int(month or 1), int(day or 1))
    if day is not None:
        return moment_of(first)
    last_month = int(month or 12)
    last = date(year, last_month, calendar.monthrange(year, last_month)[1])
    return Moment(moment_of(first).first, moment_of(last).last, first, last)
