"""A client's course: what stands side by side, how far a score may be off, and what is left out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.change import Change, ChangeClass
from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.course import (
    ClientCourse,
    StatedGoal,
    courses_of,
    error_band,
    findings_of,
    span_of,
)
from fhir_alliance.core.model import (
    ChangeNumbers,
    Direction,
    Evidence,
    Family,
    Instrument,
    Level,
    Mode,
    NoValue,
    Rater,
    Review,
    ReviewKind,
    ReviewStatus,
    Score,
    Sourced,
)
from fhir_alliance.testing import START, make_instrument, make_score


def instruments(**changes: Any) -> dict[str, Instrument]:
    """Return the toy, its parallel form for therapists, and an alliance form; changes are the toy's scale's."""
    toy = make_instrument(caseness=6)
    toy = msgspec.structs.replace(toy, scales=(msgspec.structs.replace(toy.scales[0], **changes),))
    other = msgspec.structs.replace(toy, id="toy-therapist", rater=Rater.THERAPIST)
    return {"toy": toy, "toy-therapist": other, "bond": make_instrument(family=Family.ALLIANCE, name="bond")}


def score(value: Any, week: int, **elements: Any) -> Score:
    """Return a score with other elements."""
    return msgspec.structs.replace(make_score(value, week), **elements)


def review(opened: datetime, due: datetime, *evidence: Evidence) -> Review:
    """Return a goal review of the client."""
    return Review(
        f"r{opened}", ReviewKind.GOAL, ReviewStatus.OPEN, "Patient/p1", "", Level.ROUTINE, evidence, (), opened, due
    )


def test_the_error_band_by_hand() -> None:
    """With SD 6 and reliability 0.91 the standard error is 1.8, and 95 of 100 lie within 3.528 points."""
    numbers = ChangeNumbers(sd=Sourced(6, "a"), reliability=Sourced(Decimal("0.91"), "b"))
    band = error_band(numbers)
    assert band is not None
    assert (band.half_width, band.sd.source, band.reliability.source) == (Decimal("3.528"), "a", "b")


@given(st.decimals("0.1", 50, places=1), st.decimals(0, 1, places=2), st.decimals(0, 1, places=2))
def test_more_reliable_is_narrower(sd: Decimal, one: Decimal, other: Decimal) -> None:
    """The band never widens with reliability, is nothing at 1, and 1.96 standard deviations at 0."""
    low, high = sorted((one, other))
    bands = [
        error_band(ChangeNumbers(sd=Sourced(sd, ""), reliability=Sourced(r, "")))
        for r in (Decimal(0), low, high, Decimal(1))
    ]
    widths = [band.half_width for band in bands if band is not None]
    assert widths == sorted(widths, reverse=True)
    assert (widths[0], widths[-1]) == (Decimal("1.96") * sd, 0)


@pytest.mark.parametrize(
    "numbers",
    [
        ChangeNumbers(),
        ChangeNumbers(sd=Sourced(6, "")),
        ChangeNumbers(reliability=Sourced(Decimal("0.9"), "")),
        ChangeNumbers(sd=Sourced(6, ""), reliability=Sourced(Decimal("1.2"), "")),
    ],
)
def test_an_unknown_number_gives_no_band(numbers: ChangeNumbers) -> None:
    """Without SD or reliability, or with one that is none, there is no band, rather than a guessed one."""
    assert error_band(numbers) is None


def test_parallel_forms_stand_side_by_side() -> None:
    """The therapist's parallel form is a second line of the client's scale, and raters are never mixed in one line."""
    history = [
        score(5, 1),
        score(7, 0),
        score(3, 1, key="t", instrument="toy-therapist", rater=Rater.THERAPIST),
        score(9, 2, key="x", rater=Rater.PROXY),
    ]
    (course,) = courses_of(history, instruments(), {})
    assert course.instrument == "toy"
    assert [line.rater for line in course.lines] == [Rater.CLIENT, Rater.THERAPIST, Rater.PROXY]
    assert [[s.value for s in line.sittings] for line in course.lines] == [[7, 5], [3], [9]]


def test_a_parallel_form_alone_stands_on_its_own_numbers() -> None:
    """A therapist's form without the client's form in the catalog is a course of its own."""
    catalog = {"toy-therapist": instruments()["toy-therapist"]}
    (course,) = courses_of([score(3, 1, instrument="toy-therapist", rater=Rater.THERAPIST)], catalog, {})
    assert (course.instrument, course.lines[0].rater) == ("toy-therapist", Rater.THERAPIST)


def test_outcome_stands_before_alliance_and_goals_apart() -> None:
    """Outcome instruments come first; scores about different Goals are different courses."""
    history = [
        score(1, 0, instrument="bond", key="b"),
        score(2, 0, focus="Goal/2", key="g2"),
        score(3, 0, focus="Goal/1", key="g1"),
        score(4, 0),
    ]
    found = courses_of(history, instruments(), {})
    assert [(c.instrument, c.focus) for c in found] == [("toy", ""), ("toy", "Goal/1"), ("toy", "Goal/2"), ("bond", "")]


def test_what_is_withdrawn_or_unknown_is_left_out_and_what_has_no_value_is_kept() -> None:
    """Withdrawn and undated scores and those of unknown instruments are left out; a form without a score is not."""
    reason = NoValue("not-performed", "2 of 4 answered")
    history = [score(7, 0), score(9, 1, withdrawn=True), score(9, 2, instrument="gone"), score(reason, 3)]
    history += [score(9, 4, key=str(year), when=datetime(year, 12, 31, tzinfo=UTC)) for year in (1, 1899, 2200, 9999)]
    (course,) = courses_of(history, instruments(), {"p1-toy-total-0": Mode.VIDEO})
    assert [s.value for s in course.lines[0].sittings] == [7, reason]
    assert [s.mode for s in course.lines[0].sittings] == [Mode.VIDEO, Mode.UNKNOWN]


def test_change_is_judged_from_the_first_to_the_last_score_that_has_a_value() -> None:
    """A form without a score at either end is passed over; the published number of points judges."""
    nothing = NoValue("not-performed", "none")
    history = [score(nothing, 0), score(9, 1), score(2, 2), score(nothing, 3)]
    (course,) = courses_of(history, instruments(change=ChangeNumbers(reliable_change=Sourced(3, "s"))), {})
    told = course.lines[0].change
    assert isinstance(told, Change)
    assert (told.kind, told.points) == (ChangeClass.RECOVERED, 7)


@pytest.mark.parametrize(
    ("history", "changes", "reason"),
    [
        ([score(9, 0)], {}, "Change needs two scores."),
        ([score(9, 0, language="en"), score(3, 1, language="de")], {}, "different languages"),
        ([score(9, 0), score(3, 1)], {}, "standard deviation"),
        ([score(9, 0), score(3, 1)], {"higher_is": Direction.UNKNOWN}, "does not say what a higher score means"),
    ],
)
def test_change_is_refused_with_its_reason(history: list[Score], changes: dict[str, Any], reason: str) -> None:
    """Where a change cannot be judged, the line says why and no class stands in for it."""
    (course,) = courses_of(history, instruments(**changes), {})
    told = course.lines[0].change
    assert isinstance(told, NotComputable)
    assert reason in told.reason


def test_findings_stand_once_and_newest_first() -> None:
    """Evidence in two reviews is one finding, dated by its score; one that rests on no score has no date."""
    old = Evidence("1", "rule", "old", "p1-toy-total-0", "cited")
    new = Evidence("2", "rule", "new", "p1-toy-total-4")
    bare = Evidence("3", "regular-review", "time", "")
    when = START + timedelta(weeks=5)
    again = Evidence("1", "rule", "old", "p1-toy-total-0", "cited")
    reviews = [review(when, when, old, bare), review(when, when, again, new)]
    found = findings_of(reviews, [score(7, 0), score(1, 4)])
    assert [(f.sentence, f.when) for f in found] == [
        ("new", date(2026, 2, 2)), ("old", date(2026, 1, 5)), ("time", None),
    ]  # fmt: skip


def test_a_far_goal_does_not_squeeze_the_sessions() -> None:
    """The time axis takes in reviews and goals near the sittings; a goal that is due in a year does not stretch it."""
    courses = courses_of([score(7, 0), score(5, 4)], instruments(), {})
    last = datetime(2026, 2, 2, 9, tzinfo=UTC)
    told = ClientCourse(
        "Patient/p1", "", last, courses,
        goals=(StatedGoal("Goal/1", "far", "active", date(2020, 1, 1), date(2027, 1, 1)),),
        reviews=(review(last + timedelta(days=3), last + timedelta(days=17)),),
    )  # fmt: skip
    assert span_of(told) == (date(2026, 1, 5), date(2026, 2, 19))


def test_without_scores_the_axis_is_the_day() -> None:
    """A client without scores has a time axis of one day."""
    assert span_of(ClientCourse("Patient/p1", "", START)) == (START.date(), START.date())
