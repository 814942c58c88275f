"""What the calendar says: measures missed, signs of dropping out, and the regular review. All off until chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from fhir_alliance.core.model import Finding, Review, ReviewKind, ReviewStatus
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.alliance import Standing, is_overall, stand_of
from fhir_alliance.core.rules.page import Moment, Note, Page

MISSED = "missed-measures"
AWAY = "drop-out-signs"
REGULAR = "regular-review"


def missed_measures(page: Page, now: datetime, note: Note) -> Finding | None:
    """Return a finding when so many sessions were held since the client's last form."""
    needed = page.settings.missed_sessions
    forms = _forms(page) if needed > 0 and not page.chart.has_left else ()
    note("has left care", page.chart.has_left)
    if not forms:
        note("sessions without a form that are asked for (0 is off)", needed)
        return None
    last = max(forms)
    held = sorted({s.when.date() for s in page.chart.sessions if s.is_held and last < s.when <= now} - {last.date()})
    note("sessions held since the last form", len(held))
    note("sessions without a form that are asked for", needed)
    if len(held) < needed:
        return None
    words = f"{len(held)} sessions were held since the last form, which is of {last:%d %B %Y}."
    return page.by_day(MISSED, str(last.date()), words, AGENDA["missed"], now)


def drop_out_signs(page: Page, now: datetime, note: Note) -> Finding | None:
    """Return a finding when there was neither session nor form for so many days; it says where the alliance stood."""
    needed = page.settings.silent_days
    sessions = [s.when for s in page.chart.sessions if s.is_held and s.when <= now] if needed > 0 else []
    seen = [*_forms(page), *sessions] if needed > 0 and not page.chart.has_left else []
    note("has left care", page.chart.has_left)
    if not seen:
        note("days without session or form that are asked for (0 is off)", needed)
        return None
    last = max(seen)
    days = (now.date() - last.date()).days
    note("days since the last session or form", days)
    note("days that are asked for", needed)
    if days < needed:
        return None
    strained = " The last rating of the alliance was a probable rupture, not repaired." if _is_strained(page) else ""
    words = f"There was neither a session nor a form for {days} days, since {last:%d %B %Y}.{strained}"
    return page.by_day(AWAY, str(last.date()), words, AGENDA["missed"], now)


def regular_review(page: Page, reviews: Iterable[Review], now: datetime, note: Note) -> Finding | None:
    """Return a finding when the client's regular review is due: counted from the last one, or the first form.

    reviews: this client's.
    """
    days = sorted({moment.date() for moment in _forms(page)})
    if not days:
        return None
    closed = [
        r.closed_on for r in reviews if r.kind is ReviewKind.GOAL and r.status is ReviewStatus.CLOSED and r.closed_on
    ]
    anchor = max(closed, default=days[0])
    sessions, passed = sum(day > anchor for day in days), (now.date() - anchor).days
    note("days and sessions since the last review or the first form", (passed, sessions))
    by_time = 0 < page.settings.review_every_days <= passed
    if not by_time and not 0 < page.settings.review_every_sessions <= sessions:
        return None
    since = "the last review" if closed else "the first form"
    words = f"{f'{passed} days' if by_time else f'{sessions} sessions'} have passed since {since}."
    return page.by_day(REGULAR, anchor.isoformat(), words, AGENDA["regular"], now)


def _forms(page: Page) -> Sequence[datetime]:
    """Return when the client's forms that stand were answered; forms without a value count: somebody answered."""
    return [score.when for score in page.chart.scores if not score.withdrawn]


def _is_strained(page: Page) -> bool:
    """Return whether the client's last overall rating of the alliance belongs to a rupture that is not repaired."""
    for series in page.series:
        last = Moment(page, series, len(series.scores) - 1)
        if last.is_own_alliance and is_overall(series):
            return stand_of(last).standing in (Standing.DROPPED, Standing.OPEN)
    return False
