"""Scoring: the published sum or mean, never silent about a gap, and exact."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fhir_alliance.core.consent import ConsentPolicy, Datum, gate
from fhir_alliance.core.model import (
    Band,
    Cleared,
    FormStatus,
    Formula,
    Instrument,
    Missing,
    NoValue,
    Number,
    Rater,
    Response,
    Score,
)
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.testing import START, make_form, make_instrument

LOW, HIGH = 1, 5
BANDS = (Band("low", "low", 4, 9, "test"), Band("middle", "middle", 10, 14, "test"), Band("top", "top", 15, 20, "test"))

FORMULAS = st.sampled_from([Formula.SUM, Formula.MEAN])
POINTS = st.integers(LOW, HIGH)
FORMS = st.lists(POINTS, min_size=1, max_size=9)
GAPPED = st.lists(POINTS | st.sampled_from([*Missing, None]), min_size=1, max_size=9)


def answers_of(points: list[Any]) -> dict[str, Any]:
    """Return answers to q1..qN; where None stands, the item is not in the form at all."""
    return {f"q{n}": point for n, point in enumerate(points, start=1) if point is not None}


def cleared(form: Response) -> Cleared:
    """Return a form that consent lets through."""
    outcome = gate(form, (), ConsentPolicy(), Datum.of(()), START)
    assert isinstance(outcome, Cleared)
    return outcome


def scored(instrument: Instrument, answers: Mapping[str, Any]) -> Score:
    """Return the score of the instrument's only scale."""
    (score,) = Scorer(instrument).score(cleared(make_form(answers)))
    return score


def value_of(instrument: Instrument, answers: Mapping[str, Any]) -> Number:
    """Return the points of a form that has a score."""
    value = scored(instrument, answers).value
    assert not isinstance(value, NoValue)
    return value


def half_up(value: Fraction, places: int = 2) -> Fraction:
    """Return the exact value rounded half up, reckoned apart from the code under test."""
    return Fraction((value * 10**places + Fraction(1, 2)).__floor__(), 10**places)


def mirrored(points: list[Any], places: frozenset[int]) -> list[Any]:
    """Return points with those at some places counted from the other end of their range."""
    return [LOW + HIGH - point if n in places else point for n, point in enumerate(points, start=1)]


@given(FORMS, FORMULAS)
def test_a_full_form_has_the_exact_sum_or_mean(points: list[int], formula: Formula) -> None:
    """A complete form scores the sum of its points, or their mean rounded half up, and is not called prorated."""
    score = scored(make_instrument(len(points), LOW, HIGH, formula=formula), answers_of(points))
    total = Fraction(sum(points))
    assert score.value == (total if formula is Formula.SUM else half_up(total / len(points)))
    assert (score.answered, score.needed, score.asked, score.prorated) == (len(points),) * 3 + (False,)


@given(GAPPED, FORMULAS, st.integers(0, 8), st.sets(st.integers(1, 9)), st.randoms(use_true_random=False))
def test_the_order_of_answers_and_items_is_irrelevant(
    points: list[Any], formula: Formula, spare: int, backwards: set[int], shuffle: Any
) -> None:
    """The same answers give the same score in every order, also where items are reversed or missing."""
    instrument = make_instrument(
        len(points), LOW, HIGH, max_missing=min(spare, len(points)), formula=formula,
        reversed_items=[f"q{n}" for n in backwards if n <= len(points)],
    )  # fmt: skip
    pairs, items = list(answers_of(points).items()), list(instrument.scales[0].items)
    shuffle.shuffle(pairs)
    shuffle.shuffle(items)
    scale = msgspec.structs.replace(instrument.scales[0], items=tuple(items))
    assert scored(msgspec.structs.replace(instrument, scales=(scale,)), dict(pairs)) == scored(
        instrument, answers_of(points)
    )


@given(GAPPED, FORMULAS, st.frozensets(st.integers(1, 9)))
def test_reversal_is_an_involution(points: list[Any], formula: Formula, backwards: frozenset[int]) -> None:
    """A reversed item whose answer is counted from the other end scores like one that is not reversed."""
    assume(any(isinstance(point, int) for point in points))
    backwards = frozenset(n for n in backwards if n <= len(points) and isinstance(points[n - 1], int))
    names = [f"q{n}" for n in backwards]
    plain = make_instrument(len(points), LOW, HIGH, max_missing=len(points), formula=formula)
    turned = make_instrument(len(points), LOW, HIGH, max_missing=len(points), formula=formula, reversed_items=names)
    assert scored(turned, answers_of(mirrored(points, backwards))) == scored(plain, answers_of(points))
    assert scored(turned, answers_of(points)) == scored(plain, answers_of(mirrored(points, backwards)))


@given(GAPPED, FORMULAS)
def test_a_prorated_score_is_the_mean_of_the_others(points: list[Any], formula: Formula) -> None:
    """A filled gap counts as the mean of what was answered: the result lies between lowest and highest."""
    given_points = [point for point in points if isinstance(point, int)]
    assume(given_points)
    score = scored(
        make_instrument(len(points), LOW, HIGH, max_missing=len(points), formula=formula), answers_of(points)
    )
    mean = Fraction(sum(given_points), len(given_points))
    assert score.value == half_up(mean * (len(points) if formula is Formula.SUM else 1))
    times = len(points) if formula is Formula.SUM else 1
    assert min(given_points) * times <= score.value <= max(given_points) * times  # type: ignore[operator]
    assert score.prorated == (len(given_points) < len(points))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.sampled_from([*Missing, None]), st.data())
def test_a_gap_is_never_a_zero(points: list[int], gap: Missing | None, data: st.DataObject) -> None:
    """A form with a gap never gives the same score as the form with a zero in that place, whatever the rule."""
    place = data.draw(st.integers(0, len(points) - 1))
    spare = data.draw(st.integers(0, len(points)))
    instrument = make_instrument(len(points), max_missing=spare)
    gapped, zeroed = [*points], [*points]
    gapped[place], zeroed[place] = gap, 0  # type: ignore[call-overload]
    with_gap, with_zero = scored(instrument, answers_of(gapped)), scored(instrument, answers_of(zeroed))
    assert isinstance(with_gap.value, NoValue) or with_gap.prorated
    assert not isinstance(with_zero.value, NoValue)
    assert not with_zero.prorated
    if any(zeroed) and not isinstance(with_gap.value, NoValue):
        assert with_gap.value > with_zero.value


@given(GAPPED, FORMULAS, st.integers(0, 9))
def test_the_missing_rule_holds_on_both_sides(points: list[Any], formula: Formula, spare: int) -> None:
    """There is a score exactly where no more answers are missing than the rule allows, and at least one is there."""
    spare = min(spare, len(points))
    answered = sum(isinstance(point, int) for point in points)
    score = scored(make_instrument(len(points), LOW, HIGH, max_missing=spare, formula=formula), answers_of(points))
    has_value = not isinstance(score.value, NoValue)
    assert has_value == (answered >= len(points) - spare and answered > 0)
    assert (score.answered, score.needed, score.asked) == (answered, len(points) - spare, len(points))


@given(st.lists(st.decimals(0, 10, places=1), min_size=2, max_size=9), FORMULAS)
def test_results_are_exact(points: list[Decimal], formula: Formula) -> None:
    """Points with decimals add up as on paper; a result is int or Decimal, never a binary fraction."""
    value = value_of(make_instrument(len(points), 0, 10, formula=formula), answers_of(points))
    assert type(value) in (int, Decimal)
    total = sum(map(Fraction, points), Fraction())
    assert Fraction(value) == (total if formula is Formula.SUM else half_up(total / len(points)))


def test_tenths_do_not_drift() -> None:
    """0.1 + 0.2 is 0.3."""
    assert value_of(make_instrument(2), {"q1": Decimal("0.1"), "q2": Decimal("0.2")}) == Decimal("0.3")


@pytest.mark.parametrize(
    ("points", "formula", "expected"),
    [
        pytest.param([1, 1, 1, 1, 1, 1, 1, 2], Formula.MEAN, "1.13", id="a half goes up: 1.125"),
        pytest.param([1, 1, 1, 1, 1, 1, 2, 3], Formula.MEAN, "1.38", id="a half goes up: 1.375"),
        pytest.param([1, 1, 2], Formula.MEAN, "1.33", id="a third"),
        pytest.param([1, 2, 2], Formula.MEAN, "1.67", id="two thirds"),
        pytest.param([2, 2, 3, None], Formula.SUM, "9.33", id="prorated sum"),
        pytest.param([2, 2, 2, None], Formula.SUM, "8", id="prorated to a whole number"),
    ],
)
def test_rounding(points: list[Any], formula: Formula, expected: str) -> None:
    """A result is kept to the scale's two places, half up; a whole one is an int."""
    value = value_of(make_instrument(len(points), LOW, HIGH, max_missing=1, formula=formula), answers_of(points))
    assert str(value) == expected


@given(GAPPED, FORMULAS, st.booleans(), st.data())
def test_more_points_never_lower_the_score(
    points: list[Any], formula: Formula, is_reversed: bool, data: st.DataObject
) -> None:
    """One answer raised raises the score or leaves it; on a reversed item it lowers it or leaves it."""
    raisable = [n for n, point in enumerate(points) if isinstance(point, int) and point < HIGH]
    assume(raisable)
    place = data.draw(st.sampled_from(raisable))
    more = [*points]
    more[place] += 1
    instrument = make_instrument(
        len(points), LOW, HIGH, max_missing=len(points), formula=formula,
        reversed_items=[f"q{place + 1}"] if is_reversed else [],
    )  # fmt: skip
    before, after = value_of(instrument, answers_of(points)), value_of(instrument, answers_of(more))
    assert after <= before if is_reversed else after >= before


@pytest.mark.parametrize(
    ("points", "code", "note"),
    [
        ([1, None, 1, 1], "not-performed", "3 of 4 answered; rule needs 4"),
        ([1, Missing.UNANSWERED, 1, None], "not-performed", "2 of 4 answered; rule needs 4"),
        ([1, Missing.DECLINED, None, 1], "asked-declined", "2 of 4 answered; rule needs 4; 1 declined"),
        ([1, Missing.MASKED, Missing.DECLINED, 1], "masked", "2 of 4 answered; rule needs 4; 1 declined"),
        ([None] * 4, "not-performed", "0 of 4 answered; rule needs 4"),
    ],
    ids=["one absent", "one empty, one absent", "one declined", "one masked", "an empty form"],
)
def test_no_value_says_why(points: list[Any], code: str, note: str) -> None:
    """A form that cannot be scored gives FHIR's reason, and how much of it was answered; nothing was filled in."""
    score = scored(make_instrument(bands=BANDS), answers_of(points))
    assert score.value == NoValue(code, note)
    assert (score.prorated, score.band) == (False, None)


@pytest.mark.parametrize("formula", [Formula.SUM, Formula.MEAN])
def test_an_empty_form_has_no_score_under_any_rule(formula: Formula) -> None:
    """Nothing answered is nothing scored, even where a rule would allow every answer to be missing."""
    score = scored(make_instrument(max_missing=4, formula=formula), {})
    assert isinstance(score.value, NoValue)
    assert score.band is None


@pytest.mark.parametrize(
    ("points", "band"),
    [
        ([1, 1, 1, 1], "low"),
        ([2, 2, 2, 3], "low"),
        ([2, 2, 3, 3], "middle"),
        ([3, 3, 4, 4], "middle"),
        ([3, 4, 4, 4], "top"),
        ([5, 5, 5, 5], "top"),
        ([2, 2, 3, None], "low"),
        ([None, 2, 3, 3], "middle"),
    ],
    ids=["4", "9", "10", "14", "15", "20", "9.33 is not yet 10", "10.67 is 10"],
)
@pytest.mark.parametrize("order", [1, -1], ids=["bands from below", "bands from above"])
def test_bands_include_both_ends(points: list[Any], band: str, order: int) -> None:
    """A score stands in the band that holds it, in whatever order they are listed; between two, in the lower one."""
    score = scored(make_instrument(4, LOW, HIGH, max_missing=1, bands=BANDS[::order]), answers_of(points))
    assert score.band is not None
    assert score.band.code == band


def test_a_scale_without_bands_has_no_band() -> None:
    """No band is made up where none is published."""
    assert scored(make_instrument(), answers_of([3, 3, 3, 3])).band is None


def test_answers_to_other_items_do_not_count() -> None:
    """What is not on the scale adds nothing and fills no gap."""
    instrument = make_instrument(2)
    assert value_of(instrument, {"q1": 1, "q2": 1, "q3": 3}) == 2
    assert isinstance(scored(instrument, {"q1": 1, "q3": 3}).value, NoValue)


def test_every_scale_is_scored_in_its_place() -> None:
    """Each scale of an instrument gives one score of its own, in the instrument's order, with a value or without."""
    instrument = make_instrument(4)
    total = instrument.scales[0]
    half = msgspec.structs.replace(total, id="half", items=("q1", "q2"), high=6)
    both = msgspec.structs.replace(instrument, scales=(half, total))
    scores = Scorer(both).score(cleared(make_form({"q1": 1, "q2": 2, "q3": 3})))
    assert [score.scale for score in scores] == ["half", "total"]
    assert scores[0].value == 3
    assert isinstance(scores[1].value, NoValue)
    assert len({score.key for score in scores}) == 2


def test_a_score_says_whose_it_is() -> None:
    """A score carries its instrument and version, client, rater and the form's moment."""
    form = make_form({"q1": 1, "q2": 1, "q3": 1, "q4": 1})
    (score,) = Scorer(make_instrument()).score(cleared(form))
    said = (score.instrument, score.version, score.scale, score.subject, score.rater, score.when)
    assert said == ("toy", "1.0.0", "total", "Patient/p1", Rater.CLIENT, START)


def test_an_amended_form_keeps_its_keys() -> None:
    """An amended form, with other answers, has scores under the same keys; another form or rater has its own."""
    scorer = Scorer(make_instrument())
    form = make_form(answers_of([1, 1, 1, 1]))
    amended = msgspec.structs.replace(form, status=FormStatus.AMENDED, version="2", answers=answers_of([2, 2, 2, 2]))
    others = (msgspec.structs.replace(form, key="r2"), msgspec.structs.replace(form, rater=Rater.PROXY))
    keys = [[score.key for score in scorer.score(cleared(f))] for f in (form, amended, *others)]
    assert keys[0] == keys[1]
    assert len(set(chain(*keys))) == 3
