"""The writing of a page, part by part: what differs from the store is sent, and the journal keeps what became of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import structs

from fhir_alliance.core.model import Write
from fhir_alliance.fhir.difference import Change, ChangeKind, Known, difference, with_reason
from fhir_alliance.fhir.elements import instant
from fhir_alliance.fhir.inbound import Parked
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import NOT_TAKEN, Page, Store, Written


class Post(NamedTuple):
    """Where changes are sent, and what is told of them. A dry run counts what it would send."""

    store: Store
    journal: Journal
    summary: Summary
    dry_run: bool

    def send(self, changes: Sequence[Change], known: Known, settled: Collection[str]) -> Written:
        """Return what became of changes.

        settled: keys whose outcome is known once this has been sent, unless it is lost.
        """
        if self.dry_run:
            self.summary.planned += changes
            became = planned(changes)
        else:
            became = self.store.put(changes, known, self.journal)
            self.journal.settle(set(settled) - {write.value for write in became.unknown})
        self.summary.add(became)
        return became


class Left:
    """What a page's turns could not do. unknown: keys of writes that may have been done.  refused: forms that wait."""

    def __init__(self, journal: Journal, summary: Summary, now: datetime, *, dry_run: bool) -> None:
        self._journal, self._summary, self._now, self._dry_run = journal, summary, now, dry_run
        self.unknown: set[str] = set()
        self.refused: list[Parked] = []

    def settle(self, page: Page, parked: Sequence[Parked], read: Sequence[str], places: Mapping[str, str]) -> None:
        """Keep what waits for a person; move the bookmark only where every outcome is known.

        page: its mark, where it has one, moves the bookmark.
        read: references that no longer wait, unless parked again.
        places: by its key, where a form without an id stands: its key is no reference that anybody could follow.
        """
        named = {f"QuestionnaireResponse/{key}": place for key, place in places.items()}
        refused = [structs.replace(p, reference=named.get(p.reference, p.reference)) for p in self.refused]
        self._summary.parked += refused
        if self._dry_run:
            return
        waiting = [(p.reference, p.code, p.reason) for p in (*parked, *refused) if "/" in p.reference]
        self._journal.park(waiting, read)
        if not self.unknown and not self._summary.unknown:
            self._journal.remember(page.digests)
            self._journal.advance(page.mark, self._now)


class Turn:
    """The writing about some clients of a page: the difference, what became of it, and what the journal keeps of it."""

    def __init__(
        self, store: Store, record: Record, journal: Journal, summary: Summary, now: datetime, dry_run: bool,
        left: Left | None = None,
    ) -> None:  # fmt: skip
        """left: of the page, where it has several turns."""
        self._store, self._record, self._journal = store, record, journal
        self._summary, self._now, self._dry_run = summary, now, dry_run
        self._left = left or Left(journal, summary, now, dry_run=dry_run)

    def put(
        self, writes: Sequence[Write], reason: str = "",
        beside: Callable[[Sequence[Change]], Sequence[Change]] = lambda changes: (),
    ) -> list[Change]:  # fmt: skip
        """Return what was sent because it differs from what the store says; what the store refused is left out.

        reason: stands in the Observations that change, if given.
        beside: gives what goes with the changes, in the same transactions.
        """
        changes, unchanged = difference(writes, self._record.known)
        self._summary.unchanged += unchanged
        if reason:
            told = instant(self._now)
            changes = [with_reason(c, reason, told) if c.write.type == "Observation" else c for c in changes]
        self.explain(changes)
        changes += beside(changes)
        return self.send(changes, self._record.known, {write.value for write in writes})

    def send(self, changes: list[Change], known: Known, settled: Collection[str] = ()) -> list[Change]:
        """Return what was sent of changes that are known to be needed; what the store refused is left out.

        settled: keys whose outcome is known once this has been sent, unless it is lost.
        """
        became = Post(self._store, self._journal, self._summary, self._dry_run).send(changes, known, settled)
        self._left.unknown |= {write.value for write in became.unknown}
        self._left.refused += [Parked(f"QuestionnaireResponse/{r.group}", r.code, r.reason) for r in became.refused]
        self._summary.refused += [r for r in became.refused if r.code == NOT_TAKEN]
        refused = {refusal.group for refusal in became.refused}
        return [change for change in changes if change.write.group not in refused]

    def explain(self, changes: Sequence[Change]) -> None:
        """Let the summary tell what these changes mean, where somebody asked."""
        self._summary.explain(changes, self._record.known, self._store.base)

    def reopen(self) -> set[str]:
        """Return the groups that were refused because the store takes nothing of a type, to be sent in another way."""
        groups = {r.group for r in self._summary.refused if r.code == NOT_TAKEN}
        names = {f"QuestionnaireResponse/{group}" for group in groups}
        self._left.refused = [parked for parked in self._left.refused if parked.reference not in names]
        self._summary.refused = [r for r in self._summary.refused if r.group not in groups]
        return groups

    def park(self, group: str, code: str, reason: str) -> None:
        """Let a form wait for a person: its scores could not be delivered."""
        self._left.refused.append(Parked(f"QuestionnaireResponse/{group}", code, reason))

    def tell_lower(self, way: str) -> None:
        """Let the summary say that something was delivered in a lower way than the best."""
        self._summary.lower.add(way)

    def count_file(self, kind: str, change: Change | None, counted: str = "") -> None:
        """Count a file that was left, or (None) one that stands as it should. counted: as what, if not as its type."""
        if change is None:
            self._summary.unchanged[kind] += 1
            return
        named = structs.replace(change, write=structs.replace(change.write, type=counted)) if counted else change
        self._summary.add(planned([named]))
        if self._dry_run:
            self._summary.planned.append(named)

    def refused(self) -> set[str]:
        """Return the groups of which a part was not taken, so that the rest waits with it."""
        return {parked.reference.removeprefix("QuestionnaireResponse/") for parked in self._left.refused}

    def is_unknown(self, key: str) -> bool:
        """Return whether nobody knows if a write of this page was done."""
        return key in self._left.unknown

    def confirm(self) -> None:
        """Let the journal know what the store holds: an earlier run did write it."""
        if not self._dry_run:
            self._journal.settle(set(self._record.known.by_value) - self._left.unknown)


def planned(changes: Sequence[Change]) -> Written:
    """Return the counts that sending these changes would give."""
    written = Written()
    for change in changes:
        counter = written.created if change.kind is ChangeKind.CREATE else written.updated
        counter[change.write.type] += 1
    return written
