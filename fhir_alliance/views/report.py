"""A report at the terminal: the measures there are, and the populations of one."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.measures.tallying import rate
from fhir_alliance.core.model import Count, Missing, Tally


def measures_table(measures: Iterable[Measure]) -> RenderableType:
    """Return the measures with their editions."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("id", "measure", "edition"):
        table.add_column(column, no_wrap=column == "id")
    for measure in measures:
        table.add_row(measure.id, measure.title, measure.edition)
    return table


def tally_text(measure: Measure, tally: Tally) -> RenderableType:
    """Return the populations and rates of a report, and how many were left out."""
    first, last = tally.period
    lines: list[RenderableType] = [Text(f"{measure.title}, {first} to {last}", style="bold")]
    table = Table(box=None, padding=(0, 2, 0, 2))
    columns = list(dict.fromkeys(code for part in tally.parts for code in part.counts))
    for column in ("", *columns, "rate"):
        table.add_column(column.replace("-", "\n"), justify="left" if not column else "right")
    for part in tally.parts:
        if not part.stratum:
            score = rate(part.counts)
            shown = [_said(part.counts[code]) if code in part.counts else "" for code in columns]
            table.add_row(part.title, *shown, "-" if score is None else f"{100 * score:.1f} %")
    lines.append(table)
    lines.append(Text(f"  {_said(tally.people)} people were looked at."))
    lines += [Text(f"  {_said(count)} left out: {reason}.") for reason, count in tally.withheld.items()]
    lines += [Text(f"  {_said(count)} {rule.replace('-', ' ')}.") for rule, count in tally.odd.items()]
    return Group(*lines)


def _said(count: Count) -> str:
    return "masked" if isinstance(count, Missing) else f"{count:,}"
