"""Reliable and clinically significant change of one client between two scores.

A change is judged by one named method, with numbers that each say where they are from. Every result names the
method, the numbers and the cut-off it used; what cannot be computed says why. A class describes two scores: it is
no diagnosis, and no judgement on a therapist.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from fhir_alliance.core.change_methods import CITATIONS, Group, Method, NotComputable, critical, index, least_change
from fhir_alliance.core.cutoffs import Cutoff, Sides, plain, sides, sign
from fhir_alliance.core.model import Direction, NoValue, Number, Score, Sourced


class ChangeClass(StrEnum):
    """What became of a client, as far as two scores can tell.

    Recovered: reliably better, and from the clinical to the functional side of the cut-off.  Harmed: reliably worse,
    and from the functional to the clinical side.  Improved, deteriorated: reliable, without that crossing.
    """

    RECOVERED = "recovered"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    DETERIORATED = "deteriorated"
    HARMED = "harmed"


class Pair(msgspec.Struct, frozen=True):
    """A first and a last score of one client on one scale, or the reason why one of them has no value."""

    before: Number | NoValue
    after: Number | NoValue


class How(msgspec.Struct, frozen=True):
    """By what a change is judged.

    reliable_change: a published number of points; where given, it stands for Jacobson & Truax' own computation.
    minimal_change: for the anchor method, in points.  percent: for the percentage method, of the first score.
    """

    higher_is: Direction
    method: Method = Method.JACOBSON_TRUAX
    group: Group = Group()
    cutoff: Cutoff | None = None
    reliable_change: Sourced | None = None
    minimal_change: Sourced | None = None
    percent: Sourced | None = None


class Change(msgspec.Struct, frozen=True):
    """The result for one client.

    points: the change in points, reliable_change: in standard errors; positive is better in both.
    reliable_change is absent where points or percent are judged.
    """

    kind: ChangeClass
    points: Decimal
    reliable_change: Decimal | None
    cutoff: Cutoff | None
    explanation: str


class _Judged(NamedTuple):
    """A change toward better and the size from which on it counts, in the same unit; and the change in words."""

    size: Decimal
    needed: Decimal
    words: str = ""
    errors: Decimal | None = None


def comparable(before: Score, after: Score) -> Pair | NotComputable:
    """Return two scores as a pair that may be compared, or the sentence why they may not."""
    for name in ("subject", "instrument", "scale", "rater", "focus"):
        if getattr(before, name) != getattr(after, name):
            return NotComputable(f"The two scores differ in {name}: they are not compared.")
    if not is_one_language(before.language.lower(), after.language.lower()):
        return NotComputable("The two forms were answered in different languages: they are not compared.")
    if before.withdrawn or after.withdrawn:
        return NotComputable("One of the two scores was withdrawn: they are not compared.")
    if before.when >= after.when:
        return NotComputable("The last score is not later than the first: they are not compared.")
    return Pair(before.value, after.value)


def change(pair: Pair, how: How) -> Change | NotComputable:
    """Return what became of a client between two scores, or why that cannot be said."""
    if isinstance(pair.before, NoValue):
        return NotComputable(f"There is no first score: {pair.before.note}")
    if isinstance(pair.after, NoValue):
        return NotComputable(f"There is no last score: {pair.after.note}")
    before, after = Decimal(pair.before), Decimal(pair.after)
    judged = _judged(before, after, how)
    if isinstance(judged, NotComputable):
        return judged
    crossing = sides(before, after, how.cutoff, how.method, how.group) if how.cutoff else None
    if isinstance(crossing, NotComputable):
        return crossing
    kind = _kind(judged, crossing)
    points = sign(how.higher_is) * (after - before)
    words = f"{_points_words(points)}{judged.words}, by {basis(how)}. {_cutoff_words(how.cutoff, crossing)}"
    return Change(kind, points, judged.errors, how.cutoff, f"{words} {kind.value.capitalize()}.")


def class_of(pair: Pair, how: How) -> ChangeClass | NotComputable:
    """Return the class alone, as `change` gives it: for those who compare many scores and tell few."""
    if isinstance(pair.before, NoValue) or isinstance(pair.after, NoValue):
        return NotComputable("One of the two scores has no value.")
    before, after = Decimal(pair.before), Decimal(pair.after)
    judged = _judged(before, after, how)
    if isinstance(judged, NotComputable):
        return judged
    crossing = sides(before, after, how.cutoff, how.method, how.group) if how.cutoff else None
    return crossing if isinstance(crossing, NotComputable) else _kind(judged, crossing)


def basis(how: How) -> str:
    """Return by what a change was judged, in words: the method, its numbers, and what it needs."""
    if how.method is Method.PERCENTAGE and how.percent is not None:
        return f"percentage: {plain(how.percent.value)} % of the first score are needed ({how.percent.source})"
    if how.method is Method.ANCHOR and how.minimal_change is not None:
        return f"anchor: minimal important change from {_published_words(how.minimal_change)}"
    if how.method is Method.JACOBSON_TRUAX and how.reliable_change is not None:
        return f"reliable change from {_published_words(how.reliable_change)}"
    group = how.group
    numbers = f"SD {plain(group.need('sd'))}, reliability {group.need('reliability').normalize():f}"
    least = f", here {plain(least_change(group))} points" if how.method is Method.JACOBSON_TRUAX else ""
    needed = f"{critical(how.method)} standard errors are needed{least}"
    return f"{how.method.value} ({CITATIONS[how.method]}): {numbers}; {needed}"


def _judged(before: Decimal, after: Decimal, how: How) -> _Judged | NotComputable:
    """Return a change in the unit of its method."""
    points = sign(how.higher_is) * (after - before)
    if how.method is Method.PERCENTAGE:
        return _percentage(before, points, how.percent)
    if how.method is Method.ANCHOR:
        return _in_points(points, how.minimal_change)
    if how.method is Method.JACOBSON_TRUAX and how.reliable_change is not None:
        return _in_points(points, how.reliable_change)
    value = index(how.method, before, after, how.group)
    if isinstance(value, NotComputable):
        return value
    size, needed = sign(how.higher_is) * value, critical(how.method)
    return _Judged(size, needed, f", {plain(size)} standard errors", size)


def _percentage(before: Decimal, points: Decimal, percent: Sourced | None) -> _Judged | NotComputable:
    """Return the change against a part of the first score; of nothing there is no part."""
    if percent is None or percent.value <= 0:
        return NotComputable("A percentage above 0 is needed.")
    if before <= 0:
        return NotComputable("A percentage needs a first score above 0.")
    words = f", {plain(abs(100 * points / before))} % of the first score"
    return _Judged(100 * points, percent.value * before, words)


def _in_points(points: Decimal, needed: Sourced | None) -> _Judged | NotComputable:
    """Return the change against a published number of points."""
    if needed is None or needed.value <= 0:
        return NotComputable("A minimal important change above 0 points is needed.")
    return _Judged(points, Decimal(needed.value))


def _kind(judged: _Judged, crossing: Sides | None) -> ChangeClass:
    """Return the class; without a cut-off nobody can be recovered or harmed."""
    if judged.size >= judged.needed:
        crossed = crossing is not None and crossing.began_clinical and crossing.ended_functional
        return ChangeClass.RECOVERED if crossed else ChangeClass.IMPROVED
    if judged.size <= -judged.needed:
        crossed = crossing is not None and not crossing.began_clinical and not crossing.ended_functional
        return ChangeClass.HARMED if crossed else ChangeClass.DETERIORATED
    return ChangeClass.UNCHANGED


def is_one_language(first: str, last: str) -> bool:
    """Return whether two tags can be the same language: equal, one more exact than the other, or one not known."""
    return not first or not last or first == last or first.startswith(f"{last}-") or last.startswith(f"{first}-")


def _points_words(points: Decimal) -> str:
    if points == 0:
        return "No change in points"
    size = plain(abs(points))
    return f"{size} point{'' if size == '1' else 's'} toward {'better' if points > 0 else 'worse'}"


def _published_words(number: Sourced) -> str:
    population = f"; {number.population}" if number.population else ""
    return f"{plain(number.value)} points on ({number.source}{population})"


def _cutoff_words(cutoff: Cutoff | None, crossing: Sides | None) -> str:
    """Return where the client began and ended, in words."""
    if cutoff is None or crossing is None:
        return "No cut-off was used."
    began = "clinical" if crossing.began_clinical else "functional"
    ended = "functional" if crossing.ended_functional else "clinical"
    return f"{cutoff.told()}: began on the {began} side, ended on the {ended} side."
