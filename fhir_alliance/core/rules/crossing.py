"""Crossings: the line of caseness, severity bands, and a line that a site has chosen for an alliance scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Direction, Finding, Formula, Number
from fhir_alliance.core.points import whole
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.change import least_change
from fhir_alliance.core.rules.page import Moment, Note

CASENESS = "caseness-crossing"
ALLIANCE_LINE = "alliance-line"


def caseness_crossing(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when the score stands on another side of the line, or in another band, than was last told."""
    scale = moment.series.scale
    if not moment.is_outcome or scale.formula is Formula.COUNT:  # the same answers counted another way are no news
        note("an outcome scale with a direction", False)
        return None
    step = crossing_step(moment)
    note("points that a score must have moved for a crossing to count", step)
    for name, stand, words in _KINDS:
        places = moment.page.kept((name, id(moment.series)), partial(stand, moment))
        told = moment.page.kept(
            ("told", name, id(moment.series)), partial(_told, moment.series.points, places, whole(step))
        )
        since = told[moment.at]
        note(f"{name}: stands", places[moment.at])
        if since is not None:
            note(f"{name}: was last told", places[since])
            rose = moment.points > moment.series.points[since]
            agenda = AGENDA["worse" if rose == (scale.higher_is is Direction.WORSE) else "better"]
            return moment.finding(CASENESS, words(moment, since), agenda)
    return None


def alliance_line(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when an alliance rating is newly at the line that the site has chosen; a first one is new."""
    line = moment.page.settings.line(moment.series.instrument.id, moment.series.scale)
    note("line that the site has chosen", line.at if line else None)
    if not moment.is_own_alliance or line is None:
        return None
    sides = moment.page.kept(("line", id(moment.series)), partial(_sides, moment))
    if not sides[moment.at] or (moment.at and sides[moment.at - 1]):
        return None
    words = f"{moment.series.scale.title} is {plain(moment.points)}, at the line of {line.at} ({line.source})."
    return moment.finding(ALLIANCE_LINE, words, AGENDA.get(moment.series.scale.id, AGENDA["alliance"]))


def crossing_step(moment: Moment) -> Decimal:
    """Return how far a score must have moved, in points: a share of the reliable change; 0 where none is known."""
    share = Decimal(str(moment.page.settings.crossing_share))
    return share * (least_change(moment) or 0)


def _told(points: Sequence[Number], places: Sequence[object], step: Number) -> list[int | None]:
    """Return for each score the index at which another place was last told, where the score makes news of it."""
    told, low, high = 0, points[0], points[0]
    found: list[int | None] = [None] * len(points)
    if len(set(places)) < 2:
        return found
    for at, now in enumerate(points):
        if now < low:
            low = now
        elif now > high:
            high = now
        if places[at] != places[told] and (now - low if now > points[told] else high - now) >= step:
            found[at] = told
            told, low, high = at, now, now
    return found


def _sides(moment: Moment) -> list[bool | None]:
    """Return of each score whether it is at the line; None where the scale has none."""
    line = moment.page.settings.line(moment.series.instrument.id, moment.series.scale)
    if line is None:
        return [None] * len(moment.series.points)
    if moment.series.scale.higher_is is Direction.WORSE:
        return [points >= line.at for points in moment.series.points]
    return [points <= line.at for points in moment.series.points]


def _bands(moment: Moment) -> list[str]:
    """Return of each score its band; empty where it has none."""
    return [score.band.code if score.band is not None else "" for score in moment.series.scores]


def _line_words(moment: Moment, since: int) -> str:
    line = moment.page.settings.line(moment.series.instrument.id, moment.series.scale)
    side = "has reached" if _sides(moment)[moment.at] else "is no longer at"
    return (
        f"{moment.series.scale.title} is {plain(moment.points)} and {side} the caseness line of "
        f"{line.at if line else ''}; {_before(moment, since)}."
    )


def _band_words(moment: Moment, since: int) -> str:
    scores = moment.series.scores
    before, now = (band.label if (band := scores[i].band) else "no band" for i in (since, moment.at))
    return f"{moment.series.scale.title} is {plain(moment.points)} ({now}); {_before(moment, since)} ({before})."


def _before(moment: Moment, since: int) -> str:
    points = plain(moment.series.points[since])
    return f"the first score was {points}" if since == 0 else f"when that last changed it was {points}"


# What can be crossed: what it is called, where each score stands, and how a crossing is told.
_KINDS: Final[tuple[tuple[str, Callable[[Moment], Sequence[object]], Callable[[Moment, int], str]], ...]] = (
    ("line", _sides, _line_words),
    ("band", _bands, _band_words),
)
