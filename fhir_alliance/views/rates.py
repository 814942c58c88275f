"""What became of the reviews that each rule asked for, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fhir_alliance.core.rates import RuleRate

_COUNTS: Final = ("asked", "open", "accepted", "declined", "overridden", "failed", "lapsed", "repeated")


def rate_row(rate: RuleRate) -> dict[str, Any]:
    """Return one rule's rates as the command line's `--json` has them; the share is null where nobody decided."""
    share = None if rate.acceptance is None else round(rate.acceptance, 3)
    return {"id": rate.rule} | {name: getattr(rate, name) for name in _COUNTS} | {"acceptance": share}


def rates_table(found: Sequence[RuleRate]) -> RenderableType:
    """Return the rates as a table, a rule to a line; a share is given with the number that it is of."""
    if not found:
        return Text("No goal review is on record.")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("rule")
    for column in (*_COUNTS, "accepted of decided"):
        table.add_column(column, justify="right")
    for rate in found:
        share = "-" if rate.acceptance is None else f"{rate.acceptance:.0%} of {rate.decided}"
        table.add_row(rate.rule, *(f"{getattr(rate, name):,}" for name in _COUNTS), share)
    return table
