"""However forms arrive, one by one, late, or all at once, the same is found in the end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.model import Band, Mode, Rater, Score
from fhir_alliance.core.rules import evaluate, judged
from fhir_alliance.core.rules.chart import Chart, Rulebook, Session
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.rule_cards import shipped_cards

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
CATALOG = load_catalog()
# What a week can bring: instrument, scale, rater, and the points that it can have.
KINDS = (
    ("phq-9", "total", Rater.CLIENT, tuple(range(0, 28, 3))),
    ("alliance-checkin", "total", Rater.CLIENT, (1, 3, 4, 5)),
    ("alliance-checkin", "bond", Rater.CLIENT, (1, 3, 5)),
    ("alliance-checkin-therapist", "bond", Rater.THERAPIST, (1, 3, 5)),
)
BANDS: dict[str, tuple[Band, ...]] = {
    f"{name}/{scale.id}": scale.bands for name, i in CATALOG.instruments.items() for scale in i.scales
}


@st.composite
def scores(draw: st.DrawFn) -> list[Score]:
    """Draw the scores of two clients over fourteen weeks, now and then in another language."""
    found = []
    for client in ("p1", "p2"):
        for name, scale, rater, points in KINDS:
            for week in draw(st.sets(st.integers(0, 13), max_size=10)):
                value = draw(st.sampled_from(points))
                band = next((b for b in BANDS[f"{name}/{scale}"] if b.low <= value <= b.high), None)
                found.append(
                    Score(
                        f"{client}-{name}-{scale}-{week}", name, "1.0.0", scale, f"Patient/{client}", rater,
                        START + timedelta(weeks=week // 2, hours=draw(st.integers(0, 1))), value, 1, 1, 1, band=band,
                        language=draw(st.sampled_from(("", "de", "de", "de", "en"))),
                        encounter=draw(st.sampled_from(("", f"Encounter/{week}"))),
                    )
                )  # fmt: skip
    return found


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Score], list[list[Score]]]:
    """Draw a history, and the same scores in any order, cut into any batches."""
    history = draw(scores())
    left = draw(st.permutations(history))
    batches = []
    while left:
        size = draw(st.integers(1, len(left)))
        batches.append(left[:size])
        left = left[size:]
    return history, batches


def charts(known: Iterable[Score]) -> list[Chart]:
    """Return both clients' charts; from week 7 on they meet by video."""
    sessions = tuple(
        Session(f"Encounter/{week}", START + timedelta(weeks=week), Mode.IN_PERSON if week < 7 else Mode.VIDEO)
        for week in range(14)
    )
    by_client: dict[str, list[Score]] = {}
    for score in known:
        by_client.setdefault(score.subject, []).append(score)
    return [Chart(subject, tuple(own), sessions) for subject, own in by_client.items()]


def changed_since(batch: Iterable[Score]) -> dict[str, datetime]:
    """Return, by client, the earliest moment among new scores."""
    since: dict[str, datetime] = {}
    for score in batch:
        since[score.subject] = min(score.when, since.get(score.subject, score.when))
    return since


def book(look_back: int = 0, **chosen: int) -> Rulebook:
    """Return a rulebook under which most rules speak often."""
    rules = RuleSettings(look_back_days=look_back, crossing_share=0.5, mode_sessions=2, flat_sessions=2, **chosen)
    return Rulebook(CATALOG.instruments, shipped_cards(), rules)


@given(arrivals(), st.sampled_from([0, 260, 300]))
def test_batches_of_any_size_and_order_end_in_the_same_findings(
    arrived: tuple[list[Score], list[list[Score]]], look_back: int
) -> None:
    """One by one, in reverse or all at once: what was found and is not known to be gone is the same in the end."""
    history, batches = arrived
    rules = book(look_back)
    at_once = evaluate(charts(history), rules, NOW, changed_since(history))
    seen: list[Score] = []
    standing: dict[str, str] = {}
    for batch in batches:
        seen += batch
        since = changed_since(batch)
        gone = judged(charts(seen), rules, NOW, since)
        standing = {key: words for key, words in standing.items() if key not in gone}
        standing |= {f.key: f.sentence for f in evaluate(charts(seen), rules, NOW, since)}
    assert standing == {finding.key: finding.sentence for finding in at_once}


@given(scores(), st.randoms(use_true_random=False))
def test_the_order_of_a_history_changes_nothing(history: list[Score], chance: object) -> None:
    """Scores in any order, and any of them twice, give the same findings."""
    shuffled = [*history, *history[:3]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    since = changed_since(history)
    assert evaluate(charts(shuffled), book(), NOW, since) == evaluate(charts(history), book(), NOW, since)


@given(scores(), st.integers(0, 13))
def test_a_verdict_never_looks_ahead(history: list[Score], weeks: int) -> None:
    """What was found on a score is found as well when nothing later is known."""
    until = START + timedelta(weeks=weeks)
    earlier = [score for score in history if score.when <= until]
    whole = evaluate(charts(history), book(), NOW, changed_since(history))
    assert set(evaluate(charts(earlier), book(), NOW, changed_since(earlier))) == {f for f in whole if f.when <= until}


@given(arrivals())
def test_everything_found_was_looked_for(arrived: tuple[list[Score], list[list[Score]]]) -> None:
    """No finding is made that a later run could not know to be gone, and none twice."""
    history, batches = arrived
    since = changed_since(batches[-1] if batches else [])
    keys = [finding.key for finding in evaluate(charts(history), book(), NOW, since)]
    assert len(keys) == len(set(keys))
    assert set(keys) <= judged(charts(history), book(), NOW, since)


@given(scores())
def test_a_repair_says_which_rupture_is_over(history: list[Score]) -> None:
    """Every repair names one earlier rupture of the same history, and no rupture is repaired twice."""
    found = evaluate(charts(history), book(chart_sessions=3), NOW, changed_since(history))
    ruptures = {f.key: f for f in found if f.rule in ("alliance-drop", "alliance-control-chart")}
    repairs = [f for f in found if f.repairs]
    named = [key for repair in repairs for key in repair.repairs]
    assert len(named) == len(set(named)) == len(repairs)
    for repair in repairs:
        assert found.index(ruptures[repair.repairs[0]]) < found.index(repair)
