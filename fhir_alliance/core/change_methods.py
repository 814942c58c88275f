"""The published formulas of reliable change, each under the name of its authors.

Every formula gives a change in units of its own standard error, `after` minus `before`: the sign is that of the
scale, not of the client. What a formula needs and does not get, it names; it never guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from fhir_alliance.core.model import Number

# Two-sided 5 % of the normal distribution: Jacobson & Truax 1991, J Consult Clin Psychol 59(1):12-19.
CRITICAL = Decimal("1.96")
# One-sided 5 %, the highest risk of a wrong class: Hageman & Arrindell 1999, Behav Res Ther 37(12):1169-1193.
CRITICAL_HAGEMAN_ARRINDELL = Decimal("1.65")


class Method(StrEnum):
    """How a change is judged."""

    JACOBSON_TRUAX = "jacobson-truax"
    EDWARDS_NUNNALLY = "edwards-nunnally"
    GULLIKSEN_LORD_NOVICK = "gulliksen-lord-novick"
    HSU_LINN_LORD = "hsu-linn-lord"
    NUNNALLY_KOTSCH = "nunnally-kotsch"
    HAGEMAN_ARRINDELL = "hageman-arrindell"
    ANCHOR = "anchor"
    PERCENTAGE = "percentage"


CITATIONS: Mapping[Method, str] = {
    Method.JACOBSON_TRUAX: "Jacobson & Truax 1991",
    Method.EDWARDS_NUNNALLY: "Edwards & Nunnally, as in Speer 1992",
    Method.GULLIKSEN_LORD_NOVICK: "Gulliksen, Lord & Novick, as in Hsu 1995",
    Method.HSU_LINN_LORD: "Hsu, Linn & Lord, as in Hsu 1989",
    Method.NUNNALLY_KOTSCH: "Nunnally & Kotsch 1983",
    Method.HAGEMAN_ARRINDELL: "Hageman & Arrindell 1999",
    Method.ANCHOR: "minimal important change",
    Method.PERCENTAGE: "percentage change",
}


class NotComputable(msgspec.Struct, frozen=True):
    """Why there is no result, as a sentence that names no client."""

    reason: str


class Group(msgspec.Struct, frozen=True):
    """What is known of the people whom a client is compared with, in the scale's points.

    mean, sd: of first scores; mean_after, sd_after: of last scores; sd is the sample's (n - 1).
    reliability: of the scale, 0 <= r < 1; reliability_after: at the last scores, the same where it is not given.
    correlation: between first and last scores.
    """

    sd: Number | None = None
    reliability: Number | None = None
    mean: Number | None = None
    mean_after: Number | None = None
    sd_after: Number | None = None
    correlation: Number | None = None
    reliability_after: Number | None = None

    def need(self, name: str) -> Decimal:
        """Return one of these numbers; raises Gap where it is absent or impossible."""
        value = getattr(self, name)
        if value is None:
            raise Gap(f"the {_WORDS[name]} is not known")
        number = Decimal(value)
        if name.startswith("sd") and number <= 0:
            raise Gap(f"the {_WORDS[name]} must be above 0")
        if name.startswith("reliability") and not 0 <= number < 1:
            raise Gap(f"the {_WORDS[name]} must be at least 0 and below 1")
        return number


_WORDS: Mapping[str, str] = {
    "sd": "standard deviation of first scores",
    "reliability": "reliability",
    "mean": "mean of first scores",
    "mean_after": "mean of last scores",
    "sd_after": "standard deviation of last scores",
    "correlation": "correlation of first with last scores",
    "reliability_after": "reliability at the last scores",
}


class Gap(Exception):
    """A formula lacks a number; the sentence says which."""


def index(method: Method, before: Number, after: Number, group: Group) -> Decimal | NotComputable:
    """Return a change in units of its standard error by one of the named formulas, or what it lacks."""
    try:
        return _FORMULAS[method](Decimal(before), Decimal(after), group)
    except Gap as gap:
        return NotComputable(f"{method.value} cannot be computed: {gap}.")


def critical(method: Method) -> Decimal:
    """Return from which size on an index is a reliable change."""
    return CRITICAL_HAGEMAN_ARRINDELL if method is Method.HAGEMAN_ARRINDELL else CRITICAL


def standard_error(group: Group) -> Decimal:
    """Return the standard error of measurement, SD * sqrt(1 - reliability), in points; raises Gap.

    Source: classical test theory, as in Jacobson & Truax 1991.
    """
    return group.need("sd") * (1 - group.need("reliability")).sqrt()


def least_change(group: Group) -> Decimal:
    """Return the smallest reliable change by Jacobson & Truax, in points; raises Gap."""
    return CRITICAL * _difference_error(group)


def band(points: Number, group: Group) -> tuple[Decimal, Decimal] | NotComputable:
    """Return the 95 % band of one score: points - and + 1.96 standard errors of measurement, not cut at the scale."""
    try:
        reach = CRITICAL * standard_error(group)
    except Gap as gap:
        return NotComputable(f"The band cannot be computed: {gap}.")
    return Decimal(points) - reach, Decimal(points) + reach


def clinical_index(after: Number, cutoff: Decimal, group: Group) -> Decimal | NotComputable:
    """Return how far the last true score lies beyond a cut-off, in standard errors; positive is above it.

    cutoff: in true scores.  Source: Hageman & Arrindell 1999 (their CS for individuals).
    """
    try:
        error = standard_error(group)
        reliability = _true_share(group.need("sd_after"), error)
        mean = group.need("mean_after")
    except Gap as gap:
        return NotComputable(f"{Method.HAGEMAN_ARRINDELL.value} cannot be computed: {gap}.")
    return (mean + (Decimal(after) - mean) * reliability - cutoff) / (reliability.sqrt() * error)


def true_sd(sd: Number, group: Group) -> Decimal:
    """Return the standard deviation of true scores behind one of observed scores, in points; raises Gap."""
    spread = Decimal(sd)
    return spread * _true_share(spread, standard_error(group)).sqrt()


def _jacobson_truax(before: Decimal, after: Decimal, group: Group) -> Decimal:
    """Change over the standard error of a difference, sqrt(2 * SEM^2), with the SD of first scores."""
    return (after - before) / _difference_error(group)


def _gulliksen_lord_novick(before: Decimal, after: Decimal, group: Group) -> Decimal:
    """Last score against the one that regression to the mean predicts, over the standard error of prediction."""
    mean = group.need("mean")
    return ((after - mean) - group.need("reliability") * (before - mean)) / _prediction_error(group)


def _hsu_linn_lord(before: Decimal, after: Decimal, group: Group) -> Decimal:
    """As Gulliksen, Lord & Novick, with the last score against the mean of last scores."""
    regressed = group.need("reliability") * (before - group.need("mean"))
    return (after - group.need("mean_after") - regressed) / _prediction_error(group)


def _edwards_nunnally(before: Decimal, after: Decimal, group: Group) -> Decimal:
    """Last score against the estimated true first score, over the standard error of measurement."""
    return (after - _true_before(before, group)) / standard_error(group)


def _nunnally_kotsch(before: Decimal, after: Decimal, group: Group) -> Decimal:
    """As Edwards & Nunnally, with a standard error that has a reliability for each occasion."""
    reliability = group.need("reliability")
    later = reliability if group.reliability_after is None else group.need("reliability_after")
    variance = group.need("sd") ** 2 * (reliability**2 * (1 - reliability) + (1 - later))
    return (after - _true_before(before, group)) / variance.sqrt()


def _hageman_arrindell(before: Decimal, after: Decimal, group: Group) -> Decimal:
    """Estimated true change of an individual, over its standard error (their RC for individuals)."""
    error = standard_error(group)
    sd, sd_after = group.need("sd"), group.need("sd_after")
    shared = 2 * sd * sd_after * group.need("correlation")
    observed = sd**2 + sd_after**2 - shared
    true = observed - 2 * error**2  # each SD squared times its reliability is the SD squared less the error squared
    if observed <= 0 or true <= 0:
        raise Gap("the differences between first and last scores have no reliable part")
    share = true / observed
    mean_change = group.need("mean_after") - group.need("mean")
    return ((after - before) * share + mean_change * (1 - share)) / (share.sqrt() * (2 * error**2).sqrt())


def _difference_error(group: Group) -> Decimal:
    """Return the standard error of a difference: one root, so that no digit is lost where it is rational."""
    return (2 * group.need("sd") ** 2 * (1 - group.need("reliability"))).sqrt()


def _true_before(before: Decimal, group: Group) -> Decimal:
    mean = group.need("mean")
    return group.need("reliability") * (before - mean) + mean


def _prediction_error(group: Group) -> Decimal:
    return group.need("sd") * (1 - group.need("reliability") ** 2).sqrt()


def _true_share(sd: Decimal, error: Decimal) -> Decimal:
    """Return the part of a variance that is not error: the reliability in a group with this SD."""
    if sd <= error:
        raise Gap("a standard deviation is not larger than the standard error of measurement")
    return (sd**2 - error**2) / sd**2


_FORMULAS: Mapping[Method, Callable[[Decimal, Decimal, Group], Decimal]] = {
    Method.JACOBSON_TRUAX: _jacobson_truax,
    Method.EDWARDS_NUNNALLY: _edwards_nunnally,
    Method.GULLIKSEN_LORD_NOVICK: _gulliksen_lord_novick,
    Method.HSU_LINN_LORD: _hsu_linn_lord,
    Method.NUNNALLY_KOTSCH: _nunnally_kotsch,
    Method.HAGEMAN_ARRINDELL: _hageman_arrindell,
}
