"""Crossings: the line of caseness, severity bands, and a line that a site has chosen for an alliance scale."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Direction, Finding, Formula
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.change import least_change
from fhir_alliance.core.rules.page import Moment, Note
from fhir_alliance.core.rules.series import Series

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
    for name, place, words in (("line", _side(moment), _line_words), ("band", _band, _band_words)):
        told = moment.page.kept((name, id(moment.series)), partial(_told, moment.series, place, step))
        since = told[moment.at]
        note(f"{name}: stands", place(moment.series, moment.at))
        if since is not None:
            note(f"{name}: was last told", place(moment.series, since))
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
    side = _side(moment)
    if not side(moment.series, moment.at) or (moment.at and side(moment.series, moment.at - 1)):
        return None
    words = f"{moment.series.scale.title} is {plain(moment.points)}, at the line of {line.at} ({line.source})."
    return moment.finding(ALLIANCE_LINE, words, AGENDA.get(moment.series.scale.id, AGENDA["alliance"]))


def crossing_step(moment: Moment) -> Decimal:
    """Return how far a score must have moved, in points: a share of the reliable change; 0 where none is known."""
    share = Decimal(str(moment.page.settings.crossing_share))
    return share * (least_change(moment) or 0)


def _told(series: Series, place: Callable[[Series, int], Any], step: Decimal) -> list[int | None]:
    """Return for each score the index at which another place was last told, where the score makes news of it."""
    points = series.points
    told, low, high = 0, points[0], points[0]
    found: list[int | None] = [None]
    for at in range(1, len(points)):
        low, high = min(low, points[at]), max(high, points[at])
        moved = points[at] - low if points[at] > points[told] else high - points[at]
        if place(series, at) != place(series, told) and moved >= step:
            found.append(told)
            told, low, high = at, points[at], points[at]
        else:
            found.append(None)
    return found


def _side(moment: Moment) -> Callable[[Series, int], bool | None]:
    """Return what tells whether a score is at the line, or None where the scale has none."""
    line = moment.page.settings.line(moment.series.instrument.id, moment.series.scale)
    is_worse_up = moment.series.scale.higher_is is Direction.WORSE

    def at_line(series: Series, at: int) -> bool | None:
        if line is None:
            return None
        return series.points[at] >= line.at if is_worse_up else series.points[at] <= line.at

    return at_line


def _band(series: Series, at: int) -> str:
    band = series.scores[at].band
    return band.code if band is not None else ""


def _line_words(moment: Moment, since: int) -> str:
    line = moment.page.settings.line(moment.series.instrument.id, moment.series.scale)
    side = "has reached" if _side(moment)(moment.series, moment.at) else "is no longer at"
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
