"""Our own process measures: whether the alliance is asked for, and whether something follows from what was found.

They are about a clinic's work, not about outcome; none has been validated. Their numbers are the clinic's to set.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import msgspec

from fhir_alliance.core.measures.definition import Population
from fhir_alliance.core.measures.equity import MONTH
from fhir_alliance.core.measures.evaluation import Member
from fhir_alliance.core.measures.people import Kind
from fhir_alliance.core.measures.reading import Reading, observation, task
from fhir_alliance.core.model import Family, Finding, NoValue, Number, Rater, Review, ReviewKind, ReviewStatus, Score
from fhir_alliance.core.rules import alliance, evaluate
from fhir_alliance.core.rules.chart import Chart

_RUPTURES: Final = frozenset({alliance.DROP, alliance.CHART})
_LIVE_GOALS: Final = frozenset({"accepted", "active", "on-hold"})


def alliance_early(reading: Reading) -> list[Member]:
    """Return whether the client rated the alliance in the first sessions of an episode.

    The last of these sessions lies in the period.  A new episode starts the count anew.
    """
    first = reading.setting("sessions")
    for episode in reversed(reading.episodes()):
        sessions = reading.sessions(episode)[:first]
        last = sessions[-1].day if len(sessions) == first else None
        if last is None or not reading.in_period(last):
            continue
        begun = sessions[0].day or last
        named = {session.reference for session in sessions}
        ratings = reading.ratings(Rater.CLIENT)
        found = [r for r in ratings if r.encounter in named or begun <= r.when.date() <= last]
        return reading.yes_or_no(True, bool(found), [*(s.reference for s in sessions), *map(observation, found)])
    return reading.yes_or_no(False, False)


def reviews_in_time(reading: Reading) -> list[Member]:
    """Return how many of the person's reviews were due in the period, and how many were done by their due day.

    A review that was cancelled because its ground fell away is excluded.
    """
    due = [review for review in reading.person.reviews if reading.in_period(review.due.date())]
    by_month: dict[str, list[Review]] = {}
    for review in due:
        by_month.setdefault(f"{MONTH}:{review.due.date():%Y-%m}", []).append(review)
    counts = _timely(due)
    words = f"{counts[Population.NUMERATOR]} of {len(due) - counts[Population.EXCLUSION]} reviews done by their due day"
    member = reading.member(reading.measure.groups[0], counts, words, map(task, due))
    return [msgspec.structs.replace(member, divided={month: _timely(own) for month, own in by_month.items()})]


def ruptures_repaired(reading: Reading) -> list[Member]:
    """Return how many probable ruptures the period holds, and how many of them were followed by a repair."""
    findings = _findings(reading)
    ruptures = [f for f in findings if f.rule in _RUPTURES and reading.in_period(f.when.date())]
    repairs = [finding for finding in findings if finding.rule == alliance.REPAIR]
    repaired = {key for finding in repairs for key in finding.repairs}
    broken, found = {rupture.key for rupture in ruptures}, len(ruptures)
    scores = {score.key: observation(score) for score in reading.person.scores}
    mending = [repair for repair in repairs if broken.intersection(repair.repairs)]
    evidence = [scores[finding.score_key] for finding in (*ruptures, *mending)]
    mended = sum(rupture.key in repaired for rupture in ruptures)
    counts = {Population.INITIAL: found, Population.DENOMINATOR: found, Population.NUMERATOR: mended}
    words = f"{mended} of {found} probable ruptures repaired"
    return [reading.member(reading.measure.groups[0], counts, words, evidence)]


def goals_reviewed(reading: Reading) -> list[Member]:
    """Return whether a client in care with a standing goal had a goal review in the last days of the period."""
    last = reading.period.last
    since = last - timedelta(days=reading.setting("every_days") - 1)
    goals = [g for g in reading.person.of(Kind.GOAL) if g.status in _LIVE_GOALS and g.day is not None and g.day < since]
    every = (session for episode in reading.episodes() for session in reading.sessions(episode))
    seen = [session for session in every if since <= (session.day or date.min) <= last]
    done = [r for r in reading.person.reviews if r.kind is ReviewKind.GOAL and _is_done(r)]
    closed = [r for r in done if r.closed_on is not None and since <= r.closed_on <= last]
    evidence = [*(fact.reference for fact in (*goals, *seen)), *map(task, closed)]
    return reading.yes_or_no(bool(goals and seen), bool(closed), evidence)


def both_raters(reading: Reading) -> list[Member]:
    """Return whether the therapist rated the alliance within days of one of the client's ratings in the period."""
    days = reading.setting("days")
    own = [r for r in reading.ratings(Rater.CLIENT) if reading.in_period(r.when.date())]
    others = reading.ratings(Rater.THERAPIST)
    met = [(a, b) for a in own for b in others if abs((a.when.date() - b.when.date()).days) <= days]
    return reading.yes_or_no(bool(own), bool(met), [*map(observation, own), *(observation(b) for _, b in met)])


def language_offered(reading: Reading) -> list[Member]:
    """Return whether a form of the period was answered in the client's own language.

    Compared by the language itself, without its region: a form in de serves who speaks de-AT. Ratings of the alliance
    count, but no reader is led to one by a measure that is not about them.
    """
    forms = [s for s in reading.person.scores if reading.in_period(s.when.date()) and not s.withdrawn]
    spoken = reading.person.languages[:1]
    met = any(_language(form.language) == _language(spoken[0]) for form in forms) if spoken else False
    evidence = (observation(form) for form in forms if reading.family(form) is Family.OUTCOME)
    return reading.yes_or_no(bool(forms) and bool(spoken), met, evidence)


def data_quality(reading: Reading) -> list[Member]:
    """Return how many sessions brought a form, and how many forms were scored, whole, or all at one end.

    A form whose total is an end of its scale has every item answered at that end; of one item nothing can be told.
    """
    forms = [f for f in reading.person.scores if f.scale == "total" and not f.withdrawn and _is_of(reading, f)]
    sessions = [s for e in reading.episodes() for s in reading.sessions(e) if s.day and reading.in_period(s.day)]
    days = {form.when.date() for form in forms}
    named = {form.encounter for form in forms} - {""}
    scored = [form for form in forms if not isinstance(form.value, NoValue)]
    flat = [form for form in scored if form.value in _ends(reading, form) and form.asked > 1]
    told = {
        "collected": (len(sessions), sum(s.day in days or s.reference in named for s in sessions)),
        "scorable": (len(forms), len(scored)),
        "complete": (len(scored), sum(form.answered == form.asked for form in scored)),
        "flat": (sum(form.asked > 1 for form in scored), len(flat)),
    }
    shown = [observation(form) for form in forms]
    evidence = {"collected": [*(session.reference for session in sessions), *shown]}
    found = []
    for group in reading.measure.groups:
        whole, part = told[group.id]
        counts = {Population.INITIAL: whole, Population.DENOMINATOR: whole, Population.NUMERATOR: part}
        found.append(reading.member(group, counts, f"{part} of {whole}", evidence.get(group.id, shown)))
    return found


def _is_of(reading: Reading, form: Score) -> bool:
    return reading.in_period(form.when.date()) and form.instrument in reading.book.instruments


def _ends(reading: Reading, form: Score) -> tuple[Number, Number]:
    scales = reading.book.instruments[form.instrument].scales
    return next((scale.low, scale.high) for scale in scales if scale.id == form.scale)


def _findings(reading: Reading) -> tuple[Finding, ...]:
    """Return all that the rules find in the person's scores, up to the end of what is looked at."""
    person = reading.person
    if not person.scores:
        return ()
    first, last = min(s.when for s in person.scores), max(s.when for s in person.scores)
    charts = [Chart(person.reference, person.scores)]
    return evaluate(charts, reading.book, last, {person.reference: first})


def _timely(due: Sequence[Review]) -> dict[Population, int]:
    cancelled = sum(review.status is ReviewStatus.CANCELLED for review in due)
    done = sum(_is_in_time(review) for review in due)
    whole = dict.fromkeys((Population.INITIAL, Population.DENOMINATOR), len(due))
    return whole | {Population.EXCLUSION: cancelled, Population.NUMERATOR: done}


def _is_in_time(review: Review) -> bool:
    return _is_done(review) and review.closed_on is not None and review.closed_on <= review.due.date()


def _is_done(review: Review) -> bool:
    return review.status is ReviewStatus.CLOSED


def _language(tag: str) -> str:
    return tag.partition("-")[0].lower()
