"""The one way in which this program writes CSV: RFC 4180, and no cell that a spreadsheet takes for a formula.

Source: OWASP ASVS 5.0, 1.2.10: a text that begins with = + - @, a tab or NUL is marked with a single quote; carriage
return and line feed are added, as OWASP's page on CSV injection lists them. Numbers stay numbers, the negative too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

Cell: TypeAlias = str | int | float | Decimal | None

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # wide forms too


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table as CSV, lines ended by CR LF; an empty cell where a value is None."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([safe_cell(name) for name in header])
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def for_people(table: str) -> bytes:
    """Return a table that people open in a spreadsheet: UTF-8 with its mark, without which Excel takes another code.

    Source: Microsoft support, "Opening CSV UTF-8 files correctly in Excel". A table for programs has no mark: most
    would take it for a part of the first column's name.
    """
    return table.encode("utf-8-sig")


def safe_cell(cell: Cell) -> str:
    """Return a cell's text; one that a spreadsheet would run is marked as text with a single quote."""
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell
