"""The setting of a review: whose it is and what it is about, from the record, and nothing guessed."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_alliance.core.reviews import Setting
from fhir_alliance.fhir.setting import setting_of

ANNA = "Patient/anna"
BASE = "https://x.example/r4"


def ref(name: str) -> dict[str, str]:
    """Return a reference."""
    return {"reference": name}


def team(*members: tuple[str, str], status: str | None = "active", coded: bool = False) -> dict[str, Any]:
    """Return a care team of members with their roles, in words or as a coding's display."""
    role = "coding" if coded else "text"
    people = [
        {"role": [{role: [{"display": words}] if coded else words}], "member": ref(name)} for words, name in members
    ]
    return {"status": status, "participant": people} if status else {"participant": people}


def session(*people: str, episodes: tuple[str, ...] = ("EpisodeOfCare/e1",)) -> dict[str, Any]:
    """Return an encounter with its people."""
    return {
        "id": "s5",
        "participant": [{"individual": ref(name)} for name in people],
        "episodeOfCare": [ref(name) for name in episodes],
    }


def goal(name: str, status: str = "active", **elements: str) -> dict[str, str]:
    """Return a goal."""
    return {"id": name, "lifecycleStatus": status, **elements}


def plan(name: str, status: str = "active", **elements: str) -> dict[str, str]:
    """Return a care plan."""
    return {"id": name, "status": status, **elements}


def test_an_empty_record_leaves_all_empty() -> None:
    """Without encounter, goals, plans and teams, a review hangs on the client alone."""
    assert setting_of(ANNA, None, [], [], []) == Setting(ANNA)
    assert setting_of(ANNA, {}, [{}], [{}], [{}]) == Setting(ANNA)


def test_a_full_record_fills_all() -> None:
    """Episode and session come from the encounter, the owner from the team, goal and plan from the active ones."""
    made = setting_of(
        ANNA, session("Practitioner/tom"), [goal("sleep")], [plan("c1")], [team(("Lead therapist", "Practitioner/lea"))]
    )
    assert made == Setting(
        ANNA, "EpisodeOfCare/e1", "Encounter/s5", "Practitioner/lea", "Goal/sleep", "CarePlan/c1", ("Goal/sleep",)
    )


@pytest.mark.parametrize(
    ("teams", "owner"),
    [
        pytest.param([team(("lead", "PractitionerRole/lea"))], "PractitionerRole/lea", id="in words"),
        pytest.param([team(("LEAD clinician", "Practitioner/lea"), coded=True)], "Practitioner/lea", id="as a display"),
        pytest.param([team(("lead", "Practitioner/lea"), status=None)], "Practitioner/lea", id="team without a status"),
        pytest.param([team(("nurse", "Practitioner/a"), ("lead", "Practitioner/b"))], "Practitioner/b", id="second"),
        pytest.param(
            [team(("nurse", "Practitioner/a")), team(("lead", "Practitioner/b"))], "Practitioner/b", id="other"
        ),
        pytest.param([team(("lead", f"{BASE}/Practitioner/lea"))], "Practitioner/lea", id="absolute"),
        pytest.param([team(("lead", "Practitioner/lea"), status="inactive")], "Practitioner/tom", id="ended team"),
        pytest.param([team(("nurse", "Practitioner/a"))], "Practitioner/tom", id="nobody leads"),
        pytest.param([team(("lead", "Patient/anna"))], "Practitioner/tom", id="the client leads"),
        pytest.param([team(("lead", "https://y.example/Practitioner/a"))], "Practitioner/tom", id="somebody elsewhere"),
    ],
)
def test_the_owner_is_the_lead_or_else_who_was_there(teams: list[dict[str, Any]], owner: str) -> None:
    """The active team's lead is asked; where there is none, the practitioner of the session."""
    assert setting_of(ANNA, session("Patient/anna", "Practitioner/tom"), [], [], teams, BASE).owner == owner


@pytest.mark.parametrize("people", [(), ("RelatedPerson/m", "Patient/anna"), ("https://y.example/Practitioner/a",)])
def test_nobody_is_asked_where_nobody_is_known(people: tuple[str, ...]) -> None:
    """Relatives, the client, and people of another server are never made owners."""
    assert setting_of(ANNA, session(*people), [], [], [], BASE).owner == ""


@pytest.mark.parametrize(
    ("goals", "chosen"),
    [
        ([goal("b", startDate="2026-01-02"), goal("a", startDate="2026-01-03")], "Goal/b"),
        ([goal("b"), goal("a", startDate="2026-01-03")], "Goal/a"),
        ([goal("b"), goal("a")], "Goal/a"),
        ([goal("a", "completed"), goal("b", "proposed")], ""),
        ([goal("a", "on-hold", startDate="2020-01-01"), goal("b", startDate="2026-01-01")], "Goal/b"),
        ([{"lifecycleStatus": "active"}], ""),
    ],
)
def test_the_goal_is_the_active_one_that_stands_longest(goals: list[dict[str, str]], chosen: str) -> None:
    """Only active goals count, the oldest first; one without a date comes last, and ties go by id."""
    assert setting_of(ANNA, None, goals, [], []).goal == chosen
    assert setting_of(ANNA, None, goals[::-1], [], []).goal == chosen


def test_the_plan_is_the_active_one_that_stands_longest() -> None:
    """Of several care plans the oldest active one counts, by the day it was made."""
    plans = [plan("new", created="2026-01-01"), plan("old", created="2024-01-01"), plan("gone", "completed")]
    assert setting_of(ANNA, None, [], plans, []).care_plan == "CarePlan/old"


@pytest.mark.parametrize(
    ("episodes", "chosen"),
    [
        (("EpisodeOfCare/e1", "EpisodeOfCare/e2"), "EpisodeOfCare/e1"),
        ((f"{BASE}/EpisodeOfCare/e1",), "EpisodeOfCare/e1"),
        (("https://y.example/EpisodeOfCare/e1",), ""),
        ((), ""),
    ],
)
def test_the_episode_is_the_sessions(episodes: tuple[str, ...], chosen: str) -> None:
    """The session's first episode counts, if it is of this store."""
    assert setting_of(ANNA, session(episodes=episodes), [], [], [], BASE).episode == chosen


def test_all_active_goals_are_known_and_the_oldest_is_first() -> None:
    """A review may be about any goal that is pursued; the one that stands longest is the client's main one."""
    goals = [goal("new", startDate="2026-02-01"), goal("old", startDate="2026-01-01"), goal("done", "completed")]
    made = setting_of(ANNA, None, goals, [], [])
    assert (made.goal, made.goals) == ("Goal/old", ("Goal/old", "Goal/new"))
