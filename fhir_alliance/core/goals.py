"""Scores on goals in the client's own words: how far each is reached, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from fhir_alliance.core.model import GoalRating, Missing, NoValue, Number
from fhir_alliance.core.points import rounded

# Kiresuk & Sherman 1968, Community Ment Health J 4(6): mean 50, spread 10, expected correlation of goals 0.3
_CORRELATION: Final = Decimal("0.3")


def goal_attainment(goals: Sequence[GoalRating], decimals: int) -> Number | NoValue:
    """Return the Goal Attainment Scaling T score over all goals of a form, or the reason for none.

    goals: ratings from -2 to 2 with weights > 0; 50 means that goals were reached as expected.
    T = 50 + 10 * sum(w * x) / sqrt(0.7 * sum(w^2) + 0.3 * sum(w)^2)
    Source: Kiresuk & Sherman 1968, Community Ment Health J 4(6).
    """
    if not goals:
        return NoValue("not-performed", "the form names no goal")
    rated = [(goal.weight, goal.rating) for goal in goals if not isinstance(goal.rating, Missing)]
    if len(rated) < len(goals):
        return NoValue("not-performed", f"{len(rated)} of {len(goals)} goals rated; rule needs {len(goals)}")
    weights = [Decimal(weight) for weight, _ in rated]
    if min(weights) <= 0:
        return NoValue("error", "a goal's weight is not above zero")
    attained = sum(weight * Decimal(rating) for weight, (_, rating) in zip(weights, rated, strict=True))
    spread = (1 - _CORRELATION) * sum(w * w for w in weights) + _CORRELATION * sum(weights) ** 2
    return rounded(50 + 10 * attained / spread.sqrt(), decimals)
