"""A report at the terminal: the measures there are, and the populations of one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_alliance.core.measures.bad_input import RULES
from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.model import Tally
from fhir_alliance.views.report_words import left_out_words, rate_words, said


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
            shown = [said(part.counts[code]) if code in part.counts else "" for code in columns]
            table.add_row(part.title, *shown, rate_words(part.counts))
    lines.append(table)
    lines.append(Text(f"  {left_out_words(tally)}"))
    lines += [Text(f"  Left out, {said(count)}: {reason}.") for reason, count in tally.withheld.items()]
    lines += [Text(f"  Odd in the record, {said(count)}: {RULES.get(rule, rule)}") for rule, count in tally.odd.items()]
    return Group(*lines)


def written_text(folder: str, files: Iterable[str], cut: date, today: date) -> Text:
    """Return where the files are; and of days that are still to come, that the report will change."""
    lines = [f"  Written into {folder}: {', '.join(sorted(files))}"]
    if cut > today:
        lines.append(f"  It looks at days up to {cut}, which is still to come: make it again then.")
    return Text("\n".join(lines))
