"""Safety reviews: raised once for each form and reason, urgent, and never graded."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from fhir_alliance.core.model import Level, Review, ReviewKind, ReviewStatus
from fhir_alliance.core.reviews import ReviewPolicy, Setting
from fhir_alliance.core.safety import Concern, ConcernKind
from fhir_alliance.core.safety_reviews import cancel_withdrawn, plan_safety_review

NOW = datetime(2026, 3, 2, 22, 30, tzinfo=timezone(timedelta(hours=-5)))  # the next day in UTC
CLIENT = "Patient/p1"
POLICY = ReviewPolicy()


def concern(kind: ConcernKind = ConcernKind.ANSWERED, response: str = "r1") -> Concern:
    """Return a concern about one form of the client."""
    return Concern(response, f"QuestionnaireResponse/{response}", CLIENT, "Encounter/v", "toy", "Toy", kind, NOW)


def safety_review(about: Concern, existing: Collection[str] = ()) -> Review | None:
    """Return the planned safety review."""
    return plan_safety_review(about, Setting(CLIENT, "EpisodeOfCare/e", owner="Practitioner/d"), existing, POLICY, NOW)


def test_a_concern_opens_an_urgent_review_of_its_form() -> None:
    """A safety review is urgent, due in the site's hours, and points at the form, its encounter and its owner."""
    review = safety_review(concern())
    assert review is not None
    assert (review.kind, review.status, review.level) == (ReviewKind.SAFETY, ReviewStatus.OPEN, Level.URGENT)
    assert review.due - review.opened == timedelta(hours=24)
    assert (review.subject, review.focus, review.encounter) == (CLIENT, "QuestionnaireResponse/r1", "Encounter/v")
    assert (review.episode, review.owner) == ("EpisodeOfCare/e", "Practitioner/d")


def test_a_concern_is_raised_once() -> None:
    """A review of the same form for the same reason, open or ended, is not raised again; any other is."""
    first = safety_review(concern())
    assert first is not None
    assert safety_review(concern(), {first.key}) is None
    assert safety_review(concern(ConcernKind.UNANSWERED), {first.key}) is not None
    assert safety_review(concern(response="r2"), {first.key}) is not None


@pytest.mark.parametrize("kind", ConcernKind)
def test_a_safety_review_repeats_no_answer_and_grades_no_risk(kind: ConcernKind) -> None:
    """The words say what happened to the item and to talk with the client; no number, no grade, no all-clear."""
    review = safety_review(concern(kind))
    assert review is not None
    (evidence,) = review.evidence
    assert evidence.sentence.startswith("Toy: ")
    assert evidence.sentence.endswith("Please open the form and talk with the client.")
    assert not any(character.isdigit() for character in evidence.sentence)
    grades = {"risk", "low", "high", "mild", "moderate", "severe", "suicidal", "none", "safe"}
    assert not grades & set(evidence.sentence.lower().replace(",", "").replace(".", "").split())


def test_a_safety_review_of_a_withdrawn_form_is_cancelled() -> None:
    """A form that was entered in error takes its safety review with it, with the reason, and no other word changed."""
    review = safety_review(concern())
    assert review is not None
    after = cancel_withdrawn(review)
    assert after.status is ReviewStatus.CANCELLED
    assert "entered in error" in after.note
    assert msgspec.structs.replace(after, status=review.status, note=review.note) == review
