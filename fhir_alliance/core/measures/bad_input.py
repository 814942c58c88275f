"""What is wrong in a record, and the stated rule for each: counted in the manifest of every report."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Final

import msgspec

from fhir_alliance.core.measures.calendar import Days, Edge, Moment
from fhir_alliance.core.measures.people import Fact, Kind, Person
from fhir_alliance.core.model import Review, ReviewKind, ReviewStatus, TaskStatus

RULES: Final = {
    "overlapping-episodes": "Episodes of care that overlap: the person is counted once, as if they were one.",
    "missing-birth-date": "No birth date: the person has no age, so no condition on age is met.",
    "future-score": "Scores dated after the data cut: not looked at.",
    "duplicate-encounter": "The same visit entered twice (start, type, class, status): counted once.",
    "two-scores-on-one-day": "Two scores of one kind on a day: both count, in the order of time; at one moment the "
    "higher one is taken as the later.",
    "amended-after-period": "Scores amended after the period's end: the amended value counts; a report made before "
    "is restated.",
    "client-in-two-clinics": "A client of two clinics: counted once in the report of all, in no clinic's own twice.",
    "subject-elsewhere": "Records in a Bundle of one patient that name a patient who is not there: that one patient's.",
    "date-too-coarse": "A date too coarse to tell (a month, an unknown onset): the condition counts as not met.",
}


def set_right(person: Person, period: Days, cut: date) -> Person:
    """Return the person as measures may look at them, with what was found odd counted by rule.

    cut: the last day that is looked at. What began later is not there; a goal review that was done later stands open.
    """
    odd = Counter(dict(person.odd))
    late = [fact for fact in person.facts if _is_after(fact, cut)]
    facts = tuple(fact for fact in person.facts if not _is_after(fact, cut)) if late else person.facts
    scores = tuple(score for score in person.scores if score.when.date() <= cut)
    reviews = tuple(seen for review in person.reviews if (seen := _as_of(review, cut)) is not None)
    odd["future-score"] += sum(fact.kind is Kind.OBSERVATION for fact in late)
    odd["amended-after-period"] += sum(_is_amended(fact, period.last) for fact in facts)
    days = Counter((fact.day, fact.codes) for fact in facts if fact.kind is Kind.OBSERVATION and _is_score(fact))
    odd["two-scores-on-one-day"] += sum(count > 1 for (day, _), count in days.items() if day is not None)
    found = tuple(sorted((rule, count) for rule, count in odd.items() if count))
    return msgspec.structs.replace(person, facts=facts, scores=scores, reviews=reviews, odd=found)


def _is_after(fact: Fact, cut: date) -> bool:
    return not isinstance(fact.when.start, Edge) and fact.when.start.first_day > cut


def _as_of(review: Review, cut: date) -> Review | None:
    """Return a review as it stood at the end of a day, or None where it did not stand yet.

    A safety review is told as it stands now: whose day ends when is no reason not to see one.
    """
    if review.kind is ReviewKind.SAFETY:
        return review
    if review.opened.date() > cut:
        return None
    if review.closed_on is None or review.closed_on <= cut:
        return review
    return msgspec.structs.replace(
        review, status=ReviewStatus.OPEN, stage=TaskStatus.REQUESTED, closed_on=None, decision=None, confirmed_by=""
    )


def _is_score(fact: Fact) -> bool:
    return fact.value is not None and fact.status in ("final", "amended", "corrected")


def _is_amended(fact: Fact, last: date) -> bool:
    written = fact.recorded
    return fact.status in ("amended", "corrected") and isinstance(written, Moment) and written.first_day > last
