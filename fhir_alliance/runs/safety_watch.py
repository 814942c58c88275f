"""Every run looks at the safety reviews that stand open, also of clients without a new form, and escalates in time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from fhir_alliance.core.model import Review, ReviewKind, Write
from fhir_alliance.core.safety_reviews import KeepsOut, SafetyPolicy, addressee, is_overdue, nobody, plan_escalation
from fhir_alliance.errors import RetryLater
from fhir_alliance.fhir.difference import Change, ChangeKind
from fhir_alliance.fhir.elements import has_code
from fhir_alliance.fhir.goal import version_of
from fhir_alliance.fhir.inbound import Withdrawal
from fhir_alliance.fhir.safety_task import (
    HANDED_BACK,
    NOT_DONE,
    OPEN,
    OPEN_MESSAGES,
    acknowledgement,
    escalation_task,
    is_escalation,
    is_handed_back,
    told_review,
    withdrawn_message,
)
from fhir_alliance.fhir.setting import supervisor_of
from fhir_alliance.fhir.task import read_review
from fhir_alliance.runs.safety_delivery import Delivery, Resource
from fhir_alliance.stores.store import Refusal


class _Late(NamedTuple):
    """A review that nobody took in time, or that was handed back undone, and its Task or message."""

    task: Resource
    review: Review


def watch_reviews(delivery: Delivery, policy: SafetyPolicy, keeps_out: KeepsOut = nobody) -> None:
    """Count the reviews that stand open, and ask the supervisor, once, about each that nobody has taken in time.

    One query gives all of them, a second one those that were told as messages; those of the supervisors are not
    watched again.
    """
    summary, base = delivery.summary, delivery.store.base
    late = []
    for task in (*_tasks(delivery), *_messages(delivery)):
        is_message = task.get("resourceType") == "Communication"
        review = told_review(task, base) if is_message else read_review(task, base)
        if review is None or is_escalation(task):
            continue
        is_back, is_taken = is_handed_back(task), acknowledgement(task, base) is not None
        delivery.seen.add(review.subject)
        summary.reviews["open"] += not is_back
        summary.reviews["acknowledged"] += is_taken
        if is_back or (not is_taken and is_overdue(review, policy, delivery.now)):
            late.append(_Late(task, review))
    if late:
        summary.reviews["overdue"] += len(late)
        _escalate(late, delivery, policy, keeps_out)


def _tasks(delivery: Delivery) -> list[Resource]:
    """Return the Tasks to watch; that they cannot be read is told, and holds back no answer that is yet to be read."""
    tasks = None
    with suppress(RetryLater):
        tasks = delivery.told(lambda: delivery.store.tasks(ReviewKind.SAFETY.value, (*OPEN, *HANDED_BACK)))
    delivery.summary.reviews["unwatched"] = int(tasks is None)
    return tasks or []


def _messages(delivery: Delivery) -> list[Resource]:
    """Return the messages to watch, where any may have been sent; that they cannot be read is told as for Tasks."""
    messages = None
    with suppress(RetryLater):
        if not delivery.may_have_messages():
            return []
        statuses = (*OPEN_MESSAGES, *NOT_DONE)
        messages = delivery.told(lambda: delivery.store.messages(ReviewKind.SAFETY.value, statuses))
    delivery.summary.reviews["unwatched"] |= int(messages is None)
    return messages or []


def _escalate(late: Sequence[_Late], delivery: Delivery, policy: SafetyPolicy, keeps_out: KeepsOut) -> None:
    subjects = {review.subject for _, review in late}
    writes = _escalations(late, delivery.about("CareTeam", subjects), delivery, policy, keeps_out)
    known = delivery.known(subjects, {write.value for write in writes})
    left = delivery.send(writes, known)
    delivery.summary.reviews["escalated"] += len(writes) - len(left)
    delivery.summary.refused += [Refusal(key, "FA512", "no escalation of it is taken.") for key in sorted(left)]


def _escalations(
    late: Sequence[_Late], teams: Sequence[Resource], delivery: Delivery, policy: SafetyPolicy, keeps_out: KeepsOut
) -> list[Write]:
    """Return the supervisors' Tasks; none where neither the site nor the care team names a supervisor."""
    writes = []
    for task, review in late:
        own = [team for team in teams if team.get("subject", {}).get("reference") == review.subject]
        candidates = [policy.escalate_to or supervisor_of(own, delivery.store.base)]
        if candidates[0] and keeps_out(candidates[0], review.subject):
            candidates += [supervisor_of(own, delivery.store.base), policy.owner]
        asked = addressee(candidates, review.subject, keeps_out)
        if asked.who:
            child = plan_escalation(review, asked.who, policy, delivery.now, declined=is_handed_back(task))
            writes.append(escalation_task(child, task))
    return writes


def end_messages(delivery: Delivery, withdrawals: Sequence[Withdrawal], note: str) -> None:
    """End the messages about withdrawn forms that nobody has dealt with; one that cannot be ended is told.

    note: why, for whoever got the message.
    """
    if not withdrawals or not delivery.may_have_messages():
        return
    gone, base = {withdrawal.reference for withdrawal in withdrawals}, delivery.store.base
    changes = []
    for message in delivery.about("Communication", {withdrawal.subject for withdrawal in withdrawals}):
        review = told_review(message, base) if has_code(message, ReviewKind.SAFETY.value, OPEN_MESSAGES) else None
        if review is not None and review.focus in gone:
            write = withdrawn_message(message, note, review.focus.rpartition("/")[2])
            changes.append(Change(write, ChangeKind.UPDATE, str(message["id"]), version_of(message)))
    left = delivery.correct(changes) if changes else []
    delivery.summary.refused += [
        Refusal(change.write.value, "FA513", "its form was withdrawn, its message cannot be ended: tell who got it.")
        for change in left
    ]
