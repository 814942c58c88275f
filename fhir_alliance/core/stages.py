"""How far a review has come, by the status that people and we set on its Task: the state machine of reviews.

    draft, requested, received, ready   waiting    we may change, end and open it again
    accepted, in-progress, on-hold      taken up   somebody works on it: we may change it, and end it where it has
                                                   lost all ground, but a repair only joins it
    completed, rejected                 closed     a person ended it: it stays, and brings quiet
    failed                              closed     nobody could do it: it stays, and brings no quiet
    cancelled, entered-in-error         cancelled  by a person: it stays. By us (`Ending`): it opens again when its
                                                   ground comes back

The statuses are those of FHIR R4 (hl7.org/fhir/R4/valueset-task-status.html); what we may do in each is ours.
"""

from __future__ import annotations

from fhir_alliance.core.model import Review, ReviewStatus, TaskStatus

WAITING = frozenset({TaskStatus.DRAFT, TaskStatus.REQUESTED, TaskStatus.RECEIVED, TaskStatus.READY})
TAKEN_UP = frozenset({TaskStatus.ACCEPTED, TaskStatus.IN_PROGRESS, TaskStatus.ON_HOLD})
CLOSED = frozenset({TaskStatus.COMPLETED, TaskStatus.REJECTED, TaskStatus.FAILED})


def status_of(stage: TaskStatus) -> ReviewStatus:
    """Return whether a review in this stage is open, closed or cancelled."""
    if stage in WAITING or stage in TAKEN_UP:
        return ReviewStatus.OPEN
    return ReviewStatus.CLOSED if stage in CLOSED else ReviewStatus.CANCELLED


def is_ours_to_change(review: Review) -> bool:
    """Return whether the review is open, or was ended by us and by nobody else."""
    return review.status is ReviewStatus.OPEN or review.ending is not None


def brings_quiet(stage: TaskStatus) -> bool:
    """Return whether a review in this stage was dealt with by a person, so that the cool-down runs."""
    return stage in (TaskStatus.COMPLETED, TaskStatus.REJECTED)
