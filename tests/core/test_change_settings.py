"""Settings of change: what is asked for stands before what is published, and that before what a sample shows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_alliance.core.change import How
from fhir_alliance.core.change_methods import Group, Method, NotComputable
from fhir_alliance.core.change_settings import Asked, Published, sample_of, settle
from fhir_alliance.core.cutoffs import Cutoff, CutoffKind
from fhir_alliance.core.model import ChangeNumbers, Direction, Norm, Sourced, Threshold

WORSE = Direction.WORSE
D = Decimal


def line(cutoff: object) -> Decimal:
    """Return where a cut-off lies."""
    assert isinstance(cutoff, Cutoff), cutoff
    return D(cutoff.value)


def reason(result: object) -> str:
    """Return why something cannot be computed."""
    assert isinstance(result, NotComputable), result
    return result.reason


def test_a_sample_is_described_by_hand() -> None:
    """Means, n - 1 spreads and correlation: first 2, 4, 6 and last 1, 5, 3 have means 4 and 3, SDs 2 and 2, r .5."""
    sample = sample_of([(2, 1), (4, 5), (6, 3)])
    assert (sample.mean, sample.mean_after, sample.sd, sample.sd_after) == (4, 3, 2, 2)
    assert sample.correlation == D("0.5")


@pytest.mark.parametrize("pairs", [[], [(1, 2)]])
def test_fewer_than_two_pairs_are_no_sample(pairs: list[tuple[int, int]]) -> None:
    """One pair has no spread, so nothing is computed from it."""
    assert sample_of(pairs) == Group()


def test_a_sample_of_equal_scores_has_no_spread() -> None:
    """Where all begin alike there is no reliable change to compute, and no division by zero."""
    how = settle(Asked(reliability=D("0.8")), Published(WORSE), sample_of([(5, 1), (5, 2)]))
    assert "above 0" in reason(how)


# SDs 10, r .64: SEM 6, so a true SD of 8.
SURE = Group(sd=10, reliability=D("0.64"), mean=20, mean_after=20, sd_after=10, correlation=D("0.2"))
NUMBERS = ChangeNumbers(
    sd=Sourced(6, "published"), reliability=Sourced(D("0.9"), "published"), reliable_change=Sourced(6, "published"),
    minimal_change=Sourced(5, "published"), response_percent=Sourced(50, "published"),
)  # fmt: skip
CASENESS = Threshold(10, "published")
SAMPLE = Group(sd=4, mean=20, mean_after=10, sd_after=4, correlation=D("0.5"))
ASKED_NORM = Norm(3, 3, "as given")


def how_of(asked: Asked, published: Published, sample: Group | None = None) -> How:
    """Return by what is judged."""
    how = settle(asked, published, sample)
    assert isinstance(how, How), how
    return how


def test_published_points_hold_until_somebody_gives_numbers() -> None:
    """A scale's reliable change in points is used, unless an SD or a reliability is asked for."""
    published = Published(WORSE, CASENESS, NUMBERS)
    assert how_of(Asked(), published).reliable_change == NUMBERS.reliable_change
    for asked in (Asked(sd=D(3)), Asked(reliability=D("0.7"))):
        assert how_of(asked, published).reliable_change is None
    assert how_of(Asked(sd=D(3)), published).group == Group(sd=3, reliability=D("0.9"))


def test_a_table_has_its_own_spread() -> None:
    """For a table the SD is that of its first scores, not the published one; an SD that is given stands before both."""
    published = Published(WORSE, None, NUMBERS)
    assert how_of(Asked(), published, SAMPLE).group.sd == 4
    assert how_of(Asked(sd=D(3)), published, SAMPLE).group.sd == 3
    assert how_of(Asked(), published).group.sd == 6


@pytest.mark.parametrize(
    ("asked", "published", "sample", "kind"),
    [
        (Asked(), Published(WORSE), None, None),
        (Asked(), Published(WORSE), SAMPLE, "a"),
        (Asked(clinical=ASKED_NORM), Published(WORSE), None, "a"),
        (Asked(functional=ASKED_NORM), Published(WORSE), None, "b"),
        (Asked(functional=ASKED_NORM), Published(WORSE), SAMPLE, "c"),
        (Asked(), Published(WORSE, CASENESS), SAMPLE, "number"),
        (Asked(functional=ASKED_NORM), Published(WORSE, CASENESS), SAMPLE, "c"),
        (Asked(cutoff=CutoffKind.A), Published(WORSE, CASENESS), SAMPLE, "a"),
        (Asked(cutoff=D(12)), Published(WORSE, CASENESS), SAMPLE, "number"),
        (Asked(Method.ANCHOR), Published(WORSE, CASENESS), SAMPLE, None),
        (Asked(Method.PERCENTAGE, functional=ASKED_NORM), Published(WORSE), SAMPLE, None),
        (Asked(Method.ANCHOR, cutoff=CutoffKind.A), Published(WORSE), SAMPLE, "a"),
    ],
)
def test_the_cutoff_is_the_best_that_is_known(asked: Asked, published: Published, sample: Any, kind: Any) -> None:
    """What is asked for, then given populations, then caseness, then what populations are known; for points none."""
    cutoff = how_of(asked, published, sample).cutoff
    assert (cutoff and cutoff.kind) == kind


def test_a_number_is_taken_as_given() -> None:
    """A cut-off in points is neither computed nor replaced by caseness."""
    assert line(how_of(Asked(cutoff=D(12)), Published(WORSE, CASENESS), SAMPLE).cutoff) == 12


def test_a_cutoff_that_is_asked_for_and_lacks_its_population_stops_everything() -> None:
    """Nobody is classed by another cut-off than the one that was asked for."""
    assert "both populations" in reason(settle(Asked(cutoff=CutoffKind.C), Published(WORSE, CASENESS), SAMPLE))


def test_hageman_arrindell_take_cutoffs_between_true_scores() -> None:
    """Their cut-off a lies two true SDs from the clinical mean: 20 - 2 * sqrt(100 - 36) = 4."""
    how = how_of(Asked(Method.HAGEMAN_ARRINDELL, reliability=D("0.64")), Published(WORSE), SURE)
    assert line(how.cutoff) == 4
    assert line(how_of(Asked(reliability=D("0.64")), Published(WORSE), SURE).cutoff) == 0
