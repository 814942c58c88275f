"""Goals: what is read of them, and what a confirmed decision makes of them."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.model import Achievement, Decision, Level, Proposal, Review, ReviewKind, ReviewStatus
from fhir_alliance.fhir.goal import confirmed_update, goal_write, read_pursued, version_of
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.testing import START

INSTRUMENTS = load_catalog().instruments
LEVELS = "http://hl7.org/fhir/us/pco/StructureDefinition/pco-goal-attainment-scaling"
GOAL: dict[str, Any] = {"resourceType": "Goal", "id": "g", "lifecycleStatus": "active", "note": [{"text": "Hers."}]}
REVIEW = Review(
    "k", ReviewKind.GOAL, ReviewStatus.CLOSED, "Patient/a", "", Level.ROUTINE, (), (), START, START,
    closed_on=date(2026, 2, 3), confirmed_by="Patient/a",
)  # fmt: skip


def level(code: str, text: str) -> dict[str, Any]:
    """Return one level of Goal Attainment Scaling, as HL7's Person-Centered Outcomes guide writes it."""
    coding = {"system": "http://loinc.org", "code": code}
    parts = [{"url": "level", "valueCoding": coding}, {"url": "text", "valueString": text}]
    return {"url": LEVELS, "extension": parts}


def test_levels_are_read_in_the_clients_words() -> None:
    """The five levels are known by the points of the form's own answers; what names no level is left out."""
    goal = GOAL | {
        "extension": [level("LA34484-8", "I stay in bed"), level("LA34481-4", "I walk the dog"), level("x", "?")]
    }
    assert read_pursued(goal, INSTRUMENTS).levels == {-2: "I stay in bed", 0: "I walk the dog"}


def test_a_target_is_read_with_its_scale() -> None:
    """A target on a published code is a target on our scale."""
    target = {
        "measure": {"coding": [{"system": "http://loinc.org", "code": "44261-6"}]},
        "detailQuantity": {"value": 5, "comparator": "<"},
    }
    [aim] = read_pursued(GOAL | {"target": [target]}, INSTRUMENTS).targets
    assert (aim.instrument, aim.scale, aim.below) == ("phq-9", "total", 5)


@pytest.mark.parametrize(
    ("decision", "proposed", "changed"),
    [
        (Decision.GOAL_REACHED, None, {"lifecycleStatus": "completed", "achievementStatus": "achieved"}),
        (Decision.GOAL_ENDED, None, {"lifecycleStatus": "cancelled"}),
        (Decision.GOAL_ENDED, Achievement.ACHIEVED, {"lifecycleStatus": "cancelled"}),
        (Decision.GOAL_KEPT, Achievement.IMPROVING, {"achievementStatus": "improving"}),
        (Decision.GOAL_KEPT, None, None),
        (Decision.GOAL_CHANGED, Achievement.ACHIEVED, None),
        (Decision.CLIENT_DECLINED, Achievement.ACHIEVED, None),
        (None, Achievement.ACHIEVED, None),
    ],
)
def test_what_a_decision_makes_of_a_goal(
    decision: Decision | None, proposed: Achievement | None, changed: dict[str, str] | None
) -> None:
    """Each decision changes its own elements and the day, keeps what people wrote, and otherwise changes nothing."""
    proposal = Proposal(proposed, "Why.") if proposed else None
    after = confirmed_update(GOAL, msgspec.structs.replace(REVIEW, decision=decision, proposal=proposal))
    if changed is None:
        assert after is None
        return
    assert after is not None
    coded = {key: value["coding"][0]["code"] if isinstance(value, dict) else value for key, value in after.items()}
    assert coded == GOAL | changed | {"statusDate": "2026-02-03"}


def test_a_goal_that_says_so_already_is_not_changed() -> None:
    """Where a person has updated the goal by hand, nothing is left to do."""
    reached = msgspec.structs.replace(REVIEW, decision=Decision.GOAL_REACHED)
    once = confirmed_update(GOAL, reached)
    assert once is not None
    assert confirmed_update(once | {"statusDate": "2026-02-01"}, reached) is None


def test_a_goal_without_a_version_has_one_by_its_content() -> None:
    """A store that numbers no versions gets one that changes with the content and with nothing else."""
    assert version_of(GOAL | {"meta": {"versionId": "7"}}) == "7"
    assert version_of(GOAL) == version_of(dict(reversed(GOAL.items())))
    assert version_of(GOAL) != version_of(GOAL | {"lifecycleStatus": "on-hold"})
    assert version_of(msgspec.json.decode(goal_write(GOAL, version_of(GOAL), "").body)) == version_of(GOAL)
