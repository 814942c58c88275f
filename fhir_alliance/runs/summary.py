"""What a run did, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from fhir_alliance.errors import Exit
from fhir_alliance.fhir.difference import Change, Known
from fhir_alliance.fhir.inbound import Parked
from fhir_alliance.fhir.publication import Step
from fhir_alliance.fhir.story import Passage, told
from fhir_alliance.stores.store import Refusal, Written

EVERYBODY: Final = "*"
# Of safety reviews: those that stood open when the run began, those of them that somebody has taken, those that nobody
# took in time or that were handed back, those of which the supervisor is asked; those sent as messages, because no Task
# was taken, and those that wait in the local outbox. unwatched: 1 where the store does not tell which stand open.
# nameless: forms that ask for a look, and name no client for whom a review could be opened.
REVIEWS: Final = ("open", "acknowledged", "overdue", "escalated", "messages", "waiting", "unwatched", "nameless")


class Summary:
    """Counts of forms, and of resources by type. `unknown` counts writes whose outcome could not be learnt."""

    def __init__(self, client: str = "") -> None:
        """client: whose changes are to be told, or EVERYBODY."""
        self.read = 0
        self.scored = 0
        self.unscorable = 0
        self.withheld = 0
        self.unfinished = 0
        self.withdrawn = 0
        self.unknown = 0
        self.safety = 0
        self.reviews: Counter[str] = Counter()  # safety reviews, by what is to be known of them
        self.findings: Counter[str] = Counter()
        self.standing: set[str] = set()  # reviews that needed no change, by key: a client comes on many pages
        self.deceased: set[str] = set()  # clients who have died, of those who were looked at
        self.parked: list[Parked] = []
        self.planned: list[Change] = []
        self.refused: list[Refusal] = []
        self.stopped = False  # a signal asked to, and something is left for the next run
        self.created: Counter[str] = Counter()
        self.updated: Counter[str] = Counter()
        self.unchanged: Counter[str] = Counter()
        self.retired: Counter[str] = Counter()  # by publishing, which alone retires anything
        self.lower: set[str] = set()  # why anything was sent in a lower way than the best
        self.notes: list[str] = []  # what the run did not do, or did in another way than one would think, in words
        self.steps: list[Step] = []  # of publishing
        self.client = client
        self.story: list[Passage] = []

    def add(self, written: Written) -> None:
        """Count what became of a set of writes."""
        self.created += written.created
        self.updated += written.updated
        self.unchanged += written.unchanged
        self.unknown += len(written.unknown)
        self.lower |= written.lower

    def explain(self, changes: Iterable[Change], known: Known, base: str) -> None:
        """Tell what these changes mean, where they are about the client who is asked for."""
        for change in changes if self.client else ():
            passage = told(change, known.by_value.get(change.write.value), base)
            if passage is not None and self.client in (passage.subject, EVERYBODY):
                self.story.append(passage)

    def take(self, page: Summary) -> None:
        """Count what was planned of one page."""
        self.scored += page.scored
        self.unscorable += page.unscorable
        self.withheld += page.withheld
        self.findings += page.findings
        self.standing |= page.standing
        self.deceased |= page.deceased

    def join(self, other: Summary) -> None:
        """Count what another story of the same command has written."""
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.unknown += other.unknown
        self.planned += other.planned
        self.refused += other.refused
        self.lower |= other.lower
        self.deceased |= other.deceased

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
            "deceased": len(self.deceased),
            "safety": self.safety,
            **self._told(),
            "safety_reviews": {name: self.reviews[name] for name in REVIEWS},
            **({"lower": sorted(self.lower)} if self.lower else {}),
            **({"notes": self.notes} if self.notes else {}),
            "created": dict(sorted(self.created.items())),
            "updated": dict(sorted(self.updated.items())),
            "unchanged": dict(sorted((self.unchanged + Counter(Task=len(self.standing))).items())),
        }

    def moves(self) -> Counter[tuple[str, str, str]]:
        """Return how often which thing went from what to what, with nobody's name."""
        return Counter((passage.what, passage.was, passage.now) for passage in self.story)

    def _told(self) -> dict[str, Any]:
        if self.client == EVERYBODY:
            moved = sorted(self.moves().items())
            return {"moves": [{"what": w, "was": a, "now": b, "count": n} for (w, a, b), n in moved]}
        return {"story": [msgspec.to_builtins(passage) for passage in self.story]} if self.client else {}

    @property
    def exit(self) -> Exit:
        """The exit status that says how the run ended."""
        if self.reviews["waiting"]:
            return Exit.SAFETY_WAITING
        if self.unknown:
            return Exit.UNKNOWN
        if self.refused:
            return Exit.REFUSED
        if self.stopped:
            return Exit.LATER
        return Exit.PARKED if self.parked else Exit.DONE
