"""From points to scores. Never silent: what cannot be scored says so, what was filled in is labelled."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from fhir_alliance.core.keys import score_key
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
    Scale,
    Score,
)


class Scorer:
    """An instrument ready to score: compiled once, then used for every form."""

    def __init__(self, instrument: Instrument) -> None:
        items = {item.link_id: item for item in instrument.items}
        self.instrument = instrument
        self.plans = tuple(Plan(scale, items) for scale in instrument.scales)

    def score(self, cleared: Cleared) -> tuple[Score, ...]:
        """Return one score for each scale, in the order of the instrument's scales.

        A score without a value holds a `NoValue` with the reason.
        """
        form = cleared.form
        instrument = self.instrument
        scores = []
        for plan in self.plans:
            value, answered, prorated, band = plan.evaluate(form.answers)
            scores.append(
                Score(
                    score_key(form.key, instrument.id, plan.scale_id, form.rater),
                    instrument.id,
                    instrument.version,
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
                )
            )
        return tuple(scores)


class Plan:
    """A scale compiled once per instrument, so that nothing is looked up per response."""

    def __init__(self, scale: Scale, items: Mapping[str, Item]) -> None:
        self.scale_id = scale.id
        self.asked = len(scale.items)
        self.needed = self.asked - scale.missing.max_missing
        self._scale = scale
        self._items = scale.items
        # A reversed item is mirrored in its own range: low + high - points.
        self._mirror = {i: items[i].low + items[i].high for i in scale.items if i in scale.reversed}
        self._bands = tuple(sorted(scale.bands, key=lambda band: band.low))
        self._is_plain_sum = scale.formula is Formula.SUM and not self._mirror

    def evaluate(self, answers: Mapping[str, Answer]) -> tuple[Number | NoValue, int, bool, Band | None]:
        """Return the value or the reason for none, the items answered, whether prorated, and the band."""
        if self._is_plain_sum:
            try:
                total: Number = sum(map(answers.get, self._items))  # type: ignore[arg-type]
            except TypeError:
                pass  # something is missing, and a gap is never a zero: the long way round
            else:
                return total, self.asked, False, self.band_of(total)
        answered = sum(isinstance(answers.get(item), (int, Decimal)) for item in self._items)
        if answered == 0 or answered < self.needed:
            return self._no_value(answers, answered), answered, False, None
        value = self._value(answers, answered)
        return value, answered, answered < self.asked, self.band_of(value)

    def band_of(self, value: Number) -> Band | None:
        """Return the band that holds the value; between two bands of whole points, the lower one."""
        reached = None
        for band in self._bands:
            if value < band.low:
                break
            reached = band
        return reached

    def _value(self, answers: Mapping[str, Answer], answered: int) -> Number:
        """Return the score of an answered form, mirrored and prorated as the scale says."""
        total: Number = 0
        for item in self._items:
            point = answers.get(item)
            if isinstance(point, (int, Decimal)):
                total += self._mirror[item] - point if item in self._mirror else point
        if self._scale.formula is Formula.MEAN:
            return self._rounded(Decimal(total) / answered)
        if answered == self.asked:
            return total
        return self._rounded(Decimal(total) * self.asked / answered)

    def _rounded(self, value: Decimal) -> Number:
        exact = value.quantize(Decimal(1).scaleb(-self._scale.decimals), ROUND_HALF_UP)
        return int(exact) if exact == int(exact) else exact.normalize()

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
