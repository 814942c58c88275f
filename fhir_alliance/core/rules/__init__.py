"""Rules: pure judgements on a client's chart, each with a card.

A rule on scores sees one series up to one score and speaks about that score; a rule on the calendar sees the chart and
the day. None fetches, writes, or says "diagnosis". What each means and where its numbers are from stands on its card.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from fhir_alliance.core.keys import finding_key
from fhir_alliance.core.model import Finding, Review
from fhir_alliance.core.rules import alliance, calendar, change, course, crossing, dyad, goals
from fhir_alliance.core.rules.chart import Chart, Rulebook
from fhir_alliance.core.rules.page import Moment, Note, Page, silent
from fhir_alliance.core.rules.settings import RuleSettings

ScoreRule: TypeAlias = Callable[[Moment, Note], Finding | None]
CalendarRule: TypeAlias = Callable[[Page, datetime, Note], Finding | None]

SCORE_RULES: Final[Mapping[str, ScoreRule]] = {
    crossing.CASENESS: crossing.caseness_crossing,
    change.DETERIORATION: change.reliable_deterioration,
    change.IMPROVEMENT: change.reliable_improvement,
    change.LANGUAGE: change.language_changed,
    course.NOT_ON_TRACK: course.not_on_track,
    alliance.DROP: alliance.alliance_drop,
    alliance.CHART: alliance.alliance_control_chart,
    alliance.REPAIR: alliance.alliance_repair,
    alliance.LOW: alliance.low_subscale,
    alliance.FLAT: alliance.flat_perfect,
    crossing.ALLIANCE_LINE: crossing.alliance_line,
    dyad.GAP: dyad.client_therapist_gap,
    dyad.MODE: dyad.mode_change,
    goals.REACHED: goals.goal_reached,
}
CALENDAR_RULES: Final[Mapping[str, CalendarRule]] = {
    calendar.MISSED: calendar.missed_measures,
    calendar.AWAY: calendar.drop_out_signs,
    goals.OVERDUE: goals.goal_overdue,
}
RULE_IDS: Final = (*SCORE_RULES, *CALENDAR_RULES, calendar.REGULAR)


def evaluate(
    charts: Iterable[Chart], book: Rulebook, now: datetime, since: Mapping[str, datetime]
) -> tuple[Finding, ...]:
    """Return the findings of all rules but the regular review.

    since: by subject, the moment from which scores are judged (anew); earlier ones only give the history. A client
    who is not in it is not judged.
    """
    rules = [rule for name, rule in SCORE_RULES.items() if name not in book.settings.off]
    by_day = [rule for name, rule in CALENDAR_RULES.items() if name not in book.settings.off]
    findings: list[Finding | None] = []
    for chart in charts:
        if chart.subject not in since:
            continue
        page = Page(chart, book)
        start = _start(chart.subject, book.settings, now, since)
        for series in page.series:
            first = bisect_left(series.scores, start, key=lambda score: score.when)
            for at in range(first, len(series.scores)):
                moment = Moment(page, series, at)
                findings += [rule(moment, silent) for rule in rules]
        findings += [rule(page, now, silent) for rule in by_day]
    found = [finding for finding in findings if finding is not None]
    # A repair stands behind its rupture, also where both forms carry the same moment.
    return tuple(sorted(found, key=lambda finding: (finding.when, bool(finding.repairs), finding.key)))


def regular_review(chart: Chart, book: Rulebook, reviews: Iterable[Review], now: datetime) -> Finding | None:
    """Return a finding when the client's regular review is due. reviews: this client's."""
    if calendar.REGULAR in book.settings.off:
        return None
    return calendar.regular_review(Page(chart, book), reviews, now, silent)


def judged(
    charts: Iterable[Chart], book: Rulebook, now: datetime, since: Mapping[str, datetime],
    reviews: Iterable[Review] = (),
) -> frozenset[str]:  # fmt: skip
    """Return the keys of all findings that `evaluate` looked for, and of those on withdrawn scores.

    reviews: what stands in them by the calendar was looked for too, whatever the day that it was found on.
    """
    keys = {
        finding_key(rule, score.key)
        for chart in charts
        if chart.subject in since
        for start in (_start(chart.subject, book.settings, now, since),)
        for score in chart.scores
        if score.withdrawn or score.when >= start
        for rule in SCORE_RULES
    }
    by_day = {
        evidence.key
        for review in reviews
        if review.subject in since
        for evidence in review.evidence
        if evidence.rule in CALENDAR_RULES
    }
    return frozenset(keys | by_day)


def _start(subject: str, settings: RuleSettings, now: datetime, since: Mapping[str, datetime]) -> datetime:
    """Return the moment from which a client's scores are judged."""
    start = since[subject]
    return max(start, now - timedelta(days=settings.look_back_days)) if settings.look_back_days else start
