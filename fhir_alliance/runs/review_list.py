"""Goal reviews kept in a work-list, where a store takes no Task or the site wants none there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from fhir_alliance.config import DeliverySection, ReviewRoute
from fhir_alliance.core.model import Write
from fhir_alliance.fhir.difference import Change, difference
from fhir_alliance.fhir.elements import has_code, is_shaped
from fhir_alliance.fhir.safety_task import OPEN
from fhir_alliance.fhir.task import review_identifier
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.turn import Turn
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.receipts import Receipt
from fhir_alliance.stores.worklist import BUNDLE, Worklist
from fhir_alliance.views.review_table import review_csv

TOLD = "goal reviews in the work-list of the drop folder"


class ReviewList:
    """One run's work-list."""

    def __init__(self, journal: Journal, delivery: DeliverySection, *, dry_run: bool) -> None:
        self._journal, self._dry_run = journal, dry_run
        self._is_lower = delivery.reviews[0] is not ReviewRoute.WORKLIST
        self._list = Worklist(delivery.folder) if delivery.folder is not None else None
        self._tasks = self._read()

    def _read(self) -> dict[str, Mapping[str, Any]]:
        found = self._list.tasks() if self._list is not None else []
        return {review_identifier(task): task for task in found if is_shaped(task) and review_identifier(task)}

    def carried(self, subjects: Collection[str], *, are_new: bool) -> list[Mapping[str, Any]]:
        """Return the clients' reviews that stand in the list, which is read in every run."""
        return [task for task in self._tasks.values() if (task.get("for") or {}).get("reference") in subjects]

    def holds(self, key: str) -> bool:
        """Return whether a review stands in the list."""
        return key in self._tasks

    def keep(self, turn: Turn, record: Record, writes: Sequence[Write]) -> list[Change]:
        """Return what changed in the list, which is on disk when this returns."""
        if not writes:
            return []
        if self._is_lower:
            turn.tell_lower(TOLD)
        now = self._read()
        edited = {key for key, task in now.items() if task != self._tasks.get(key)}  # by people, while we planned
        changes, unchanged = difference([w for w in writes if w.value not in edited], record.known)
        self._tasks |= now
        turn.explain(changes)
        for _ in range(unchanged.total()):
            turn.count_file(ReviewRoute.WORKLIST, None)
        for change in changes:
            turn.count_file(ReviewRoute.WORKLIST, change, ReviewRoute.WORKLIST)
            task = orjson.loads(record.known.resolve(change.write.body))
            self._tasks[change.write.value] = {**task, "id": change.write.value}
        if changes and self._list is not None and not self._dry_run:
            self._list.keep(self._tasks.values(), review_csv(map(_row, filter(_is_open, self._tasks.values()))))
            route = ReviewRoute.WORKLIST
            self._journal.receipts.add(Receipt("reviews", c.write.value, route, BUNDLE) for c in changes)
        return changes


def is_goal_review(write: Write) -> bool:
    """Return whether a write is of a goal review's Task."""
    task = orjson.loads(write.body) if write.type == "Task" else {}
    return has_code(task, "goal-review", [task.get("status", "")])


def _is_open(task: Mapping[str, Any]) -> bool:
    return task.get("status") in OPEN


def _row(task: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a review's row, in the order of the table's columns."""
    named = (str((task.get(element) or {}).get("reference", "")) for element in ("for", "owner", "focus"))
    patient, owner, about = named
    due = str(((task.get("restriction") or {}).get("period") or {}).get("end", ""))
    status, priority = str(task.get("status", "")), str(task.get("priority", ""))
    return (review_identifier(task), patient, status, priority, due, owner, about, str(task.get("description", "")))
