"""What waits in a state folder, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.table import Table

_WORDS: Final = {
    "folder": "State folder",
    "bookmark": "Read up to (server time)",
    "unsettled": "Writes whose outcome is not known",
    "parked": "Records that wait for a person",
    "safety": "Safety answers no clinician was asked about yet",
}


def state_table(state: Mapping[str, Any]) -> Table:
    """Return the state in words."""
    table = Table(box=None, show_header=False)
    for name, words in _WORDS.items():
        value = state[name]
        table.add_row(words, "the beginning" if name == "bookmark" and not value else str(value))
    return table


def parked_table(parked: Iterable[Mapping[str, str]]) -> Table:
    """Return the parked records: where, since when, and what to do."""
    table = Table("Record", "Since", "Code", "What is wrong, and what to do", box=None)
    for one in parked:
        table.add_row(one["reference"], one["since"], one["code"], one["reason"])
    return table
