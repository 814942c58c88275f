"""Goals and names as they stand in the record."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from fhir_alliance.core.course import StatedGoal
from fhir_alliance.fhir.stated_goal import NO_WORDS, name_of, read_goal


def test_a_goal_keeps_its_words() -> None:
    """Words, state, start and the first dated target are read as they stand."""
    goal = {
        "resourceType": "Goal", "id": "g", "lifecycleStatus": "active", "description": {"text": "<b>sleep</b>"},
        "achievementStatus": {"coding": [{"code": "improving"}]}, "startDate": "2026-01-05",
        "target": [{"measure": {"text": "x"}}, {"dueDate": "2026-06-01"}, {"dueDate": "2026-07-01"}],
    }  # fmt: skip
    assert read_goal(goal) == StatedGoal(
        "Goal/g", "<b>sleep</b>", "active, improving", date(2026, 1, 5), date(2026, 6, 1)
    )


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"description": {"coding": [{"code": "1"}, {"code": "2", "display": "sleep"}]}}, "sleep"),
        ({"description": {}}, NO_WORDS),
        ({"description": "sleep"}, NO_WORDS),
        ({"description": {"text": "sleep"}, "target": "soon"}, NO_WORDS),
        ({"description": {"text": "sleep"}, "target": [{"dueDate": "2026"}], "startDate": "2026-02"}, "sleep"),
        ({"description": {"text": "sleep"}, "achievementStatus": {"coding": ["x"]}}, NO_WORDS),
    ],
)
def test_a_goal_that_is_not_shaped_is_still_there(elements: dict[str, Any], words: str) -> None:
    """A goal with a part that cannot be read is listed, without what could not be read; a year alone is no day."""
    goal = read_goal({"id": "g", **elements})
    assert goal is not None
    assert (goal.reference, goal.words, goal.starts, goal.due) == ("Goal/g", words, None, None)


def test_a_goal_entered_in_error_is_no_goal() -> None:
    """A goal entered in error is not shown."""
    assert read_goal({"id": "g", "lifecycleStatus": "entered-in-error", "description": {"text": "x"}}) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ([{"given": ["Ada", "M"], "family": "L"}], "Ada M L"),
        ([{"use": "old", "family": "Old"}, {"family": "New"}], "New"),
        ([{"family": "Nick"}, {"use": "official", "text": "Dr. Ada L"}], "Dr. Ada L"),
        ([], ""),
        ("Ada", ""),
        ([{"given": 3}], ""),
    ],
)
def test_a_name_is_the_official_one(name: Any, said: str) -> None:
    """The official name counts, then the first that is not old; what has not the shape of a name is none."""
    assert name_of({"name": name}) == said
