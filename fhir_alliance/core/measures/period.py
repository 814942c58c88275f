"""The measurement period that a person names."""

from __future__ import annotations

import re
from datetime import date, timedelta

from fhir_alliance.core.measures.calendar import Days, months_later
from fhir_alliance.errors import StopRun

_QUARTER = re.compile(r"(\d{4})-Q([1-4])")
_YEAR = re.compile(r"\d{4}")


def period_of(text: str) -> Days:
    """Return the days of a year (2026), a quarter (2026-Q3) or FROM/TO (2026-01-01/2026-06-30, both included).

    Raises StopRun FA711 for anything else.
    """
    if _YEAR.fullmatch(text) and int(text):
        return Days(date(int(text), 1, 1), date(int(text), 12, 31))
    if (found := _QUARTER.fullmatch(text)) and int(found[1]):
        first = date(int(found[1]), 3 * int(found[2]) - 2, 1)
        return Days(first, months_later(first, 3) - timedelta(days=1))
    try:
        first, last = (date.fromisoformat(part) for part in text.split("/"))
    except ValueError:
        first, last = date.max, date.min
    if first > last:
        raise StopRun("FA711", f"{text!r} is no period.", "Write 2026, 2026-Q3 or 2026-01-01/2026-06-30.")
    return Days(first, last)
