"""Writes docs/reference/faults.md from rows.toml: `python tests/faults/page.py`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

ROWS: Final = Path(__file__).with_name("rows.toml")
PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
_HEAD: Final = """# Faults, row by row

What can go wrong between a record and a score in a chart, what happens here, and the test that holds it. The page is
made from `tests/faults/rows.toml` by `python tests/faults/page.py`; a test checks that it is current, that no number
is missing, and that every test that it names is there. Of {all} rows {held} are held by tests; {open} do not apply
yet, and say why. Numbers such as FA409 are the codes in messages; numbers such as 12 are the exit status.

| word | what it means |
| --- | --- |
"""


class Row(NamedTuple):
    """One fault. tests: `file::name` or `file::name[beginning of a case's id]`.  open: why it does not apply yet."""

    n: int
    fault: str
    here: str = ""
    how: str = ""
    tests: tuple[str, ...] = ()
    open: str = ""


def read() -> tuple[dict[str, str], dict[str, list[Row]]]:
    """Return the words with what they mean, and the rows of each group by its title."""
    content: dict[str, Any] = tomllib.loads(ROWS.read_text(encoding="utf-8"))
    groups = {
        group["title"]: [Row(**row | {"tests": tuple(row.get("tests", ()))}) for row in group["rows"]]
        for group in content["group"]
    }
    return content["words"], groups


def page() -> str:
    """Return the page."""
    words, groups = read()
    rows = [row for group in groups.values() for row in group]
    unheld = sum(bool(row.open) for row in rows)
    parts = [_HEAD.format(all=len(rows), held=len(rows) - unheld, open=unheld)]
    parts += [f"| {word} | {meaning} |\n" for word, meaning in words.items()]
    for title, group in groups.items():
        parts.append(f"\n## {title}\n\n| row | fault | what happens | test |\n| --- | --- | --- | --- |\n")
        parts += [_line(row) for row in group]
    return "".join(parts)


def _line(row: Row) -> str:
    if row.open:
        return f"| {row.n} | {row.fault} | does not apply yet: {row.open} |  |\n"
    tests = "<br>".join(f"`{test}`" for test in row.tests)
    return f"| {row.n} | {row.fault} | **{row.here}**: {row.how} | {tests} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
