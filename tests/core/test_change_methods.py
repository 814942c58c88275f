"""The formulas of change: published examples, every formula by hand, both sides of every threshold.

The vectors "by hand" are worked in the comment beside them from the formulas as their authors give them; the package
`clinicalsignificance` 3.0.0 (doi 10.18637/jss.v111.i01) states the same formulas.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.change import Change, ChangeClass, How, Pair, change
from fhir_alliance.core.change_methods import Group, Method, NotComputable, band, clinical_index, index, least_change
from fhir_alliance.core.cutoffs import Cutoff, CutoffKind, cutoff_between, true_norm
from fhir_alliance.core.model import Direction, Norm, Sourced

WORSE, BETTER = Direction.WORSE, Direction.BETTER
D = Decimal
INDEXED = [method for method in Method if method not in (Method.ANCHOR, Method.PERCENTAGE)]


def number(value: object) -> Decimal:
    """Return what must be a number, and not a reason for none."""
    assert isinstance(value, Decimal), value
    return value


def line(cutoff: object) -> Decimal:
    """Return where a cut-off lies."""
    assert isinstance(cutoff, Cutoff), cutoff
    return D(cutoff.value)


def judged(before: Any, after: Any, how: How) -> Change:
    """Return a change that can be computed."""
    result = change(Pair(before, after), how)
    assert isinstance(result, Change), result
    return result


def reason(result: object) -> str:
    """Return why something cannot be computed."""
    assert isinstance(result, NotComputable), result
    return result.reason


# ------------------------------------------------------------- published examples

# Jacobson & Truax 1991, J Consult Clin Psychol 59(1):12-19: their hypothetical example. Higher is better.
DISTRESSED = Norm(40, D("7.5"), "Jacobson & Truax 1991")
WELL = Norm(60, D("7.5"), "Jacobson & Truax 1991")
HYPOTHETICAL = Group(sd=D("7.5"), reliability=D("0.80"))


def test_the_example_of_jacobson_and_truax() -> None:
    """A change from 32.5 to 47.5 with SD 7.5 and reliability .80 is 3.16 standard errors, as they print it."""
    assert round(number(index(Method.JACOBSON_TRUAX, D("32.5"), D("47.5"), HYPOTHETICAL)), 2) == D("3.16")


@pytest.mark.parametrize(("kind", "printed"), [("a", 55), ("b", 45), ("c", 50)])
def test_the_cutoffs_of_jacobson_and_truax(kind: str, printed: int) -> None:
    """Their example's cut-offs lie at 55, 45 and 50."""
    assert line(cutoff_between(CutoffKind(kind), DISTRESSED, WELL, BETTER)) == printed


@pytest.mark.parametrize(
    ("kind", "clinical", "functional", "printed"),
    [
        # package 1.1.0, article "Clinical Significance Cutoffs"
        ("a", (32, 7), (10, 7), "18"),
        ("b", (32, 7), (10, 7), "24"),
        ("c", (32, 7), (10, 7), "21"),
        # package 3.0.0, README, and articles of 2.1.0; the printed means and SDs are themselves rounded
        ("c", ("35.48", "8.16"), ("7.69", "7.52"), "21.02"),
        ("c", ("35.48", "8.16"), (7, 7), "20.15"),
        ("c", ("34.73", "8.26"), (7, 7), "19.72"),
        ("a", ("35.48", "8.16"), (7, 7), "19.16"),
    ],
)
def test_the_cutoffs_that_the_r_package_prints(kind: str, clinical: Any, functional: Any, printed: str) -> None:
    """From its printed means and SDs come the cut-offs that the R package prints, where less is better."""
    norms = [Norm(D(mean), D(sd), "printed") for mean, sd in (clinical, functional)]
    assert round(line(cutoff_between(CutoffKind(kind), *norms, WORSE)), 2) == D(printed)


def test_cutoff_b_uses_the_functional_spread() -> None:
    """Cut-off b lies two of the functional population's own SDs from its mean, whatever the clinical SD is."""
    assert line(cutoff_between(CutoffKind.B, Norm(30, 9, "test"), Norm(10, 4, "test"), WORSE)) == 18
    assert line(cutoff_between(CutoffKind.B, None, Norm(10, 4, "test"), WORSE)) == 18


# ------------------------------------------------------------- every formula by hand

VECTORS = [
    # SD 10, r .68: sqrt(2 * 100 * .32) = 8.  (14 - 30) / 8 = -2
    (Method.JACOBSON_TRUAX, Group(sd=10, reliability=D("0.68")), 30, "14", "-2"),
    # SD 10, r .84: SEM 4; true first score 20 + .84 * 10 = 28.4.  (20.4 - 28.4) / 4 = -2
    (Method.EDWARDS_NUNNALLY, Group(sd=10, reliability=D("0.84"), mean=20), 30, "20.4", "-2"),
    # SD 10, r .6: 10 * sqrt(1 - .36) = 8; predicted deviation .6 * 10 = 6.  (-10 - 6) / 8 = -2
    (Method.GULLIKSEN_LORD_NOVICK, Group(sd=10, reliability=D("0.6"), mean=20), 30, "10", "-2"),
    # the same against a mean of last scores of 15: ((5 - 15) - 6) / 8 = -2
    (Method.HSU_LINN_LORD, Group(sd=10, reliability=D("0.6"), mean=20, mean_after=15), 30, "5", "-2"),
    # SD 10, r .5 and .875: 10 * sqrt(.25 * .5 + .125) = 5; true first score 25.  (15 - 25) / 5 = -2
    (
        Method.NUNNALLY_KOTSCH,
        Group(sd=10, reliability=D("0.5"), reliability_after=D("0.875"), mean=20), 30, "15", "-2",
    ),
    # SD 10, r .6 at both: 10 * sqrt(.36 * .4 + .4) = 10 * sqrt(.544); true first score 26.  (10 - 26) / 7.375636...
    (Method.NUNNALLY_KOTSCH, Group(sd=10, reliability=D("0.6"), mean=20), 30, "10", "-2.169304578"),
    # SDs 10, r .68: 2 SEM^2 = 64; observed 200 - 200 * .5 = 100, true 36, share .36; .6 * 8 = 4.8
    # ((20 - 30) * .36 + (10 - 20) * .64) / 4.8 = -10 / 4.8
    (
        Method.HAGEMAN_ARRINDELL,
        Group(sd=10, reliability=D("0.68"), mean=20, mean_after=10, sd_after=10, correlation=D("0.5")),
        30, "20", "-2.083333333",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "group", "before", "after", "expected"), VECTORS)
def test_each_formula_by_hand(method: Method, group: Group, before: int, after: str, expected: str) -> None:
    """Each method gives what its formula gives on paper; the sign is that of the scale."""
    assert round(number(index(method, before, D(after), group)), 9) == D(expected)


# The last score at which a fall from 30 is just reliable, by the same groups: 1.96 or, for Hageman & Arrindell, 1.65.
EDGES = [
    (Method.JACOBSON_TRUAX, VECTORS[0][1], "14.32"),  # 30 - 1.96 * 8
    (Method.EDWARDS_NUNNALLY, VECTORS[1][1], "20.56"),  # 28.4 - 1.96 * 4
    (Method.GULLIKSEN_LORD_NOVICK, VECTORS[2][1], "10.32"),  # 26 - 1.96 * 8
    (Method.HSU_LINN_LORD, VECTORS[3][1], "5.32"),  # 21 - 1.96 * 8
    (Method.NUNNALLY_KOTSCH, VECTORS[4][1], "15.2"),  # 25 - 1.96 * 5
    # without a mean change: 30 - 1.65 * 4.8 / .36
    (Method.HAGEMAN_ARRINDELL, msgspec.structs.replace(VECTORS[6][1], mean_after=20), "8"),
]


@pytest.mark.parametrize(("method", "group", "edge"), EDGES)
def test_a_change_counts_from_its_critical_value_on(method: Method, group: Group, edge: str) -> None:
    """At the critical value a change is reliable, a hundredth of a point before it is not; worse mirrors better."""
    falling = How(WORSE, method, group)
    assert judged(30, D(edge), falling).kind is ChangeClass.IMPROVED
    assert judged(30, D(edge) + D("0.01"), falling).kind is ChangeClass.UNCHANGED
    rising = How(BETTER, method, group)
    assert judged(30, D(edge), rising).kind is ChangeClass.DETERIORATED
    assert judged(30, D(edge) + D("0.01"), rising).kind is ChangeClass.UNCHANGED


@pytest.mark.parametrize(
    ("how", "before", "just", "not_yet"),
    [
        (How(WORSE, Method.ANCHOR, minimal_change=Sourced(5, "test")), 15, 10, 11),
        (How(BETTER, Method.ANCHOR, minimal_change=Sourced(5, "test")), 15, 20, 19),
        (How(WORSE, Method.PERCENTAGE, percent=Sourced(50, "test")), 15, D("7.5"), 8),
        (How(BETTER, Method.PERCENTAGE, percent=Sourced(50, "test")), 15, D("22.5"), 22),
        # a third, which no decimal fraction is: 3 points of 9 are at least 33.333 %
        (How(WORSE, Method.PERCENTAGE, percent=Sourced(D("33.333"), "test")), 9, 6, 7),
        (How(WORSE, reliable_change=Sourced(6, "NHS Talking Therapies manual")), 20, 14, 15),
    ],
)
def test_points_and_percent_count_from_their_threshold_on(how: How, before: Any, just: Any, not_yet: Any) -> None:
    """A minimal important change, a percentage and a published reliable change include their threshold."""
    assert judged(before, just, how).kind is ChangeClass.IMPROVED
    assert judged(before, not_yet, how).kind is ChangeClass.UNCHANGED
    mirrored = msgspec.structs.replace(how, higher_is=BETTER if how.higher_is is WORSE else WORSE)
    assert judged(before, just, mirrored).kind is ChangeClass.DETERIORATED


def test_the_smallest_reliable_change_in_points() -> None:
    """With SD 10 and reliability .68 it is 1.96 * 8 = 15.68 points."""
    assert least_change(Group(sd=10, reliability=D("0.68"))) == D("15.68")


def test_the_band_of_a_score() -> None:
    """A score of 20 with SD 10 and reliability .84 lies within 20 - 1.96 * 4 and 20 + 1.96 * 4."""
    assert band(20, Group(sd=10, reliability=D("0.84"))) == (D("12.16"), D("27.84"))
    assert "reliability is not known" in reason(band(20, Group(sd=10)))


# SDs 10, r .64: SEM 6; share of last scores .64, so .8 * 6 = 4.8 in the denominator; mean of last scores 20.
SURE = Group(sd=10, reliability=D("0.64"), mean=20, mean_after=20, sd_after=10, correlation=D("0.2"))


def test_the_individual_clinical_index_by_hand() -> None:
    """(20 + (10 - 20) * .64 - 21.52) / 4.8 = -1.65."""
    assert clinical_index(10, D("21.52"), SURE) == D("-1.65")


def test_true_score_populations_by_hand() -> None:
    """With a SEM of 6, an observed SD of 10 is a true SD of 8, and 7.5 is 4.5."""
    spreads = [true_norm(Norm(0, D(sd), "test"), SURE) for sd in ("10", "7.5")]
    assert [norm.sd for norm in spreads if isinstance(norm, Norm)] == [8, D("4.5")]
    assert "not larger than the standard error" in reason(true_norm(Norm(0, 6, "test"), SURE))


# ------------------------------------------------------------- not computable

FULL = Group(sd=10, reliability=D("0.8"), mean=20, mean_after=15, sd_after=9, correlation=D("0.5"))
NEEDS = {
    Method.JACOBSON_TRUAX: ("sd", "reliability"),
    Method.EDWARDS_NUNNALLY: ("sd", "reliability", "mean"),
    Method.GULLIKSEN_LORD_NOVICK: ("sd", "reliability", "mean"),
    Method.HSU_LINN_LORD: ("sd", "reliability", "mean", "mean_after"),
    Method.NUNNALLY_KOTSCH: ("sd", "reliability", "mean"),
    Method.HAGEMAN_ARRINDELL: ("sd", "reliability", "mean", "mean_after", "sd_after", "correlation"),
}


@pytest.mark.parametrize(("method", "name"), [(method, name) for method in INDEXED for name in NEEDS[method]])
def test_a_formula_says_which_number_it_lacks(method: Method, name: str) -> None:
    """Without one of its numbers a method gives no result and names the number; with all of them it gives one."""
    assert isinstance(index(method, 30, 20, FULL), Decimal)
    assert "is not known" in reason(index(method, 30, 20, msgspec.structs.replace(FULL, **{name: None})))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sd", 0, "above 0"), ("sd", -1, "above 0"), ("reliability", 1, "below 1"),
        ("reliability", D("1.1"), "below 1"), ("reliability", D("-0.1"), "at least 0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", INDEXED)
def test_impossible_numbers_are_refused(method: Method, name: str, value: Any, words: str) -> None:
    """An SD of 0 or less and a reliability outside [0, 1) give no result, by any method."""
    assert words in reason(index(method, 30, 20, msgspec.structs.replace(FULL, **{name: value})))


@pytest.mark.parametrize("method", INDEXED)
def test_a_reliability_of_nothing_is_possible(method: Method) -> None:
    """Reliability 0 is inside the range; only Hageman & Arrindell find no true score in it."""
    result = index(method, 30, 20, msgspec.structs.replace(FULL, reliability=0))
    assert isinstance(result, NotComputable if method is Method.HAGEMAN_ARRINDELL else Decimal)


@pytest.mark.parametrize(
    ("kind", "clinical", "functional", "words"),
    [
        ("a", None, WELL, "of the clinical population"),
        ("b", DISTRESSED, None, "of the functional population"),
        ("c", DISTRESSED, None, "of both populations"),
        ("c", None, WELL, "of both populations"),
        ("c", DISTRESSED, Norm(60, 0, "test"), "above 0"),
    ],
)
def test_a_cutoff_says_which_population_it_lacks(kind: str, clinical: Any, functional: Any, words: str) -> None:
    """Without its population a cut-off is not computed."""
    assert words in reason(cutoff_between(CutoffKind(kind), clinical, functional, BETTER))
