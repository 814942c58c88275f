"""What a supervisor looks at person by person: the caseload, the chain from score to goal, and evidence of assessments.

Nothing here grades a client's risk: a safety answer that nobody has looked at is counted, and that is all.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import msgspec

from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.measures.calendar import Days, Moment
from fhir_alliance.core.measures.people import Kind, Person
from fhir_alliance.core.measures.reading import observation, task
from fhir_alliance.core.model import Family, NoValue, Number, Review, ReviewKind, ReviewStatus, Score
from fhir_alliance.core.rules import evaluate
from fhir_alliance.core.rules.alliance import CHART, DROP
from fhir_alliance.core.rules.change import DETERIORATION
from fhir_alliance.core.rules.chart import Chart, Rulebook, Session
from fhir_alliance.core.rules.course import NOT_ON_TRACK
from fhir_alliance.core.ways_out import ViewPass

_OFF_TRACK: Final = frozenset({NOT_ON_TRACK, DETERIORATION, DROP, CHART})
_LIVE: Final = frozenset({"accepted", "active", "on-hold"})
# Why a review was asked for, in an accreditor's words.
SCORE: Final = "the score"
INTERVAL: Final = "the interval"


class CaseRow(msgspec.Struct, frozen=True):
    """One client as the supervisor sees them.

    off_track: what the rules say of the last scores, in sentences.  overdue: open goal reviews past their due day.
    unreviewed_safety: safety reviews that nobody has completed.  is_missing: a session of late, and no form.
    is_withheld: consent keeps scores from the supervisor; only what stands for safety is told.
    """

    subject: str
    therapist: str
    off_track: tuple[str, ...] = ()
    overdue: int = 0
    oldest_due: date | None = None
    unreviewed_safety: int = 0
    last_form: date | None = None
    is_missing: bool = False
    is_withheld: bool = False

    @property
    def needs_a_look(self) -> bool:
        """Return whether anything stands in the row."""
        return bool(self.off_track or self.overdue or self.unreviewed_safety or self.is_missing)


class Link(msgspec.Struct, frozen=True):
    """One chain of evidence for an accreditor: score, review, decision, goal. Empty where the chain ends.

    day, points: of the score.  because: why the review was asked for, `SCORE` or `INTERVAL`.
    """

    subject: str
    tool: str
    day: str
    points: str
    score: str
    review: str
    because: str
    closed_on: str
    decision: str
    goal: str


class Assessment(msgspec.Struct, frozen=True):
    """One assessment of a day: instrument, score, what the score is called, and the review that came of it."""

    day: date
    subject: str
    instrument: str
    score: Number
    interpretation: str
    observation: str
    review: str


def case_row(passed: ViewPass, person: Person, book: Rulebook, day: date, missing_days: int) -> CaseRow:
    """Return the client's row as of a day. missing_days: a session and no form in so many counts as missing.

    passed: what lets a supervisor see it, here and below; raises ValueError where it is another client's.
    """
    passed.demand(person.reference)
    standing = [review for review in person.reviews if review.status is ReviewStatus.OPEN]
    late = [r.due.date() for r in standing if r.kind is ReviewKind.GOAL and r.due.date() < day]
    forms = [score.when.date() for score in person.scores if not score.withdrawn and score.when.date() <= day]
    since = day - timedelta(days=missing_days - 1)
    seen = any(
        since <= (fact.day or date.min) <= day for fact in person.of(Kind.ENCOUNTER) if fact.status == "finished"
    )
    last = max(forms, default=None)
    return CaseRow(
        person.reference,
        person.therapist,
        _off_track(person, book),
        len(late),
        min(late, default=None),
        unreviewed_safety(person),
        last,
        seen and (last is None or last < since),
    )


def withheld_row(person: Person) -> CaseRow:
    """Return the row of a client whom consent keeps from the supervisor: only what stands for safety."""
    return CaseRow(person.reference, person.therapist, unreviewed_safety=unreviewed_safety(person), is_withheld=True)


def unreviewed_safety(person: Person) -> int:
    """Return how many of the person's safety reviews nobody has completed."""
    return sum(r.kind is ReviewKind.SAFETY and r.status is ReviewStatus.OPEN for r in person.reviews)


def chain(passed: ViewPass, person: Person, book: Rulebook, period: Days) -> tuple[Link, ...]:
    """Return the chains of the period: each score with the reviews that rest on it, or with none.

    A goal review that was asked for at the agreed interval stands with the last score before it.
    """
    passed.demand(person.reference)
    totals = _totals(person, book, Days(date.min, period.last))
    by_score: dict[str, dict[str, tuple[Review, str]]] = {}
    for review in person.reviews:
        names, because = {evidence.score_key for evidence in review.evidence} - {""}, SCORE
        if not names and review.kind is ReviewKind.GOAL:
            before = [score for score in totals if score.when <= review.opened]
            names, because = {score.key for score in before[-1:]}, INTERVAL
        for name in names:
            by_score.setdefault(name, {})[review.key] = review, because
    found = []
    for score in totals:
        if score.when.date() < period.first:
            continue
        tool = book.instruments[score.instrument].title
        reviews = {key: asked for name in score.names for key, asked in by_score.get(name, {}).items()}
        found += [_link(person, tool, score, *asked) for asked in reviews.values() or [(None, "")]]
    return tuple(found)


def has_standing_goal(person: Person) -> bool:
    """Return whether the person has a goal that is worked on."""
    return any(goal.status in _LIVE for goal in person.of(Kind.GOAL))


def assessments(passed: ViewPass, person: Person, book: Rulebook, period: Days) -> tuple[Assessment, ...]:
    """Return the outcome assessments of the period, each instrument once a day, the last score of it."""
    passed.demand(person.reference)
    found: dict[tuple[date, str], Assessment] = {}
    for score in _totals(person, book, period):
        if isinstance(score.value, NoValue):
            continue
        instrument = book.instruments[score.instrument]
        review = next((task(r) for r in person.reviews if any(e.score_key in score.names for e in r.evidence)), "")
        band = score.band.label if score.band else ""
        day = score.when.date()
        found[day, instrument.id] = Assessment(
            day, person.reference, instrument.title, score.value, band, observation(score), review
        )
    return tuple(found.values())


def _totals(person: Person, book: Rulebook, period: Days) -> list[Score]:
    """Return the outcome totals of the period; ratings of the alliance say nothing of a goal."""
    inside = [
        score
        for score in person.scores
        if score.scale == "total"
        and not score.withdrawn
        and score.instrument in book.instruments
        and book.instruments[score.instrument].family is Family.OUTCOME
        and period.first <= score.when.date() <= period.last
    ]
    return sorted(inside, key=lambda score: (score.when, score.key))


def _link(person: Person, tool: str, score: Score, review: Review | None, because: str) -> Link:
    points = "none" if isinstance(score.value, NoValue) else plain(score.value)
    seen = (person.reference, tool, score.when.date().isoformat(), points, observation(score))
    if review is None:
        return Link(*seen, "", because, "", "", "")
    is_closed = review.closed_on is not None and review.status is ReviewStatus.CLOSED
    closed = review.closed_on.isoformat() if is_closed and review.closed_on is not None else ""
    decision = "" if review.decision is None else review.decision.value
    return Link(*seen, task(review), because, closed, decision, review.focus)


def _off_track(person: Person, book: Rulebook) -> tuple[str, ...]:
    """Return what the rules say of the last score of each scale, if it is about going wrong."""
    if not person.scores:
        return ()
    last: dict[tuple[str, str, str], Score] = {}
    for score in sorted(person.scores, key=lambda s: (s.when, s.key)):
        last[score.instrument, score.scale, score.rater] = score
    newest = {score.key for score in last.values()}
    first, until = min(s.when for s in person.scores), max(s.when for s in person.scores)
    chart = Chart(person.reference, person.scores, _sessions(person))
    findings = evaluate([chart], book, until, {person.reference: first})
    return tuple(dict.fromkeys(f.sentence for f in findings if f.rule in _OFF_TRACK and f.score_key in newest))


def _sessions(person: Person) -> tuple[Session, ...]:
    return tuple(
        Session(fact.reference, fact.when.start.first, fact.mode, person.therapist, fact.status == "finished")
        for fact in person.of(Kind.ENCOUNTER)
        if isinstance(fact.when.start, Moment)
    )
