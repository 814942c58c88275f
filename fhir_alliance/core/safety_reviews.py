"""Safety reviews: the clinician's look that a concern asks for, and the supervisor's where nobody takes it.

One for each form and kind of concern. Only a person closes it, or the withdrawal of its form. A score or an answer is
not used to foretell anything or to decide who gets care (NICE NG225); it asks for a conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

import msgspec

from fhir_alliance.core.keys import review_key
from fhir_alliance.core.model import Evidence, Level, Review, ReviewKind, ReviewStatus, TaskStatus
from fhir_alliance.core.reviews import Setting
from fhir_alliance.core.safety import Concern, ConcernKind

KeepsOut: TypeAlias = Callable[[str, str], bool]
"""Whether somebody, by reference, is kept from a client's data."""
_ESCALATION = "safety-escalation"


class SafetyText(msgspec.Struct, frozen=True):
    """What a safety review says in one language. A site can replace each sentence.

    late_one, late: the answer's age; {days} and {date} are filled in.  overdue: {hours} is filled in.
    readdressed: that whoever would be asked first is kept from the client's data, and this one is asked in their place.
    phone: the site's number for a crisis; with_phone: {phone} is filled in.  client: words to offer to the client.
    """

    title: str
    answered: str
    unanswered: str
    unreadable: str
    ask: str
    late_one: str
    late: str
    late_ask: str
    undated: str
    crisis: str
    with_phone: str
    client: str
    overdue_title: str
    overdue: str
    declined: str
    cancelled: str
    phone: str = ""
    readdressed: str = ""


class SafetyPolicy(msgspec.Struct, frozen=True):
    """What a site has decided about safety reviews.

    texts: by language; `language` is the one that staff read, and is among them.
    owner: who is asked first, as a reference; empty: the care team's lead, else the session's practitioner.
    escalate_to: who is asked when nobody has taken a review in time; empty: the care team's supervisor.
    due_hours: time to do a review.  acknowledge_within_hours: time to take it.
    """

    texts: Mapping[str, SafetyText]
    language: str = "en"
    owner: str = ""
    escalate_to: str = ""
    due_hours: int = 24
    acknowledge_within_hours: int = 24

    def staff(self) -> SafetyText:
        """Return the text that staff read."""
        return self.texts[self.language]

    def client(self, language: str) -> SafetyText:
        """Return the text in the client's language where the site has it, else the one that staff read."""
        return self.texts.get(language, self.texts.get(language.partition("-")[0], self.staff()))


class Addressee(NamedTuple):
    """Who is asked, empty where nobody is left. is_other: whether somebody before them is kept out."""

    who: str
    is_other: bool


def nobody(who: str, client: str) -> bool:
    """Return that somebody is kept from no client's data: where a site keeps no list."""
    return False


def addressee(candidates: Iterable[str], client: str, keeps_out: KeepsOut) -> Addressee:
    """Return the first of some references, the best first, who is not kept from the client's data."""
    is_other = False
    for who in filter(None, candidates):
        if not keeps_out(who, client):
            return Addressee(who, is_other)
        is_other = True
    return Addressee("", is_other)


def concern_key(concern: Concern) -> str:
    """Return the key of the review that a concern asks for: the same in every run, and whichever way it is sent."""
    return review_key(ReviewKind.SAFETY.value, concern.subject, concern.response_key, concern.kind.value)


def plan_safety_review(
    concern: Concern, setting: Setting, existing: Collection[str], policy: SafetyPolicy, now: datetime,
    keeps_out: KeepsOut = nobody,
) -> Review | None:  # fmt: skip
    """Return the clinician review that a concern asks for, or None where it stands (or stood) already.

    keeps_out: whether somebody is kept from a client's data; they are never asked, others in their place.
    """
    key = concern_key(concern)
    if key in existing:
        return None
    text = policy.staff()
    client = policy.client(concern.language)
    asked = addressee((policy.owner, setting.owner, policy.escalate_to), concern.subject, keeps_out)
    said = (_concern_words(concern, text, now), text.readdressed if asked.is_other else "")
    return Review(
        key,
        ReviewKind.SAFETY,
        ReviewStatus.OPEN,
        concern.subject,
        setting.episode,
        Level.URGENT,
        (Evidence(key, "safety-answer", " ".join(filter(None, said)), "", ""),),
        (client.client + _phone(client),),
        now,
        now + timedelta(hours=policy.due_hours),
        asked.who,
        concern.reference,
        encounter=setting.encounter,
        title=text.title,
        labels=concern.labels,
    )


def plan_escalation(
    review: Review, supervisor: str, policy: SafetyPolicy, now: datetime, *, declined: bool = False
) -> Review:
    """Return the review by the supervisor that follows from one which nobody has taken, or which was declined."""
    text = policy.staff()
    key = review_key(_ESCALATION, review.subject, review.key, "1")
    why = text.declined if declined else text.overdue.format(hours=policy.acknowledge_within_hours)
    about = " ".join(evidence.sentence for evidence in review.evidence)
    return msgspec.structs.replace(
        review,
        key=key,
        level=Level.URGENT,
        evidence=(Evidence(key, _ESCALATION, f"{why} {about}".strip(), "", ""),),
        opened=now,
        due=now + timedelta(hours=policy.acknowledge_within_hours),
        owner=supervisor,
        status=ReviewStatus.OPEN,
        title=text.overdue_title,
        stored="",
        closed_on=None,
        stage=TaskStatus.REQUESTED,
        ending=None,
        decision=None,
    )


def is_overdue(review: Review, policy: SafetyPolicy, now: datetime) -> bool:
    """Return whether the time to take a review has passed."""
    return now - review.opened >= timedelta(hours=policy.acknowledge_within_hours)


def cancel_withdrawn(review: Review, note: str) -> Review:
    """Return a safety review as cancelled, because its form was withdrawn as entered in error."""
    return msgspec.structs.replace(review, status=ReviewStatus.CANCELLED, note=note)


def _concern_words(concern: Concern, text: SafetyText, now: datetime) -> str:
    """Return the reason in words. Says what happened to the item and how old it is, never how grave an answer is."""
    what = {
        ConcernKind.ANSWERED: text.answered,
        ConcernKind.UNANSWERED: text.unanswered,
        ConcernKind.UNREADABLE: text.unreadable,
    }[concern.kind]
    words = [f"{concern.title}: {what}", *_age(concern.when, text, now), text.ask, text.crisis + _phone(text)]
    return " ".join(filter(None, words))


def _age(when: datetime | None, text: SafetyText, now: datetime) -> list[str]:
    """Return how many whole days ago the form was answered, and what that changes; nothing on its own day."""
    if when is None:
        return [text.undated]
    days = (now - when).days
    if days < 1:
        return []
    age = text.late_one if days == 1 else text.late
    return [age.format(days=days, date=now.astimezone(UTC).date().isoformat()), text.late_ask]


def _phone(text: SafetyText) -> str:
    return " " + text.with_phone.format(phone=text.phone) if text.phone else ""
