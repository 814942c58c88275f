"""Rules: each threshold from both sides, and the same findings however the forms arrive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.keys import finding_key
from fhir_alliance.core.model import (
    Band,
    Direction,
    Family,
    Finding,
    Instrument,
    Level,
    NoValue,
    Rater,
    Review,
    ReviewKind,
    ReviewStatus,
    Score,
)
from fhir_alliance.core.rules import SCORE_RULES, evaluate, judged, regular_review
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.chart import Chart, Rulebook
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.core.scoring import Plan
from fhir_alliance.testing import START, make_book, make_charts, make_instrument, make_score

CLIENT = "Patient/p1"
NOW = datetime(2026, 12, 1, 23, 30, tzinfo=timezone(timedelta(hours=13)))  # half past ten that day in UTC
# One rule at a time: no least step, and no control chart, which would take over from the criterion.
DEFAULTS = RuleSettings(least_step=0, chart_sessions=0)
CASENESS, DROP, REGULAR = "caseness-crossing", "alliance-drop", "regular-review"
BANDS = (Band("low", "low", 0, 5, "test"), Band("middle", "middle", 6, 8, "test"), Band("top", "top", 9, 12, "test"))
LINE = make_instrument(caseness=10)
ALLIANCE = make_instrument(family=Family.ALLIANCE, higher_is=Direction.BETTER)


def scores_of(values: Sequence[Any]) -> list[Score]:
    """Return a client's scores, one a week from the start; None leaves a week out."""
    return [make_score(value, week) for week, value in enumerate(values) if value is not None]


def found(
    scores: Iterable[Score], instrument: Instrument, rules: RuleSettings = DEFAULTS, *, since: datetime = START
) -> tuple[Finding, ...]:
    """Return what the rules find in a history, with the bands that scoring gives, judged from a moment on."""
    return evaluate(make_charts(banded(scores, instrument)), book(instrument, rules), NOW, {CLIENT: since})


def alone(**rules: Any) -> RuleSettings:
    """Return settings under which the criterion alone judges the alliance."""
    return msgspec.structs.replace(DEFAULTS, off=("low-subscale",), **rules)


def book(instrument: Instrument, rules: RuleSettings = DEFAULTS) -> Rulebook:
    """Return a rulebook of one instrument with these settings."""
    return msgspec.structs.replace(make_book(instrument), settings=rules)


def banded(scores: Iterable[Score], instrument: Instrument) -> list[Score]:
    """Return the scores, each in the band in which scoring puts its value."""
    band_of = Plan(instrument.scales[0], {item.link_id: item for item in instrument.items}).band_of
    return [
        score if isinstance(score.value, NoValue) else msgspec.structs.replace(score, band=band_of(score.value))
        for score in scores
    ]


def weeks(findings: Iterable[Finding], rule: str) -> list[int]:
    """Return the weeks of which a rule speaks."""
    return [(finding.when - START).days // 7 for finding in findings if finding.rule == rule]


# ------------------------------------------------------------- caseness and bands


@pytest.mark.parametrize(
    ("direction", "values", "crossed"),
    [
        pytest.param(Direction.WORSE, [9, 10], [1], id="reaches the line"),
        pytest.param(Direction.WORSE, [8, 9], [], id="stays below the line"),
        pytest.param(Direction.WORSE, [10, 9], [1], id="leaves the line"),
        pytest.param(Direction.WORSE, [11, 10], [], id="stays at the line"),
        pytest.param(Direction.WORSE, [9, Decimal("9.99")], [], id="a prorated score short of the line"),
        pytest.param(Direction.BETTER, [11, 10], [1], id="higher is better: falls to the line"),
        pytest.param(Direction.BETTER, [12, 11], [], id="higher is better: stays above"),
        pytest.param(Direction.BETTER, [10, 11], [1], id="higher is better: rises above the line"),
        pytest.param(Direction.BETTER, [9, 10], [], id="higher is better: stays at the line"),
        pytest.param(Direction.WORSE, [10], [], id="a first score is no crossing"),
        pytest.param(Direction.WORSE, [9, 10, 11, 12], [1], id="said once, not for as long as it lasts"),
        pytest.param(Direction.WORSE, [9, 10, 9, 10], [1, 2, 3], id="said again when it happens again"),
        pytest.param(Direction.WORSE, [9, None, None, 10], [3], id="weeks without a form"),
    ],
)
def test_both_sides_of_the_caseness_line(direction: Direction, values: list[Any], crossed: list[int]) -> None:
    """A crossing is found where the score is at the line and was not, or was and is not; the line belongs to cases."""
    instrument = make_instrument(caseness=10, higher_is=direction)
    assert weeks(found(scores_of(values), instrument), CASENESS) == crossed


@pytest.mark.parametrize(
    ("values", "crossed"),
    [
        pytest.param([5, 6], [1], id="first point of the next band"),
        pytest.param([4, 5], [], id="last point of the same band"),
        pytest.param([6, 5], [1], id="down into the band below"),
        pytest.param([8, 6], [], id="to the first point of the same band"),
        pytest.param([8, 9, 12], [1], id="once"),
        pytest.param([2, 7, 10], [1, 2], id="two bands, one after the other"),
        pytest.param([5, Decimal("5.67")], [], id="between two bands is still the lower one"),
    ],
)
def test_both_sides_of_a_band(values: list[Any], crossed: list[int]) -> None:
    """A change of severity band is found at the first point of the other band, and not before."""
    assert weeks(found(scores_of(values), make_instrument(bands=BANDS)), CASENESS) == crossed


@pytest.mark.parametrize(
    ("direction", "values", "agenda"),
    [
        (Direction.WORSE, [9, 10], "worse"),
        (Direction.WORSE, [10, 9], "better"),
        (Direction.BETTER, [10, 11], "better"),
        (Direction.BETTER, [11, 10], "worse"),
    ],
)
def test_what_to_talk_about_follows_the_direction(direction: Direction, values: list[int], agenda: str) -> None:
    """A crossing for the worse asks what has become harder, one for the better what has helped, on every scale."""
    (finding,) = found(scores_of(values), make_instrument(caseness=10, higher_is=direction))
    assert finding.agenda == AGENDA[agenda]


def test_a_finding_names_its_ground_and_never_a_diagnosis() -> None:
    """A finding has the numbers, the rule with its version and source, and its score; it is routine, not a verdict."""
    (finding,) = found(scores_of([9, 11]), LINE)
    assert finding.sentence == "Toy total is 11 and has reached the caseness line of 10; the first score was 9."
    assert (finding.rule, finding.rule_version, finding.level) == (CASENESS, "2.0.0", Level.ROUTINE)
    assert finding.score_key == scores_of([9, 11])[1].key
    assert finding.key == finding_key(CASENESS, finding.score_key)
    assert finding.citation
    assert "diagnos" not in finding.sentence.lower()


def test_leaving_the_line_is_told_as_such() -> None:
    """A score that is no longer at caseness is told so."""
    (finding,) = found(scores_of([11, 9]), LINE)
    assert finding.sentence == "Toy total is 9 and is no longer at the caseness line of 10; the first score was 11."


def test_a_band_finding_names_both_bands() -> None:
    """A change of band says where the client stands and where they began, in the published words."""
    (finding,) = found(scores_of([1, 10]), make_instrument(bands=BANDS))
    assert finding.sentence == "Toy total is 10 (top); the first score was 1 (low)."


@pytest.mark.parametrize(
    "gap",
    [
        {"value": NoValue("not-performed", "3 of 4 answered; rule needs 4")},
        {"withdrawn": True},
        {"rater": Rater.THERAPIST},
        {"instrument": "other"},
        {"subject": "Patient/p2"},
        {"scale": "unknown"},
    ],
    ids=["without a value", "withdrawn", "another rater", "unknown instrument", "another client", "unknown scale"],
)
def test_only_scores_of_one_series_are_compared(gap: dict[str, Any]) -> None:
    """A score without a value, or of another client, rater, scale or instrument, is not what a crossing starts from."""
    first, last = scores_of([9, 10])
    assert found([msgspec.structs.replace(first, **gap), last], LINE) == ()
    assert len(found([first, last], LINE)) == 1


def test_a_relapse_is_a_crossing() -> None:
    """A client who was at caseness, left it and returns to it has crossed the line again."""
    assert weeks(found(scores_of([11, 8, 11]), LINE), CASENESS) == [1, 2]


def test_a_turn_for_the_worse_is_not_called_better() -> None:
    """A client who had recovered and worsens again is not asked what has helped so far."""
    findings = found(scores_of([10, 1, 7]), make_instrument(bands=BANDS))
    assert [finding.agenda for finding in findings] == [AGENDA["better"], AGENDA["worse"]]


def test_bands_may_be_listed_from_above() -> None:
    """The order in which an instrument lists its bands changes no finding."""
    up, down = make_instrument(bands=BANDS), make_instrument(bands=BANDS[::-1])
    assert found(scores_of([1, 10]), down) == found(scores_of([1, 10]), up)


# ----------------------------------------------------------------- alliance drop


@pytest.mark.parametrize(
    ("values", "rules", "dropped"),
    [
        pytest.param([3, 4, 5, 3], {}, [], id="exactly one deviation below"),
        pytest.param([3, 4, 5, Decimal("2.99")], {}, [3], id="more than one deviation below"),
        pytest.param([3, 4, 5, 2], {"sd_units": 2.0}, [], id="strict: exactly two below"),
        pytest.param([3, 4, 5, Decimal("1.99")], {"sd_units": 2.0}, [3], id="strict: more than two below"),
        pytest.param(
            [3, 4, 5, Decimal("3.9")], {"sd_units": 0.1}, [], id="a tenth of a deviation is no binary fraction"
        ),
        pytest.param([3, 4, 5, Decimal("3.89")], {"sd_units": 0.1}, [3], id="more than a tenth below"),
        pytest.param([4, 5, 1], {}, [], id="two earlier sessions are too few"),
        pytest.param([4, 5, 1], {"sessions_before": 2}, [2], id="two are enough where the site says so"),
        pytest.param([4, 5, 4, 1], {"sessions_before": 4}, [], id="three are too few where four are asked"),
        pytest.param([4, 5, 4, 5, 1], {"sessions_before": 4}, [4], id="four are enough where four are asked"),
        pytest.param([4, 4, 4, 4], {}, [], id="as constant as before"),
        pytest.param([3, 4, 5, 9], {}, [], id="a rise is no drop"),
    ],
)
def test_both_sides_of_an_alliance_drop(values: list[Any], rules: dict[str, Any], dropped: list[int]) -> None:
    """A drop is more than so many deviations below the client's own mean, after enough earlier sessions."""
    assert weeks(found(scores_of(values), ALLIANCE, alone(**rules)), DROP) == dropped


@pytest.mark.parametrize(
    ("last", "units", "words"),
    [(2, 1.0, "1 standard deviation (1.00)"), (1, 2.0, "2 standard deviations (1.00)")],
)
def test_a_drop_says_how_it_was_reckoned(last: int, units: float, words: str) -> None:
    """A drop names the deviation, the mean and the number of sessions that it is measured by."""
    (finding,) = found(scores_of([3, 4, 5, last]), ALLIANCE, alone(sd_units=units))
    assert finding.sentence == (
        f"Toy total is {last}, more than {words} below this client's own mean of 4.00 over 3 earlier "
        "sessions: a probable rupture, by criterion."
    )


@pytest.mark.parametrize(
    ("instrument", "rater", "count"),
    [
        (ALLIANCE, Rater.CLIENT, 1),
        (ALLIANCE, Rater.THERAPIST, 0),
        (ALLIANCE, Rater.PROXY, 0),
        (make_instrument(family=Family.OUTCOME, higher_is=Direction.BETTER), Rater.CLIENT, 0),
    ],
    ids=["client's alliance", "therapist's alliance", "proxy's alliance", "client's outcome"],
)
def test_only_the_clients_own_alliance_can_drop(instrument: Instrument, rater: Rater, count: int) -> None:
    """The rule is about what the client says of the alliance; no other form and nobody else's rating fires it."""
    scores = [msgspec.structs.replace(score, rater=rater) for score in scores_of([3, 4, 5, 1])]
    assert len(found(scores, instrument, alone())) == count


@pytest.mark.parametrize(
    ("scale", "agenda"), [("bond", "bond"), ("task", "task"), ("goal", "goal"), ("total", "alliance")]
)
def test_a_drop_is_talked_about_by_its_part(scale: str, agenda: str) -> None:
    """A drop in bond, task or goal brings the question of that part; a drop in the total brings them together."""
    named = msgspec.structs.replace(ALLIANCE.scales[0], id=scale)
    instrument = msgspec.structs.replace(ALLIANCE, scales=(named,))
    scores = [make_score(value, week, scale=scale) for week, value in enumerate([3, 4, 5, 1])]
    (finding,) = found(scores, instrument, alone())
    assert finding.agenda == AGENDA[agenda]


@given(st.lists(st.integers(0, 12), min_size=4, max_size=8), st.integers(1, 12))
def test_a_rating_at_or_above_the_own_mean_is_never_a_drop(values: list[int], rise: int) -> None:
    """Whatever came before, a last rating that is not below the mean of the earlier ones is no drop."""
    highest = max(values)
    last = len(values)
    assert last not in weeks(found(scores_of([*values, highest]), ALLIANCE), DROP)
    assert last not in weeks(found(scores_of([*values, highest + rise]), ALLIANCE), DROP)


def test_a_strained_alliance_rises() -> None:
    """Where a higher alliance score is worse, a rise is the drop, and a fall is none."""
    strain = make_instrument(family=Family.ALLIANCE, higher_is=Direction.WORSE)
    assert weeks(found(scores_of([3, 4, 5, 9]), strain), DROP) == [3]
    assert weeks(found(scores_of([3, 4, 5, 1]), strain), DROP) == []


# ------------------------------------------------------------ what is judged


@pytest.mark.parametrize(
    ("age", "look_back", "count"),
    [
        (timedelta(days=30), 30, 1),
        (timedelta(days=30, microseconds=1), 30, 0),
        (timedelta(days=329), 0, 1),
    ],
    ids=["as old as the limit", "older than the limit", "no limit"],
)
def test_both_sides_of_the_look_back(age: timedelta, look_back: int, count: int) -> None:
    """A score older than the look-back is history, not news; with none set, nothing is too old."""
    last = msgspec.structs.replace(make_score(10, 1), when=NOW - age)
    scores = [make_score(9, 0), last]
    rules = RuleSettings(look_back_days=look_back)
    assert len(found(scores, LINE, rules)) == count
    keys = judged(make_charts(scores), book(LINE, rules), NOW, {CLIENT: START})
    assert (finding_key(CASENESS, last.key) in keys) == bool(count)


def test_what_is_too_old_to_be_news_is_still_the_beginning() -> None:
    """A first score beyond the look-back is what later ones are compared with."""
    last = msgspec.structs.replace(make_score(10, 1), when=NOW)
    assert len(found([make_score(9, 0), last], LINE, RuleSettings(look_back_days=1))) == 1


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(timedelta(0), [1, 2, 3]), (timedelta(microseconds=1), [2, 3])],
    ids=["from that score on", "from just after it"],
)
def test_both_sides_of_what_has_changed(offset: timedelta, expected: list[int]) -> None:
    """Scores are judged from the moment that the history changed on, that moment included."""
    scores = scores_of([9, 10, 9, 10])
    since = scores[1].when + offset
    assert weeks(found(scores, LINE, since=since), CASENESS) == expected
    keys = judged(make_charts(scores), book(LINE), NOW, {CLIENT: since})
    assert len(keys) == len(SCORE_RULES) * sum(s.when >= since for s in scores)


def test_a_client_who_was_not_asked_about_is_not_judged() -> None:
    """Nothing is found of a client whose history has not changed, and nothing of theirs is known to be gone."""
    scores = scores_of([9, 10])
    assert evaluate(make_charts(scores), book(LINE), NOW, {}) == ()
    assert judged(make_charts(scores), book(LINE), NOW, {}) == frozenset()


def test_a_withdrawn_score_is_always_judged() -> None:
    """What rests on a withdrawn score is known to be gone, however old it is."""
    void = msgspec.structs.replace(make_score(10, 1), withdrawn=True)
    charts = make_charts([make_score(9, 0), void])
    keys = judged(charts, book(LINE, RuleSettings(look_back_days=1)), NOW, {CLIENT: NOW})
    assert keys == {finding_key(rule, void.key) for rule in SCORE_RULES}


# ---------------------------------------------------------------- regular review


def closed(on: date | None, kind: ReviewKind = ReviewKind.GOAL, status: ReviewStatus = ReviewStatus.CLOSED) -> Review:
    """Return a review of the client that ended on a day."""
    return Review(f"{on}", kind, status, CLIENT, "", Level.ROUTINE, (), (), START, START, closed_on=on)


def due(days: int, rules: RuleSettings, scores: Sequence[Score] = (), reviews: Sequence[Review] = ()) -> Finding | None:
    """Return the regular review so many days after the first form, which came in week 0."""
    chart = Chart(CLIENT, tuple(scores or scores_of([5])))
    return regular_review(chart, book(LINE, rules), reviews, START + timedelta(days=days))


@pytest.mark.parametrize(
    ("every", "days", "is_due"), [(90, 89, False), (90, 90, True), (90, 91, True), (1, 0, False), (1, 1, True)]
)
def test_both_sides_of_the_interval(every: int, days: int, is_due: bool) -> None:
    """A regular review is due on the day that the interval is full, and not the day before."""
    assert (due(days, RuleSettings(review_every_days=every)) is not None) == is_due


@pytest.mark.parametrize(
    ("every", "sessions", "is_due"), [(3, 2, False), (3, 3, True), (3, 4, True), (1, 0, False), (1, 1, True)]
)
def test_both_sides_of_the_session_count(every: int, sessions: int, is_due: bool) -> None:
    """A regular review is due when so many sessions with a form have followed the first one."""
    scores = scores_of([5] * (sessions + 1))
    assert (due(60, RuleSettings(review_every_sessions=every), scores) is not None) == is_due


def test_forms_of_one_day_are_one_session() -> None:
    """Two instruments, or two raters, on the same day do not bring a review closer."""
    scores = [make_score(5, week, instrument=name) for week in range(3) for name in ("toy", "other")]
    assert due(60, RuleSettings(review_every_sessions=3), scores) is None


def test_no_interval_no_regular_review() -> None:
    """Until a site chooses an interval, none is claimed."""
    assert due(3000, RuleSettings(), scores_of([5] * 40)) is None


@pytest.mark.parametrize(
    ("reviews", "is_due"),
    [
        ([closed(date(2026, 3, 1))], False),
        ([closed(date(2026, 3, 1)), closed(date(2025, 1, 1))], False),
        ([closed(date(2026, 3, 1), kind=ReviewKind.SAFETY)], True),
        ([closed(date(2026, 3, 1), status=ReviewStatus.CANCELLED)], True),
        ([closed(None, status=ReviewStatus.OPEN)], True),
        ([closed(None)], True),
    ],
    ids=["done", "done twice", "a safety review", "cancelled", "still open", "closed on an unknown day"],
)
def test_the_count_begins_anew_with_a_review_that_was_done(reviews: list[Review], is_due: bool) -> None:
    """Only a completed goal review starts the interval again, and the latest one counts."""
    assert (due(90, RuleSettings(review_every_days=90), reviews=reviews) is not None) == is_due


def test_sessions_are_counted_from_the_last_review() -> None:
    """Sessions before a completed review, and on its day, are not counted again."""
    scores = scores_of([5] * 6)  # 5 January to 9 February
    rules = RuleSettings(review_every_sessions=3)
    assert due(60, rules, scores, [closed(date(2026, 1, 19))]) is not None
    assert due(60, rules, scores, [closed(date(2026, 1, 26))]) is None


@pytest.mark.parametrize(
    "scores",
    [
        [],
        [msgspec.structs.replace(make_score(5, 0), withdrawn=True)],
    ],
    ids=["no form", "a withdrawn form"],
)
def test_no_form_no_regular_review(scores: list[Score]) -> None:
    """The interval begins with the client's first form that stands."""
    rules = RuleSettings(review_every_days=1)
    chart = Chart(CLIENT, tuple(scores))
    assert regular_review(chart, book(LINE, rules), (), START + timedelta(days=400)) is None


def test_a_due_review_is_the_same_until_it_is_done() -> None:
    """The finding keeps its key from run to run, and has another one after a completed review."""
    rules = RuleSettings(review_every_days=30)
    first, again = due(30, rules), due(45, rules)
    later = due(90, rules, reviews=[closed(date(2026, 2, 10))])
    assert first is not None
    assert again is not None
    assert later is not None
    assert first.key == again.key != later.key
    assert (first.rule, first.score_key, first.level) == (REGULAR, "", Level.ROUTINE)
    assert first.sentence == "30 days have passed since the first form."
    assert later.sentence == "54 days have passed since the last review."
