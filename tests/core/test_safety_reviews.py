"""Safety reviews: raised once for each form and reason, urgent, with the answer's age, and never graded."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from fhir_alliance.core.model import Level, Review, ReviewKind, ReviewStatus
from fhir_alliance.core.reviews import Setting
from fhir_alliance.core.safety import Concern, ConcernKind
from fhir_alliance.core.safety_reviews import (
    SafetyPolicy,
    SafetyText,
    cancel_withdrawn,
    is_overdue,
    plan_escalation,
    plan_safety_review,
)

NOW = datetime(2026, 3, 2, 22, 30, tzinfo=timezone(timedelta(hours=-5)))  # the next day in UTC
CLIENT = "Patient/p1"
HERE = Setting(CLIENT, "EpisodeOfCare/e", "Encounter/v", owner="Practitioner/d")
WORDS = SafetyText(
    "Title", "was answered", "was not answered", "was not read", "Talk.", "1 day, {date}.", "{days} days, {date}.",
    "Late.", "No date.", "Crisis.", "Call {phone}.", "Words.", "Overdue", "Nobody in {hours} h.", "Handed back.",
    "Gone.",
)  # fmt: skip
GERMAN = msgspec.structs.replace(WORDS, client="Worte.", title="Titel")
POLICY = SafetyPolicy({"en": WORDS, "de": GERMAN})


def concern(kind: ConcernKind = ConcernKind.ANSWERED, response: str = "r1", **others: object) -> Concern:
    """Return a concern about one form of the client, answered an hour ago."""
    when = NOW - timedelta(hours=1)
    made = Concern(response, f"QuestionnaireResponse/{response}", CLIENT, "Encounter/v", "toy", "Toy", kind, when)
    return msgspec.structs.replace(made, **others)


def planned(about: Concern, existing: Collection[str] = (), policy: SafetyPolicy = POLICY) -> Review | None:
    """Return the planned safety review."""
    return plan_safety_review(about, HERE, existing, policy, NOW)


def review(about: Concern | None = None, policy: SafetyPolicy = POLICY) -> Review:
    """Return the safety review of a concern that is new."""
    found = planned(about or concern(), policy=policy)
    assert found is not None
    return found


def sentence(about: Concern, policy: SafetyPolicy = POLICY) -> str:
    """Return the reason that a review states."""
    (evidence,) = review(about, policy).evidence
    return evidence.sentence


def test_a_concern_opens_an_urgent_review_of_its_form() -> None:
    """A safety review is urgent, due in the site's hours, and points at the form, its encounter and its owner."""
    made = review()
    assert (made.kind, made.status, made.level) == (ReviewKind.SAFETY, ReviewStatus.OPEN, Level.URGENT)
    assert made.due - made.opened == timedelta(hours=24)
    assert (made.subject, made.focus, made.encounter) == (CLIENT, "QuestionnaireResponse/r1", "Encounter/v")
    assert (made.episode, made.owner, made.title) == ("EpisodeOfCare/e", "Practitioner/d", "Title")


def test_the_sites_on_call_owner_is_asked_first() -> None:
    """An owner in the configuration outranks whoever the record names."""
    policy = msgspec.structs.replace(POLICY, owner="PractitionerRole/on-call", due_hours=2)
    made = review(policy=policy)
    assert made.owner == "PractitionerRole/on-call"
    assert made.due - made.opened == timedelta(hours=2)


def test_a_concern_is_raised_once() -> None:
    """A review of the same form for the same reason, open or ended, is not raised again; any other is."""
    first = review()
    assert planned(concern(), {first.key}) is None
    assert planned(concern(ConcernKind.UNANSWERED), {first.key}) is not None
    assert planned(concern(response="r2"), {first.key}) is not None


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (ConcernKind.ANSWERED, "was answered"),
        (ConcernKind.UNANSWERED, "was not answered"),
        (ConcernKind.UNREADABLE, "was not read"),
    ],
)
def test_the_words_say_what_happened_and_what_to_do(kind: ConcernKind, words: str) -> None:
    """The form, what happened to its item, what to do and the crisis text, in that order; on the day no age."""
    assert sentence(concern(kind)) == f"Toy: {words} Talk. Crisis."


@pytest.mark.parametrize(
    ("hours", "age"),
    [
        (-2, ""),
        (0, ""),
        (23.99, ""),
        (24, "1 day, 2026-03-03. Late. "),
        (47.99, "1 day, 2026-03-03. Late. "),
        (48, "2 days, 2026-03-03. Late. "),
        (24 * 400, "400 days, 2026-03-03. Late. "),
    ],
)
def test_a_late_answer_says_its_age(hours: float, age: str) -> None:
    """From a whole day on, the review says how many days ago the form was answered, and what that changes."""
    assert sentence(concern(when=NOW - timedelta(hours=hours))) == f"Toy: was answered {age}Talk. Crisis."


def test_an_answer_of_unknown_age_says_so() -> None:
    """Where a form does not say when it was answered, nothing is guessed."""
    assert sentence(concern(when=None)) == "Toy: was answered No date. Talk. Crisis."


def test_the_sites_phone_stands_in_both_texts() -> None:
    """A phone number that the site gives is told to staff and offered to the client."""
    policy = SafetyPolicy({"en": msgspec.structs.replace(WORDS, phone="555")})
    assert sentence(concern(), policy).endswith("Crisis. Call 555.")
    assert review(policy=policy).agenda == ("Words. Call 555.",)


@pytest.mark.parametrize(
    ("language", "words"), [("de", "Worte."), ("de-AT", "Worte."), ("en", "Words."), ("tr", "Words."), ("", "Words.")]
)
def test_words_for_the_client_are_in_the_clients_language(language: str, words: str) -> None:
    """What can be offered to the client comes in the form's language where the site has it; staff read their own."""
    made = review(concern(language=language))
    assert made.agenda == (words,)
    assert made.title == "Title"


def test_staff_read_the_language_of_the_site() -> None:
    """The language in the configuration is the one of the Task."""
    assert review(policy=msgspec.structs.replace(POLICY, language="de")).title == "Titel"


def test_a_safety_review_of_a_withdrawn_form_is_cancelled() -> None:
    """A form that was entered in error takes its safety review with it, with the reason, and no other word changed."""
    before = review()
    after = cancel_withdrawn(before, "Gone.")
    assert (after.status, after.note) == (ReviewStatus.CANCELLED, "Gone.")
    assert msgspec.structs.replace(after, status=before.status, note=before.note) == before


@pytest.mark.parametrize(("minutes", "late"), [(0, False), (6 * 60 - 1, False), (6 * 60, True), (6 * 60 + 1, True)])
def test_when_a_review_is_overdue(minutes: int, late: bool) -> None:
    """A review is overdue from the moment on at which the site's hours have passed."""
    policy = msgspec.structs.replace(POLICY, acknowledge_within_hours=6)
    assert is_overdue(review(), policy, NOW + timedelta(minutes=minutes)) is late


def test_the_supervisor_is_asked_about_the_same_form() -> None:
    """An escalation is a review of its own, urgent, for the supervisor, about the same form, with the first reason."""
    first = review()
    later = NOW + timedelta(hours=30)
    second = plan_escalation(first, "Practitioner/s", POLICY, later)
    assert (second.owner, second.focus, second.title) == ("Practitioner/s", first.focus, "Overdue")
    assert (second.opened, second.due, second.level) == (later, later + timedelta(hours=24), Level.URGENT)
    assert second.evidence[0].sentence == "Nobody in 24 h. Toy: was answered Talk. Crisis."
    assert second.key not in (first.key, "")
    assert plan_escalation(first, "Practitioner/other", POLICY, later + timedelta(days=1)).key == second.key


def test_a_review_that_was_handed_back_says_so() -> None:
    """Where somebody has declined the review, the supervisor reads that, and not that time has passed."""
    second = plan_escalation(review(), "Practitioner/s", POLICY, NOW, declined=True)
    assert second.evidence[0].sentence.startswith("Handed back. ")
