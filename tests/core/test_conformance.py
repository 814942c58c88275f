"""The conformance kit: what ships passes, and every planted fault is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.conformance import Case, check, has_check_digit
from fhir_alliance.core.model import (
    Band,
    Code,
    Formula,
    Instrument,
    Licence,
    Missing,
    MissingRule,
    Number,
    Option,
    Threshold,
    Wording,
)
from fhir_alliance.core.scoring import Plan, Scorer
from fhir_alliance.runs.catalog import check_folder, load_cases, load_catalog, shipped
from fhir_alliance.testing import make_instrument

LOINC = "http://loinc.org"
SHIPPED = sorted(load_catalog().instruments)
BANDS = (Band("low", "low", 0, 5, "test"), Band("high", "high", 6, 12, "test"))


def changed(thing: Any, **fields: Any) -> Any:
    """Return a copy of a frozen noun with other fields."""
    return msgspec.structs.replace(thing, **fields)


def with_scale(instrument: Instrument, **fields: Any) -> Instrument:
    """Return an instrument whose only scale has other fields."""
    return changed(instrument, scales=(changed(instrument.scales[0], **fields),))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_sound(name: str) -> None:
    """Every instrument that ships agrees with itself, its Questionnaire, its sources and its worked cases."""
    _, cases, problems = check_folder(shipped("questionnaires") / name)
    assert problems == ()
    assert len(cases) >= 4


@pytest.mark.parametrize("name", SHIPPED)
def test_cases_cover_the_ends_and_a_gap(name: str) -> None:
    """The worked cases of every instrument reach both ends of every scale and a form without a score."""
    catalog = load_catalog()
    instrument = catalog.find(name)
    cases = load_cases(shipped("questionnaires") / name, instrument)
    for scale in instrument.scales:
        if scale.formula is Formula.GOAL_ATTAINMENT:
            continue  # its ends are what ever more goals come near to
        said = [case.expect.get(scale.id, "silent") for case in cases]
        assert scale.low in said
        assert scale.high in said
    if instrument.scales:  # a form of safety items alone has no score to miss
        assert any(None in case.expect.values() for case in cases)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_case_is_reproduced_by_its_plan(name: str) -> None:
    """Each published or worked case gives the number, the reason for none, and the band that it states."""
    scorer = Scorer(load_catalog().find(name))
    plans: Mapping[str, Plan] = {plan.scale_id: plan for plan in scorer.plans}
    for case in load_cases(shipped("questionnaires") / name, scorer.instrument):
        for scale_id, expected in case.expect.items():
            value, _, _, band = plans[scale_id].evaluate(case.answers)
            assert (value if isinstance(value, Number) else None) == expected, (case.name, scale_id)
            if scale_id in case.bands:
                assert band is not None
                assert band.code == case.bands[scale_id]


def test_a_sound_instrument_has_no_problems() -> None:
    """The kit is silent where nothing is wrong."""
    assert check(make_instrument(bands=BANDS, critical="q4"), ()) == ()


FAULTS: dict[str, Callable[[Instrument], Instrument]] = {
    "an item stands twice": lambda i: changed(i, items=(*i.items, i.items[0])),
    "an item without a range": lambda i: changed(i, items=(changed(i.items[0], high=0), *i.items[1:])),
    "an answer outside its item": lambda i: changed(
        i, items=(changed(i.items[0], options=(Option(Code("s", "x"), 9),)), *i.items[1:])
    ),
    "a scale item that does not exist": lambda i: with_scale(i, items=("q1", "q2", "q3", "q9")),
    "an item counted twice": lambda i: with_scale(i, items=("q1", "q2", "q3", "q3")),
    "a reversed item of no scale": lambda i: with_scale(i, reversed=frozenset({"q9"})),
    "a scale that stands twice": lambda i: changed(i, scales=(*i.scales, i.scales[0])),
    "a top that its answers do not give": lambda i: with_scale(i, high=13, bands=()),
    "a bottom that its answers do not give": lambda i: with_scale(i, low=1, bands=()),
    "a gap between bands": lambda i: with_scale(i, bands=(BANDS[0], changed(BANDS[1], low=7))),
    "bands that overlap": lambda i: with_scale(i, bands=(BANDS[0], changed(BANDS[1], low=5))),
    "bands that stop short": lambda i: with_scale(i, bands=(BANDS[0], changed(BANDS[1], high=11))),
    "a band without a source": lambda i: with_scale(i, bands=(BANDS[0], changed(BANDS[1], source=" "))),
    "a line without a source": lambda i: with_scale(i, caseness=Threshold(5, "")),
    "a range without a source": lambda i: with_scale(i, source=""),
    "a missing rule without a source": lambda i: with_scale(i, missing=MissingRule(0, "")),
    "a missing rule that scores an empty form": lambda i: with_scale(i, missing=MissingRule(4, "test")),
    "a gap filled by the mean of items of another range": lambda i: changed(
        with_scale(i, high=19, bands=(), missing=MissingRule(1, "test")),
        items=(changed(i.items[0], high=10), *i.items[1:]),
    ),
    "a gap that is counted as a low answer": lambda i: with_scale(
        i,
        formula=Formula.COUNT,
        high=4,
        bands=(),
        counts=dict.fromkeys(i.scales[0].items, 2),
        missing=MissingRule(1, "test"),
    ),
    "no holder of the wording": lambda i: changed(i, licence=Licence("", Wording.OWN, "test", "test")),
    "a mistyped LOINC code": lambda i: changed(i, panel=(Code(LOINC, "44249-2"),)),
    "a mistyped LOINC code of a scale": lambda i: with_scale(i, codes=(Code(LOINC, "44261-5"),)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    """The kit bites: each kind of fault, planted in a sound instrument, is reported with its place."""
    problems = check(FAULTS[fault](make_instrument(bands=BANDS)), ())
    assert problems
    assert all(problem.place and problem.what for problem in problems)


@pytest.mark.parametrize(
    "case",
    [
        Case("wrong sum", "test", {"q1": 1, "q2": 1, "q3": 1, "q4": 1}, {"total": 5}),
        Case("a gap taken for zero", "test", {"q1": 1, "q2": 1, "q3": 1}, {"total": 3}),
        Case(
            "a declined answer taken for zero",
            "test",
            {"q1": 1, "q2": 1, "q3": 1, "q4": Missing.DECLINED},
            {"total": 3},
        ),
        Case("no value where there is one", "test", {"q1": 1, "q2": 1, "q3": 1, "q4": 1}, {"total": None}),
        Case("wrong band", "test", {"q1": 1, "q2": 1, "q3": 1, "q4": 1}, {"total": 4}, {"total": "high"}),
        Case("unknown scale", "test", {"q1": 1}, {"nowhere": 1}),
    ],
    ids=lambda case: case.name,
)
def test_a_case_that_does_not_come_out_is_found(case: Case) -> None:
    """A worked case that scoring does not reproduce is reported by its name."""
    problems = check(make_instrument(bands=BANDS), (case,))
    assert [problem.place for problem in problems] == [f"case {case.name}"]


@pytest.mark.parametrize("formula", [Formula.SUM, Formula.MEAN])
@pytest.mark.parametrize("max_missing", [0, 1, 3])
def test_missing_rules_and_reversal_are_sound(formula: Formula, max_missing: int) -> None:
    """Sums and means with reversed items reproduce their range under every missing rule short of an empty form."""
    instrument = make_instrument(5, 1, 5, max_missing=max_missing, formula=formula, reversed_items=("q2",))
    assert check(instrument, ()) == ()


@pytest.mark.parametrize("code", ["44249-1", "44261-6", "69737-5", "70274-6", "101697-1", "101698-9", "69722-7"])
def test_check_digits_of_the_codes_in_use(code: str) -> None:
    """The LOINC numbers in use end in their check digit, and no other digit is taken for it."""
    number, _, digit = code.partition("-")
    assert [d for d in range(10) if has_check_digit(Code(LOINC, f"{number}-{d}"))] == [int(digit)]


@pytest.mark.parametrize("code", ["", "44249", "44249-", "-1", "PHQ-9"])
def test_what_is_no_loinc_number_has_no_check_digit(code: str) -> None:
    """Something that is not built like a LOINC number is never taken for a sound one."""
    assert not has_check_digit(Code(LOINC, code))
