"""Goal reviews: which Tasks should stand open, given findings and the Tasks that stand already.

One open goal review per client and episode. New evidence joins it; evidence that no longer holds leaves it;
a review that has lost all its evidence is cancelled. What a person has closed stays closed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from fhir_alliance.core.keys import review_key
from fhir_alliance.core.model import Evidence, Finding, Level, Review, ReviewKind, ReviewStatus


class ReviewPolicy(msgspec.Struct, frozen=True):
    """What a site chooses.

    due_days: time to do a goal review.  cool_down_days: quiet time after one.
    safety_due_hours: time to look at a safety answer.
    """

    due_days: int = 14
    cool_down_days: int = 28
    safety_due_hours: int = 24


class Setting(msgspec.Struct, frozen=True):
    """What a review hangs on, as references: the client's goal, care plan, episode, encounter, and who is asked."""

    subject: str
    episode: str = ""
    encounter: str = ""
    owner: str = ""
    goal: str = ""
    care_plan: str = ""


def plan_goal_review(
    setting: Setting,
    findings: Sequence[Finding],
    regular: Finding | None,
    reviews: Iterable[Review],
    judged: Collection[str],
    policy: ReviewPolicy,
    now: datetime,
) -> Review | None:
    """Return the goal review to create or change for one client, or None where all stands as it should.

    findings: on scores.  regular: the calendar's finding; it counts only where nothing else calls for a review.
    judged: keys of every finding that was looked for, so that one no longer found is known to be gone.
    """
    own = [r for r in reviews if r.kind is ReviewKind.GOAL and r.subject == setting.subject]
    current = next((r for r in own if r.status is ReviewStatus.OPEN and _same_episode(r, setting)), None)
    known = {evidence.key for review in own for evidence in review.evidence}
    news = [finding for finding in findings if finding.key not in known and not _is_covered(finding, own, policy)]
    if current is None:
        news = news or ([regular] if regular is not None and regular.key not in known else [])
        return _opened(setting, news, len(own), policy, now) if news else None
    gone = set(judged) - {finding.key for finding in findings}
    kept = tuple(evidence for evidence in current.evidence if evidence.key not in gone)
    if not kept and not news and regular is not None:
        news = [regular]  # its reasons are gone, but a review is due all the same
    joined = kept + tuple(_evidence(finding) for finding in news)
    if joined == current.evidence:
        return None
    if not joined:
        return msgspec.structs.replace(
            current,
            evidence=(),
            status=ReviewStatus.CANCELLED,
            note="The scores that it rested on were withdrawn or corrected.",
        )
    return msgspec.structs.replace(
        current,
        evidence=joined,
        agenda=_agenda(current.agenda, news),
        level=max((current.level, *(finding.level for finding in news)), key=list(Level).index),
    )


def _same_episode(review: Review, setting: Setting) -> bool:
    """Return whether both are of one episode of care; where one of them names none, they are."""
    return not review.episode or not setting.episode or review.episode == setting.episode


def _opened(setting: Setting, news: Sequence[Finding], ordinal: int, policy: ReviewPolicy, now: datetime) -> Review:
    return Review(
        review_key(ReviewKind.GOAL.value, setting.subject, setting.episode, str(ordinal)),
        ReviewKind.GOAL,
        ReviewStatus.OPEN,
        setting.subject,
        setting.episode,
        max((finding.level for finding in news), key=list(Level).index),
        tuple(_evidence(finding) for finding in news),
        _agenda((), news),
        now,
        now + timedelta(days=policy.due_days),
        setting.owner,
        setting.goal or setting.care_plan,
        setting.care_plan,
        setting.encounter,
    )


def _is_covered(finding: Finding, reviews: Iterable[Review], policy: ReviewPolicy) -> bool:
    """Return whether the finding is from before, or from the quiet time after, a review that somebody did."""
    quiet = timedelta(days=policy.cool_down_days)
    return any(
        review.status is ReviewStatus.CLOSED
        and review.closed_on is not None
        and finding.when.date() <= review.closed_on + quiet
        for review in reviews
    )


def _evidence(finding: Finding) -> Evidence:
    return Evidence(finding.key, finding.rule, finding.sentence, finding.score_key, finding.citation)


def _agenda(before: tuple[str, ...], news: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*before, *(line for finding in news for line in finding.agenda)]))
