"""Every threshold of every rule: an example on either side of it, told apart by one step of the setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pytest

from fhir_alliance.core.model import Direction, Mode, Rater, Score
from fhir_alliance.core.rules import RULE_IDS, evaluate, regular_review
from fhir_alliance.core.rules.chart import Chart, Course, GoalTarget, Rulebook, Session
from fhir_alliance.core.rules.settings import ChosenThreshold, RuleSettings
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.history_file import table_chart
from fhir_alliance.runs.rule_cards import shipped_cards

CATALOG = load_catalog()
CARDS = shipped_cards()
CHECKIN, BOND, THEIRS = "alliance-checkin", "alliance-checkin/bond", "alliance-checkin-therapist/bond"
FIRST = date(2026, 1, 5)
COURSE = Course("phq-9", "total", Direction.WORSE, -2.0, 0.0, 0.0, 4.0, 0, 27, 12, "test")


def table(scale: str, *values: float, rater: str = "client", modes: Sequence[str] = (), first: int = 0) -> list[str]:
    """Return lines of a table, a week apart."""
    return [
        f"{FIRST + timedelta(weeks=first + week)},{scale},{rater},{value},{modes[week] if modes else ''}"
        for week, value in enumerate(values)
    ]


def chart(lines: Sequence[str], **more: Any) -> Chart:
    """Return the chart of a table."""
    return msgspec.structs.replace(table_chart("\n".join(("date,scale,rater,value,mode", *lines)), CATALOG), **more)


def days(*numbers: int) -> tuple[Session, ...]:
    """Return sessions, so many days after the first form."""
    start = datetime(2026, 1, 5, 15, tzinfo=UTC)
    return tuple(Session(f"Encounter/{n}", start + timedelta(days=n)) for n in numbers)


def last_speaks(rule: str, of: Chart, on: int = 400, courses: tuple[Course, ...] = (), **settings: Any) -> bool:
    """Return whether a rule speaks of the last moment of a chart. on: days after the first form."""
    book = Rulebook(CATALOG.instruments, CARDS, RuleSettings(**settings), courses)
    now = datetime(2026, 1, 5, 12, tzinfo=UTC) + timedelta(days=on)
    if rule == "regular-review":
        return regular_review(of, book, (), now) is not None
    last = max(score.when for score in of.scores)
    return rule in {finding.rule for finding in evaluate([of], book, now, {of.subject: last})}


class Threshold(NamedTuple):
    """A setting, the value at which an example speaks, and the next one at which it does not."""

    rule: str
    setting: str
    speaks: Any
    silent: Any
    of: Chart
    more: Mapping[str, Any] = MappingProxyType({})


GAP = [*table(BOND, 4.5), *table(THEIRS, 3, rater="therapist")]
SWITCH = table(CHECKIN, 4.5, 4.5, 4.5, 4, 4, 4, modes=["in-person"] * 3 + ["video"] * 3)
AWAY = chart(table("phq-9", 9), sessions=days(7, 14))
DUE = chart(table("phq-9", 9), goals=(GoalTarget("Goal/1", date(2026, 2, 1)),))
EDGE = 20 - 2.0 * 0.6931 + 1.2816 * 4.0  # first score, slope at the second session, the band's edge

THRESHOLDS = [
    Threshold("caseness-crossing", "crossing_share", 1.0, 1.1, chart(table("phq-9", 12, 6))),
    Threshold("caseness-crossing", "crossing_share", 0.8, 0.9, chart(table("phq-9", 12, 7))),
    Threshold("not-on-track", "track_band", 0.8, 0.81, chart(table("phq-9", 20, EDGE + 0.01)), {"courses": (COURSE,)}),
    Threshold("alliance-drop", "sessions_before", 3, 4, chart(table(CHECKIN, 4.6, 4.8, 4.7, 3.2))),
    Threshold("alliance-drop", "sd_units", 1.0, 1.1, chart(table("wai-sr", 30, 40, 50, 29)), {"least_step": 0}),
    Threshold("alliance-drop", "least_step", 1.0, 1.1, chart(table(CHECKIN, 4.6, 4.8, 4.7, 3.65))),
    Threshold("alliance-drop", "least_step", 1.0, 1.1, chart(table("wai-sr", 50, 51, 52, 39))),
    Threshold("alliance-drop", "chart_sessions", 6, 5, chart(table(CHECKIN, 4.5, 4.7, 4.5, 4.7, 4.6, 3))),
    Threshold("alliance-control-chart", "chart_sessions", 5, 6, chart(table(CHECKIN, 4.5, 4.7, 4.5, 4.7, 4.6, 3))),
    Threshold("alliance-control-chart", "chart_sigmas", 3.0, 3.1, chart(table(CHECKIN, 4, 5, 4, 5, 4, 1.7))),
    Threshold("alliance-control-chart", "least_step", 1.0, 1.1, chart(table(CHECKIN, 4.5, 4.6, 4.5, 4.6, 4.5, 3.5))),
    Threshold("alliance-repair", "sd_units", 1.0, 0.9, chart(table("wai-sr", 30, 40, 50, 20, 30)), {"least_step": 0}),
    Threshold("low-subscale", "low_share", 0.5, 0.49, chart(table("alliance-checkin/task", 4, 3))),
    Threshold("flat-perfect", "flat_sessions", 3, 4, chart(table(CHECKIN, 5, 5, 5))),
    Threshold("flat-perfect", "flat_sessions", 3, 2, chart(table(CHECKIN, 5, 5, 5))),
    Threshold("client-therapist-gap", "gap_points", 1.5, 1.6, chart(GAP)),
    Threshold("mode-change", "mode_sessions", 3, 4, chart(SWITCH)),
    Threshold("mode-change", "mode_sessions", 3, 2, chart(SWITCH)),
    Threshold("mode-change", "mode_points", 0.5, 0.6, chart(SWITCH)),
    Threshold("missed-measures", "missed_sessions", 2, 3, AWAY),
    Threshold("drop-out-signs", "silent_days", 14, 15, AWAY, {"on": 28}),
    Threshold("goal-overdue", "goal_grace_days", 0, 1, DUE, {"on": 28}),
    Threshold("regular-review", "review_every_days", 90, 91, chart(table("phq-9", 9)), {"on": 90}),
    Threshold("regular-review", "review_every_sessions", 3, 4, chart(table("phq-9", 9, 9, 9, 9))),
    Threshold("caseness-crossing", "look_back_days", 30, 29, chart(table("phq-9", 12, 6)), {"on": 37}),
    Threshold("caseness-crossing", "off", (), ("caseness-crossing",), chart(table("phq-9", 12, 6))),
]


def chosen(**choice: Any) -> tuple[ChosenThreshold, ...]:
    """Return a site's own threshold."""
    return (ChosenThreshold(**({"instrument": "phq-9", "scale": "total"} | choice)),)


SRS, PCL = {"instrument": "srs-v3"}, {"instrument": "pcl-5"}
CONCERN = chosen(line=36, **SRS)
THRESHOLDS += [
    Threshold(
        "reliable-deterioration",
        "threshold",
        chosen(reliable_change=6),
        chosen(reliable_change=7),
        chart(table("phq-9", 8, 14)),
    ),
    Threshold(
        "reliable-improvement",
        "threshold",
        chosen(reliable_change=7),
        chosen(reliable_change=8),
        chart(table("phq-9", 16, 9)),
    ),
    Threshold(
        "alliance-line", "threshold", chosen(line=36, **SRS), chosen(line=35, **SRS), chart(table("srs-v3", 38, 36))
    ),
    Threshold(
        "caseness-crossing",
        "threshold",
        chosen(line=33, **PCL),
        chosen(line=34, **PCL),
        chart(table("pcl-5", 40, 33, 32)),
    ),
]


@pytest.mark.parametrize("case", THRESHOLDS, ids=lambda case: f"{case.rule}-{case.setting}-{case.silent}")
def test_one_step_of_a_threshold_flips_an_example(case: Threshold) -> None:
    """An example speaks at one value of a setting and is silent at the next, so no threshold can move unseen."""
    assert last_speaks(case.rule, case.of, **{**case.more, case.setting: case.speaks})
    assert not last_speaks(case.rule, case.of, **{**case.more, case.setting: case.silent})


def test_no_threshold_is_left_out() -> None:
    """Each setting of each card, and each setting there is, has an example that tells its value from the next."""
    proved = {(case.rule, case.setting) for case in THRESHOLDS}
    on_cards = {(card.id, setting.name) for card in CARDS.values() for setting in card.settings}
    assert on_cards <= proved
    assert {setting for _, setting in proved} == set(RuleSettings.__struct_fields__)


@pytest.mark.parametrize("case", THRESHOLDS, ids=lambda case: f"{case.rule}-{case.setting}-{case.silent}")
def test_defaults_are_what_the_examples_prove(case: Threshold) -> None:
    """Where an example is about the default itself, the settings really have that default."""
    default = getattr(RuleSettings(), case.setting)
    for card in CARDS.values():
        assert all(getattr(RuleSettings(), s.name) == s.default for s in card.settings)
    if case.setting in {s.name for s in CARDS[case.rule].settings} and default:
        assert default in {c.speaks for c in THRESHOLDS if c.setting == case.setting}


@pytest.mark.parametrize(
    ("rule", "speaks", "silent", "more"),
    [
        ("caseness-crossing", table("phq-9", 4, 10), table("phq-9", 4, 9), {"threshold": chosen(reliable_change=6)}),
        ("reliable-deterioration", table("phq-9", 8, 14), table("phq-9", 8, 13), {}),
        ("reliable-deterioration", table("gad-7", 4, 8), table("gad-7", 4, 7), {}),
        ("reliable-deterioration", table("phq-9", 8, 8, 14), table("phq-9", 8, 14, 15), {}),
        ("reliable-improvement", table("phq-9", 16, 10), table("phq-9", 16, 11), {}),
        ("reliable-improvement", table("phq-9", 16, 10, 9), table("phq-9", 16, 10, 10), {}),
        ("not-on-track", table("phq-9", 20, 24), table("phq-9", 20, 23), {"courses": (COURSE,)}),
        ("not-on-track", table("phq-9", 20, 20, 25), table("phq-9", 20, 25, 25), {"courses": (COURSE,)}),
        ("alliance-drop", table(CHECKIN, 4.5, 4.6, 4.7, 3.6), table(CHECKIN, 4.5, 4.6, 4.7, 3.61), {}),
        ("alliance-repair", table(CHECKIN, 4.5, 4.6, 4.7, 3, 4.5), table(CHECKIN, 4.5, 4.6, 4.7, 3, 3.5), {}),
        ("alliance-repair", table(CHECKIN, 4.5, 4.6, 4.7, 3, 3.61), table(CHECKIN, 4.5, 4.6, 4.7, 3, 3.6), {}),
        ("low-subscale", table(BOND, 3), table(BOND, 3.01), {}),
        ("low-subscale", table(BOND, 4, 3), table(BOND, 3, 3), {}),
        ("flat-perfect", table(CHECKIN, 5, 5, 5), table(CHECKIN, 5, 4.9, 5, 5), {}),
        ("flat-perfect", table(CHECKIN, 4, 5, 5, 5), table(CHECKIN, 5, 5, 5, 5), {}),
        ("alliance-line", table("srs-v3", 36), table("srs-v3", 36.1), {"threshold": CONCERN}),
        ("alliance-line", table("srs-v3", 37, 36), table("srs-v3", 36, 36), {"threshold": CONCERN}),
        (
            "alliance-line",
            table("srs-v3", 30, 37, 36),
            table("srs-v3", 37, 36, 35),
            {"threshold": CONCERN},
        ),
    ],
)
def test_both_sides_of_each_rule(rule: str, speaks: list[str], silent: list[str], more: dict[str, Any]) -> None:
    """Each rule on scores speaks on one side of its line and is silent on the other; nothing is told twice."""
    assert last_speaks(rule, chart(speaks), **more)
    assert not last_speaks(rule, chart(silent), **more)


def target(**bounds: Any) -> tuple[GoalTarget, ...]:
    """Return a target on the PHQ-9."""
    return (GoalTarget("Goal/1", None, "phq-9", "total", **bounds),)


@pytest.mark.parametrize(
    ("bounds", "reached", "missed"),
    [({"below": 5}, 4, 5), ({"high": 5}, 5, 6), ({"low": 3, "high": 5}, 3, 2), ({"above": 3}, 4, 3)],
)
def test_both_sides_of_a_target(bounds: dict[str, Any], reached: int, missed: int) -> None:
    """A goal is told as reached when a score newly lies within its target, and names that goal."""
    goals, before = target(**bounds), 0 if "above" in bounds else 9
    assert last_speaks("goal-reached", chart(table("phq-9", before, reached), goals=goals))
    assert not last_speaks("goal-reached", chart(table("phq-9", before, missed), goals=goals))
    assert not last_speaks("goal-reached", chart(table("phq-9", reached, reached), goals=goals))


def test_a_reached_goal_is_not_overdue() -> None:
    """A goal whose day has passed is not overdue while the last score lies within its target."""
    goals = tuple(msgspec.structs.replace(goal, due=date(2026, 1, 20)) for goal in target(below=5))
    assert last_speaks("goal-overdue", chart(table("phq-9", 9), goals=goals))
    assert not last_speaks("goal-overdue", chart(table("phq-9", 9, 4), goals=goals))
    assert last_speaks("goal-overdue", chart(table("phq-9", 4, 9), goals=goals))


def test_a_gap_needs_one_session() -> None:
    """Ratings of different sessions, or of one person, are no gap; a gap is told once."""
    apart = [
        *table(BOND, 4.5),
        *table(THEIRS, 3, rater="therapist", first=1),
    ]
    assert not last_speaks("client-therapist-gap", chart(apart))
    gap = chart(GAP)
    theirs = [
        msgspec.structs.replace(s, encounter="Encounter/evening") for s in gap.scores if s.rater is not Rater.CLIENT
    ]
    ours = [score for score in gap.scores if score.rater is Rater.CLIENT]
    assert not last_speaks("client-therapist-gap", msgspec.structs.replace(gap, scores=(*ours, *theirs)))
    assert not last_speaks("client-therapist-gap", chart(table(BOND, 4.5, 3)))
    twice = [
        *GAP,
        *table(BOND, 4.5, first=1),
        *table(THEIRS, 3, rater="therapist", first=1),
    ]
    assert not last_speaks("client-therapist-gap", chart(twice))
    again = [
        *twice,
        *table(BOND, 4, 4.5, first=2),
        *table(THEIRS, 4, 3, rater="therapist", first=2),
    ]
    assert last_speaks("client-therapist-gap", chart(again))


def test_a_change_of_mode_is_about_one_dyad() -> None:
    """With another therapist, or from an unknown mode, a lower alliance is not put down to the way of meeting."""
    switched = chart(SWITCH)
    with_two = tuple(
        msgspec.structs.replace(s, therapist="Practitioner/1" if s.mode is Mode.VIDEO else "")
        for s in switched.sessions
    )
    assert not last_speaks("mode-change", msgspec.structs.replace(switched, sessions=with_two))
    assert not last_speaks("mode-change", msgspec.structs.replace(switched, sessions=()))
    assert not last_speaks(
        "mode-change", chart(table(CHECKIN, 4, 4, 4, 4.5, 4.5, 4.5, modes=["in-person"] * 3 + ["video"] * 3))
    )


def spoken(of: Chart, *languages: str) -> Chart:
    """Return a chart whose forms were answered in these languages."""
    scores = (msgspec.structs.replace(s, language=language) for s, language in zip(of.scores, languages, strict=True))
    return msgspec.structs.replace(of, scores=tuple(scores))


@pytest.mark.parametrize(
    ("languages", "compared"),
    [
        (("de", "de"), True),
        (("de", "de-CH"), True),
        (("de", ""), True),
        (("", "en"), True),
        (("de", "en"), False),
        (("pt-BR", "pt-PT"), False),
    ],
)
def test_languages_are_not_compared_silently(languages: tuple[str, ...], compared: bool) -> None:
    """Change is computed within one language; across two it is refused, and the refusal is told."""
    two = spoken(chart(table("phq-9", 8, 14)), *languages)
    assert last_speaks("reliable-deterioration", two) is compared
    assert last_speaks("language-changed", two) is not compared


def test_an_unknown_language_goes_with_the_one_before() -> None:
    """A form that does not say its language is compared with the form before it, not with an older language."""
    three = spoken(chart(table("phq-9", 0, 8, 14)), "de", "en", "")
    assert last_speaks("reliable-deterioration", three)
    assert not last_speaks("language-changed", three)


def test_therapists_ratings_are_no_rupture() -> None:
    """Only the client's own ratings are judged as ruptures, low parts, or flat."""
    scores = chart(table(CHECKIN, 4.6, 4.8, 4.7, 2)).scores
    theirs: list[Score] = [msgspec.structs.replace(score, rater=Rater.THERAPIST) for score in scores]
    found = {rule for rule in RULE_IDS if last_speaks(rule, Chart(scores[0].subject, tuple(theirs)))}
    assert found == set()
