"""What a run did, in numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fhir_alliance.errors import Exit
from fhir_alliance.fhir.difference import Change
from fhir_alliance.fhir.inbound import Parked
from fhir_alliance.fhir.publication import Step
from fhir_alliance.stores.store import Refusal, Written


class Summary:
    """Counts of forms, and of resources by type. `unknown` counts writes whose outcome could not be learnt."""

    def __init__(self) -> None:
        self.read = 0
        self.scored = 0
        self.unscorable = 0
        self.withheld = 0
        self.unfinished = 0
        self.withdrawn = 0
        self.unknown = 0
        self.safety = 0
        self.findings: Counter[str] = Counter()
        self.standing: set[str] = set()  # reviews that needed no change, by key: a client comes on many pages
        self.parked: list[Parked] = []
        self.planned: list[Change] = []
        self.refused: list[Refusal] = []
        self.created: Counter[str] = Counter()
        self.updated: Counter[str] = Counter()
        self.unchanged: Counter[str] = Counter()
        self.retired: Counter[str] = Counter()  # by publishing, which alone retires anything
        self.steps: list[Step] = []  # of publishing

    def add(self, written: Written) -> None:
        """Count what became of a set of writes."""
        self.created += written.created
        self.updated += written.updated
        self.unchanged += written.unchanged
        self.unknown += len(written.unknown)

    def join(self, other: Summary) -> None:
        """Count what another story of the same command has written."""
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.unknown += other.unknown
        self.planned += other.planned
        self.refused += other.refused

    def as_object(self) -> dict[str, Any]:
        """Return the counts as the command line's `--json` promises them."""
        return {
            "read": self.read,
            "scored": self.scored,
            "unscorable": self.unscorable,
            "withheld": self.withheld,
            "parked": len(self.parked),
            "unknown": self.unknown,
            "unfinished": self.unfinished,
            "withdrawn": self.withdrawn,
            "safety": self.safety,
            "created": dict(sorted(self.created.items())),
            "updated": dict(sorted(self.updated.items())),
            "unchanged": dict(sorted((self.unchanged + Counter(Task=len(self.standing))).items())),
        }

    @property
    def exit(self) -> Exit:
        """The exit status that says how the run ended."""
        if self.unknown:
            return Exit.UNKNOWN
        if self.refused:
            return Exit.REFUSED
        return Exit.PARKED if self.parked else Exit.DONE
