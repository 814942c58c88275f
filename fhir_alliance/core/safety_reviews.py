"""Safety reviews: the clinician's look that a concern asks for.

One for each form and kind of concern. Only a person closes it, or the withdrawal of its form.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from fhir_alliance.core.keys import review_key
from fhir_alliance.core.model import Evidence, Level, Review, ReviewKind, ReviewStatus
from fhir_alliance.core.reviews import ReviewPolicy, Setting
from fhir_alliance.core.safety import Concern, ConcernKind


def plan_safety_review(
    concern: Concern, setting: Setting, existing: Collection[str], policy: ReviewPolicy, now: datetime
) -> Review | None:
    """Return the clinician review that a concern asks for, or None where it stands (or stood) already."""
    key = review_key(ReviewKind.SAFETY.value, concern.subject, concern.response_key, concern.kind.value)
    if key in existing:
        return None
    evidence = Evidence(key, "safety-answer", _concern_words(concern), "", "")
    return Review(
        key, ReviewKind.SAFETY, ReviewStatus.OPEN, concern.subject, setting.episode, Level.URGENT, (evidence,), (),
        now, now + timedelta(hours=policy.safety_due_hours), setting.owner, concern.reference, "", concern.encounter,
    )  # fmt: skip


def cancel_withdrawn(review: Review) -> Review:
    """Return a safety review as cancelled, because its form was withdrawn as entered in error."""
    return msgspec.structs.replace(
        review, status=ReviewStatus.CANCELLED, note="The form that it rested on was withdrawn as entered in error."
    )


def _concern_words(concern: Concern) -> str:
    """Return the reason in words. Says what happened to the item, never how grave an answer is."""
    what = {
        ConcernKind.ANSWERED: "The client's answer to the safety item asks for a clinician's review.",
        ConcernKind.UNANSWERED: "The safety item was left unanswered, which tells nothing about safety.",
        ConcernKind.UNREADABLE: "The answer to the safety item could not be read.",
    }[concern.kind]
    return f"{concern.title}: {what} Please open the form and talk with the client."
