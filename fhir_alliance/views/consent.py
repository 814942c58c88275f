"""A decision on consent for people and for machines, without anything clinical."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from fhir_alliance.core.consent import Decision


def decision_object(decision: Decision) -> dict[str, Any]:
    """Return a decision as a machine reads it."""
    return {
        "decision": "permit" if decision.permitted else "deny",
        "reasons": list(decision.reasons),
        "consents": list(decision.considered),
        "policy": decision.table,
        "row": decision.row,
        "obligations": [obligation.value for obligation in decision.obligations],
        "id": decision.id,
    }


def decision_text(decision: Decision) -> RenderableType:
    """Return a decision as a privacy officer reads it: first what, then why, then on what ground."""
    lines = [Text("Permitted." if decision.permitted else "Not permitted.", style="bold")]
    lines += [Text(f"  - {reason}") for reason in decision.reasons]
    lines.append(Text(f"Consents looked at: {', '.join(decision.considered) or 'none on record'}."))
    if decision.obligations:
        lines.append(Text(f"With it go: {', '.join(decision.obligations)}."))
    lines.append(Text(f"Table of defaults: version {decision.table}, row {decision.row}. Decision {decision.id[:16]}."))
    return Group(*lines)
