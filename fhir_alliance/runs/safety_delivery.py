"""How a safety review gets into a record: as a Task in a transaction, as a Task by itself, or as a message."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from fhir_alliance.core.model import Write
from fhir_alliance.errors import AccessDenied, ServerRefuses
from fhir_alliance.fhir.difference import Change, ChangeKind, Known, difference
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.safety_task import communication
from fhir_alliance.runs.given import given
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.turn import planned
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Store, Written

Resource: TypeAlias = Mapping[str, Any]
_USED: Final = "safety-messages"  # in the journal: some reviews stand as messages


class _Left(NamedTuple):
    """What a step leaves: what was refused, and the keys of what may or may not have been done."""

    refused: list[Change]
    unknown: set[str]


class Delivery:
    """One store as far as safety reviews need it. What it does not let us read is done without."""

    def __init__(self, store: Store, journal: Journal, summary: Summary, now: datetime, *, dry_run: bool) -> None:
        self.store, self.summary, self.now = store, summary, now
        self._journal, self._dry_run = journal, dry_run
        self.seen: set[str] = set()  # clients of whom something was read
        self.sent: list[Change] = []  # what stands there because of us

    def about(self, kind: str, subjects: Collection[str]) -> list[Resource]:
        """Return what the store tells of a type about these clients."""
        self.seen.update(subjects)
        return self.told(lambda: self.store.about(kind, sorted(subjects))) or []

    def told(self, read: Callable[[], list[Resource]]) -> list[Resource] | None:
        """Return what the store gives, or None where it does not give that; raises only where it does not answer."""
        found = given(read)
        return None if found is None else [resource for resource in found if is_shaped(resource)]

    def may_have_messages(self) -> bool:
        """Return whether reviews of ours may stand as messages: some were sent, or no Task is taken."""
        return self._journal.delivered(_USED) is not None or not self.store.takes("Task", self._journal)

    def correct(self, changes: Sequence[Change]) -> list[Change]:
        """Send changes of messages that stand there; returns those that are not taken, or not known to be."""
        if self._dry_run:
            self.summary.planned += changes
            self.summary.add(planned(changes))
            return []
        try:
            left = self._left(changes, self.store.put(changes, Known([]), self._journal))
        except (ServerRefuses, AccessDenied):
            self._journal.settle([change.write.value for change in changes])
            return list(changes)
        return [c for c in changes if c in left.refused or c.write.value in left.unknown]

    def known(self, subjects: Collection[str], keys: Collection[str]) -> Known:
        """Return our own Tasks about these clients; and messages of ours, where one of the keys is no Task."""
        known = Known(self.about("Task", subjects))
        if any(key not in known.by_value for key in keys):
            known.by_value |= Known(self.about("Communication", subjects)).by_value
        self._journal.settle(known.by_value)  # it stands: an earlier run did write it
        return known

    def send(self, writes: Sequence[Write], known: Known) -> set[str]:
        """Return the keys of those not known to stand now: refused as Task and as message, or without an answer."""
        changes, _ = difference(writes, known)
        self.summary.explain(changes, known, self.store.base)
        if self._dry_run:
            self.summary.planned += changes
            self.summary.add(planned(changes))
            return set()
        tasks = self._together(changes, known)
        messages = [Change(communication(change.write, self.now), ChangeKind.CREATE) for change in tasks.refused]
        if messages:
            self._journal.deliver(_USED, "", "1")
        left = self._one_by_one(messages, known)
        self.summary.reviews["messages"] += len(messages) - len(left.refused) - len(left.unknown)
        return tasks.unknown | left.unknown | {change.write.value for change in left.refused}

    def _together(self, changes: Sequence[Change], known: Known) -> _Left:
        """Send in transactions; where the server takes none with Tasks in it, one by one."""
        try:
            return self._left(changes, self.store.put(changes, known, self._journal))
        except (ServerRefuses, AccessDenied):
            return self._one_by_one(changes, known)

    def _one_by_one(self, changes: Iterable[Change], known: Known) -> _Left:
        left = _Left([], set())
        for change in changes:
            try:
                one = self._left([change], self.store.create(change, known, self._journal))
            except AccessDenied:
                self._journal.settle([change.write.value])
                one = _Left([change], set())
            left.refused.extend(one.refused)
            left.unknown.update(one.unknown)
        return left

    def _left(self, changes: Sequence[Change], written: Written) -> _Left:
        self.summary.add(written)
        groups, unknown = {refusal.group for refusal in written.refused}, {write.value for write in written.unknown}
        self.sent += [c for c in changes if c.write.group not in groups and c.write.value not in unknown]
        return _Left([c for c in changes if c.write.group in groups], unknown)
