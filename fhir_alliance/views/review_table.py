"""Open reviews as a table, for teams whose record system takes no Task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fhir_alliance.views.csv_text import csv_text, for_people

COLUMNS: Final = ("key", "patient", "status", "priority", "due", "owner", "about", "why")


def review_csv(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows, each in the order of COLUMNS, as CSV with a header, for a spreadsheet; no cell is a formula."""
    return for_people(csv_text(COLUMNS, rows))
