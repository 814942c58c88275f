"""Client and therapist of one dyad: where their ratings differ, and the alliance after a change of mode."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from fhir_alliance.core.change import is_one_language
from fhir_alliance.core.cutoffs import plain, sign
from fhir_alliance.core.model import Family, Finding, Mode, Rater, Score
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.alliance import is_overall
from fhir_alliance.core.rules.page import Moment, Note, Page

GAP = "client-therapist-gap"
MODE = "mode-change"
_PARALLEL = "-therapist"  # the therapist's form of an instrument is named like the client's, with this behind it
_MODES = {Mode.IN_PERSON: "in person", Mode.VIDEO: "by video", Mode.PHONE: "by phone"}


class _Rating(NamedTuple):
    """A rating in points of the mean answer."""

    score: Score
    level: Decimal


# The last rating of each person by session: by its Encounter, and by its day.
_Last: TypeAlias = dict[tuple[Rater, str | date], _Rating]


class Gap(NamedTuple):
    """Two ratings of one session, in points of the mean answer. is_new: the pair before was not as far apart."""

    client: Decimal
    therapist: Decimal
    is_new: bool

    @property
    def size(self) -> Decimal:
        """How far they are apart."""
        return abs(self.client - self.therapist)


def client_therapist_gap(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when client and therapist newly differ on a scale of one session, on the later of the forms."""
    least = Decimal(str(moment.page.settings.gap_points))
    if moment.series.instrument.family is not Family.ALLIANCE or not moment.is_directed:
        note("an alliance scale with a direction", False)
        return None
    name = moment.series.instrument.id.removesuffix(_PARALLEL)
    scale = moment.series.scale
    gaps = moment.page.kept(("gaps", name, scale.id), lambda: _gaps(moment.page, name, scale.id, least))
    gap = gaps.get(moment.score.key)
    note("the other's earlier form on the same session", gap is not None)
    if gap is None:
        return None
    note("client, in points of the mean answer", gap.client)
    note("therapist", gap.therapist)
    note("a gap from", least)
    note("newly so", gap.is_new)
    if gap.size < least or not gap.is_new:
        return None
    higher = "client" if gap.client > gap.therapist else "therapist"
    words = (
        f"{_part(scale.title)}: client and therapist differ by {plain(gap.size)} points of the mean answer on one "
        f"session (client {plain(gap.client)}, therapist {plain(gap.therapist)}); the {higher} rates higher."
    )
    return moment.finding(GAP, words, AGENDA["gap"] + AGENDA.get(scale.id, ()))


def mode_change(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when the first ratings after a change of mode with the same therapist are lower than before."""
    series, settings = moment.series, moment.page.settings
    if not moment.is_own_alliance or not is_overall(series) or settings.mode_sessions < 1:
        note("a client's overall rating of the alliance", False)
        return None
    start = _run_start(moment, moment.at)
    before = _run_start(moment, start - 1) if start else 0
    now, then = _way(moment, moment.at), _way(moment, start - 1) if start else None
    note("ratings in this way of meeting, and in the way before", (moment.at + 1 - start, start - before))
    if now is None or then is None or now[1] != then[1]:
        note("a change of mode with the same therapist", False)
        return None
    if moment.at + 1 - start != settings.mode_sessions or start - before < settings.mode_sessions:
        return None
    earlier, later = series.mean(before, start), series.mean(start, moment.at + 1)
    fall = sign(series.scale.higher_is) * (earlier - later) / series.point_step
    note("mean before, mean since", (earlier, later))
    note("a fall from, in points of the mean answer", settings.mode_points)
    if fall < Decimal(str(settings.mode_points)):
        return None
    words = (
        f"{series.scale.title} averages {later:.2f} over the first {settings.mode_sessions} sessions {_MODES[now[0]]}, "
        f"against {earlier:.2f} in the {start - before} sessions {_MODES[then[0]]} before, with the same therapist."
    )
    return moment.finding(MODE, words, AGENDA["mode"])


def _way(moment: Moment, at: int) -> tuple[Mode, str] | None:
    """Return how and with whom the session of a score was held, or None where that is not known."""
    session = moment.page.session_of(moment.series.scores[at])
    return None if session is None or session.mode is Mode.UNKNOWN else (session.mode, session.therapist)


def _run_start(moment: Moment, at: int) -> int:
    """Return where the run of sessions in one way that a score stands in begins."""

    def reckon() -> list[int]:
        starts: list[int] = []
        for place in range(len(moment.series.scores)):
            same = place > 0 and _way(moment, place) == _way(moment, place - 1)
            starts.append(starts[-1] if same else place)
        return starts

    return moment.page.kept(("runs", id(moment.series)), reckon)[at]


def _gaps(page: Page, name: str, scale: str, least: Decimal) -> Mapping[str, Gap]:
    """Return the gap at each form that follows the other person's on the same session."""
    last: _Last = {}
    found: dict[str, Gap] = {}
    was_apart = False
    for rating in _ratings(page, name, scale):
        score = rating.score
        other = Rater.THERAPIST if score.rater is Rater.CLIENT else Rater.CLIENT
        partner = _partner(score, other, last)
        for place in (score.encounter, score.when.date()):
            last[(score.rater, place)] = rating
        if partner is None:
            continue
        by = {score.rater: rating.level, other: partner.level}
        gap = Gap(by[Rater.CLIENT], by[Rater.THERAPIST], not was_apart)
        found[score.key] = gap
        was_apart = gap.size >= least
    return found


def _ratings(page: Page, name: str, scale: str) -> list[_Rating]:
    """Return what client and therapist have said on one scale of parallel forms, oldest first."""
    both = [
        series
        for series in page.series
        if series.scale.id == scale and series.instrument.id in (name, name + _PARALLEL)
    ]
    if len({series.scores[0].rater for series in both} & {Rater.CLIENT, Rater.THERAPIST}) < 2:
        return []  # only one of them answers
    ratings = [
        _Rating(score, points / series.point_step)
        for series in both
        for score, points in zip(series.scores, series.points, strict=True)
        if score.rater in (Rater.CLIENT, Rater.THERAPIST)
    ]
    return sorted(ratings, key=lambda rating: (rating.score.when, rating.score.key))


def _partner(score: Score, other: Rater, last: _Last) -> _Rating | None:
    """Return the other's latest rating of the same session: by Encounter, or by day where one of them names none."""
    if score.encounter and (other, score.encounter) in last:
        found = last[(other, score.encounter)]
    else:
        by_day = last.get((other, score.when.date()))
        if by_day is None or (score.encounter and by_day.score.encounter):
            return None
        found = by_day
    return found if is_one_language(found.score.language.lower(), score.language.lower()) else None


def _part(title: str) -> str:
    return title.replace(" (therapist)", "")
