"""One client's scores on one scale by one rater in one language, with running sums, so that no rule adds up twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from itertools import accumulate, pairwise

from fhir_alliance.core.change import is_one_language
from fhir_alliance.core.model import Formula, Instrument, NoValue, Scale, Score


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
    def points(self) -> tuple[Decimal, ...]:
        """The values, in the scale's points."""
        return tuple(Decimal(s.value) for s in self.scores if not isinstance(s.value, NoValue))

    @cached_property
    def _sums(self) -> list[Decimal]:
        return list(accumulate(self.points, initial=Decimal(0)))

    @cached_property
    def _squares(self) -> list[Decimal]:
        return list(accumulate((x * x for x in self.points), initial=Decimal(0)))

    @cached_property
    def _moves(self) -> list[Decimal]:
        moves = (abs(later - earlier) for earlier, later in pairwise(self.points))
        return [Decimal(0), *accumulate(moves, initial=Decimal(0))]

    def mean(self, start: int, end: int) -> Decimal:
        """Return the mean of the scores from `start` on and before `end`; at least one."""
        return (self._sums[end] - self._sums[start]) / (end - start)

    def spread(self, end: int) -> Decimal:
        """Return the standard deviation (n - 1) of the first `end` scores; at least two."""
        rest = self._squares[end] - self._sums[end] ** 2 / end
        return max(rest / (end - 1), Decimal(0)).sqrt()

    def moving_range(self, end: int) -> Decimal:
        """Return the mean size of the steps from score to score among the first `end`; at least two."""
        return self._moves[end] / (end - 1)

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
            place = (score.subject, score.instrument, score.scale, score.rater, score.focus)
            grouped.setdefault(place, {})[score.key] = score
    found = []
    for (_, name, scale_id, *_), scores in sorted(grouped.items()):
        instrument = instruments[name]
        scale = next((scale for scale in instrument.scales if scale.id == scale_id), None)
        if scale is not None and not _is_nameless(scale, scores.values()):
            ordered = sorted(scores.values(), key=lambda score: (score.when, score.key))
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
