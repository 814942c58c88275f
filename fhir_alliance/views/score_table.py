"""A form's scores as rows of a table, for systems that read files only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fhir_alliance.views.csv_text import csv_text

COLUMNS: Final = (
    "key", "patient", "answered", "status", "form", "score", "code_system", "code", "value", "no_value_because", "band",
    "notes",
)  # fmt: skip


def score_csv(rows: Iterable[Sequence[str]]) -> str:
    """Return rows, each in the order of COLUMNS, as CSV with a header; no cell is a formula."""
    return csv_text(COLUMNS, rows)
