"""Goal reviews in resources of other kinds, where a store takes no Task: one open message or request to a review."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson

from fhir_alliance.config import ReviewRoute
from fhir_alliance.core.model import Write
from fhir_alliance.fhir.carried_review import HeldReview
from fhir_alliance.fhir.difference import Change, ChangeKind, Known, difference
from fhir_alliance.fhir.review_message import carried_in_messages, review_message
from fhir_alliance.fhir.review_request import carried_in_requests, review_request
from fhir_alliance.fhir.safety_task import OPEN
from fhir_alliance.runs.given import given
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.turn import Turn
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.receipts import Receipt
from fhir_alliance.stores.store import Store


class Writer(Protocol):
    """Makes the resource that carries a review's Task; see `review_message`."""

    def __call__(
        self, task: Mapping[str, Any], group: str, held: Mapping[str, Any] | None = None, *, earlier: str = "",
        is_blind: bool = False,
    ) -> Write:  # fmt: skip
        """Return its write."""


class Reader(Protocol):
    """Finds the reviews in resources."""

    def __call__(self, resources: Iterable[Mapping[str, Any]], /) -> dict[str, HeldReview]:
        """Return them by the review's key."""


class ReviewCarrier(NamedTuple):
    """How one kind carries reviews. mark: in the journal, that some of our reviews stand in such resources.

    told: where the site would rather have something else.  fixed: where a review has ended and nobody may say so there.
    """

    kind: str
    mark: str
    told: str
    fixed: str
    write: Writer
    read: Reader


CARRIERS: Final[Mapping[ReviewRoute, ReviewCarrier]] = {
    ReviewRoute.REQUEST: ReviewCarrier(
        "ServiceRequest",
        "review-requests",
        "goal reviews as requests that are proposals, no orders: the server takes no Task",
        "a goal review has ended, and the server lets nobody change its request: tell whoever got it",
        review_request,
        carried_in_requests,
    ),
    ReviewRoute.MESSAGE: ReviewCarrier(
        "Communication",
        "review-messages",
        "goal reviews as messages: the server takes no Task",
        "a goal review has ended, and the server lets nobody change its message: tell whoever got it",
        review_message,
        carried_in_messages,
    ),
}
REVIEWS_AS: Final = {ReviewRoute.TASK: "Task"} | {route: carrier.kind for route, carrier in CARRIERS.items()}


class CarriedReviews:
    """One run's reviews in resources of one kind."""

    def __init__(self, route: ReviewRoute, store: Store, journal: Journal, *, is_lower: bool, dry_run: bool) -> None:
        """is_lower: the site would rather have something else."""
        self._route, self._carrier = route, CARRIERS[route]
        self._store, self._journal, self._is_lower, self._dry_run = store, journal, is_lower, dry_run
        self._held: dict[str, HeldReview] = {}
        self._is_blind = False  # nobody lets us read such resources

    def carried(self, subjects: Collection[str], *, are_new: bool) -> list[Mapping[str, Any]]:
        """Return the clients' reviews in them, asked for where there may be some. are_new: new ones go there."""
        self._held = {}
        if are_new or self._journal.delivered(self._carrier.mark) is not None:
            self._look(subjects)
        return [task for _, task in self._held.values()]

    def holds(self, key: str) -> bool:
        """Return whether a review stands in one."""
        return key in self._held

    def keep(self, turn: Turn, record: Record, writes: Sequence[Write]) -> list[Change]:
        """Return what was sent so that each review has its resource. writes: of their Tasks."""
        if not writes:
            return []
        if self._is_lower:
            turn.tell_lower(self._carrier.told)
        if not self._held:  # a journal that was lost knows of none, and a server may have refused only now
            self._look(record.subjects)
        there = Known(task for _, task in self._held.values())
        there.by_value = {**record.known.by_value, **there.by_value}
        wanted, unchanged = difference(writes, there)
        turn.explain(wanted)
        for _ in range(unchanged.total()):
            turn.count_file(self._carrier.kind, None)
        changes = [change for each in wanted if (change := self._change(turn, record, each)) is not None]
        if changes and not self._dry_run:
            self._journal.deliver(self._carrier.mark, "", "1")
        known = Known([])
        sent = turn.send(changes, known, {change.write.value for change in changes})
        if not self._dry_run:
            names = {c.write.value: c.stored_id or known.by_value.get(c.write.value, {}).get("id", "") for c in sent}
            told = {key: name for key, name in names.items() if not turn.is_unknown(key)}
            self._journal.receipts.add(Receipt("reviews", key, self._route, str(name)) for key, name in told.items())
        return sent

    def _change(self, turn: Turn, record: Record, change: Change) -> Change | None:
        """Return the change of a review's resource; where it cannot be changed, one that follows it, or nothing."""
        task = orjson.loads(record.known.resolve(change.write.body))
        write, group = self._carrier.write, change.write.group
        held, _ = self._held.get(change.write.value, (None, None))
        if held is None:
            return Change(write(task, group, is_blind=self._is_blind), ChangeKind.CREATE)
        stored = str(held.get("id", ""))
        if not self._store.updates(self._carrier.kind, self._journal):
            if task.get("status") not in OPEN:
                turn.tell_lower(self._carrier.fixed)
                return None
            return Change(write(task, group, earlier=stored), ChangeKind.CREATE)
        version = str((held.get("meta") or {}).get("versionId", ""))
        return Change(write(task, group, held), ChangeKind.UPDATE, stored, version)

    def _look(self, subjects: Collection[str]) -> None:
        """Read the clients' reviews in such resources: none where the server does not let us read them."""
        found = given(lambda: self._store.about(self._carrier.kind, sorted(subjects)))
        self._is_blind = self._is_blind or found is None
        shaped = (resource for resource in found or () if isinstance(resource.get("meta", {}), dict))
        self._held = self._carrier.read(shaped)
