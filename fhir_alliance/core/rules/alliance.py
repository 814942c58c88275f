"""The client's own rating of the alliance: probable ruptures and their repair, low parts, flat-perfect ratings.

A rupture is probable, never a diagnosis of the relationship. It is judged by the client's own control chart once there
are sessions enough, before that by a criterion; a drop smaller than measurement error, or than the least step, is none.
"""

from __future__ import annotations

import math
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from fhir_alliance.core.cutoffs import plain, sign
from fhir_alliance.core.keys import finding_key
from fhir_alliance.core.model import Finding
from fhir_alliance.core.points import whole
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.change import least_change
from fhir_alliance.core.rules.page import Moment, Note, is_asked
from fhir_alliance.core.rules.series import Series
from fhir_alliance.core.rules.settings import RuleSettings

DROP = "alliance-drop"
CHART = "alliance-control-chart"
REPAIR = "alliance-repair"
LOW = "low-subscale"
FLAT = "flat-perfect"
# The mean moving range of two over this is the standard deviation of an individuals chart: Montgomery, Introduction to
# Statistical Quality Control, factor d2 for n = 2.
_D2 = Decimal("1.128")
_PARTS = ("goal", "task", "bond")


class Standing(StrEnum):
    """How a rating stands against the client's own earlier ones. Open: the rupture told before is not repaired."""

    TOO_FEW = "too few earlier sessions"
    STEADY = "within what is usual for this client"
    DROPPED = "newly below it"
    OPEN = "still below it"
    REPAIRED = "back within it"


class Usual(NamedTuple):
    """What is usual for a client: by which rule, over how many sessions, the mean, and how far below it is unusual."""

    rule: str
    sessions: int
    centre: Decimal
    deviation: Decimal
    margin: Decimal


class Stand(NamedTuple):
    """One rating against what was usual; while a rupture is open, that is what was usual before it.

    fall: how far it lies from the mean toward worse.  since: the place of the rating that the rupture began with.
    """

    standing: Standing
    usual: Usual | None
    fall: Decimal = Decimal(0)
    since: int = -1


def alliance_drop(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when a rating is newly below the client's own mean by the criterion of standard deviations."""
    usual = _dropped(moment, DROP, note)
    if usual is None:
        return None
    units = moment.page.settings.sd_units
    words = (
        f"{moment.series.scale.title} is {plain(moment.points)}, more than {units:g} standard deviation"
        f"{'' if units == 1 else 's'} ({usual.deviation:.2f}) {_aside(moment)} this client's own mean of "
        f"{usual.centre:.2f} over {usual.sessions} earlier sessions: a probable rupture, by criterion."
    )
    return moment.finding(DROP, words, AGENDA.get(moment.series.scale.id, AGENDA["alliance"]))


def alliance_control_chart(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when a rating is newly outside the limit of the client's own individuals chart."""
    usual = _dropped(moment, CHART, note)
    if usual is None:
        return None
    limit = usual.centre - sign(moment.series.scale.higher_is) * usual.margin
    words = (
        f"{moment.series.scale.title} is {plain(moment.points)}, {_aside(moment)} the limit of {limit:.2f} of this "
        f"client's own control chart (mean {usual.centre:.2f} over {usual.sessions} earlier sessions): a probable "
        "rupture, by control chart."
    )
    return moment.finding(CHART, words, AGENDA.get(moment.series.scale.id, AGENDA["alliance"]))


def alliance_repair(moment: Moment, note: Note) -> Finding | None:
    """Return a finding that says a probable rupture is over, when a rating is back at what was usual before it."""
    stand = _noted(moment, note)
    if stand is None or stand.standing is not Standing.REPAIRED or stand.usual is None:
        return None
    words = (
        f"{moment.series.scale.title} is {plain(moment.points)}, back within what was usual before the drop "
        f"(mean {stand.usual.centre:.2f} over {stand.usual.sessions} sessions): a repair."
    )
    ruptured = moment.series.scores[stand.since]
    return moment.finding(REPAIR, words, (), repairs=(finding_key(stand.usual.rule, ruptured.key),))


def low_subscale(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when goal, task or bond is newly in the lower part of its range; it names what to talk about."""
    part = moment.series.scale.id
    if not moment.is_own_alliance or part not in _PARTS:
        note("a client's rating of goal, task or bond", False)
        return None
    most = Decimal(str(moment.page.settings.low_share))
    share = _share(moment.series, moment.at)
    note("share of the range", share)
    note("low at or below", most)
    if share > most or (moment.at and _share(moment.series, moment.at - 1) <= most):
        return None
    words = (
        f"{moment.series.scale.title} is {plain(moment.points)}, in the lower {100 * most:.0f} % of its range: the "
        f"review can be about {part}."
    )
    return moment.finding(LOW, words, AGENDA[part])


def flat_perfect(moment: Moment, note: Note) -> Finding | None:
    """Return a hint when so many ratings in a row are the best possible, once per row."""
    series, needed = moment.series, moment.page.settings.flat_sessions
    if not moment.is_own_alliance or not is_overall(series) or needed < 1:
        note("a client's overall rating of the alliance", False)
        return None
    row = range(max(0, moment.at + 1 - needed), moment.at + 1)
    best = [_share(series, at) == 1 for at in row]
    note("ratings in a row that are asked for", needed)
    note("of the last ones, the best possible", sum(best))
    longer = moment.at >= needed and _share(series, moment.at - needed) == 1
    if len(best) < needed or not all(best) or longer:
        return None
    words = f"{series.scale.title} has been the best possible {needed} times in a row, which can also mean caution."
    return moment.finding(FLAT, words, AGENDA["bond"])


def is_overall(series: Series) -> bool:
    """Return whether a scale stands for the whole instrument: its total, or its only scale."""
    return series.scale.id == "total" or len(series.instrument.scales) == 1


def stand_of(moment: Moment) -> Stand:
    """Return how a rating stands; it looks only at those before it."""
    return moment.page.kept(("stand", id(moment.series), moment.at), lambda: _stand(moment))


def _stand(moment: Moment) -> Stand:
    standing, since = _walked(moment)[moment.at]
    until = since if standing in (Standing.OPEN, Standing.REPAIRED) else moment.at
    usual = None if standing is Standing.TOO_FEW else _usual(moment.series, until, moment.page.settings)
    fall = sign(moment.series.scale.higher_is) * (usual.centre - moment.points) if usual else Decimal(0)
    return Stand(standing, usual, fall, since)


_TOO_FEW: Final = (Standing.TOO_FEW, -1)
_STEADY: Final = (Standing.STEADY, -1)


def _walked(moment: Moment) -> list[tuple[Standing, int]]:
    return moment.page.kept(("stands", id(moment.series)), lambda: _walk(moment))


def _walk(moment: Moment) -> list[tuple[Standing, int]]:
    """Return how each rating stands, and where the rupture that it belongs to or ends began.

    Most ratings lie nearer to the mean than the least step; that is told from sums alone, without a division.
    """
    series, settings = moment.series, moment.page.settings
    toward, least, needed = sign(series.scale.higher_is), whole(_least_fall(moment)), _sessions_needed(settings)
    found: list[tuple[Standing, int]] = []
    sums, since, ruptured = series.sums, -1, None
    for at, points in enumerate(series.points):
        if ruptured is None and at < needed:
            found.append(_TOO_FEW)
            continue
        if ruptured is None and toward * (sums[at] - at * points) < at * least:
            found.append(_STEADY)
            continue
        if ruptured is not None:
            fall = toward * (ruptured.centre - points)
            standing = Standing.OPEN if fall > ruptured.margin and fall >= least else Standing.REPAIRED
        else:
            usual = _usual(series, at, settings)
            is_low = usual is not None and toward * (usual.centre - points) > usual.margin
            standing, since, ruptured = (Standing.DROPPED, at, usual) if is_low else (Standing.STEADY, -1, None)
        found.append((standing, since))
        if standing is Standing.REPAIRED:
            since, ruptured = -1, None
    return found


def _least_fall(moment: Moment) -> Decimal:
    """Return the smallest drop that counts, in points: the reliable change where it is known, else the least step."""
    known = least_change(moment)
    return known if known is not None else Decimal(str(moment.page.settings.least_step)) * moment.series.point_step


def _sessions_needed(settings: RuleSettings) -> float:
    """Return how many earlier sessions there have to be for the first of the two rules to judge; infinite for none."""
    by_chart = settings.chart_sessions if CHART not in settings.off and settings.chart_sessions >= 2 else math.inf
    by_criterion = max(2, settings.sessions_before) if DROP not in settings.off else math.inf
    return min(by_chart, by_criterion)


def _usual(series: Series, at: int, settings: RuleSettings) -> Usual | None:
    """Return what is usual before a rating: by the control chart where there are sessions enough, else by criterion."""
    if CHART not in settings.off and 2 <= settings.chart_sessions <= at:
        sigma = series.moving_range(at) / _D2
        return Usual(CHART, at, series.mean(0, at), sigma, sigma * Decimal(str(settings.chart_sigmas)))
    if DROP not in settings.off and max(2, settings.sessions_before) <= at:
        spread = series.spread(at)
        return Usual(DROP, at, series.mean(0, at), spread, spread * Decimal(str(settings.sd_units)))
    return None


def _dropped(moment: Moment, rule: str, note: Note) -> Usual | None:
    """Return what a rating has newly dropped from, where that rule judges it."""
    stand = _noted(moment, note)
    if stand is None or stand.standing is not Standing.DROPPED or stand.usual is None:
        return None
    note("judged by", stand.usual.rule)
    return stand.usual if stand.usual.rule == rule else None


def _noted(moment: Moment, note: Note) -> Stand | None:
    """Return how the moment's rating stands, with what it rests on told."""
    note("a client's rating of the alliance, on a scale with a direction", moment.is_own_alliance)
    if not moment.is_own_alliance:
        return None
    if not is_asked(note) and _walked(moment)[moment.at] in (_TOO_FEW, _STEADY):
        return None
    stand = stand_of(moment)
    if stand.usual is not None:
        note("judged by", stand.usual.rule)
        note("sessions that it rests on", stand.usual.sessions)
        note("their mean", stand.usual.centre)
        note("allowed distance from it", stand.usual.margin)
        note("distance of this rating toward worse", stand.fall)
    note("least distance that counts", _least_fall(moment))
    note("so the rating is", stand.standing)
    return stand


def _share(series: Series, at: int) -> Decimal:
    """Return where a score stands in its range, from 0 (worst) to 1 (best)."""
    scale = series.scale
    reach = Decimal(scale.high - scale.low)
    if not reach:
        return Decimal("0.5")
    share = (series.points[at] - scale.low) / reach
    return share if sign(scale.higher_is) > 0 else 1 - share


def _aside(moment: Moment) -> str:
    return "below" if sign(moment.series.scale.higher_is) > 0 else "above"
