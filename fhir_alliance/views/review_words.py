"""A review in words: what it is called, how far people are with it, and what was decided."""

from __future__ import annotations

from typing import Final

from fhir_alliance.core.model import Decision, Ending, Review, ReviewKind, ReviewStatus, TaskStatus
from fhir_alliance.views.axes import whole_day

_TITLES: Final = {ReviewKind.GOAL: "goal review", ReviewKind.SAFETY: "review of a safety answer"}
_STATES: Final = {ReviewStatus.OPEN: "open", ReviewStatus.CLOSED: "done", ReviewStatus.CANCELLED: "cancelled"}
# Of an open review, how far people are with it is worth a word; that it is merely asked for is not.
_STAGES: Final = {
    TaskStatus.RECEIVED: "seen",
    TaskStatus.ACCEPTED: "accepted",
    TaskStatus.IN_PROGRESS: "in progress",
    TaskStatus.ON_HOLD: "on hold",
    TaskStatus.REJECTED: "rejected",
    TaskStatus.FAILED: "failed",
}
_ENDINGS: Final = {
    Ending.GROUND_LOST: "the scores that it rested on were withdrawn or corrected",
    Ending.REPAIRED: "what it was about is repaired",
    Ending.DIED: "the client has died",
}
_DECISIONS: Final = {
    Decision.GOAL_KEPT: "goal kept",
    Decision.GOAL_CHANGED: "goal changed",
    Decision.GOAL_REACHED: "goal reached",
    Decision.GOAL_ENDED: "goal ended",
    Decision.CLIENT_DECLINED: "client declined",
}


def title(review: Review) -> str:
    """Return what a review is called: the site's own words, or ours."""
    return review.title or _TITLES[review.kind]


def state(review: Review) -> str:
    """Return whether a review is open, done or cancelled, with what is known of how and what was decided."""
    words = [_STAGES[review.stage] if review.stage in _STAGES else _STATES[review.status]]
    words += [_ENDINGS[review.ending]] if review.ending is not None else []
    words += [_DECISIONS[review.decision]] if review.decision is not None else []
    return ", ".join(words)


def days(review: Review) -> str:
    """Return when a review was opened, is due, and was done."""
    done = f", done {whole_day(review.closed_on)}" if review.closed_on else ""
    return f"opened {whole_day(review.opened)}, due {whole_day(review.due)}{done}"
