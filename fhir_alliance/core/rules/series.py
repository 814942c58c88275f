"""One client's scores on one scale by one rater in one language, with running sums, so that no rule adds up twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Final

from fhir_alliance.core.change import is_one_language
from fhir_alliance.core.model import (
    Direction,
    Family,
    Formula,
    Instrument,
    NoValue,
    Number,
    Rater,
    Scale,
    Score,
)

_PLACE: Final = attrgetter("subject", "instrument", "scale", "rater", "focus")
_ORDER: Final = attrgetter("when", "key")


class Series:
    """Scores that may be compared with each other, oldest first, and what they are scores of.

    changed_language: whether an earlier series of the same client, scale and rater is in another language.
    """

    def __init__(
        self, instrument: Instrument, scale: Scale, scores: tuple[Score, ...], *, changed_language: bool = False
    ) -> None:
        self.instrument, self.scale, self.scores = instrument, scale, scores
        self.changed_language = changed_language

    @cached_property
    def is_directed(self) -> bool:
        """Whether it is known what a higher score means."""
        return self.scale.higher_is is not Direction.UNKNOWN

    @cached_property
    def is_outcome(self) -> bool:
        """Whether the scale is about how the client is, and says what a higher score means."""
        return self.instrument.family is Family.OUTCOME and self.is_directed

    @cached_property
    def is_own_alliance(self) -> bool:
        """Whether the client rates the alliance here, on a scale that says what a higher score means."""
        is_client = self.scores[0].rater is Rater.CLIENT
        return self.instrument.family is Family.ALLIANCE and is_client and self.is_directed

    @cached_property
    def points(self) -> tuple[Number, ...]:
        """The values, in the scale's points: whole ones as int, which is what makes long histories cheap."""
        return tuple([score.value for score in self.scores])  # type: ignore[misc]  # none here is without a value

    @cached_property
    def sums(self) -> list[Number]:
        """The sum of the first so many scores; the first is 0."""
        return list(accumulate(self.points, initial=0))

    @cached_property
    def _squares(self) -> list[Number]:
        return list(accumulate((x * x for x in self.points), initial=0))

    @cached_property
    def _moves(self) -> list[Number]:
        moves = [b - a if b > a else a - b for a, b in pairwise(self.points)]
        return [0, *accumulate(moves, initial=0)]

    def mean(self, start: int, end: int) -> Decimal:
        """Return the mean of the scores from `start` on and before `end`; at least one."""
        return Decimal(self.sums[end] - self.sums[start]) / (end - start)

    def spread(self, end: int) -> Decimal:
        """Return the standard deviation (n - 1) of the first `end` scores; at least two."""
        rest = self._squares[end] - Decimal(self.sums[end]) ** 2 / end
        return max(rest / (end - 1), Decimal(0)).sqrt()

    def moving_range(self, end: int) -> Decimal:
        """Return the mean size of the steps from score to score among the first `end`; at least two."""
        return Decimal(self._moves[end]) / (end - 1)

    @cached_property
    def point_step(self) -> Decimal:
        """How far the scale moves when every answer moves by one point: the number of items in a sum, 1 in a mean."""
        of_scale = set(self.scale.items)
        reach = max((i.high - i.low for i in self.instrument.items if i.link_id in of_scale), default=0)
        return Decimal(self.scale.high - self.scale.low) / reach if reach else Decimal(1)


def series_of(history: Iterable[Score], instruments: Mapping[str, Instrument]) -> list[Series]:
    """Return the history as series; withdrawn scores and those without a value are left out.

    Scores in different languages never stand in one series: whether they measure alike is not known.
    """
    grouped: dict[tuple[str, str, str, str, str], dict[str, Score]] = {}
    for score in history:
        if not score.withdrawn and not isinstance(score.value, NoValue) and score.instrument in instruments:
            grouped.setdefault(_PLACE(score), {})[score.key] = score
    found = []
    for (_, name, scale_id, *_), scores in sorted(grouped.items()):
        instrument = instruments[name]
        scale = next((scale for scale in instrument.scales if scale.id == scale_id), None)
        if scale is not None and not _is_nameless(scale, scores.values()):
            ordered = sorted(scores.values(), key=_ORDER)
            for number, part in enumerate(by_language(ordered)):
                found.append(Series(instrument, scale, tuple(part), changed_language=number > 0))
    return found


def by_language(scores: Sequence[Score]) -> list[list[Score]]:
    """Return scores, oldest first, parted by language; one without a language goes with the score before it."""
    if len({score.language for score in scores}) < 2:
        return [list(scores)]
    parts: list[tuple[str, list[Score]]] = []
    for score in scores:
        tag = score.language.lower()
        place = next((n for n, (known, _) in enumerate(parts) if is_one_language(known, tag)), None)
        if place is None:
            parts.insert(0, (tag, [score]))
        else:  # the newest part stands first, so that an unknown language joins it
            known, part = parts.pop(place)
            part.append(score)
            parts.insert(0, (known or tag, part))
    return sorted((part for _, part in parts), key=lambda part: (part[0].when, part[0].key))


def _is_nameless(scale: Scale, scores: Iterable[Score]) -> bool:
    """Return whether the scores are about goals that have no name of their own, and so cannot be followed."""
    return scale.formula is Formula.PER_GOAL and not any(score.focus.startswith("Goal/") for score in scores)
