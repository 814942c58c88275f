"""Change: both sides of every class, what is refused and why, and what must never matter."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.change import Change, ChangeClass, How, Pair, change, comparable
from fhir_alliance.core.change_methods import Group, Method, NotComputable, index
from fhir_alliance.core.cutoffs import Cutoff, CutoffKind, cutoff_between, plain
from fhir_alliance.core.model import Direction, Norm, NoValue, Rater, Sourced
from fhir_alliance.testing import make_score

WORSE, BETTER = Direction.WORSE, Direction.BETTER
D = Decimal


def judged(before: Any, after: Any, how: How) -> Change:
    """Return a change that can be computed."""
    result = change(Pair(before, after), how)
    assert isinstance(result, Change), result
    return result


def reason(result: object) -> str:
    """Return why something cannot be computed."""
    assert isinstance(result, NotComputable), result
    return result.reason


# ------------------------------------------------------------- classes and sides

LARGE = Sourced(5, "test")


def at(kind: CutoffKind, value: int, higher_is: Direction = WORSE) -> How:
    """Return: five points are reliable, and the cut-off lies here."""
    return How(higher_is, cutoff=Cutoff(kind, value, higher_is, "test"), reliable_change=LARGE)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (20, 9, "recovered"), (20, 11, "improved"), (9, 3, "improved"), (12, 8, "unchanged"), (8, 12, "unchanged"),
        (12, 20, "deteriorated"), (2, 9, "deteriorated"), (9, 20, "harmed"),
        # on cut-off c: who begins there did not begin clinical, who ends there did not end functional
        (10, 4, "improved"), (20, 10, "improved"), (10, 20, "harmed"), (3, 10, "harmed"),
    ],
)  # fmt: skip
def test_the_class_follows_from_size_and_crossing(before: int, after: int, kind: str) -> None:
    """Recovered and harmed need a reliable change and a crossing of the cut-off; both directions of scale agree."""
    assert judged(before, after, at(CutoffKind.C, 10)).kind == kind
    assert judged(-before, -after, at(CutoffKind.C, -10, BETTER)).kind == kind


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [(10, 4, "recovered"), (9, 4, "improved"), (20, 10, "improved"), (20, 9, "recovered"), (10, 20, "deteriorated"),
     (3, 10, "harmed"), (3, 9, "deteriorated")],
)  # fmt: skip
def test_at_a_stated_line_is_clinical(before: int, after: int, kind: str) -> None:
    """A number is read as caseness: PHQ-9 caseness 10 means 10 is a case, at the start and at the end."""
    assert judged(before, after, at(CutoffKind.NUMBER, 10)).kind == kind


@pytest.mark.parametrize(("before", "after", "kind"), [(30, 2, "improved"), (2, 30, "deteriorated")])
def test_without_a_cutoff_nobody_recovers_or_is_harmed(before: int, after: int, kind: str) -> None:
    """Without a cut-off there are three classes."""
    assert judged(before, after, How(WORSE, reliable_change=LARGE)).kind == kind


def test_published_points_stand_for_jacobson_and_truax_alone() -> None:
    """A published reliable change is one of their method; another method computes its own: (20 - 28) / 4 = -2."""
    group = Group(sd=10, reliability=D("0.84"), mean=D("17.5"))
    found = judged(30, 20, How(WORSE, Method.EDWARDS_NUNNALLY, group, reliable_change=Sourced(100, "test")))
    assert (found.kind, found.reliable_change) == (ChangeClass.IMPROVED, 2)


# SDs 10, r .64: SEM 6; share of last scores .64, so .8 * 6 = 4.8 in the denominator; mean of last scores 20.
SURE = Group(sd=10, reliability=D("0.64"), mean=20, mean_after=20, sd_after=10, correlation=D("0.2"))


@pytest.mark.parametrize(("cutoff", "kind"), [("21.52", "recovered"), ("21.51", "improved")])
def test_hageman_arrindell_needs_a_sure_end_for_recovery(cutoff: str, kind: str) -> None:
    """By Hageman & Arrindell a client recovers only where the last true score lies 1.65 errors beyond the cut-off."""
    how = How(WORSE, Method.HAGEMAN_ARRINDELL, SURE, Cutoff(CutoffKind.C, D(cutoff), WORSE, "test"))
    assert judged(40, 10, how).kind == kind


def test_hageman_arrindell_does_not_recover_who_began_functional() -> None:
    """Who began on the functional side can improve, but not recover."""
    how = How(WORSE, Method.HAGEMAN_ARRINDELL, SURE, Cutoff(CutoffKind.C, 41, WORSE, "test"))
    assert judged(40, 10, how).kind is ChangeClass.IMPROVED


@pytest.mark.parametrize(("cutoff", "kind"), [(35, "harmed"), (60, "deteriorated")])
def test_hageman_arrindell_names_harm_unless_the_end_is_surely_functional(cutoff: int, kind: str) -> None:
    """Reliably worse from the functional side is harm, unless the client surely still stands on that side."""
    how = How(WORSE, Method.HAGEMAN_ARRINDELL, SURE, Cutoff(CutoffKind.C, cutoff, WORSE, "test"))
    assert judged(5, 40, how).kind == kind


@pytest.mark.parametrize(
    ("pair", "how", "words"),
    [
        (Pair(0, 5), How(WORSE, Method.PERCENTAGE, percent=Sourced(50, "test")), "first score above 0"),
        (Pair(5, 0), How(WORSE, Method.PERCENTAGE), "percentage above 0"),
        (Pair(5, 0), How(WORSE, Method.PERCENTAGE, percent=Sourced(0, "test")), "percentage above 0"),
        (Pair(5, 0), How(WORSE, Method.ANCHOR), "minimal important change"),
        (Pair(5, 0), How(WORSE, Method.ANCHOR, minimal_change=Sourced(0, "test")), "minimal important change"),
        (Pair(5, 0), How(WORSE), "standard deviation of first scores is not known"),
        (Pair(NoValue("unknown", "masked."), 0), How(WORSE, reliable_change=LARGE), "no first score: masked"),
        (Pair(5, NoValue("unknown", "masked.")), How(WORSE, reliable_change=LARGE), "no last score: masked"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_says_why(pair: Pair, how: How, words: str) -> None:
    """A zero baseline, a missing threshold, a missing number and a missing value each give their reason."""
    assert words in reason(change(pair, how))


# ------------------------------------------------------------- what must never matter

POINTS = st.integers(0, 60)
KINDS = st.sampled_from([CutoffKind.A, CutoffKind.B, CutoffKind.C])
SPREADS = st.decimals(min_value="3", max_value="12", places=1)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Pair, How]:
    """Draw a pair and by what it is judged: any method, group and cut-off."""
    group = Group(
        draw(SPREADS), draw(st.decimals("0.5", "0.95", places=2)), draw(POINTS), draw(POINTS), draw(SPREADS),
        draw(st.decimals("-0.5", "0.5", places=2)),
    )  # fmt: skip
    how = How(
        WORSE, draw(st.sampled_from(list(Method))), group,
        draw(st.one_of(st.none(), st.builds(Cutoff, KINDS, POINTS, st.just(WORSE), st.just("test")))),
        minimal_change=Sourced(draw(st.integers(1, 20)), "test"), percent=Sourced(draw(st.integers(1, 90)), "test"),
    )  # fmt: skip
    return Pair(draw(POINTS), draw(POINTS)), how


def moved(pair: Pair, how: How, factor: int, offset: int, higher_is: Direction) -> tuple[Pair, How]:
    """Return the same question on the scale `factor * points + offset`."""

    def put(value: Any) -> Any:
        return None if value is None else factor * value + offset

    group = msgspec.structs.replace(
        how.group, sd=how.group.sd * abs(factor), sd_after=how.group.sd_after * abs(factor),
        mean=put(how.group.mean), mean_after=put(how.group.mean_after),
    )  # fmt: skip
    cutoff = how.cutoff and msgspec.structs.replace(how.cutoff, value=put(how.cutoff.value), higher_is=higher_is)
    minimal = Sourced(how.minimal_change.value * abs(factor), "test") if how.minimal_change else None
    other = msgspec.structs.replace(how, higher_is=higher_is, group=group, cutoff=cutoff, minimal_change=minimal)
    return Pair(put(pair.before), put(pair.after)), other


def outcome(pair: Pair, how: How) -> Any:
    """Return the class, or that there is none."""
    result = change(pair, how)
    return result.kind if isinstance(result, Change) else None


@given(questions())
def test_turning_the_scale_round_changes_no_class(question: tuple[Pair, How]) -> None:
    """Counting down from 60 with the direction turned round gives everybody the same class."""
    pair, how = question
    if how.method is not Method.PERCENTAGE:  # a percentage of the first score is tied to the scale's own zero
        assert outcome(*moved(pair, how, -1, 60, BETTER)) == outcome(pair, how)


@given(questions(), st.sampled_from([2, 5, 10]))
def test_another_unit_changes_no_class(question: tuple[Pair, How], factor: int) -> None:
    """Scores, spreads and cut-offs in another unit give everybody the same class, by every method."""
    pair, how = question
    assert outcome(*moved(pair, how, factor, 0, WORSE)) == outcome(pair, how)


@given(POINTS, POINTS, SPREADS, st.decimals("0", "0.99", places=2))
def test_going_back_is_the_same_change_the_other_way(
    before: int, after: int, sd: Decimal, reliability: Decimal
) -> None:
    """Reliable change by Jacobson & Truax is antisymmetric."""
    group = Group(sd, reliability)
    there = index(Method.JACOBSON_TRUAX, before, after, group)
    assert isinstance(there, Decimal)
    assert index(Method.JACOBSON_TRUAX, after, before, group) == -there


@given(questions())
def test_a_class_agrees_with_its_change(question: tuple[Pair, How]) -> None:
    """No recovery without a cut-off, and no reliable change without 1.96 (or 1.65) standard errors toward its side."""
    result = change(*question)
    if isinstance(result, Change):
        if result.cutoff is None:
            assert result.kind not in (ChangeClass.RECOVERED, ChangeClass.HARMED)
        if result.reliable_change is not None:
            better = result.kind in (ChangeClass.RECOVERED, ChangeClass.IMPROVED)
            worse = result.kind in (ChangeClass.DETERIORATED, ChangeClass.HARMED)
            least = D("1.65") if question[1].method is Method.HAGEMAN_ARRINDELL else D("1.96")
            assert better == (result.reliable_change >= least)
            assert worse == (result.reliable_change <= -least)


# ------------------------------------------------------------- what may be compared

FIRST, LAST = make_score(15, 0), make_score(5, 10)


def test_comparable_scores_make_a_pair() -> None:
    """Two scores of one client on one scale by one rater are a pair, values that are missing included."""
    assert comparable(FIRST, LAST) == Pair(15, 5)
    gone = NoValue("unknown", "test")
    assert comparable(FIRST, msgspec.structs.replace(LAST, value=gone)) == Pair(15, gone)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"subject": "Patient/p2"}, "differ in subject"),
        ({"instrument": "gad-7"}, "differ in instrument"),
        ({"scale": "bond"}, "differ in scale"),
        ({"rater": Rater.THERAPIST}, "differ in rater"),
        ({"focus": "Goal/g2"}, "differ in focus"),
        ({"language": "de"}, "different languages"),
        ({"withdrawn": True}, "withdrawn"),
        ({"when": FIRST.when}, "not later"),
        ({"when": FIRST.when - timedelta(seconds=1)}, "not later"),
    ],
)
def test_what_differs_is_not_compared(other: dict[str, Any], words: str) -> None:
    """A difference in client, instrument, scale, rater, goal, language or order is refused in a sentence."""
    first = msgspec.structs.replace(FIRST, language="en")
    last = msgspec.structs.replace(LAST, **({"language": "en"} | other))
    sentence = reason(comparable(first, last))
    assert words in sentence
    assert "p1" not in sentence
    assert "p2" not in sentence


@pytest.mark.parametrize(
    ("first", "last", "is_one"),
    [("en", "en-GB", True), ("EN-gb", "en-GB", True), ("", "de", True), ("en", "", True), ("de-AT", "de-CH", False),
     ("de", "den", False), ("den", "de", False)],
)  # fmt: skip
def test_languages_compare_as_tags(first: str, last: str, is_one: bool) -> None:
    """A language and its regional form may be compared, two regions may not; an unknown one is no reason to refuse."""
    scores = [msgspec.structs.replace(s, language=tag) for s, tag in ((FIRST, first), (LAST, last))]
    assert isinstance(comparable(*scores), Pair) == is_one


# ------------------------------------------------------------- words


def test_an_explanation_names_everything_it_rests_on() -> None:
    """Method, SD, reliability, threshold, cut-off with both populations, sides and class stand in the explanation."""
    norms = Norm(40, D("7.5"), "Jacobson & Truax 1991"), Norm(60, D("7.5"), "Jacobson & Truax 1991")
    cutoff = cutoff_between(CutoffKind.C, *norms, BETTER)
    assert isinstance(cutoff, Cutoff)
    told = judged(D("32.5"), D("47.5"), How(BETTER, group=Group(D("7.5"), D("0.80")), cutoff=cutoff)).explanation
    for words in (
        "15 points toward better", "3.16 standard errors", "jacobson-truax (Jacobson & Truax 1991)", "SD 7.5",
        "reliability 0.8", "1.96 standard errors are needed, here 9.3 points", "Cut-off c is 50",
        "clinical M 40, SD 7.5", "functional M 60, SD 7.5",
        "began on the clinical side, ended on the clinical side. Improved.",
    ):  # fmt: skip
        assert words in told


def test_a_published_number_is_told_with_its_source() -> None:
    """Where a published number decides, its source and population are told."""
    how = How(WORSE, reliable_change=Sourced(6, "NHS Talking Therapies manual", "adults, England"))
    told = judged(15, 14, how).explanation
    assert "1 point toward better, by reliable change from 6 points on (NHS Talking Therapies manual; adults" in told
    assert "No cut-off was used. Unchanged." in told


def test_no_change_is_told_as_such() -> None:
    """Two equal scores are told without a direction."""
    assert judged(15, 15, How(WORSE, reliable_change=LARGE)).explanation.startswith("No change in points, by")


@pytest.mark.parametrize(("value", "text"), [("9.30", "9.3"), ("-0.001", "0"), ("100", "100"), ("2.675", "2.68")])
def test_numbers_for_people(value: str, text: str) -> None:
    """At most two decimals and no trailing zeros, and no minus before nothing."""
    assert plain(D(value)) == text
