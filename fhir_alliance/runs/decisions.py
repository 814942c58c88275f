"""The part of a sync that does what people decided: a Goal changes only where they confirmed it, and once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Review, ReviewKind, Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.difference import Change, ChangeKind, Known
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.goal import confirmed_update, goal_key, goal_write, provenance_write, version_of
from fhir_alliance.fhir.inbound import Parked
from fhir_alliance.fhir.task import carried_out, is_carried_out, read_review
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.turn import Post
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Store

_DONE: Final = ("completed",)


def carry_out(store: Store, journal: Journal, summary: Summary, now: datetime, *, dry_run: bool) -> list[Change]:
    """Return what was sent: Goals as people confirmed them in completed reviews, guarded by the version that was read.

    The Goal, its Provenance and the review's note that it is done are written together or not at all. A Goal that
    somebody has changed in the meantime is left alone, told as parked, and tried again in the next run.
    """
    confirmed = list(_confirmed(store))
    named = store.named("Goal", {review.focus for _, review in confirmed})
    goals = {f"Goal/{goal['id']}": goal for goal in named if is_shaped(goal)}
    changes: list[Change] = []
    for task, review in confirmed:
        goal = goals.get(review.focus)
        if goal is not None and _is_of(goal, review, store.base):
            changes += _changes(task, review, goal, now)
    known = Known(task for task, _ in confirmed)
    known.by_value |= {goal_key(goal): goal for goal in goals.values()}
    summary.explain(changes, known, store.base)
    became = Post(store, journal, summary, dry_run).send(changes, known, {change.write.value for change in changes})
    summary.parked += [Parked(f"Task/{r.group}", r.code, r.reason) for r in became.refused]
    refused = {refusal.group for refusal in became.refused}
    return [change for change in changes if change.write.group not in refused]


def _confirmed(store: Store) -> Iterable[tuple[Mapping[str, Any], Review]]:
    """Yield completed reviews of a Goal that somebody who may wants updated, and that has not been."""
    for task in store.tasks(ReviewKind.GOAL.value, _DONE):
        if not is_shaped(task) or is_carried_out(task):
            continue
        review = read_review(task, store.base)
        if review is not None and review.decision and review.confirmed_by and review.focus.startswith("Goal/"):
            yield task, review


def _is_of(goal: Mapping[str, Any], review: Review, base: str) -> bool:
    """Return whether the Goal is the review's client's own: what one client confirms changes no other's."""
    return ids.local(str((goal.get("subject") or {}).get("reference", "")), base) == review.subject


def _changes(task: Mapping[str, Any], review: Review, goal: Mapping[str, Any], now: datetime) -> Sequence[Change]:
    noted = orjson.dumps(carried_out(task, review.focus, now))
    done = Write("Task", ids.REVIEW, review.key, WriteMode.KEEP_CURRENT, noted, review.key)
    changes = [Change(done, ChangeKind.UPDATE, str(task.get("id", "")), version_of(task))]
    updated = confirmed_update(goal, review)
    if updated is not None:
        write = goal_write(updated, version_of(goal), review.key)
        provenance = provenance_write(review.focus, f"Task/{task['id']}", review, now)
        changes.append(Change(write, ChangeKind.UPDATE, str(goal["id"]), version_of(goal)))
        changes.append(Change(provenance, ChangeKind.CREATE))
    return changes
