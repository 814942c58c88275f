"""Where chance alone would let a share or a measure over time lie: funnel limits, and shifts in a run chart."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from statistics import median
from typing import Final

# Two-sided limits of the normal distribution that Spiegelhalter 2005 (Stat Med 24(8):1185-1202) draws: 95 %, 99.8 %.
TWO_SD: Final = Decimal("1.96")
THREE_SD: Final = Decimal("3.09")
# Perla, Provost & Murray 2011 (BMJ Qual Saf 20(1):46-51): six or more in a row on one side of the median are a shift.
SHIFT: Final = 6


def share_limits(centre: Decimal, people: int, deviations: Decimal) -> tuple[Decimal, Decimal]:
    """Return between which shares a group of this size lies by chance, if its true share is the centre.

    centre: 0 to 1.  people: > 0.  deviations: e.g. `TWO_SD`.  The limits are cut to 0 to 1.
    The normal approximation to the binomial: centre -+ deviations * sqrt(centre * (1 - centre) / people).
    Source: Spiegelhalter 2005, Stat Med 24(8):1185-1202.
    """
    if not 0 <= centre <= 1 or people <= 0:
        raise ValueError("a share lies between 0 and 1, and a group has people")
    reach = deviations * (centre * (1 - centre) / people).sqrt()
    return max(Decimal(0), centre - reach), min(Decimal(1), centre + reach)


def shifts(values: Sequence[Decimal]) -> list[tuple[int, int]]:
    """Return the runs of at least six values on one side of the median, as first and last place.

    Values on the median neither count nor break a run. Source: Perla, Provost & Murray 2011, BMJ Qual Saf 20(1):46-51.
    """
    centre = median(values) if values else Decimal(0)
    found: list[tuple[int, int]] = []
    run: list[int] = []
    side = False
    for place, value in enumerate(values):
        if value == centre:
            continue
        if run and (value > centre) != side:
            found += [(run[0], run[-1])] if len(run) >= SHIFT else []
            run = []
        side = value > centre
        run.append(place)
    return found + ([(run[0], run[-1])] if len(run) >= SHIFT else [])
