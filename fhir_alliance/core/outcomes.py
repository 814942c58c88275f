"""What a scale makes of a form answered all lowest, all highest, and with one or two answers missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

import msgspec

from fhir_alliance.core.model import Answer, Formula, Instrument, Item, NoValue, Number, Scale
from fhir_alliance.core.scoring import Scorer

Computed: TypeAlias = Callable[[Mapping[str, Answer]], Mapping[str, Number | NoValue]]


class Outcome(msgspec.Struct, frozen=True):
    """One scale: its formula and range, and what it gives; a reason in words where it gives nothing."""

    scale: str
    title: str
    formula: Formula
    items: int
    low: Number
    high: Number
    lowest: str
    highest: str
    one_missing: str
    two_missing: str


def outcomes(instrument: Instrument, computed: Computed = lambda answers: {}) -> tuple[Outcome, ...]:
    """Return the outcomes of all scales but those about the client's own goals.

    computed: what the expressions of a site's own Questionnaire give for answers in points.
    With answers missing, the others are at their highest.
    """
    items = {item.link_id: item for item in instrument.items}
    found = []
    for plan in Scorer(instrument).plans:
        scale = plan.scale
        if plan.is_of_goals:
            continue
        top = ends(scale, items, high=True)
        forms = [ends(scale, items, high=False), top, *(_without(scale.items[:n], top) for n in (1, 2))]
        said = []
        for answers in forms:
            value, answered, _, _ = plan.evaluate(answers)
            if plan.formula is Formula.EXPRESSION and answered >= max(1, plan.needed):
                value = computed(answers).get(scale.id, value)
            said.append(_said(value))
        found.append(Outcome(scale.id, scale.title, scale.formula, len(scale.items), scale.low, scale.high, *said))
    return tuple(found)


def ends(scale: Scale, items: Mapping[str, Item], *, high: bool) -> dict[str, Answer]:
    """Return the answers that give the scale's lowest or highest score."""
    lowered = {i for i in scale.items if (i in scale.reversed) != (scale.coefficients.get(i, 1) < 0)}
    return {i: items[i].high if high != (i in lowered) else items[i].low for i in scale.items}


def _without(left_out: Sequence[str], answers: Mapping[str, Answer]) -> dict[str, Answer]:
    return {link_id: points for link_id, points in answers.items() if link_id not in left_out}


def _said(value: Number | NoValue) -> str:
    return str(value) if isinstance(value, (int, Decimal)) else f"none: {value.note}"
