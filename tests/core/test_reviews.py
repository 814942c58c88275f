"""Reviews: one open at a time, evidence that comes and goes, and what people did stays done."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.model import Ending, Evidence, Finding, Level, Review, ReviewKind, ReviewStatus, TaskStatus
from fhir_alliance.core.reviews import (
    Found,
    ReviewPolicy,
    Setting,
    live,
    plan_goal_reviews,
)
from fhir_alliance.core.stages import WAITING, status_of

ZONE = timezone(timedelta(hours=-5))
NOW = datetime(2026, 3, 2, 22, 30, tzinfo=ZONE)  # the next day in UTC
CLIENT = "Patient/p1"
HERE = Setting(CLIENT)
POLICY = ReviewPolicy()


def finding(name: str, day: date = date(2026, 3, 2), level: Level = Level.ROUTINE, sentence: str = "") -> Finding:
    """Return a finding of that name, made on a day."""
    when = datetime.combine(day, time(22, 30), ZONE)
    return Finding(
        name, "rule", "1", CLIENT, f"score {name}", level, sentence or name, "source", (f"ask {name}",), when
    )


def plan(
    findings: Sequence[Finding] = (),
    reviews: Sequence[Review] = (),
    *,
    regular: Finding | None = None,
    judged: Collection[str] | None = None,
    setting: Setting = HERE,
    policy: ReviewPolicy = POLICY,
) -> Review | None:
    """Return the one review planned for the client; unless said otherwise, only what was found was looked for."""
    looked_for = {f.key for f in findings} if judged is None else judged
    found = Found(tuple(findings), frozenset(looked_for), regular)
    planned = plan_goal_reviews(setting, found, reviews, policy, NOW)
    assert len(planned) <= 1
    return planned[0] if planned else None


def opened(*names: str, **fields: Any) -> Review:
    """Return an open review that rests on findings of these names."""
    review = plan([finding(name) for name in names])
    assert review is not None
    return msgspec.structs.replace(review, **fields)


def done(on: date, *names: str, **fields: Any) -> Review:
    """Return a review that somebody completed on a day."""
    return opened(*(names or ("before",)), status=ReviewStatus.CLOSED, closed_on=on, **fields)


def names(review: Review | None) -> list[str] | None:
    """Return which findings a planned review rests on, or None where nothing is to be done."""
    return None if review is None else [evidence.key for evidence in review.evidence]


# ------------------------------------------------------------------- opening


def test_a_finding_opens_a_review() -> None:
    """A new review asks the setting's owner about its goal, in the site's time, and says why with the source."""
    setting = Setting(CLIENT, "EpisodeOfCare/e", "Encounter/v", "Practitioner/d", "Goal/g", "CarePlan/c")
    review = plan([finding("a")], setting=setting)
    assert review is not None
    assert (review.kind, review.status, review.stored) == (ReviewKind.GOAL, ReviewStatus.OPEN, "")
    assert (review.opened, review.due - review.opened) == (NOW, timedelta(days=14))
    hangs_on = (review.subject, review.episode, review.encounter, review.owner, review.focus, review.care_plan)
    assert hangs_on == (CLIENT, "EpisodeOfCare/e", "Encounter/v", "Practitioner/d", "Goal/g", "CarePlan/c")
    assert review.evidence == (Evidence("a", "rule", "a", "score a", "source"),)
    assert review.agenda == ("ask a",)


def test_without_a_goal_the_care_plan_is_reviewed() -> None:
    """A client without an active goal has their care plan looked at, and with neither nothing is made up."""
    assert opened("a").focus == ""
    review = plan([finding("a")], setting=Setting(CLIENT, care_plan="CarePlan/c"))
    assert review is not None
    assert review.focus == "CarePlan/c"


def test_nothing_found_nothing_asked() -> None:
    """Without a finding no review is opened, and an open one is left alone."""
    assert plan() is None
    assert plan(reviews=[opened("a")]) is None


def test_findings_share_one_review() -> None:
    """Several findings of one run are reasons in one review, and their questions are not repeated."""
    same = msgspec.structs.replace(finding("b"), agenda=("ask a", "ask b"))
    review = plan([finding("a"), same])
    assert names(review) == ["a", "b"]
    assert review is not None
    assert review.agenda == ("ask a", "ask b")


# ------------------------------------------------------- evidence comes and goes


def test_new_evidence_joins_the_open_review() -> None:
    """A finding made while a review is open is added to it, under the same key, behind what stands there."""
    before = opened("a", stored="t1")
    after = plan([finding("b")], [before])
    assert names(after) == ["a", "b"]
    assert after is not None
    assert (after.key, after.stored, after.due, after.opened) == (before.key, "t1", before.due, before.opened)
    assert after.agenda == ("ask a", "ask b")


def test_evidence_is_not_added_twice() -> None:
    """A finding that stands in the review already changes nothing."""
    assert plan([finding("a")], [opened("a")]) is None


def test_gone_evidence_leaves() -> None:
    """A finding that was looked for again and is no longer made leaves the review; the others stay."""
    assert names(plan([finding("b")], [opened("a", "b")], judged={"a", "b"})) == ["b"]


def test_evidence_that_was_not_looked_for_stays() -> None:
    """A finding that this run did not look for is not known to be gone."""
    assert plan([], [opened("a", "b")], judged=set()) is None


def test_a_review_without_evidence_is_cancelled() -> None:
    """A review that has lost all its reasons is cancelled, and says why."""
    after = plan([], [opened("a", stored="t1")], judged={"a"})
    assert after is not None
    assert (after.status, after.stored, after.evidence) == (ReviewStatus.CANCELLED, "t1", ())
    assert "withdrawn or corrected" in after.note


def test_new_evidence_keeps_a_review_open() -> None:
    """Where the old reasons are gone and another has come, the review stands with the new one."""
    after = plan([finding("b")], [opened("a")], judged={"a", "b"})
    assert names(after) == ["b"]
    assert after is not None
    assert after.status is ReviewStatus.OPEN


def test_a_corrected_score_may_be_found_again() -> None:
    """A review that we ended for want of ground opens again when ground comes, with time to do it; no second one."""
    first = opened("a", stored="t1", due=NOW)
    cancelled = plan([], [first], judged={"a"})
    assert cancelled is not None
    assert cancelled.ending is Ending.GROUND_LOST
    for ground in ("a", "b"):
        again = plan([finding(ground)], [msgspec.structs.replace(cancelled, evidence=first.evidence)])
        assert names(again) == [ground]
        assert again is not None
        assert (again.key, again.stored, again.status, again.ending) == (first.key, "t1", ReviewStatus.OPEN, None)
        assert (again.stage, again.due) == (TaskStatus.REQUESTED, NOW + timedelta(days=14))


def test_corrected_evidence_is_told_anew() -> None:
    """A finding that still holds after its score was corrected says the corrected number."""
    after = plan([finding("a", sentence="Toy total is 12.")], [opened("a")])
    assert after is not None
    assert [evidence.sentence for evidence in after.evidence] == ["Toy total is 12."]


# --------------------------------------------------------------- what people did


@pytest.mark.parametrize("status", [ReviewStatus.CLOSED, ReviewStatus.CANCELLED])
def test_what_stood_in_an_ended_review_is_not_news(status: ReviewStatus) -> None:
    """A finding that people have dealt with opens no second review."""
    assert plan([finding("a")], [opened("a", status=status)]) is None


@pytest.mark.parametrize(
    ("made", "quiet", "opens"),
    [
        pytest.param(date(2026, 1, 31), 28, False, id="the day before it was done"),
        pytest.param(date(2026, 2, 1), 28, False, id="the day it was done"),
        pytest.param(date(2026, 3, 1), 28, False, id="last day of the quiet time"),
        pytest.param(date(2026, 3, 2), 28, True, id="first day after it"),
        pytest.param(date(2026, 2, 1), 0, False, id="no quiet time: the same day"),
        pytest.param(date(2026, 2, 2), 0, True, id="no quiet time: the next day"),
    ],
)
def test_both_sides_of_the_cool_down(made: date, quiet: int, opens: bool) -> None:
    """Findings from before a completed review, or from the quiet days after it, are covered; later ones are news."""
    review = plan([finding("new", made)], [done(date(2026, 2, 1))], policy=ReviewPolicy(cool_down_days=quiet))
    assert (review is not None) == opens


@pytest.mark.parametrize(
    "other",
    [
        {"status": ReviewStatus.CANCELLED},
        {"kind": ReviewKind.SAFETY},
        {"subject": "Patient/p2"},
        {"closed_on": None},
    ],
    ids=["cancelled", "a safety review", "another client's", "closed on an unknown day"],
)
def test_only_a_goal_review_that_was_done_brings_quiet(other: dict[str, Any]) -> None:
    """A review that nobody did, of another kind or of another client, covers nothing."""
    review = msgspec.structs.replace(done(date(2026, 3, 1)), **other)
    assert names(plan([finding("new")], [review])) == ["new"]


def test_the_quiet_time_holds_for_an_open_review_too() -> None:
    """A finding that a completed review covers is not added to a later review that is open."""
    assert plan([finding("new", date(2026, 2, 20))], [done(date(2026, 2, 1)), opened("a")]) is None


@pytest.mark.parametrize(
    ("before", "news", "after"),
    [
        (Level.ROUTINE, Level.ROUTINE, Level.ROUTINE),
        (Level.ROUTINE, Level.URGENT, Level.URGENT),
        (Level.URGENT, Level.ROUTINE, Level.URGENT),
    ],
)
def test_priority_rises_and_never_falls(before: Level, news: Level, after: Level) -> None:
    """A review is as urgent as the most urgent thing that ever joined it."""
    review = plan([finding("b", level=news)], [opened("a", level=before)])
    assert review is not None
    assert review.level is after


def test_priority_stays_when_its_reason_leaves() -> None:
    """An urgent review that loses evidence stays urgent for what is left in it."""
    review = plan([finding("b")], [opened("a", "b", level=Level.URGENT)], judged={"a", "b"})
    assert review is not None
    assert review.level is Level.URGENT


# ------------------------------------------------------------------ the calendar


def test_the_calendar_opens_a_review_where_nothing_else_does() -> None:
    """A regular review is opened when it is due; where there are findings, they are the reasons."""
    assert names(plan(regular=finding("regular"))) == ["regular"]
    assert names(plan([finding("a")], regular=finding("regular"))) == ["a"]


def test_the_calendar_does_not_press() -> None:
    """While a review is open, or after it was done for this interval, the calendar asks for nothing more."""
    assert plan(reviews=[opened("a")], regular=finding("regular")) is None
    assert plan(reviews=[opened("regular")], regular=finding("regular")) is None
    assert plan(reviews=[done(date(2026, 3, 1), "regular")], regular=finding("regular")) is None


def test_the_calendar_keeps_a_review_that_has_lost_its_reasons() -> None:
    """A review whose evidence is gone stays open where a regular one is due all the same."""
    after = plan(reviews=[opened("a")], regular=finding("regular"), judged={"a"})
    assert names(after) == ["regular"]
    assert after is not None
    assert after.status is ReviewStatus.OPEN


# ----------------------------------------------------------- episodes, invariants


@pytest.mark.parametrize(
    ("standing", "asked", "joins"),
    [
        ("EpisodeOfCare/a", "EpisodeOfCare/a", True),
        ("EpisodeOfCare/a", "EpisodeOfCare/b", False),
        ("", "EpisodeOfCare/a", True),
        ("EpisodeOfCare/a", "", True),
        ("", "", True),
    ],
    ids=["the same", "another", "the review names none", "the form names none", "neither names one"],
)
def test_a_review_belongs_to_one_episode(standing: str, asked: str, joins: bool) -> None:
    """Evidence joins the review of its episode; an episode that is not named is taken for the same."""
    before = opened("a", episode=standing)
    after = plan([finding("b")], [before], setting=Setting(CLIENT, asked))
    assert names(after) == (["a", "b"] if joins else ["b"])
    assert after is not None
    assert (after.key == before.key) == joins


def test_another_clients_review_is_left_alone() -> None:
    """A client's finding opens their own review, beside the open one of somebody else."""
    other = opened("a", subject="Patient/p2")
    after = plan([finding("b")], [other])
    assert names(after) == ["b"]
    assert after is not None
    assert after.subject == CLIENT


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["", "EpisodeOfCare/a", "EpisodeOfCare/b"]),
        st.frozensets(st.integers(0, 5), max_size=3),
        st.frozensets(st.integers(0, 5), max_size=3),
        st.frozensets(st.integers(0, 5), max_size=2),
        st.booleans(),
        st.sampled_from([None, ReviewStatus.CLOSED, ReviewStatus.CANCELLED]),
    ),
    max_size=8,
)


@given(STEPS)
def test_whatever_happens_the_invariants_hold(steps: list[tuple[Any, ...]]) -> None:
    """Never two open reviews for one client and episode, never a key or a score's finding twice, never less urgent.

    A step is one run: findings, what else was looked for, which are urgent, whether a regular review is due,
    and whether somebody then ends an open review. What a run has written, the same run would not write again.
    """
    standing: dict[str, Review] = {}
    for day, (episode, found, looked_for, urgent, is_due, ending) in enumerate(steps):
        on = date(2026, 1, 1) + timedelta(days=20 * day)
        findings = [finding(f"{n}", on, Level.URGENT if n in urgent else Level.ROUTINE) for n in sorted(found)]
        regular = finding(f"regular {day // 3}", on) if is_due else None
        judged = {f"{n}" for n in found | looked_for}
        setting = Setting(CLIENT, episode)
        seen = Found(tuple(findings), frozenset(judged), regular)
        for planned in plan_goal_reviews(setting, seen, [*standing.values()], POLICY, NOW):
            before = standing.get(planned.key)
            assert before is None or before.status is ReviewStatus.OPEN or before.ending is not None
            assert before is None or [*Level].index(planned.level) >= [*Level].index(before.level)
            assert planned.evidence or planned.status is ReviewStatus.CANCELLED
            standing[planned.key] = planned
        assert plan_goal_reviews(setting, seen, [*standing.values()], POLICY, NOW) == []
        stand = [review for review in standing.values() if review.status is ReviewStatus.OPEN]
        assert len({review.episode for review in stand}) == len(stand)
        keys = [evidence.key for review in standing.values() for evidence in review.evidence]
        on_scores = [key for key in keys if not key.startswith("regular")]
        assert len(on_scores) == len(set(on_scores))
        if stand and ending is not None:
            standing[stand[0].key] = msgspec.structs.replace(stand[0], status=ending, closed_on=on)


# ---------------------------------------------------------------------- repair


def repair(*of: str, name: str = "repair") -> Finding:
    """Return a finding that says these earlier ones are over."""
    return msgspec.structs.replace(finding(name), rule="alliance-repair", repairs=of)


def test_a_repaired_rupture_closes_quietly() -> None:
    """A review that nobody has taken up ends by itself once all its ruptures are repaired, and says so."""
    before = opened("rupture", stored="t1")
    after = plan([repair("rupture")], [before])
    assert names(after) == ["rupture", "repair"]
    assert after is not None
    assert (after.status, after.ending, after.key) == (ReviewStatus.CANCELLED, Ending.REPAIRED, before.key)
    assert "repaired" in after.note
    assert live(after.evidence) == ()


@pytest.mark.parametrize("stage", [TaskStatus.ACCEPTED, TaskStatus.IN_PROGRESS, TaskStatus.ON_HOLD])
def test_a_review_that_somebody_took_up_is_theirs(stage: TaskStatus) -> None:
    """A repair joins a review that a person works on as news, and does not end it under their hands."""
    after = plan([repair("rupture")], [opened("rupture", stage=stage)])
    assert names(after) == ["rupture", "repair"]
    assert after is not None
    assert (after.status, after.stage) == (ReviewStatus.OPEN, stage)


def test_what_is_not_repaired_keeps_a_review_open() -> None:
    """A repair of one of two ruptures leaves the review standing on the other."""
    after = plan([repair("one")], [opened("one", "two")])
    assert after is not None
    assert after.status is ReviewStatus.OPEN
    assert [reason.key for reason in live(after.evidence)] == ["two"]


def test_a_repair_opens_nothing() -> None:
    """Where the rupture stands in no review of ours, its repair is no news; both in one run ask for nothing."""
    assert plan([repair("rupture")]) is None
    assert plan([finding("rupture"), repair("rupture")]) is None
    assert plan([repair("rupture")], [done(date(2026, 1, 1), "rupture")]) is None


def test_a_repair_finds_its_rupture_in_any_order() -> None:
    """Where rupture and repair are of one moment, and so come in any order, the repair is not lost."""
    for found in ([repair("rupture"), finding("rupture")], [finding("rupture"), repair("rupture")]):
        after = plan([finding("a"), *found])
        assert after is not None
        assert [reason.key for reason in live(after.evidence)] == ["a"]


def test_a_repair_that_does_not_hold_opens_the_review_again() -> None:
    """Where the repairing score is withdrawn, or a new rupture comes, the quietly closed review is asked for again."""
    quiet = plan([repair("rupture")], [opened("rupture", stored="t1")])
    assert quiet is not None
    withdrawn = plan([], [quiet], judged={"repair"})
    assert names(withdrawn) == ["rupture"]
    again = plan([finding("new")], [quiet])
    assert names(again) == ["rupture", "repair", "new"]
    for after in (withdrawn, again):
        assert after is not None
        assert (after.key, after.status, after.ending) == (quiet.key, ReviewStatus.OPEN, None)


def test_a_withdrawn_rupture_takes_its_repair_along() -> None:
    """A repair of what was never there is no ground to stand on."""
    taken_up = opened("rupture", stage=TaskStatus.ACCEPTED)
    joined = plan([repair("rupture")], [taken_up])
    assert joined is not None
    after = plan([repair("rupture")], [joined], judged={"rupture", "repair"})
    assert after is not None
    assert (after.status, after.evidence, after.ending) == (ReviewStatus.CANCELLED, (), Ending.GROUND_LOST)


# ----------------------------------------------------------------------- goals


def about(goal: str, name: str) -> Finding:
    """Return a finding about one goal."""
    return msgspec.structs.replace(finding(name), focus=goal)


MAIN = Setting(CLIENT, goal="Goal/main", goals=("Goal/main", "Goal/other"))


def test_each_goal_has_a_review_of_its_own() -> None:
    """A finding about one goal opens the review of that goal; what is about the course goes to the main goal's."""
    found = Found((about("Goal/other", "a"), finding("b"), about("Goal/main", "c")))
    reviews = plan_goal_reviews(MAIN, found, [], POLICY, NOW)
    assert {r.focus: names(r) for r in reviews} == {"Goal/other": ["a"], "Goal/main": ["b", "c"]}
    assert len({review.key for review in reviews}) == 2
    assert plan_goal_reviews(MAIN, found, reviews, POLICY, NOW) == []


def test_a_review_of_an_ended_goal_takes_in_what_comes() -> None:
    """While the review of a goal that is no longer pursued is open, the client gets no second one for their course."""
    before = opened("a", focus="Goal/ended")
    after = plan([finding("b")], [before], setting=MAIN)
    assert after is not None
    assert after.key == before.key
    beside = plan([about("Goal/other", "b")], [before], setting=MAIN)
    assert beside is not None
    assert (beside.key != before.key, beside.focus) == (True, "Goal/other")


@pytest.mark.parametrize("stage", TaskStatus)
def test_with_a_client_only_waiting_reviews_end(stage: TaskStatus) -> None:
    """Of a client who has died no review opens; one that waits ends, and whatever a person has touched stays theirs."""
    gone = msgspec.structs.replace(HERE, has_died=True)
    assert plan([finding("a")], setting=gone) is None
    review = opened("a", stage=stage, status=status_of(stage))
    after = plan([finding("a"), finding("b")], [review], setting=gone)
    assert (after is not None) is (stage in WAITING)
    if after is not None:
        assert (after.status, after.ending, after.evidence) == (ReviewStatus.CANCELLED, Ending.DIED, review.evidence)
        assert plan([finding("a")], [after], setting=gone) is None
        again = plan([finding("a")], [after])  # the record was wrong
        assert again is not None
        assert (again.status, again.ending) == (ReviewStatus.OPEN, None)
