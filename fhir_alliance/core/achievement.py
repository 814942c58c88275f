"""How far a goal is reached, as a proposal to the people whose goal it is. Only they say that it is.

Proposed, from the goal's own targets: achieved where every one is met by the newest score; not achieved where a
target's day has passed unmet; improving or worsening where the scores moved by a published reliable change; no change
where they moved by less; in progress where no such number is published. Goals without a target on a score are judged
by the client's own ratings of them. The words are those of HL7's code system goal-achievement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from fhir_alliance.core.cutoffs import plain, sign
from fhir_alliance.core.model import Achievement, Direction, Number, Proposal, Review, ReviewStatus
from fhir_alliance.core.rules.chart import GoalTarget
from fhir_alliance.core.rules.series import Series


class Pursued(msgspec.Struct, frozen=True):
    """A goal as far as its achievement can be judged.

    targets: in points of scales.  levels: of Goal Attainment Scaling, by rating, what each means in the client's words.
    """

    reference: str
    targets: tuple[GoalTarget, ...] = ()
    levels: Mapping[Number, str] = {}


def propose(goal: Pursued, course: Iterable[Series], today: date) -> Proposal | None:
    """Return what the newest scores say of the goal, or None where they say nothing of it.

    course: the client's series, newest score last.
    """
    series = list(course)
    aims = [(target, _measuring(target, goal, series)) for target in goal.targets if target.is_measured]
    seen = [(target, found) for target, found in aims if found is not None]
    if aims:
        if not seen:
            return None
        judged = [_on_target(target, found, today) for target, found in seen]
        is_whole = len(seen) == len(aims)
        status = _together([status for status, _ in judged], is_whole=is_whole)
        return Proposal(status, " ".join(words for _, words in judged))
    return _by_ratings(goal, series, today)


def with_proposals(
    standing: Iterable[Review], planned: Sequence[Review], proposals: Mapping[str, Proposal]
) -> list[Review]:
    """Return the planned reviews with what is proposed for their goals, and open ones for which that is new.

    proposals: by the goal's reference.
    """
    changing = {review.key for review in planned}
    others = [r for r in standing if r.key not in changing and r.status is ReviewStatus.OPEN]
    renewed = [_proposing(review, proposals) for review in others]
    news = [after for before, after in zip(others, renewed, strict=True) if after != before]
    return [*(_proposing(r, proposals) if r.status is ReviewStatus.OPEN else r for r in planned), *news]


def _proposing(review: Review, proposals: Mapping[str, Proposal]) -> Review:
    return msgspec.structs.replace(review, proposal=proposals.get(review.focus))


def _measuring(target: GoalTarget, goal: Pursued, course: Iterable[Series]) -> Series | None:
    """Return the series that a target is about, the one with the newest score where there are several."""
    fitting = [
        series
        for series in course
        if (series.instrument.id, series.scale.id) == (target.instrument, target.scale)
        and series.scores[0].rater is series.instrument.rater
        and series.scores[0].focus in ("", goal.reference)
    ]
    return max(fitting, key=lambda series: series.scores[-1].when, default=None)


def _on_target(target: GoalTarget, series: Series, today: date) -> tuple[Achievement, str]:
    last, aim = series.points[-1], f"the target is {_bounds(target)}"
    said = f"{series.scale.title} is {plain(last)}, {aim}"
    if target.is_reached(last):
        return Achievement.ACHIEVED, f"{said}: reached."
    if target.due is not None and target.due < today:
        return Achievement.NOT_ACHIEVED, f"{said} by {target.due:%d %B %Y}: not reached by then."
    status, words = _moved(series)
    return status, f"{said}{words}."


def _moved(series: Series) -> tuple[Achievement, str]:
    """Return how the scores have moved from the first to the last, by the published reliable change."""
    number = series.scale.change.reliable_change
    if number is None or len(series.points) < 2 or series.scale.higher_is is Direction.UNKNOWN:
        return Achievement.IN_PROGRESS, f"; the first score was {plain(series.points[0])}"
    better = Decimal(series.points[-1] - series.points[0]) * sign(series.scale.higher_is)
    status = Achievement.NO_CHANGE
    if abs(better) >= Decimal(number.value):
        status = Achievement.IMPROVING if better > 0 else Achievement.WORSENING
    return status, f"; the first score was {plain(series.points[0])}, reliable change is {plain(number.value)}"


def _together(found: Sequence[Achievement], *, is_whole: bool) -> Achievement:
    """Return what several targets say of one goal: it is reached when all are, and missed when one is."""
    if all(status is Achievement.ACHIEVED for status in found):
        return Achievement.ACHIEVED if is_whole else Achievement.IN_PROGRESS
    for status in (Achievement.NOT_ACHIEVED, Achievement.WORSENING):
        if status in found:
            return status
    rest = {status for status in found if status is not Achievement.ACHIEVED}
    return rest.pop() if len(rest) == 1 else Achievement.IN_PROGRESS


def _by_ratings(goal: Pursued, course: Iterable[Series], today: date) -> Proposal | None:
    """Return what the client's newest rating of this very goal says."""
    own = [s for s in course if s.scale.reached is not None and s.scores[0].focus == goal.reference]
    series = max(own, key=lambda series: series.scores[-1].when, default=None)
    if series is None or series.scale.reached is None:
        return None
    last, line = series.points[-1], series.scale.reached.at
    level = goal.levels.get(last, "")
    said = f"{series.scale.title} is {plain(last)}" + (f" ({level})" if level else "")
    due = min((target.due for target in goal.targets if target.due is not None), default=None)
    if last >= line:
        return Proposal(Achievement.ACHIEVED, f"{said}: reached from {plain(line)} on.")
    if due is not None and due < today:
        return Proposal(Achievement.NOT_ACHIEVED, f"{said}, reached from {plain(line)} on: not by {due:%d %B %Y}.")
    first = plain(series.points[0])
    return Proposal(Achievement.IN_PROGRESS, f"{said}, reached from {plain(line)} on; the first rating was {first}.")


def _bounds(target: GoalTarget) -> str:
    """Return which points count as reached, in words."""
    if target.low is not None and target.high is not None:
        same = target.low == target.high
        return plain(target.low) if same else f"{plain(target.low)} to {plain(target.high)}"
    sides = (("at least", target.low), ("at most", target.high), ("above", target.above), ("below", target.below))
    return " and ".join(f"{words} {plain(number)}" for words, number in sides if number is not None)
