"""Outcomes of a course on a pair of measures, and remission and response on one.

Thresholds: NHS Talking Therapies manual (PHQ-9 caseness 10 and reliable change 6, GAD-7 caseness 8 and reliable
change 4); remission below 5 and response of 50 %: CMS159 and HEDIS DRR-E. Definitions: NHS Scorecard 6228 and 6229.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fhir_alliance.core.change import Pair
from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.model import ChangeNumbers, Direction, NoValue, Scale, Sourced, Threshold
from fhir_alliance.core.talking_therapies import Measured, TalkingTherapies, remission, response, talking_therapies
from fhir_alliance.testing import make_instrument

PHQ_9 = make_instrument(9, caseness=10, name="phq-9").scales[0]
GAD_7 = make_instrument(7, caseness=8, name="gad-7").scales[0]
DEPRESSION = ChangeNumbers(
    reliable_change=Sourced(6, "NHS Talking Therapies manual"), remission_below=Sourced(5, "CMS159"),
    response_percent=Sourced(50, "HEDIS DRR-E"),
)  # fmt: skip
ANXIETY = ChangeNumbers(reliable_change=Sourced(4, "NHS Talking Therapies manual"))
MISSING = NoValue("unknown", "two answers are missing.")


def course(phq_9: tuple[Any, Any], gad_7: tuple[Any, Any]) -> TalkingTherapies:
    """Return the outcome of a course that began and ended with these scores."""
    found = talking_therapies(Measured(PHQ_9, DEPRESSION, Pair(*phq_9)), Measured(GAD_7, ANXIETY, Pair(*gad_7)))
    assert isinstance(found, TalkingTherapies), found
    return found


def reason(result: object) -> str:
    """Return why there is no outcome."""
    assert isinstance(result, NotComputable), result
    return result.reason


@pytest.mark.parametrize(
    ("phq_9", "gad_7", "began", "recovered"),
    [
        ((10, 9), (7, 7), True, True),
        ((9, 9), (8, 7), True, True),
        ((9, 3), (7, 2), False, False),
        ((10, 10), (7, 7), True, False),
        ((10, 9), (7, 8), True, False),
        ((20, 9), (15, 8), True, False),
        ((9, 12), (7, 7), False, False),
    ],
)
def test_recovery_is_from_caseness_on_one_to_caseness_on_none(
    phq_9: Any, gad_7: Any, began: bool, recovered: bool
) -> None:
    """At caseness on at least one measure at the start and below it on both at the end; each line from both sides."""
    found = course(phq_9, gad_7)
    assert (found.began_at_caseness, found.recovered) == (began, recovered)


@pytest.mark.parametrize(
    ("phq_9", "gad_7", "improved", "deteriorated"),
    [
        ((15, 9), (10, 10), True, False),
        ((15, 10), (10, 10), False, False),
        ((15, 15), (10, 6), True, False),
        ((15, 15), (10, 7), False, False),
        ((15, 21), (10, 10), False, True),
        ((15, 20), (10, 10), False, False),
        ((15, 15), (10, 14), False, True),
        ((15, 15), (10, 13), False, False),
        ((15, 9), (10, 13), True, False),
        ((15, 9), (10, 14), False, False),
        ((15, 21), (10, 6), False, False),
        ((15, 21), (10, 7), False, True),
    ],
)
def test_reliable_change_on_one_counts_unless_the_other_goes_against_it(
    phq_9: Any, gad_7: Any, improved: bool, deteriorated: bool
) -> None:
    """Six points on one, four on the other; two that go opposite ways are no reliable change."""
    found = course(phq_9, gad_7)
    assert (found.reliably_improved, found.reliably_deteriorated) == (improved, deteriorated)
    assert found.no_reliable_change == (not improved and not deteriorated)


@pytest.mark.parametrize(
    ("phq_9", "gad_7", "expected"),
    [((14, 8), (7, 7), True), ((12, 9), (7, 7), False), ((20, 10), (7, 7), False), ((9, 2), (7, 2), False)],
)
def test_reliable_recovery_is_both(phq_9: Any, gad_7: Any, expected: bool) -> None:
    """Recovery without reliable improvement is no reliable recovery, nor is improvement without recovery."""
    assert course(phq_9, gad_7).reliably_recovered == expected


@pytest.mark.parametrize(
    ("phq_9", "gad_7", "sentence"),
    [
        ((14, 8), (7, 7), "At caseness at the start; recovered; reliably improved."),
        ((9, 15), (7, 7), "Not at caseness at the start, so recovery does not apply; reliably deteriorated."),
        ((15, 14), (9, 9), "At caseness at the start; not recovered; no reliable change."),
        (
            (15, 9), (10, 14),
            "At caseness at the start; not recovered; "
            "no reliable change: one measure is reliably better, the other reliably worse.",
        ),
    ],
)  # fmt: skip
def test_an_outcome_is_told_in_a_sentence(phq_9: Any, gad_7: Any, sentence: str) -> None:
    """The sentence says where the client began, whether they recovered, and why there is no reliable change."""
    assert course(phq_9, gad_7).sentence == sentence


def test_the_direction_is_the_scales_own() -> None:
    """A measure on which more is better is read the other way round."""
    wellbeing = msgspec.structs.replace(GAD_7, higher_is=Direction.BETTER, caseness=Threshold(8, "test"))
    found = talking_therapies(
        Measured(PHQ_9, DEPRESSION, Pair(9, 9)), Measured(wellbeing, ANXIETY, Pair(8, 12)),
    )  # fmt: skip
    assert isinstance(found, TalkingTherapies)
    assert (found.began_at_caseness, found.recovered, found.reliably_improved) == (True, True, True)


@pytest.mark.parametrize(
    ("phq_9", "gad_7", "title"),
    [((MISSING, 5), (9, 5), 0), ((12, MISSING), (9, 5), 0), ((12, 5), (MISSING, 5), 1), ((12, 5), (9, MISSING), 1)],
)
def test_nothing_is_told_from_one_measure(phq_9: Any, gad_7: Any, title: int) -> None:
    """Where one of the four scores is missing there is no outcome, however clear the other measure is."""
    scales = msgspec.structs.replace(PHQ_9, title="PHQ-9"), msgspec.structs.replace(GAD_7, title="GAD-7")
    found = talking_therapies(Measured(scales[0], DEPRESSION, Pair(*phq_9)), Measured(scales[1], ANXIETY, Pair(*gad_7)))
    assert reason(found).startswith(scales[title].title)
    assert "from one measure" in reason(found)


def test_one_measure_twice_is_not_two() -> None:
    """Giving the same measure twice is refused."""
    measured = Measured(PHQ_9, DEPRESSION, Pair(12, 5))
    assert "given twice" in reason(talking_therapies(measured, measured))


@pytest.mark.parametrize(
    ("scale", "numbers"), [(GAD_7, ChangeNumbers()), (msgspec.structs.replace(GAD_7, caseness=None), ANXIETY)]
)
def test_unpublished_numbers_are_not_invented(scale: Scale, numbers: ChangeNumbers) -> None:
    """A measure without caseness or without a reliable change gives no outcome."""
    found = talking_therapies(Measured(PHQ_9, DEPRESSION, Pair(12, 5)), Measured(scale, numbers, Pair(9, 5)))
    assert "no published caseness" in reason(found)


@pytest.mark.parametrize(("points", "expected"), [(4, True), (5, False), (0, True)])
def test_remission_is_below_five(points: int, expected: bool) -> None:
    """A PHQ-9 of 4 is in remission, one of 5 is not."""
    assert remission(points, DEPRESSION) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(20, 10, True), (20, 11, False), (9, 4, True), (9, 5, False), (9, 12, False)]
)
def test_response_is_half_or_more(before: int, after: int, expected: bool) -> None:
    """A fall of 50 % is a response, less is not."""
    assert response(Pair(before, after), DEPRESSION) is expected


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (response(Pair(0, 0), DEPRESSION), "above 0"),
        (response(Pair(MISSING, 0), DEPRESSION), "no value"),
        (response(Pair(9, MISSING), DEPRESSION), "no value"),
        (response(Pair(9, 4), ANXIETY), "No percentage"),
        (remission(MISSING, DEPRESSION), "two answers are missing"),
        (remission(4, ANXIETY), "No line of remission"),
    ],
)
def test_remission_and_response_say_what_they_lack(result: object, words: str) -> None:
    """A baseline of 0 has no half, a missing score no value, and a scale without published lines none."""
    assert words in reason(result)
