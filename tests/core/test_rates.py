"""Rates of rules: what became of the reviews that each asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.model import (
    Decision,
    Ending,
    Evidence,
    Level,
    Review,
    ReviewKind,
    TaskStatus,
)
from fhir_alliance.core.rates import RuleRate, rates
from fhir_alliance.core.stages import status_of
from fhir_alliance.testing import START


def review(stage: TaskStatus, *rules: str, week: int = 0, client: str = "Patient/a", **fields: Any) -> Review:
    """Return a goal review in a stage that rests on findings of these rules."""
    reasons = tuple(Evidence(f"{rule} {n}", rule, "x", "") for n, rule in enumerate(rules or ("drop",)))
    opened = START + timedelta(weeks=week)
    made = Review(
        f"{client} {week}", ReviewKind.GOAL, status_of(stage), client, "", Level.ROUTINE, reasons, (), opened, opened,
        stage=stage,
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *((review(stage), "open") for stage in (TaskStatus.REQUESTED, TaskStatus.ACCEPTED, TaskStatus.ON_HOLD)),
        (review(TaskStatus.COMPLETED), "accepted"),
        (review(TaskStatus.COMPLETED, decision=Decision.GOAL_KEPT), "accepted"),
        (review(TaskStatus.COMPLETED, decision=Decision.CLIENT_DECLINED), "declined"),
        (review(TaskStatus.REJECTED), "overridden"),
        (review(TaskStatus.CANCELLED), "overridden"),
        (review(TaskStatus.ENTERED_IN_ERROR), "overridden"),
        (review(TaskStatus.FAILED), "failed"),
        *((review(TaskStatus.CANCELLED, ending=ending), "lapsed") for ending in Ending),
    ],
)
def test_what_became_of_a_review(given: Review, expected: str) -> None:
    """Every stage is counted in one place, and whether we or a person ended it makes the difference."""
    assert rates([given]) == [RuleRate("drop", **{"asked": 1, expected: 1})]


def test_a_rule_counts_once_in_a_review() -> None:
    """Counts are of reviews: two reasons of one rule in a review are one; each rule in it has its own."""
    given = [review(TaskStatus.COMPLETED, "drop", "drop", "line")]
    assert [(rate.rule, rate.asked) for rate in rates(given)] == [("drop", 1), ("line", 1)]


def test_a_rule_that_comes_back_is_repeated() -> None:
    """A rule is repeated where it stood in an earlier review of the same client that a person had ended."""
    done = review(TaskStatus.COMPLETED)
    again = review(TaskStatus.REQUESTED, week=8)
    assert rates([again, done])[0].repeated == 1
    assert rates([done, review(TaskStatus.REQUESTED, "line", week=8)])[1].repeated == 0
    assert rates([done, review(TaskStatus.REQUESTED, week=8, client="Patient/b")])[0].repeated == 0
    lapsed = review(TaskStatus.CANCELLED, ending=Ending.GROUND_LOST)
    assert rates([lapsed, again])[0].repeated == 0


def test_acceptance_is_of_what_people_decided() -> None:
    """Open, failed and lapsed reviews are no decision; without any decision there is no share."""
    given = [
        review(TaskStatus.COMPLETED),
        review(TaskStatus.REJECTED, week=1),
        review(TaskStatus.COMPLETED, week=2, decision=Decision.CLIENT_DECLINED),
        review(TaskStatus.COMPLETED, week=3),
        review(TaskStatus.FAILED, week=4),
        review(TaskStatus.REQUESTED, week=5),
    ]
    [rate] = rates(given)
    assert (rate.asked, rate.decided, rate.acceptance) == (6, 4, 0.5)
    assert rates(given[4:])[0].acceptance is None


def test_safety_reviews_are_no_alerts() -> None:
    """A safety review has no rate: nobody weighs it against others."""
    assert rates([review(TaskStatus.COMPLETED, kind=ReviewKind.SAFETY)]) == []
