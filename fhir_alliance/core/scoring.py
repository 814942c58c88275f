"""From points to scores. Never silent: what cannot be scored says so, what was filled in is labelled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from operator import ge

import msgspec

from fhir_alliance.core.goals import goal_attainment
from fhir_alliance.core.keys import score_key
from fhir_alliance.core.labels import NOT_TO_THERAPIST, is_kept_from
from fhir_alliance.core.model import (
    Answer,
    Band,
    Cleared,
    Formula,
    Instrument,
    Item,
    Missing,
    NoValue,
    Number,
    Response,
    Scale,
    Score,
)
from fhir_alliance.core.points import rounded


class Scorer:
    """An instrument ready to score: compiled once, then used for every form."""

    def __init__(self, instrument: Instrument) -> None:
        items = {item.link_id: item for item in instrument.items}
        self.instrument = instrument
        self.plans = tuple(Plan(scale, items) for scale in instrument.scales)

    def score(self, cleared: Cleared) -> tuple[Score, ...]:
        """Return one score for each scale, in the order of the instrument's scales; for a scale of goals one each.

        A score without a value holds a `NoValue` with the reason.
        """
        form = cleared.form
        name, version = self.instrument.id, self.instrument.version
        kept = bool(form.labels) and is_kept_from(form.labels, NOT_TO_THERAPIST)
        scores: list[Score] = []
        for plan in self.plans:
            value, answered, prorated, band = plan.evaluate(form.answers)
            scores.append(
                Score(
                    score_key(form.key, name, plan.scale_id, form.rater),
                    name,
                    version,
                    plan.scale_id,
                    form.subject,
                    form.rater,
                    form.when,
                    value,
                    answered,
                    plan.needed,
                    plan.asked,
                    prorated,
                    band,
                    False,
                    form.language,
                    "",
                    form.encounter,
                    kept,
                )
            )
            if plan.is_special:
                blank = scores.pop()
                scores += _of_goals(form, plan, blank) if plan.is_of_goals else [_of_expression(form, plan, blank)]
        return tuple(scores)


def _of_goals(form: Response, plan: Plan, blank: Score) -> Iterator[Score]:
    """Yield the scores on a client's own goals; a form without any goal has one score that says so.

    blank: the score of the scale, still without what the goals say.
    """
    if plan.formula is Formula.GOAL_ATTAINMENT or not form.goals:
        value = goal_attainment(form.goals, plan.scale.decimals)
        is_whole = not isinstance(value, NoValue)
        band = plan.band_of(value) if not isinstance(value, NoValue) else None
        yield msgspec.structs.replace(blank, value=value, answered=plan.asked if is_whole else 0, band=band)
        return
    for goal in form.goals:
        found, answered, _, band = plan.evaluate({plan.scale.items[0]: goal.rating})
        key = score_key(form.key, blank.instrument, f"{plan.scale_id}:{goal.goal}", form.rater)
        focus = goal.goal if goal.goal.startswith("Goal/") else ""
        yield msgspec.structs.replace(blank, key=key, value=found, answered=answered, band=band, focus=focus)


def _of_expression(form: Response, plan: Plan, blank: Score) -> Score:
    """Return the score that the form's own expression gives; where too little is answered, there is none.

    blank: the score of the scale without it: answered, or not, as the scale's rule asks.
    """
    if blank.answered == 0 or blank.answered < plan.needed:
        return blank
    value = form.computed.get(plan.scale_id, NoValue("error", "the form's expression was not evaluated"))
    return msgspec.structs.replace(blank, value=value)


class Plan:
    """A scale compiled once per instrument, so that nothing is looked up per response."""

    def __init__(self, scale: Scale, items: Mapping[str, Item]) -> None:
        self.scale = scale
        self.scale_id = scale.id
        self.formula = scale.formula
        self.is_of_goals = scale.formula in (Formula.PER_GOAL, Formula.GOAL_ATTAINMENT)
        self.is_special = self.is_of_goals or scale.formula is Formula.EXPRESSION
        self.asked = len(scale.items)
        self.needed = self.asked - scale.missing.max_missing
        self._items = scale.items
        # A reversed item is mirrored in its own range: low + high - points.
        self._mirror = {i: items[i].low + items[i].high for i in scale.items if i in scale.reversed}
        self._bands = tuple(sorted(scale.bands, key=lambda band: band.low))
        self._is_plain_sum = scale.formula is Formula.SUM and not self._mirror
        self._lines = tuple(scale.counts.values()) if tuple(scale.counts) == scale.items else ()

    def evaluate(self, answers: Mapping[str, Answer]) -> tuple[Number | NoValue, int, bool, Band | None]:
        """Return the value or the reason for none, the items answered, whether prorated, and the band."""
        if self._is_plain_sum:
            try:
                total: Number = sum(map(answers.get, self._items))  # type: ignore[arg-type]
            except TypeError:
                pass  # something is missing, and a gap is never a zero: the long way round
            else:
                return total, self.asked, False, self.band_of(total)
        elif self._lines:
            try:
                total = sum(map(ge, map(answers.get, self._items), self._lines))  # type: ignore[arg-type]
            except TypeError:
                pass
            else:
                return total, self.asked, False, self._band_behind_gate(total, answers)
        answered = sum(isinstance(answers.get(item), (int, Decimal)) for item in self._items)
        if answered == 0 or answered < self.needed:
            return self._no_value(answers, answered), answered, False, None
        value = self._value(answers, answered)
        if isinstance(value, NoValue):
            return value, answered, False, None
        return value, answered, answered < self.asked, self._band_behind_gate(value, answers)

    def _band_behind_gate(self, value: Number, answers: Mapping[str, Answer]) -> Band | None:
        """Return the band of the value; where none of the gate's items counts, the lowest one."""
        shut = self.scale.gate and not any(self._counts(item, answers) for item in self.scale.gate)
        return self._bands[0] if shut and self._bands else self.band_of(value)

    def band_of(self, value: Number) -> Band | None:
        """Return the band that holds the value; between two bands of whole points, the lower one."""
        reached = None
        for band in self._bands:
            if value < band.low:
                break
            reached = band
        return reached

    def _value(self, answers: Mapping[str, Answer], answered: int) -> Number | NoValue:
        """Return the score of an answered form, mirrored and prorated as the scale says."""
        if self.formula is Formula.COUNT:
            return sum(self._counts(item, answers) for item in self._items)
        if self.formula is Formula.LINEAR:
            return self._linear(answers)
        if self.formula is Formula.EXPRESSION:
            return NoValue("error", "an expression is evaluated where the form is read")
        total: Number = 0
        for item in self._items:
            point = answers.get(item)
            if isinstance(point, (int, Decimal)):
                total += self._mirror[item] - point if item in self._mirror else point
        if self.formula is Formula.MEAN:
            return rounded(Decimal(total) * self.scale.factor / answered, self.scale.decimals)
        if answered < self.asked:
            total = rounded(Decimal(total) * self.asked / answered, self.scale.decimals)
        if self.formula is Formula.LOOKUP:
            return self.scale.table.get(total, NoValue("error", f"a sum of {total} is not in the scale's table"))
        return total

    def _linear(self, answers: Mapping[str, Answer]) -> Number:
        total = Decimal(self.scale.constant)
        for item in self._items:
            point = answers.get(item)
            if isinstance(point, (int, Decimal)):
                total += self.scale.coefficients.get(item, 1) * point
        return rounded(total, self.scale.decimals)

    def _counts(self, item: str, answers: Mapping[str, Answer]) -> bool:
        point = answers.get(item)
        return isinstance(point, (int, Decimal)) and point >= self.scale.counts[item]

    def _no_value(self, answers: Mapping[str, Answer], answered: int) -> NoValue:
        reasons = [answers.get(item, Missing.UNANSWERED) for item in self._items]
        declined = reasons.count(Missing.DECLINED)
        masked = reasons.count(Missing.MASKED)
        note = f"{answered} of {self.asked} answered; rule needs {self.needed}"
        if declined:
            note += f"; {declined} declined"
        if masked:
            return NoValue("masked", note)
        return NoValue("asked-declined" if declined else "not-performed", note)
