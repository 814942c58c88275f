"""Scales that a Questionnaire brings: linear scores, expressions whose value comes with the form, and fast counts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.conformance import check
from fhir_alliance.core.consent import ConsentPolicy, Datum, gate
from fhir_alliance.core.model import (
    Band,
    Cleared,
    Direction,
    Formula,
    Instrument,
    Missing,
    MissingRule,
    NoValue,
    Score,
)
from fhir_alliance.core.outcomes import outcomes
from fhir_alliance.core.scoring import Plan, Scorer
from fhir_alliance.testing import START, make_form, make_instrument

FULL = {"q1": 1, "q2": 2, "q3": 3, "q4": 3}


def toy(**fields: Any) -> Instrument:
    """Return the toy instrument of four items, 0 to 3, whose scale has other fields."""
    made = make_instrument()
    return msgspec.structs.replace(made, scales=(msgspec.structs.replace(made.scales[0], **fields),))


def plan(instrument: Instrument) -> Plan:
    """Return the plan of the only scale."""
    return Scorer(instrument).plans[0]


def scored(instrument: Instrument, answers: dict[str, Any], **computed: Any) -> Score:
    """Return the only score of a form with these answers and values of expressions."""
    form = msgspec.structs.replace(make_form(answers), computed=computed)
    cleared = gate(form, (), ConsentPolicy(), Datum.of(()), START)
    assert isinstance(cleared, Cleared)
    (score,) = Scorer(instrument).score(cleared)
    return score


LINEAR = {"formula": Formula.LINEAR, "coefficients": {"q1": 2, "q2": -1, "q3": Decimal("0.5")}, "constant": 10}


def test_a_linear_score_adds_up_what_its_items_count() -> None:
    """Each item counts by its coefficient, by one where it has none, beside the constant, rounded half up."""
    assert plan(toy(**LINEAR)).evaluate(FULL)[0] == Decimal("14.5")
    assert plan(toy(**LINEAR, decimals=0)).evaluate(FULL)[0] == 15


@pytest.mark.parametrize("gap", [None, Missing.DECLINED])
def test_a_linear_score_needs_its_items(gap: Any) -> None:
    """A gap in a linear score is a reason, not a zero."""
    answers = {**FULL, "q2": gap} if gap else {k: v for k, v in FULL.items() if k != "q2"}
    assert isinstance(plan(toy(**LINEAR)).evaluate(answers)[0], NoValue)


EXPRESSION = {"formula": Formula.EXPRESSION, "missing": MissingRule(2, "test")}


@pytest.mark.parametrize("value", [7, Decimal("1.5"), 0, NoValue("error", "no path")])
def test_the_value_of_an_expression_comes_with_the_form(value: Any) -> None:
    """What was computed while reading is the score, a zero and a reason included; how much was answered is counted."""
    score = scored(toy(**EXPRESSION), {"q1": 1, "q2": 1}, total=value)
    assert (score.value, score.answered, score.needed, score.asked, score.prorated) == (value, 2, 2, 4, False)


def test_too_few_answers_are_none_whatever_was_computed() -> None:
    """Where fewer items are answered than the scale needs, or none, a computed value is not used."""
    for answers in ({"q1": 1}, {}):
        score = scored(toy(**EXPRESSION), answers, total=5)
        assert isinstance(score.value, NoValue)
        assert score.value.code == "not-performed"
    lenient = toy(formula=Formula.EXPRESSION, missing=MissingRule(4, "test"))
    assert isinstance(scored(lenient, {}, total=0).value, NoValue)


def test_an_expression_that_nobody_evaluated_is_an_error() -> None:
    """A form read without its Questionnaire has no value for it, and says so; never a zero."""
    score = scored(toy(**EXPRESSION), FULL)
    assert isinstance(score.value, NoValue)
    assert score.value.code == "error"


BANDS = (Band("few", "few", 0, 1, "test"), Band("many", "many", 2, 4, "test"))
COUNT = {"formula": Formula.COUNT, "counts": {"q1": 2, "q2": 2, "q3": 2, "q4": 1}, "bands": BANDS, "low": 0, "high": 4}


@pytest.mark.parametrize(
    ("answers", "value", "band"),
    [
        ({"q1": 2, "q2": 3, "q3": 1, "q4": 1}, 3, "many"),
        ({"q1": 1, "q2": 3, "q3": 3, "q4": 1}, 3, "few"),
        ({"q1": 0, "q2": 0, "q3": 0, "q4": 0}, 0, "few"),
        ({"q1": 2, "q2": 3, "q3": 1}, None, ""),
        ({"q1": 2, "q2": 3, "q3": 1, "q4": Missing.MASKED}, None, ""),
    ],
)
def test_a_whole_count_is_counted_at_once(answers: dict[str, Any], value: Any, band: str) -> None:
    """The fast way of counting a complete form keeps the gate, the bands, and the refusal to count a gap."""
    found, _, prorated, reached = plan(toy(**COUNT, gate=("q1",))).evaluate(answers)
    assert (None if isinstance(found, NoValue) else found, reached.code if reached else "") == (value, band)
    assert not prorated


@pytest.mark.parametrize(
    "fields",
    [
        {"formula": Formula.EXPRESSION},
        {"formula": Formula.LINEAR},
        {"higher_is": Direction.UNKNOWN},
        {"bands": (Band("low", "low", 0, 5, "t"), Band("six", "six", 6, 5, "t"), Band("high", "high", 6, 12, "t"))},
    ],
    ids=["expression", "linear", "direction", "empty band"],
)
def test_a_folder_states_its_scoring(fields: dict[str, Any]) -> None:
    """In a folder of an instrument's own, what only a Questionnaire can bring, or nobody says, is to be mended."""
    assert any(problem.is_error for problem in check(toy(**fields), ()))


def test_a_band_that_no_answers_reach_is_found() -> None:
    """A band between two possible sums is reported with its name."""
    made = make_instrument()
    options = tuple(option for option in made.items[0].options if option.weight in (0, 3))
    items = tuple(msgspec.structs.replace(item, options=options) for item in made.items)
    bands = (Band("low", "low", 0, 3, "t"), Band("between", "between", 4, 5, "t"), Band("high", "high", 6, 12, "t"))
    scales = (msgspec.structs.replace(made.scales[0], bands=bands),)
    problems = check(msgspec.structs.replace(made, items=items, scales=scales), ())
    assert [problem.what for problem in problems] == ["no answers reach the band between, 4 to 5"]


def test_outcomes_say_what_a_scale_gives() -> None:
    """A scale is shown all lowest, all highest, with one and with two answers missing; mirrored items are mirrored."""
    made = make_instrument(4, 1, 5, max_missing=1, reversed_items=("q2",))
    (outcome,) = outcomes(made)
    assert (outcome.lowest, outcome.highest, outcome.one_missing) == ("4", "20", "20")
    assert outcome.two_missing.startswith("none: 2 of 4 answered")
    (computed,) = outcomes(toy(**EXPRESSION), lambda answers: {"total": len(answers)})
    assert (computed.highest, computed.one_missing, computed.two_missing) == ("4", "3", "2")
