"""Instruments for people at a terminal: a list, one instrument, and what a check found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_alliance.core.model import Instrument, Scale, Wording


def licence_state(instrument: Instrument, valid_until: date | None = None, expired_on: date | None = None) -> str:
    """Return in a few words whether the wording can be used here.

    valid_until: the last day of the site's overlay.  expired_on: the same of one whose day has passed.
    """
    if instrument.licence.wording is not Wording.OVERLAY:
        return instrument.licence.wording.value
    if valid_until is not None:
        return f"overlay valid until {valid_until.isoformat()}"
    return f"overlay expired {expired_on.isoformat()}" if expired_on is not None else "skeleton: draft only"


def instrument_row(
    instrument: Instrument, valid_until: date | None = None, expired_on: date | None = None
) -> dict[str, Any]:
    """Return an instrument as a machine reads it in `instruments list --json`."""
    is_draft = instrument.licence.wording is Wording.OVERLAY and valid_until is None
    return {
        "id": instrument.id,
        "version": instrument.version,
        "title": instrument.title,
        "citation": next((scale.source for scale in instrument.scales), instrument.licence.source),
        "url": instrument.url,
        "family": instrument.family.value,
        "rater": instrument.rater.value,
        "items": len(instrument.items),
        "scales": [scale.id for scale in instrument.scales],
        "languages": list(instrument.languages),
        "validated": instrument.validated,
        "licence": instrument.licence.wording.value,
        "licence_state": licence_state(instrument, valid_until, expired_on),
        "publishes_as": "draft" if is_draft else "active",
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


def instrument_page(
    instrument: Instrument, valid_until: date | None = None, expired_on: date | None = None
) -> RenderableType:
    """Return one instrument: what it is, what it scores, and where its numbers are from."""
    lines: list[RenderableType] = [
        Text(instrument.title, style="bold"),
        Text(f"{instrument.url}|{instrument.version}"),
        Text(f"{len(instrument.items)} items, answered by the {instrument.rater.value}; recall: {instrument.recall}"),
        Text(f"Licence: {instrument.licence.holder}; {licence_state(instrument, valid_until, expired_on)}"),
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


def package_text(file: str, counts: Mapping[str, int], worded: Mapping[str, date]) -> RenderableType:
    """Return what a package holds, by resource type, and whose wording in it is only lent, by id and last day."""
    lines = [Text(f"{file}: {', '.join(f'{number} {kind}' for kind, number in counts.items())}")]
    for name, until in worded.items():
        lines.append(
            Text(f"  {name} carries wording by permission until {until.isoformat()}: see before you pass it on.")
        )
    return Group(*lines)


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
