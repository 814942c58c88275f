"""What a review can talk about, as topics of `core.agenda`, by what the finding is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

AGENDA: Final[Mapping[str, tuple[str, ...]]] = {
    "goal": ("goals",),
    "task": ("tasks",),
    "bond": ("bond",),
    "alliance": ("alliance", "goals", "tasks"),
    "worse": ("worse", "motivation", "support"),
    "better": ("better", "reached"),
    "regular": ("regular",),
    "gap": ("alliance",),
    "mode": ("mode",),
    "missed": ("missed",),
    "overdue": ("overdue",),
}
