"""Goal reviews: which Tasks should stand open, given findings and the Tasks that stand already.

One open goal review per client, goal and episode. New evidence joins it; evidence that no longer holds leaves it.
We end a review that has lost all its ground, and quietly one whose rupture was repaired before anybody took it up;
where the ground comes back, the same review opens again. What a person has ended stays ended (`core.stages`).
Of a client who has died no review opens; one that waits ends, and one that somebody has taken up is left to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import msgspec

from fhir_alliance.core.keys import review_key
from fhir_alliance.core.model import (
    Ending,
    Evidence,
    Finding,
    Level,
    Review,
    ReviewKind,
    ReviewStatus,
    TaskStatus,
)
from fhir_alliance.core.stages import WAITING, is_ours_to_change

_Placed: TypeAlias = dict[str, list[Finding]]


class ReviewPolicy(msgspec.Struct, frozen=True):
    """What a site chooses.

    due_days: time to do a goal review.  cool_down_days: quiet time after one.
    """

    due_days: int = 14
    cool_down_days: int = 28


class Setting(msgspec.Struct, frozen=True):
    """What a review hangs on, as references: the client's goal, care plan, episode, encounter, and who is asked.

    goal: the active one that stands longest.  goals: all that are active.  has_died: the client (`core.deceased`).
    """

    subject: str
    episode: str = ""
    encounter: str = ""
    owner: str = ""
    goal: str = ""
    care_plan: str = ""
    goals: tuple[str, ...] = ()
    has_died: bool = False


class Found(msgspec.Struct, frozen=True):
    """What the rules say about one client.

    judged: keys of every finding that was looked for, so that one no longer found is known to be gone.
    regular: the calendar's finding; it counts only where nothing else calls for a review.
    """

    findings: tuple[Finding, ...] = ()
    judged: frozenset[str] = frozenset()
    regular: Finding | None = None


def plan_goal_reviews(
    setting: Setting, found: Found, reviews: Iterable[Review], policy: ReviewPolicy, now: datetime
) -> list[Review]:
    """Return the client's goal reviews that are to be opened or changed; none where all stands as it should."""
    own = [r for r in reviews if r.kind is ReviewKind.GOAL and r.subject == setting.subject]
    if setting.has_died:
        return [_ended(r, r.evidence, Ending.DIED, "The client has died.") for r in own if r.stage in WAITING]
    joining, opening = _placed(_news(setting, found, own, policy), own, setting)
    due, regular = now + timedelta(days=policy.due_days), found.regular
    planned = []
    for review in own:
        after = _revised(review, joining.get(review.key, ()), found, regular, due)
        if after is not None:
            planned.append(after)
            regular = None  # it is needed once
    fresh = {goal: news for goal, news in opening.items() if live(map(_evidence, news))}
    for ordinal, (goal, news) in enumerate(fresh.items(), start=len(own)):
        planned.append(_opened(setting, goal, news, ordinal, (now, due)))
    return planned


def live(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return the reasons that a review stands on: those that no later one says are over."""
    standing = tuple(evidence)
    over = {key for reason in standing for key in reason.repairs}
    return tuple(reason for reason in standing if not reason.repairs and reason.key not in over)


def _news(setting: Setting, found: Found, own: Sequence[Review], policy: ReviewPolicy) -> list[Finding]:
    """Return the findings that stand in no review yet and are not covered by one that somebody did."""
    known = {e.key for review in own if review.ending is not Ending.GROUND_LOST for e in review.evidence}
    news = [finding for finding in found.findings if finding.key not in known and not _is_covered(finding, own, policy)]
    asked = any(review.status is ReviewStatus.OPEN and _same_episode(review, setting) for review in own)
    regular = found.regular
    if regular is not None and regular.key not in known and not asked and all(finding.repairs for finding in news):
        news.append(regular)
    return news


def _placed(news: Iterable[Finding], own: Sequence[Review], setting: Setting) -> tuple[_Placed, _Placed]:
    """Return findings by the key of the review that they join, and by goal those that ask for a new review.

    A repair goes where its rupture stands; without one it is nobody's news.
    """
    joining: _Placed = {}
    opening: _Placed = {}
    home = {
        evidence.key: joining.setdefault(review.key, [])
        for review in own
        if is_ours_to_change(review) and review.ending is not Ending.GROUND_LOST
        for evidence in review.evidence
    }
    for finding in sorted(news, key=lambda finding: bool(finding.repairs)):  # of one moment, the rupture comes first
        if finding.repairs:
            place = next((home[key] for key in finding.repairs if key in home), None)
        elif (review := _home_of(finding, own, setting)) is not None:
            place = joining.setdefault(review.key, [])
        else:
            place = opening.setdefault(finding.focus or setting.goal or setting.care_plan, [])
        if place is not None:
            place.append(finding)
            home[finding.key] = place
    return joining, opening


def _home_of(finding: Finding, own: Sequence[Review], setting: Setting) -> Review | None:
    """Return the review that a finding joins: an open one, or else one that we ended, of its episode and goal.

    What is about the client's course as a whole also joins an open review whose goal is no longer pursued.
    """
    goal = finding.focus or setting.goal or setting.care_plan
    here = [review for review in own if is_ours_to_change(review) and _same_episode(review, setting)]
    is_open = [review for review in here if review.status is ReviewStatus.OPEN]
    adrift = [review for review in is_open if not finding.focus and review.focus not in setting.goals]
    ranked: Iterator[Review] = iter(
        [
            *(review for review in is_open if review.focus == goal),
            *adrift,
            *(review for review in here if review.status is not ReviewStatus.OPEN and review.focus == goal),
        ]
    )
    return next(ranked, None)


def _revised(
    review: Review, news: Sequence[Finding], found: Found, regular: Finding | None, due: datetime
) -> Review | None:
    """Return a standing review as it should be now, or None where nothing is to be done about it."""
    if not is_ours_to_change(review):
        return None
    is_open = review.status is ReviewStatus.OPEN
    kept = () if review.ending is Ending.GROUND_LOST else _kept(review.evidence, found)
    if is_open and review.evidence and not kept and not news and regular is not None:
        news = [regular]  # its reasons are gone, but a review is due all the same
    joined = _with_ground((*kept, *map(_evidence, news)))
    if joined == review.evidence if is_open else not live(joined):
        return None
    if not joined:
        return _ended(review, (), Ending.GROUND_LOST, "The scores that it rested on were withdrawn or corrected.")
    after = msgspec.structs.replace(
        review,
        evidence=joined,
        agenda=_agenda(review.agenda, news),
        level=max((review.level, *(finding.level for finding in news)), key=list(Level).index),
    )
    if is_open and not live(joined) and review.stage in WAITING:
        return _ended(after, joined, Ending.REPAIRED, "The rupture was repaired before the review was taken up.")
    return after if is_open else _opened_again(after, due)


def _kept(evidence: Iterable[Evidence], found: Found) -> tuple[Evidence, ...]:
    """Return the reasons that still hold, each as it is told now."""
    fresh = {finding.key: finding for finding in found.findings}
    return tuple(
        _told_anew(reason, fresh[reason.key]) if reason.key in fresh else reason
        for reason in evidence
        if reason.key in fresh or reason.key not in found.judged
    )


def _told_anew(reason: Evidence, finding: Finding) -> Evidence:
    """Return a reason as the finding tells it now: its score may have been corrected, and still call for a review."""
    told = (reason.sentence, reason.citation, reason.repairs)
    if told == (finding.sentence, finding.citation, finding.repairs):
        return reason
    return msgspec.structs.replace(_evidence(finding), score_key=reason.score_key or finding.score_key)


def _with_ground(evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    """Return the reasons without repairs of what is no longer there."""
    keys = {reason.key for reason in evidence}
    return tuple(reason for reason in evidence if not reason.repairs or keys.intersection(reason.repairs))


def _ended(review: Review, evidence: tuple[Evidence, ...], ending: Ending, note: str) -> Review:
    return msgspec.structs.replace(
        review, evidence=evidence, status=ReviewStatus.CANCELLED, stage=TaskStatus.CANCELLED, ending=ending, note=note
    )


def _opened_again(review: Review, due: datetime) -> Review:
    return msgspec.structs.replace(
        review, status=ReviewStatus.OPEN, stage=TaskStatus.REQUESTED, ending=None, note="", due=due
    )


def _same_episode(review: Review, setting: Setting) -> bool:
    """Return whether both are of one episode of care; where one of them names none, they are."""
    return not review.episode or not setting.episode or review.episode == setting.episode


def _opened(
    setting: Setting, goal: str, news: Sequence[Finding], ordinal: int, times: tuple[datetime, datetime]
) -> Review:
    """Return a new review. ordinal: how many the client had before.  times: now, and when it is due."""
    return Review(
        review_key(ReviewKind.GOAL.value, setting.subject, setting.episode, str(ordinal)),
        ReviewKind.GOAL,
        ReviewStatus.OPEN,
        setting.subject,
        setting.episode,
        max((finding.level for finding in news), key=list(Level).index),
        tuple(_evidence(finding) for finding in news),
        _agenda((), news),
        *times,
        setting.owner,
        goal,
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
    return Evidence(finding.key, finding.rule, finding.sentence, finding.score_key, finding.citation, finding.repairs)


def _agenda(before: tuple[str, ...], news: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*before, *(line for finding in news for line in finding.agenda)]))
