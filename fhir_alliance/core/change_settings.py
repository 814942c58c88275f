"""From what somebody asks for, what a scale publishes and what a sample shows, to what a change is judged by.

What is asked for stands before what is published, and that before what the sample shows; only the standard deviation
of a table is the table's own, because a reliable change is computed for the people in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from fhir_alliance.core.change import How
from fhir_alliance.core.change_methods import Group, Method, NotComputable
from fhir_alliance.core.cutoffs import Cutoff, CutoffKind, cutoff_between, true_norm
from fhir_alliance.core.model import ChangeNumbers, Direction, Norm, Number, Sourced, Threshold

GIVEN = "as given"
SAMPLE = "first scores of this table"


class Asked(msgspec.Struct, frozen=True):
    """What somebody asks for; what is absent is taken from the scale or the sample.

    cutoff: a kind of cut-off, or a number of points that is itself clinical.  percent: of the first score.
    """

    method: Method = Method.JACOBSON_TRUAX
    sd: Decimal | None = None
    reliability: Decimal | None = None
    reliability_after: Decimal | None = None
    functional: Norm | None = None
    clinical: Norm | None = None
    cutoff: CutoffKind | Decimal | None = None
    minimal_change: Decimal | None = None
    percent: Decimal | None = None


class Published(msgspec.Struct, frozen=True):
    """What stands with a scale: what a higher score means, its caseness, and its numbers on change."""

    higher_is: Direction
    caseness: Threshold | None = None
    numbers: ChangeNumbers = ChangeNumbers()


def sample_of(pairs: Sequence[tuple[Number, Number]]) -> Group:
    """Return means, standard deviations (n - 1) and correlation of complete pairs; of fewer than two, nothing."""
    if len(pairs) < 2:
        return Group()
    first, last = ([Decimal(pair[place]) for pair in pairs] for place in (0, 1))
    mean, mean_after = (sum(scores, Decimal(0)) / len(pairs) for scores in (first, last))
    square, square_after = sum((x - mean) ** 2 for x in first), sum((y - mean_after) ** 2 for y in last)
    product = sum((x - mean) * (y - mean_after) for x, y in zip(first, last, strict=True))
    spread = (Decimal(square) * square_after).sqrt()
    return Group(
        sd=(Decimal(square) / (len(pairs) - 1)).sqrt(),
        mean=mean,
        mean_after=mean_after,
        sd_after=(Decimal(square_after) / (len(pairs) - 1)).sqrt(),
        correlation=product / spread if spread else None,
    )


def settle(asked: Asked, published: Published, sample: Group | None = None) -> How | NotComputable:
    """Return what a change is judged by, or what a cut-off lacks.

    sample: of the table that the pair stands in; absent for a pair alone, which has nobody to be compared with.
    """
    numbers = published.numbers
    group = _group(asked, numbers, sample)
    cutoff = _cutoff(asked, published, sample, group)
    if isinstance(cutoff, NotComputable):
        return cutoff
    computes = asked.sd is not None or asked.reliability is not None
    return How(
        published.higher_is,
        asked.method,
        group,
        cutoff,
        None if computes else numbers.reliable_change,
        _given(asked.minimal_change) or numbers.minimal_change,
        _given(asked.percent) or numbers.response_percent,
    )


def _group(asked: Asked, numbers: ChangeNumbers, sample: Group | None) -> Group:
    """Return the people whom the client is compared with: those of the table, or else the published ones."""
    clinical = asked.clinical or numbers.clinical
    base = sample or Group(
        sd=numbers.sd.value if numbers.sd else None,
        mean=clinical.mean if clinical else None,
    )
    reliability = numbers.reliability.value if numbers.reliability else None
    return msgspec.structs.replace(
        base,
        sd=base.sd if asked.sd is None else asked.sd,
        reliability=reliability if asked.reliability is None else asked.reliability,
        reliability_after=asked.reliability_after,
    )


def _cutoff(asked: Asked, published: Published, sample: Group | None, group: Group) -> Cutoff | NotComputable | None:
    """Return the cut-off that is asked for, or the one that what is known allows, or none."""
    if isinstance(asked.cutoff, Decimal):
        return Cutoff(CutoffKind.NUMBER, asked.cutoff, published.higher_is, GIVEN)
    if asked.cutoff is None:
        if asked.method in (Method.ANCHOR, Method.PERCENTAGE):
            return None
        if asked.functional is None and asked.clinical is None and published.caseness is not None:
            line = published.caseness
            return Cutoff(CutoffKind.NUMBER, line.at, published.higher_is, line.source)
    numbers, method = published.numbers, asked.method
    clinical = _as_judged(asked.clinical or numbers.clinical or _norm(sample), method, group)
    functional = _as_judged(asked.functional or numbers.functional, method, group)
    if isinstance(clinical, NotComputable):
        return clinical
    if isinstance(functional, NotComputable):
        return functional
    kind = asked.cutoff or _kind(clinical, functional)
    return cutoff_between(kind, clinical, functional, published.higher_is) if kind else None


def _as_judged(norm: Norm | None, method: Method, group: Group) -> Norm | NotComputable | None:
    """Return a population in the scores that the method judges: true ones by Hageman & Arrindell, else observed."""
    return true_norm(norm, group) if norm is not None and method is Method.HAGEMAN_ARRINDELL else norm


def _kind(clinical: Norm | None, functional: Norm | None) -> CutoffKind | None:
    """Return the best cut-off that known populations allow: c where both are, as Jacobson & Truax 1991 advise."""
    if functional is None:
        return CutoffKind.A if clinical else None
    return CutoffKind.C if clinical else CutoffKind.B


def _norm(sample: Group | None) -> Norm | None:
    if sample is None or sample.mean is None or sample.sd is None:
        return None
    return Norm(sample.mean, sample.sd, SAMPLE)


def _given(value: Decimal | None) -> Sourced | None:
    return None if value is None else Sourced(value, GIVEN)
