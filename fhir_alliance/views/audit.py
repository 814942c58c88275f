"""The accounting of disclosures, for the client who asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_alliance.core.audit import Access

# v3-ActReason, in words that a client can read; an unknown code stands as it is
PURPOSES: Final = {
    "TREAT": "treatment",
    "HPAYMT": "payment",
    "COVAUTH": "authorization of coverage",
    "HOPERAT": "running the practice",
    "HQUALIMP": "quality improvement",
    "TRAIN": "training and supervision",
    "HRESCH": "research",
    "PATRQT": "the client asked for it",
}


def disclosures_table(accesses: Sequence[Access]) -> RenderableType:
    """Return who was shown or given what, when, what for, and by which Consent."""
    if not accesses:
        return Text("Nobody outside this program was shown or given anything, as far as this trail knows.")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("when", "who", "how", "what for", "what", "by which consent"):
        table.add_column(column, overflow="fold")
    for access in accesses:
        who = f"{access.recipient} ({access.role})" if access.role else access.recipient
        how = "given" if access.action == "disclose" else "shown"
        when = access.when.isoformat(timespec="minutes")
        table.add_row(when, who, how, PURPOSES.get(access.purpose, access.purpose), _what(access), _ground(access))
    return Group(table)


def disclosure_objects(accesses: Sequence[Access]) -> list[dict[str, Any]]:
    """Return the same for a machine."""
    return [
        {
            "when": access.when.isoformat(),
            "recipient": access.recipient,
            "role": access.role,
            "action": access.action.value,
            "purpose": access.purpose,
            "what": list(access.what),
            "consents": list(access.ground.consents),
            "policy": access.ground.policy,
            "reasons": list(access.ground.reasons),
        }
        for access in accesses
    ]


def _what(access: Access) -> str:
    """Return what was shown as counts by resource type: keys say nothing to a person."""
    kinds = [name.partition("/")[0] for name in access.what]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _ground(access: Access) -> str:
    if access.ground.consents:
        return ", ".join(access.ground.consents)
    return f"default table {access.ground.policy}" if access.ground.policy else ""
