"""Change for people at a terminal and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from fhir_alliance.core.change import Change, ChangeClass, How, basis
from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.cutoffs import Cutoff

NOT_COMPUTABLE = "not_computable"
_SHOWN = 20


def change_object(result: Change | NotComputable) -> dict[str, Any]:
    """Return one client's change as a machine reads it; the sign of both changes is that of better."""
    if isinstance(result, NotComputable):
        return {"reliable_change": None, "class": NOT_COMPUTABLE, "cutoff": None, "explanation": result.reason}
    return {
        "reliable_change": None if result.reliable_change is None else float(result.reliable_change),
        "class": result.kind.value,
        "cutoff": _value(result.cutoff),
        "explanation": result.explanation,
        "change": float(result.points),
    }


def counts_object(n: int, used: int, classes: Mapping[ChangeClass, int], how: How | NotComputable) -> dict[str, Any]:
    """Return a table's counts as a machine reads them."""
    return {
        "n": n,
        "used": used,
        "cutoff": None if isinstance(how, NotComputable) else _value(how.cutoff),
        **{kind.value: classes.get(kind, 0) for kind in ChangeClass},
        NOT_COMPUTABLE: n - used,
    }


def change_text(result: Change | NotComputable) -> RenderableType:
    """Return one client's change in words."""
    if isinstance(result, NotComputable):
        return Text(f"Not computable. {result.reason}")
    return Group(Text(result.kind.value.capitalize(), style="bold"), Text(f"  {result.explanation}"))


def counts_text(counts: Mapping[str, Any], how: How | NotComputable) -> RenderableType:
    """Return a table's counts in lines, with what they were judged by."""
    lines = [Text(f"{counts['n']:,} clients, {counts['used']:,} with a class", style="bold")]
    for kind in ChangeClass:
        share = f"{100 * counts[kind] / counts['used']:6.2f} %" if counts["used"] else ""
        lines.append(Text(f"  {counts[kind]:>7,} {kind.value:<13}{share}"))
    lines.append(Text(f"  {counts[NOT_COMPUTABLE]:>7,} not computable"))
    if counts["used"] and isinstance(how, How):
        lines.append(Text(f"By {basis(how)}."))
        lines.append(Text(f"{how.cutoff.told()}." if how.cutoff else "No cut-off was used."))
    return Group(*lines)


def left_out_text(reasons: Mapping[str, int], refused: Sequence[str]) -> RenderableType:
    """Return why clients have no class, and which rows need a person; a long list is cut and says so."""
    lines = [f"{number:,} not computable: {reason}" for reason, number in reasons.items()]
    lines += [f"parked: {row}" for row in refused[:_SHOWN]]
    if len(refused) > _SHOWN:
        lines.append(f"parked: and {len(refused) - _SHOWN:,} more")
    return Group(*map(Text, lines))


def _value(cutoff: Cutoff | None) -> float | None:
    return None if cutoff is None else float(cutoff.value)
