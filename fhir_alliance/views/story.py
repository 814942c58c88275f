"""The story of one client's changes, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


class Passage(Protocol):
    """One thing that has changed."""

    @property
    def what(self) -> str: ...
    @property
    def when(self) -> str: ...
    @property
    def was(self) -> str: ...
    @property
    def now(self) -> str: ...
    @property
    def why(self) -> str: ...


def story_text(client: str, passages: Sequence[Passage], *, dry_run: bool = False) -> RenderableType:
    """Return what was, what is, and why, a paragraph for each change, in the order in which it was written."""
    lines = [Text(f"{client}{' (dry run: nothing was written)' if dry_run else ''}", style="bold")]
    for passage in passages:
        lines.append(Text(f"  {passage.when}  {passage.what}"))
        if passage.was:
            lines.append(Text(f"      was: {passage.was}"))
        lines.append(Text(f"      is:  {passage.now}"))
        lines.append(Text(f"      why: {passage.why}"))
    if not passages:
        lines.append(Text("  Nothing changed."))
    return Group(*lines)


def moves_table(moves: Mapping[tuple[str, str, str], int]) -> RenderableType:
    """Return what changes, from what to what and how often, without anybody's name."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("what", "was", "is", "how often"):
        table.add_column(column, justify="right" if column == "how often" else "left")
    for (what, was, now), count in sorted(moves.items()):
        table.add_row(what, was or "-", now, f"{count:,}")
    return table if moves else Text("  Nothing changes.")
