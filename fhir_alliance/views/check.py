"""What a check of an instrument found, as tables that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_alliance.core.conformance import Problem
from fhir_alliance.core.outcomes import Outcome


def check_page(
    name: str, items: int, cases: int, found: Sequence[Outcome], problems: Sequence[Problem], notes: Sequence[Problem]
) -> RenderableType:
    """Return one check: a table of outcomes per scale, then what is to be mended, then what is to be known."""
    parts: list[RenderableType] = []
    if not problems:
        tried = f", {cases} cases" if cases else ""
        parts.append(Text(f"{name}: {items} items, {len(found)} scales{tried}; all agree."))
    if found:
        parts.append(_outcomes(found))
    if problems:
        parts.append(_table(f"{name}: {len(problems)} to mend", problems))
    if notes:
        parts.append(_table("To be known", notes))
    return Group(*parts)


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """Return a scale's outcomes as a machine reads them in `instruments check --json`."""
    return {
        "id": outcome.scale,
        "title": outcome.title,
        "formula": outcome.formula.value,
        "items": outcome.items,
        "low": float(outcome.low),
        "high": float(outcome.high),
        "all_lowest": outcome.lowest,
        "all_highest": outcome.highest,
        "one_missing": outcome.one_missing,
        "two_missing": outcome.two_missing,
    }


def _outcomes(found: Iterable[Outcome]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("scale", "formula", "items", "range", "all lowest", "all highest", "one missing", "two missing"):
        table.add_column(column, no_wrap=column == "scale")
    for outcome in found:
        given = (outcome.lowest, outcome.highest, outcome.one_missing, outcome.two_missing)
        span = f"{outcome.low} to {outcome.high}"
        table.add_row(outcome.scale, outcome.formula.value, str(outcome.items), span, *map(_cell, given))
    return table


def _table(title: str, problems: Iterable[Problem]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("where")
    table.add_column("what")
    for problem in problems:
        table.add_row(_cell(problem.place), _cell(problem.what))
    return table


def _cell(text: str) -> Text:
    return Text(text)  # what stands in a Questionnaire is no markup
