"""The part of a sync that comes first: whom a clinician should look at, before consent and before scoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fhir_alliance.core.model import ReviewKind, ReviewStatus, Write
from fhir_alliance.core.safety import Concern
from fhir_alliance.core.safety_reviews import cancel_withdrawn, plan_safety_review
from fhir_alliance.fhir.inbound import Withdrawal
from fhir_alliance.fhir.task import changed_task, new_task
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.summary import Summary


def safety_tasks(
    concerns: Sequence[Concern], withdrawals: Sequence[Withdrawal], record: Record, policy: Policy, now: datetime,
    summary: Summary,
) -> list[Write]:  # fmt: skip
    """Return the urgent clinician reviews that answers ask for, and the cancelling of those for withdrawn forms."""
    settings = record.settings({concern.subject: concern.encounter for concern in concerns})
    writes = []
    for concern in concerns:
        setting = settings[concern.subject]
        if concern.encounter and not setting.encounter:  # an encounter that the store does not hold is not named
            concern = msgspec.structs.replace(concern, encounter="")
        review = plan_safety_review(concern, setting, record.known.by_value, policy.review, now)
        if review is not None:
            writes.append(new_task(review, concern.response_key))
        else:
            summary.standing.add(f"safety {concern.response_key}")
    gone = {withdrawal.reference for withdrawal in withdrawals}
    for review in record.reviews:
        if review.kind is ReviewKind.SAFETY and review.status is ReviewStatus.OPEN and review.focus in gone:
            group = review.focus.rpartition("/")[2]
            writes.append(changed_task(record.tasks[review.key], cancel_withdrawn(review), now, group))
    return writes
