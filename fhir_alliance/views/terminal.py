"""Summaries for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_FORMS = (
    ("read", "forms read"),
    ("scored", "scored"),
    ("unscorable", "without a score, because answers are missing (said so in the record)"),
    ("withheld", "withheld: consent does not allow it"),
    ("withdrawn", "withdrawn as entered in error"),
    ("unfinished", "not finished by the client yet"),
    ("parked", "parked: they need a person (see the parked file)"),
    ("unknown", "writes whose outcome is not known yet; the next run settles them"),
    ("safety", "with a safety item that a clinician should look at"),
)


def summary_text(title: str, counts: Mapping[str, Any], *, dry_run: bool = False) -> RenderableType:
    """Return what a run did, in lines that a clinician could read."""
    lines = [Text(f"{title}{' (dry run: nothing was written)' if dry_run else ''}", style="bold")]
    if counts["read"]:
        lines += [Text(f"  {counts[k]:>7,} {words}") for k, words in _FORMS if counts[k] or k in ("read", "scored")]
    if counts["deceased"]:
        lines.append(Text(f"  {counts['deceased']:>7,} clients who have died: asked nothing more, no goal reviewed"))
    verb = "would be " if dry_run else ""
    for name in ("created", "updated", "unchanged"):
        if counts[name]:
            what = ", ".join(f"{number:,} {kind}" for kind, number in counts[name].items())
            lines.append(Text(f"  {verb if name != 'unchanged' else ''}{name}: {what}"))
    lines += _safety(counts["safety_reviews"])
    lines += [Text(f"  {words}") for words in (*counts.get("lower", ()), *counts.get("notes", ()))]
    if not counts["created"] and not counts["updated"] and counts["unchanged"]:
        lines.append(Text("  Nothing changed."))
    return Group(*lines)


def export_text(found: Mapping[str, Any]) -> RenderableType:
    """Return what an export brought, in lines."""
    lines = [Text("Export", style="bold")]
    for kind, number in sorted(found["resources"].items()):
        lines.append(Text(f"  {number:>9,} {kind} (files: {found['files'][kind]:,})"))
    for condition, words in (
        (not found["resources"], "Nothing new."),
        (found["deleted"], f"Deleted on the server, and taken out of the folder: {found['deleted']:,}."),
        (not found["has_consents"], "No Consent came: sync then goes by [consent] default."),
        (found["errors"], f"The server could not export everything: {found['errors']:,} files of errors in .export/."),
        (
            found["bad_lines"],
            f"Lines that are no resource, left out: {found['bad_lines']:,} (.export/bad-lines.ndjson).",
        ),
        (not found["is_job_ended"], "The server did not take it that the job may go; it will expire there."),
    ):
        if condition:
            lines.append(Text(f"  {words}"))
    lines.append(Text(f"  Up to {found['until'] or 'no certain time: the next --since last exports all'}."))
    return Group(*lines)


def _safety(reviews: Mapping[str, int]) -> list[Text]:
    """Return what is to be known about safety reviews; what waits for a person stands out."""
    lines = []
    if reviews["open"] or reviews["overdue"]:
        words = ", ".join(f"{reviews[name]:,} {name}" for name in ("open", "acknowledged", "overdue", "escalated"))
        lines.append(Text(f"  safety reviews: {words}"))
    for condition, words in (
        (reviews["overdue"] > reviews["escalated"], "Overdue, and nobody is named to ask next: [safety] escalate_to."),
        (reviews["messages"], f"Safety reviews that went as messages, as no Task was taken: {reviews['messages']:,}."),
        (reviews["unwatched"], "Which safety reviews stand open, the server does not tell: watch them there."),
        (reviews["nameless"], f"Forms that ask for a look and name no client, see parked: {reviews['nameless']:,}."),
        (
            reviews["waiting"],
            f"SAFETY REVIEWS THAT WAIT IN THE LOCAL OUTBOX, in no record yet: {reviews['waiting']:,}.",
        ),
        (reviews["waiting"], "Tell the on-call clinician now; the next sync delivers them first."),
    ):
        if condition:
            lines.append(Text(f"  {words}", style="bold"))
    return lines


def planned_table(changes: Iterable[tuple[str, str, str]], most: int = 40) -> RenderableType:
    """Return planned changes as a table: kind, resource type, key or url; a long list is cut and says so."""
    listed = list(changes)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("change", "resource", "key"):
        table.add_column(column)
    for change in listed[:most]:
        table.add_row(*change)
    if len(listed) > most:
        table.add_row("…", "", f"and {len(listed) - most:,} more")
    return table
