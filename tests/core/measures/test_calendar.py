"""The calendar of the measures."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.measures.calendar import (
    By,
    Days,
    Edge,
    Moment,
    Span,
    at_or_before,
    before,
    full_years,
    moment,
    moment_of,
    months_later,
    overlaps,
    thirds,
    within,
)

days = st.dates(date(1900, 1, 1), date(2100, 12, 31))


def at(text: str) -> Moment:
    """Return a moment that can be read."""
    found = moment(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-01T23:30:00-08:00", date(2026, 3, 1)),
        ("2026-03-01T00:30:00+14:00", date(2026, 3, 1)),
        ("2026-03-01T00:00:00Z", date(2026, 3, 1)),
        ("2026-03-01T23:59:60Z", date(2026, 3, 1)),
        ("2024-02-29", date(2024, 2, 29)),
        ("2026-03", None),
        ("2026", None),
    ],
)
def test_a_date_is_the_local_date_as_written(text: str, day: date | None) -> None:
    """The day of a datetime is the day that was written, whatever its zone; a month or year has none."""
    assert at(text).day == day


@pytest.mark.parametrize("text", ["", "2026-13-01", "2026-02-30", "yesterday", "2026-03-01T25:00:00Z", "26-03-01"])
def test_what_is_no_date_is_nothing(text: str) -> None:
    """A text that FHIR does not allow gives no moment, and no error."""
    assert moment(text) is None


@pytest.mark.parametrize(
    ("one", "other", "by", "answer"),
    [
        ("2026-03-01", "2026-03-01T12:00:00Z", By.DAY, True),
        ("2026-03-01", "2026-03-01T12:00:00Z", By.INSTANT, None),
        ("2026-03-01T12:00:00Z", "2026-03-01", By.INSTANT, None),
        ("2026-03-01T12:00:00Z", "2026-03-02", By.INSTANT, True),
        ("2026-03-02", "2026-03-01T23:59:59Z", By.INSTANT, False),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z", By.INSTANT, True),
        ("2026-03-01T12:00:01+02:00", "2026-03-01T10:00:00Z", By.INSTANT, False),
        ("2026-03-01T23:00:00-05:00", "2026-03-02T00:30:00Z", By.DAY, True),
        ("2026-03-02T00:30:00Z", "2026-03-01T23:00:00-05:00", By.DAY, False),
        ("2026-03", "2026-03-15", By.DAY, None),
        ("2026-03", "2026-04-01", By.DAY, True),
    ],
)
def test_precision_decides_or_leaves_open(one: str, other: str, by: By, answer: bool | None) -> None:
    """Moments compare as precisely as both were written; what that leaves open is neither true nor false."""
    assert at_or_before(at(one), at(other), by) is answer


@given(days, days)
def test_whole_days_always_compare(one: date, other: date) -> None:
    """Two whole days are ordered as their dates are."""
    assert at_or_before(moment_of(one), moment_of(other), By.DAY) is (one <= other)


@given(days, days, days, days)
def test_overlap_is_the_same_both_ways(a: date, b: date, c: date, d: date) -> None:
    """Overlap does not ask which span comes first, and what lies within overlaps."""
    one = Span(moment_of(min(a, b)), moment_of(max(a, b)))
    other = Span(moment_of(min(c, d)), moment_of(max(c, d)))
    assert overlaps(one, other, By.DAY) is overlaps(other, one, By.DAY)
    if within(one, other, By.DAY):
        assert overlaps(one, other, By.DAY)


def test_edges_of_time() -> None:
    """What has no beginning began before everything; what nobody knows decides nothing."""
    today = moment_of(date(2026, 3, 1))
    assert overlaps(Span(Edge.BEGINNING, Edge.END), Span(today, today), By.INSTANT) is True
    assert overlaps(Span(Edge.UNKNOWN, Edge.END), Span(today, today), By.INSTANT) is None
    assert within(Span(Edge.UNKNOWN, moment_of(date(2027, 1, 1))), Span(today, today), By.DAY) is False


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2024, 2, 29), 48, date(2028, 2, 29)),
        (date(2025, 10, 31), 4, date(2026, 2, 28)),
        (date(2026, 1, 1), -14, date(2024, 11, 1)),
        (date(2026, 1, 1), -2, date(2025, 11, 1)),
    ],
)
def test_months(day: date, months: int, expected: date) -> None:
    """A day that a month lacks becomes its last, and backwards is as forwards."""
    assert months_later(day, months) == expected


@given(st.integers(1990, 2090))
def test_thirds_cover_the_year(year: int) -> None:
    """The three assessment periods cover a year without gap or overlap, leap years too."""
    parts = thirds(Days(date(year, 1, 1), date(year, 12, 31)))
    assert [part.first for part in parts] == [date(year, month, 1) for month in (1, 5, 9)]
    assert parts[-1].last == date(year, 12, 31)
    assert all(b.first - a.last == timedelta(days=1) for a, b in pairwise(parts))


@pytest.mark.parametrize(
    ("birth", "on", "years"),
    [
        ("2013-03-03", "2025-03-03", (12, 12)),
        ("2013-03-04", "2025-03-03", (11, 11)),
        ("2012-02-29", "2025-02-28", (12, 12)),
        ("2012-02-29", "2024-02-28", (11, 11)),
        ("2013-02-28", "2025-02-28T00:30:00+02:00", (12, 12)),
        ("2013-03", "2025-03-03", (11, 12)),
        ("2013", "2025-12-31", (12, 12)),
    ],
)
def test_age(birth: str, on: str, years: tuple[int, int]) -> None:
    """Age is full years on the local day; a coarse birth date allows two."""
    assert full_years(at(birth), at(on)) == years


@given(st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1)), st.integers(-14, 14))
def test_what_is_before_is_before(when: datetime, offset: int) -> None:
    """The last moment before a point is earlier than it, by a millisecond or a day."""
    point = at(f"{when.isoformat(timespec='milliseconds')}{'+' if offset >= 0 else '-'}{abs(offset):02}:00")
    assert at_or_before(point, before(point), By.INSTANT) is False
    assert before(moment_of(when.date())).day == when.date() - timedelta(days=1)
