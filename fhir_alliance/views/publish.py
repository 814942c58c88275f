"""Publishing for people at a terminal: how each artefact stands in the store, and what was done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_DONE = ("created", "updated", "retired")


def plan_table(rows: Iterable[tuple[str, str, str, str]]) -> RenderableType:
    """Return state, version and url of every artefact as a table, each remark on a line of its own below."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("state", "version", "url"):
        table.add_column(column, overflow="fold", no_wrap=column != "url")
    for state, version, url, what in rows:
        table.add_row(state, version, url)
        if what:
            table.add_row("", "", f"  {what}")
    return table


def publish_text(
    counts: Mapping[str, Any], refused: Iterable[tuple[str, str, str]], *, dry_run: bool = False
) -> RenderableType:
    """Return what publishing did, or would do, and what the store did not take (url, code, reason)."""
    lines = [Text(f"Publish{' (dry run: nothing was written)' if dry_run else ''}", style="bold")]
    for name in (*_DONE, "unchanged"):
        if counts[name]:
            what = ", ".join(f"{number:,} {kind}" for kind, number in counts[name].items())
            lines.append(Text(f"  {'would be ' if dry_run and name in _DONE else ''}{name}: {what}"))
    if not any(counts[name] for name in _DONE):
        lines.append(Text("  Nothing changed."))
    lines += [Text(f"  {way}") for way in counts.get("lower", ())]
    lines += [Text(f"  not taken: {url} ({code}: {reason})") for url, code, reason in refused]
    return Group(*lines)
