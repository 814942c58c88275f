"""The list of faults: whole, current, and held by tests that exist."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.faults.page import PAGE, Row, page, read

TESTS = Path(__file__).parents[1]
WORDS, GROUPS = read()
ROWS = [row for group in GROUPS.values() for row in group]


@cache
def functions(file: Path) -> dict[str, ast.FunctionDef]:
    """Return the tests in a file, by name."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"}


@cache
def texts(file: Path) -> frozenset[str]:
    """Return every text in a file, of an f-string its beginning: the ids of its cases are among them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def exists(test: str) -> bool:
    """Return whether a test can be found in the tree, and the case of it that is named."""
    place, _, name = test.partition("::")
    name, _, case = name.removesuffix("]").partition("[")
    file = TESTS / place
    if not file.is_file() or name not in functions(file):
        return False
    number = case.removeprefix("row-")  # ids of one list are built from the number on
    return not case or any(text == case or text.startswith((f"row-{number}-", f"{number}-")) for text in texts(file))


def test_every_number_is_there_once() -> None:
    """The 203 rows are numbered through, in order."""
    assert [row.n for row in ROWS] == list(range(1, 204))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"row-{row.n}")
def test_a_row_is_held_by_tests_or_says_why_not(row: Row) -> None:
    """A row has a known word, what happens, and tests that exist; or it says in words why it does not apply yet."""
    if row.open:
        assert len(row.open) > 40
        assert (row.here, row.how, row.tests) == ("", "", ())
        return
    assert row.here in WORDS
    assert row.how
    assert row.tests
    assert [test for test in row.tests if not exists(test)] == []


def test_what_is_not_there_is_found_out() -> None:
    """A test, a case or a file that does not exist does not pass for one."""
    assert exists("fhir/test_bad_input.py::test_a_bad_record_is_parked[row-99]")
    assert exists("fhir/test_bad_input.py::test_an_odd_record_is_taken_as_it_is[row-124]")
    for wrong in ("test_a_bad_record_is_parked[row-98]", "test_a_bad_record_is_parked[row-15]", "test_none"):
        assert not exists(f"fhir/test_bad_input.py::{wrong}")
    assert not exists("fhir/none.py::test_none")


def test_the_page_is_current() -> None:
    """docs/reference/faults.md says what rows.toml says."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/faults/page.py"
