"""CSV that a spreadsheet reads as it was meant, and never runs."""

from __future__ import annotations

import ast
import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.views.csv_text import csv_text, for_people, safe_cell
from fhir_alliance.views.review_table import review_csv
from fhir_alliance.views.score_table import score_csv

PACKAGE = Path(__file__).parents[2] / "fhir_alliance"
FORMULAS = ["=HYPERLINK(1)", "+1", "-2+3", "@SUM(A1)", "\tx", "\rx", "\nx", "\0x", "  =1", "\uff1d1", "\uff0b1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text(text: str) -> None:
    """A text that a spreadsheet would run is marked as text."""
    assert safe_cell(text) == f"'{text}"
    assert csv_text([text], [[text]]).count("'") == 2


@pytest.mark.parametrize(
    ("number", "text"), [(-3, "-3"), (4, "4"), (Decimal("-1.50"), "-1.50"), (Decimal("1E+2"), "100"), (None, "")]
)
def test_numbers_stay_numbers(number: int | Decimal | None, text: str) -> None:
    """A negative number is no formula, a decimal keeps its digits, and what has no value is an empty cell."""
    assert safe_cell(number) == text


def test_quotes_commas_and_lines() -> None:
    """RFC 4180: a cell with a comma, a quote or a line end stands in quotes; lines end with CR LF."""
    assert csv_text(["a", "b"], [['x "y"', "1,2\n3"]]) == 'a,b\r\n"x ""y""","1,2\n3"\r\n'


def test_a_spreadsheet_is_told_the_code() -> None:
    """A table that people open begins with UTF-8's mark, and its letters come back; one for programs has no mark."""
    table = csv_text(["Gespräch"], [["Müdigkeit, 眠り"]])
    assert for_people(table)[:3] == b"\xef\xbb\xbf"
    assert for_people(table).decode("utf-8-sig") == table
    assert review_csv([]).startswith(b"\xef\xbb\xbfkey,")
    assert score_csv([]).isascii()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=4))
def test_nothing_is_lost_and_nothing_runs(cells: list[str]) -> None:
    """Whatever the texts, reading gives them back, and none begins like a formula."""
    [_, row] = csv.reader(io.StringIO(csv_text(["h"] * len(cells), [cells]), newline=""))
    assert [cell.removeprefix("'") for cell in row] == [cell.removeprefix("'") for cell in cells]
    assert not any(cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row)


def test_all_csv_is_written_in_one_way() -> None:
    """No module but this one makes a CSV writer."""
    makes = [
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("writer", "DictWriter")
        if isinstance(node.value, ast.Name) and node.value.id == "csv"
    ]
    assert set(makes) == {"csv_text.py"}
