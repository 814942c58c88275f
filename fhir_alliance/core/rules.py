"""Rules: pure judgements on a client's history of scores, each with its card.

A rule sees one series (same client, instrument, scale and rater), oldest first, and speaks about its last
score. It never fetches, never writes, and never says "diagnosis".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import mean, stdev
from typing import NamedTuple

import msgspec

from fhir_alliance.core.keys import finding_key
from fhir_alliance.core.model import (
    Direction,
    Family,
    Finding,
    Formula,
    Instrument,
    Level,
    NoValue,
    Number,
    Rater,
    Review,
    ReviewKind,
    ReviewStatus,
    Scale,
    Score,
)


class RuleSettings(msgspec.Struct, frozen=True):
    """What a site may choose. Defaults are said on the cards.

    look_back_days: findings on scores older than this are history, not news; 0 is no limit.
    sessions_before: earlier sessions that the alliance rule needs.  sd_units: how far below the own mean.
    review_every_days, review_every_sessions: the regular review; off (0) until a site chooses an interval.
    """

    look_back_days: int = 0
    sessions_before: int = 3
    sd_units: float = 1.0
    review_every_days: int = 0
    review_every_sessions: int = 0


class Rule(msgspec.Struct, frozen=True):
    """The card of a rule: what it does, why, on what evidence, and what it does not know."""

    id: str
    version: str
    title: str
    what: str
    why: str
    citation: str
    unknown: str


CASENESS = Rule(
    "caseness-crossing",
    "1.0.0",
    "Caseness or severity band crossed",
    "The score has moved over the caseness line, or into another published severity band, compared with the "
    "client's first score.",
    "A change of category is what a review of goals can start from.",
    "Thresholds and bands as cited with each scale, e.g. NHS Talking Therapies manual: PHQ-9 caseness 10, GAD-7 8.",
    "A crossing can lie within measurement error; it is not reliable change.",
)
ALLIANCE_DROP = Rule(
    "alliance-drop",
    "1.0.0",
    "Alliance below the client's own earlier sessions",
    "An alliance total or subscale lies more than one standard deviation of the client's own earlier sessions "
    "below their mean, after at least three earlier sessions.",
    "A drop in a client's own ratings can mark a rupture; talking about it is the repair.",
    "Criterion of one standard deviation (lenient; two is strict): PMC3320522.",
    "Few sessions make the deviation uncertain; ratings near the ceiling hide trouble.",
)
REGULAR = Rule(
    "regular-review",
    "1.0.0",
    "Regular review due",
    "The time or number of sessions that the site has set has passed since the last review, or since the first form.",
    "Goals are reviewed also when scores are fine (Joint Commission CTS.03.01.09 EP1-2).",
    "The interval is the site's choice; no published interval is claimed.",
    "Sessions without a form are not seen.",
)
RULES = (CASENESS, ALLIANCE_DROP, REGULAR)

# What a review can talk about, as topics of `core.agenda`, by what the finding is about.
AGENDA: Mapping[str, tuple[str, ...]] = {
    "goal": ("goals",),
    "task": ("tasks",),
    "bond": ("bond",),
    "alliance": ("alliance", "goals", "tasks"),
    "worse": ("worse", "motivation", "support"),
    "better": ("better", "reached"),
    "regular": ("regular",),
}


class Series(NamedTuple):
    """One client's scores on one scale by one rater, oldest first, and what they are scores of."""

    instrument: Instrument
    scale: Scale
    scores: tuple[Score, ...]


_RuleFunction = Callable[[Series, RuleSettings], Finding | None]


def caseness_crossing(series: Series, settings: RuleSettings) -> Finding | None:
    """Return a finding when the last score newly stands in another category than the first."""
    if len(series.scores) < 2:
        return None
    scale = series.scale
    if scale.formula is Formula.COUNT:  # the same answers counted another way are no news of their own
        return None
    first, before, last = (series.scores[i] for i in (0, -2, -1))
    for place in (_is_case, _band_code):
        if place(scale, last) not in (place(scale, first), place(scale, before)):
            worse = (_points(last) > _points(first)) == (scale.higher_is is Direction.WORSE)
            words = _crossing_words(scale, first, last) if place is _is_case else _band_words(scale, first, last)
            return _finding(CASENESS, series, words, AGENDA["worse" if worse else "better"])
    return None


def alliance_drop(series: Series, settings: RuleSettings) -> Finding | None:
    """Return a finding when the client's last alliance rating lies below their own earlier ones."""
    earlier = [_points(score) for score in series.scores[:-1]]
    is_client = series.scores[-1].rater is Rater.CLIENT
    if series.instrument.family is not Family.ALLIANCE or not is_client or len(earlier) < settings.sessions_before:
        return None
    centre, spread = mean(map(Decimal, earlier)), stdev(map(Decimal, earlier))
    last = _points(series.scores[-1])
    if last >= centre - spread * Decimal(str(settings.sd_units)):
        return None
    words = (
        f"{series.scale.title} is {last}, more than {settings.sd_units:g} standard deviation"
        f"{'' if settings.sd_units == 1 else 's'} ({spread:.2f}) below this client's own mean of {centre:.2f} "
        f"over {len(earlier)} earlier sessions."
    )
    return _finding(ALLIANCE_DROP, series, words, AGENDA.get(series.scale.id, AGENDA["alliance"]))


SCORE_RULES: tuple[_RuleFunction, ...] = (caseness_crossing, alliance_drop)


def evaluate(
    history: Iterable[Score],
    instruments: Mapping[str, Instrument],
    settings: RuleSettings,
    now: datetime,
    since: Mapping[str, datetime],
) -> tuple[Finding, ...]:
    """Return the findings of all rules on scores.

    history: everything known of the clients, in any order.
    since: by subject, the moment from which scores are judged (anew); earlier ones only give the history.
    """
    findings = []
    for series in series_of(history, instruments):
        start = _start(series.scores[0].subject, settings, now, since)
        for count, score in enumerate(series.scores, start=1):
            if score.when >= start:
                until = series._replace(scores=series.scores[:count])
                findings += [finding for rule in SCORE_RULES if (finding := rule(until, settings)) is not None]
    return tuple(sorted(findings, key=lambda finding: (finding.when, finding.key)))


def judged(
    history: Iterable[Score], settings: RuleSettings, now: datetime, since: Mapping[str, datetime]
) -> frozenset[str]:
    """Return the keys of all findings that `evaluate` looked for, and of those on withdrawn scores."""
    return frozenset(
        finding_key(rule.id, score.key)
        for score in history
        if score.withdrawn or score.when >= _start(score.subject, settings, now, since)
        for rule in (CASENESS, ALLIANCE_DROP)
    )


def _start(subject: str, settings: RuleSettings, now: datetime, since: Mapping[str, datetime]) -> datetime:
    """Return the moment from which a client's scores are judged; for a client who was not asked about, never."""
    start = since.get(subject, now + timedelta(days=36500))
    return max(start, now - timedelta(days=settings.look_back_days)) if settings.look_back_days else start


def regular_review(
    subject: str, history: Iterable[Score], reviews: Sequence[Review], settings: RuleSettings, now: datetime
) -> Finding | None:
    """Return a finding when the client's regular review is due: counted from the last one, or the first form.

    history: may hold other clients' scores.  reviews: this client's.
    """
    dates = sorted({s.when.date() for s in history if s.subject == subject and not s.withdrawn})
    closed = [
        r.closed_on for r in reviews if r.kind is ReviewKind.GOAL and r.status is ReviewStatus.CLOSED and r.closed_on
    ]
    if not dates:
        return None
    anchor = max(closed, default=dates[0])
    sessions = sum(day > anchor for day in dates)
    days = (now.date() - anchor).days
    by_time = 0 < settings.review_every_days <= days
    by_sessions = 0 < settings.review_every_sessions <= sessions
    if not (by_time or by_sessions):
        return None
    since = "the last review" if closed else "the first form"
    count = f"{days} days" if by_time else f"{sessions} sessions"
    key = finding_key(REGULAR.id, f"{subject}|{anchor.isoformat()}")
    return Finding(
        key, REGULAR.id, REGULAR.version, subject, "", Level.ROUTINE, f"{count} have passed since {since}.",
        REGULAR.citation, AGENDA["regular"], now,
    )  # fmt: skip


def series_of(history: Iterable[Score], instruments: Mapping[str, Instrument]) -> list[Series]:
    """Return the history as series, oldest score first; withdrawn scores and those without a value are left out."""
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
            found.append(Series(instrument, scale, tuple(sorted(scores.values(), key=lambda s: (s.when, s.key)))))
    return found


def _is_nameless(scale: Scale, scores: Iterable[Score]) -> bool:
    """Return whether the scores are about goals that have no name of their own, and so cannot be followed."""
    return scale.formula is Formula.PER_GOAL and not any(score.focus.startswith("Goal/") for score in scores)


def _finding(rule: Rule, series: Series, sentence: str, agenda: tuple[str, ...]) -> Finding:
    last = series.scores[-1]
    return Finding(
        finding_key(rule.id, last.key), rule.id, rule.version, last.subject, last.key, Level.ROUTINE, sentence,
        rule.citation, agenda, last.when,
    )  # fmt: skip


def _points(score: Score) -> Number:
    if isinstance(score.value, NoValue):
        raise TypeError("a series holds only scores with a value")
    return score.value


def _is_case(scale: Scale, score: Score) -> bool | None:
    """Return whether a score is at caseness, or None where the scale has no line."""
    if scale.caseness is None:
        return None
    points = _points(score)
    return points >= scale.caseness.at if scale.higher_is is Direction.WORSE else points <= scale.caseness.at


def _band_code(scale: Scale, score: Score) -> str:
    return score.band.code if score.band is not None else ""


def _crossing_words(scale: Scale, first: Score, last: Score) -> str:
    side = "has reached" if _is_case(scale, last) else "is no longer at"
    line = scale.caseness.at if scale.caseness else ""
    return (
        f"{scale.title} is {_points(last)} and {side} the caseness line of {line}; "
        f"the first score was {_points(first)}."
    )


def _band_words(scale: Scale, first: Score, last: Score) -> str:
    before, now = (score.band.label if score.band is not None else "no band" for score in (first, last))
    return f"{scale.title} is {_points(last)} ({now}); the first score was {_points(first)} ({before})."
