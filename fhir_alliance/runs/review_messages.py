"""Goal reviews as messages in the record, where a store takes no Task: one open message to a review."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.config import ReviewRoute
from fhir_alliance.core.model import Write
from fhir_alliance.fhir.difference import Change, ChangeKind, Known, difference
from fhir_alliance.fhir.review_message import HeldReview, carried_in_messages, review_message
from fhir_alliance.fhir.safety_task import OPEN
from fhir_alliance.runs.given import given
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.turn import Turn
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.receipts import Receipt
from fhir_alliance.stores.store import Store

KIND: Final = "Communication"
_USED: Final = "review-messages"  # in the journal: some of our reviews stand in messages
TOLD: Final = "goal reviews as messages: the server takes no Task"
_FIXED: Final = "a goal review has ended, and the server lets nobody change its message: tell whoever got it"


class ReviewMessages:
    """One run's messages."""

    def __init__(self, store: Store, journal: Journal, *, is_lower: bool, dry_run: bool) -> None:
        """is_lower: the site would rather have something else."""
        self._store, self._journal, self._is_lower, self._dry_run = store, journal, is_lower, dry_run
        self._held: dict[str, HeldReview] = {}
        self._is_blind = False  # nobody lets us read messages

    def carried(self, subjects: Collection[str], *, are_new: bool) -> list[Mapping[str, Any]]:
        """Return the clients' reviews in messages, asked for where there may be some. are_new: new ones go there."""
        self._held = {}
        if are_new or self._journal.delivered(_USED) is not None:
            self._held = carried_in_messages(self._messages(subjects))
        return [task for _, task in self._held.values()]

    def holds(self, key: str) -> bool:
        """Return whether a review stands in a message."""
        return key in self._held

    def keep(self, turn: Turn, record: Record, writes: Sequence[Write]) -> list[Change]:
        """Return what was sent so that each review has its message. writes: of their Tasks."""
        if not writes:
            return []
        if self._is_lower:
            turn.tell_lower(TOLD)
        if not self._held:  # a journal that was lost knows of none, and a server may have refused only now
            self._held = carried_in_messages(self._messages(record.subjects))
        there = Known(task for _, task in self._held.values())
        there.by_value = {**record.known.by_value, **there.by_value}
        wanted, unchanged = difference(writes, there)
        turn.explain(wanted)
        for _ in range(unchanged.total()):
            turn.count_file(KIND, None)
        changes = [change for each in wanted if (change := self._message(turn, record, each)) is not None]
        if changes and not self._dry_run:
            self._journal.deliver(_USED, "", "1")
        known = Known([])
        sent = turn.send(changes, known, {change.write.value for change in changes})
        if not self._dry_run:
            names = {c.write.value: c.stored_id or known.by_value.get(c.write.value, {}).get("id", "") for c in sent}
            told = {key: name for key, name in names.items() if not turn.is_unknown(key)}
            self._journal.receipts.add(
                Receipt("reviews", key, ReviewRoute.MESSAGE, str(name)) for key, name in told.items()
            )
        return sent

    def _message(self, turn: Turn, record: Record, change: Change) -> Change | None:
        """Return the change of a review's message; where it cannot be changed, one that follows it, or nothing."""
        task = orjson.loads(record.known.resolve(change.write.body))
        group, held = change.write.group, self._held.get(change.write.value)
        if held is None:
            return Change(review_message(task, group, is_blind=self._is_blind), ChangeKind.CREATE)
        stored = str(held[0].get("id", ""))
        if not self._store.updates(KIND, self._journal):
            if task.get("status") not in OPEN:
                turn.tell_lower(_FIXED)
                return None
            return Change(review_message(task, group, stored), ChangeKind.CREATE)
        body = {**orjson.loads(review_message(task, group).body), "id": stored}
        body |= {name: held[0][name] for name in ("identifier", "sent", "inResponseTo") if name in held[0]}
        write = msgspec.structs.replace(review_message(task, group), body=orjson.dumps(body))
        return Change(write, ChangeKind.UPDATE, stored, str((held[0].get("meta") or {}).get("versionId", "")))

    def _messages(self, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return the clients' messages, none where the server does not let us read them."""
        found = given(lambda: self._store.about(KIND, sorted(subjects)))
        if found is None:
            self._is_blind = True
        return [resource for resource in found or () if isinstance(resource.get("meta", {}), dict)]
