"""Instruments for people at a terminal: a list, one instrument, and what a check found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_alliance.core.conformance import Case, Problem
from fhir_alliance.core.model import Instrument, Scale, Wording


def licence_state(instrument: Instrument, *, has_wording: bool) -> str:
    """Return in a few words whether the wording can be used here."""
    if instrument.licence.wording is Wording.OVERLAY:
        return "wording by overlay" if has_wording else "skeleton: no wording, draft only"
    return "own wording" if instrument.licence.wording is Wording.OWN else "wording ships"


def instrument_row(instrument: Instrument, *, has_wording: bool) -> dict[str, Any]:
    """Return an instrument as a machine reads it in `instruments list --json`."""
    return {
        "id": instrument.id,
        "version": instrument.version,
        "title": instrument.title,
        "url": instrument.url,
        "family": instrument.family.value,
        "rater": instrument.rater.value,
        "items": len(instrument.items),
        "scales": [scale.id for scale in instrument.scales],
        "validated": instrument.validated,
        "licence": instrument.licence.wording.value,
        "licence_state": licence_state(instrument, has_wording=has_wording),
        "publishes_as": "draft" if instrument.licence.wording is Wording.OVERLAY and not has_wording else "active",
    }


def instrument_list(rows: Iterable[dict[str, Any]]) -> RenderableType:
    """Return all instruments as a table."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("id", "version", "rater", "items", "scales", "licence"):
        table.add_column(column, no_wrap=column == "id")
    for row in rows:
        cells = (row["id"], row["version"], row["rater"], str(row["items"]), ", ".join(row["scales"]))
        table.add_row(*cells, row["licence_state"])
    return table


def instrument_page(instrument: Instrument, *, has_wording: bool) -> RenderableType:
    """Return one instrument: what it is, what it scores, and where its numbers are from."""
    lines: list[RenderableType] = [
        Text(instrument.title, style="bold"),
        Text(f"{instrument.url}|{instrument.version}"),
        Text(f"{len(instrument.items)} items, answered by the {instrument.rater.value}; recall: {instrument.recall}"),
        Text(f"Licence: {instrument.licence.holder}; {licence_state(instrument, has_wording=has_wording)}"),
        Text(f"  {instrument.licence.statement}"),
    ]
    if not instrument.validated:
        lines.append(Text("Not validated: no norms and no cut-offs exist."))
    for scale in instrument.scales:
        lines += [Text(), *_scale(scale)]
    for item in instrument.items:
        if item.critical is not None:
            text = f"Safety item {item.link_id}: at {item.critical.at_least} or more, or unanswered, a clinician looks."
            lines += [Text(), Text(text), Text(f"  Source: {item.critical.source}")]
    return Group(*lines)


def check_page(instrument: Instrument, cases: Sequence[Case], problems: Sequence[Problem]) -> RenderableType:
    """Return what a check found, as a table that a person can act on."""
    if not problems:
        scales = len(instrument.scales)
        return Text(f"{instrument.id}: {len(instrument.items)} items, {scales} scales, {len(cases)} cases; all agree.")
    table = Table(
        title=f"{instrument.id}: {len(problems)} to mend", title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    table.add_column("where")
    table.add_column("what")
    for problem in problems:
        table.add_row(problem.place, problem.what)
    return table


def _scale(scale: Scale) -> list[Text]:
    rule = f"{scale.formula.value} of {len(scale.items)} items, {scale.low}-{scale.high}"
    lines = [
        Text(f"{scale.title} ({scale.id}): {rule}, higher is {scale.higher_is.value}"),
        Text(f"  Source: {scale.source}"),
        Text(f"  Missing: at most {scale.missing.max_missing} ({scale.missing.source})"),
    ]
    if scale.reversed:
        lines.append(Text(f"  Reversed: {', '.join(sorted(scale.reversed))}"))
    lines += [Text(f"  {band.low}-{band.high} {band.label} ({band.source})") for band in scale.bands]
    if scale.caseness is not None:
        lines.append(Text(f"  Caseness at {scale.caseness.at} ({scale.caseness.source})"))
    return lines
