"""Proposals for goals: what the scores say, in numbers and one word, from both sides of every line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.achievement import Pursued, propose, with_proposals
from fhir_alliance.core.model import (
    Achievement,
    ChangeNumbers,
    Direction,
    Proposal,
    Review,
    ReviewKind,
    ReviewStatus,
    Sourced,
    Threshold,
)
from fhir_alliance.core.model import Level as ReviewLevel
from fhir_alliance.core.rules.chart import GoalTarget
from fhir_alliance.core.rules.series import Series
from fhir_alliance.testing import START, make_instrument, make_score

GOAL = "Goal/g"
TODAY = date(2026, 3, 1)
FIVE = Sourced(5, "test")


def course(values: Sequence[Any], *, higher_is: Direction = Direction.WORSE, **scale: Any) -> Series:
    """Return the client's series of the toy total, with a reliable change of 5 points unless said otherwise."""
    instrument = make_instrument(higher_is=higher_is)
    made = msgspec.structs.replace(instrument.scales[0], **({"change": ChangeNumbers(reliable_change=FIVE)} | scale))
    scores = tuple(make_score(value, week) for week, value in enumerate(values))
    return Series(msgspec.structs.replace(instrument, scales=(made,)), made, scores)


def target(**bounds: Any) -> GoalTarget:
    """Return a target on the toy total."""
    return GoalTarget(**({"goal": GOAL, "instrument": "toy", "scale": "total", "below": 5} | bounds))


def proposed(*targets: GoalTarget, course: Sequence[Series], today: date = TODAY) -> Achievement | None:
    """Return the proposed word."""
    found = propose(Pursued(GOAL, targets), course, today)
    return found.status if found else None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([12, 4], Achievement.ACHIEVED, id="below the target"),
        pytest.param([12, 5], Achievement.IMPROVING, id="at what it must be below"),
        pytest.param([12, 7], Achievement.IMPROVING, id="better by reliable change"),
        pytest.param([12, 8], Achievement.NO_CHANGE, id="better by less"),
        pytest.param([12], Achievement.IN_PROGRESS, id="one score"),
        pytest.param([8, 12], Achievement.NO_CHANGE, id="worse by less"),
        pytest.param([7, 12], Achievement.WORSENING, id="worse by reliable change"),
        pytest.param([4, 12], Achievement.WORSENING, id="was reached and is no longer"),
    ],
)
def test_what_the_newest_score_says(values: list[int], expected: Achievement) -> None:
    """A target is reached by the newest score; until then the change since the first one is told by reliable change."""
    assert proposed(target(), course=[course(values)]) is expected


def test_where_more_is_better_the_sides_are_changed() -> None:
    """On a scale where more is better, rising is improving."""
    aim = target(below=None, low=11)
    assert proposed(aim, course=[course([4, 9], higher_is=Direction.BETTER)]) is Achievement.IMPROVING
    assert proposed(aim, course=[course([9, 4], higher_is=Direction.BETTER)]) is Achievement.WORSENING
    assert proposed(aim, course=[course([9, 11], higher_is=Direction.BETTER)]) is Achievement.ACHIEVED


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2026, 2, 28), Achievement.NO_CHANGE),
        (date(2026, 3, 1), Achievement.NO_CHANGE),
        (date(2026, 3, 2), Achievement.NOT_ACHIEVED),
    ],
)
def test_a_day_that_has_passed(today: date, expected: Achievement) -> None:
    """On its day a target may still be reached; the day after, it was not. What is reached stays reached."""
    aim = target(due=date(2026, 3, 1))
    assert proposed(aim, course=[course([12, 10])], today=today) is expected
    assert proposed(aim, course=[course([12, 4])], today=today) is Achievement.ACHIEVED


@pytest.mark.parametrize("without", [{"change": ChangeNumbers()}, {"higher_is": Direction.UNKNOWN}])
def test_without_a_published_number_no_direction_is_claimed(without: dict[str, Any]) -> None:
    """Where no reliable change is published, or nobody says what more points mean, the goal is in progress."""
    assert proposed(target(), course=[course([12, 6], **without)]) is Achievement.IN_PROGRESS


def test_what_was_not_measured_is_not_proposed() -> None:
    """Without a score on the target's scale nothing is proposed, nor for a goal with no target and no rating."""
    assert proposed(target(), course=[]) is None
    assert proposed(target(scale="other"), course=[course([4])]) is None
    assert proposed(course=[course([4])]) is None
    assert proposed(GoalTarget(GOAL, due=date(2026, 1, 1)), course=[course([4])]) is None


def test_a_goal_is_reached_when_all_its_targets_are() -> None:
    """One target reached of two, or one that was not measured, is not the goal."""
    one, two = target(), target(below=None, high=9)
    assert proposed(one, two, course=[course([12, 4])]) is Achievement.ACHIEVED
    assert proposed(one, two, course=[course([12, 7])]) is Achievement.IMPROVING
    assert proposed(one, target(scale="other"), course=[course([12, 4])]) is Achievement.IN_PROGRESS
    overdue = target(below=2, due=date(2026, 1, 1))
    assert proposed(one, overdue, course=[course([12, 4])]) is Achievement.NOT_ACHIEVED


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"below": 5}, "the target is below 5"),
        ({"below": None, "low": 3, "high": 4}, "the target is 3 to 4"),
        ({"below": None, "low": 3, "high": 3}, "the target is 3"),
        ({"below": None, "above": 30}, "the target is above 30"),
        ({"below": None, "high": 3}, "the target is at most 3"),
    ],
)
def test_a_sentence_tells_score_and_target(bounds: dict[str, Any], words: str) -> None:
    """The sentence has the newest score, the target in words, and the numbers of the comparison."""
    found = propose(Pursued(GOAL, (target(**bounds),)), [course([12, 11])], TODAY)
    assert found is not None
    assert found.sentence == f"Toy total is 11, {words}; the first score was 12, reliable change is 5."


REACHED = Threshold(0, "Kiresuk & Sherman 1968")


def ratings(values: Sequence[int], goal: str = GOAL) -> Series:
    """Return the client's ratings of a goal."""
    made = course([0], reached=REACHED)
    scores = tuple(msgspec.structs.replace(make_score(value, week), focus=goal) for week, value in enumerate(values))
    return Series(made.instrument, made.scale, scores)


@pytest.mark.parametrize(("values", "expected"), [([-2, -1], Achievement.IN_PROGRESS), ([-2, 0], Achievement.ACHIEVED)])
def test_a_goal_without_a_target_is_rated(values: list[int], expected: Achievement) -> None:
    """A goal's own ratings count from the published line on; another goal's do not."""
    assert proposed(course=[ratings(values)]) is expected
    assert proposed(course=[ratings(values, "Goal/other")]) is None


def test_a_rating_is_told_in_the_clients_own_words() -> None:
    """Where the goal says what a level means, the sentence says it too; its day counts as with any target."""
    goal = Pursued(GOAL, (GoalTarget(GOAL, due=date(2026, 2, 1)),), {-1: "I sleep three nights of seven"})
    found = propose(goal, [ratings([-2, -1])], TODAY)
    assert found == Proposal(
        Achievement.NOT_ACHIEVED,
        "Toy total is -1 (I sleep three nights of seven), reached from 0 on: not by 01 February 2026.",
    )


def review(key: str, focus: str, **fields: Any) -> Review:
    """Return an open review of a goal."""
    made = Review(
        key,
        ReviewKind.GOAL,
        ReviewStatus.OPEN,
        "Patient/p1",
        "",
        ReviewLevel.ROUTINE,
        (),
        (),
        START,
        START,
        focus=focus,
    )
    return msgspec.structs.replace(made, **fields)


def test_open_reviews_carry_what_is_proposed_now() -> None:
    """Planned and standing open reviews get their goal's proposal; what has it already is not changed again."""
    said = {GOAL: Proposal(Achievement.ACHIEVED, "Reached.")}
    stale = review("a", GOAL, proposal=Proposal(Achievement.IMPROVING, "Nearly."))
    done = review("b", GOAL, status=ReviewStatus.CLOSED)
    [renewed] = with_proposals([stale, done, review("c", "Goal/x")], [], said)
    assert (renewed.key, renewed.proposal) == ("a", said[GOAL])
    assert with_proposals([renewed], [], said) == []
    [planned] = with_proposals([stale], [msgspec.structs.replace(stale, agenda=("new",))], said)
    assert (planned.agenda, planned.proposal) == (("new",), said[GOAL])
    gone = review("a", GOAL, status=ReviewStatus.CANCELLED)
    assert with_proposals([], [gone], said) == [gone]
