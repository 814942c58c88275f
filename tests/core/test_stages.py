"""The state machine of reviews over Task.status."""

from __future__ import annotations

import pytest

from fhir_alliance.core.model import ReviewStatus, TaskStatus
from fhir_alliance.core.stages import CLOSED, TAKEN_UP, WAITING, brings_quiet, status_of

ENDED = {TaskStatus.CANCELLED, TaskStatus.ENTERED_IN_ERROR}


def test_every_status_is_in_one_state() -> None:
    """Each of FHIR's statuses is waiting, taken up, closed or cancelled, and only one of them."""
    states = (WAITING, TAKEN_UP, CLOSED, ENDED)
    assert sum(len(state) for state in states) == len(TaskStatus)
    assert set().union(*states) == set(TaskStatus)


@pytest.mark.parametrize("stage", TaskStatus)
def test_a_status_says_whether_a_review_is_open_and_brings_quiet(stage: TaskStatus) -> None:
    """What waits or is worked on is open; of what people ended, done and rejected bring quiet, and failed does not."""
    expected = ReviewStatus.OPEN
    if stage in CLOSED:
        expected = ReviewStatus.CLOSED
    if stage in ENDED:
        expected = ReviewStatus.CANCELLED
    assert status_of(stage) is expected
    assert brings_quiet(stage) == (stage in (TaskStatus.COMPLETED, TaskStatus.REJECTED))
