"""What became of the reviews that each rule asked for: a measure against alert fatigue.

A rule that people often override, or that comes back after each review, asks for too much: its threshold, or the rule,
is the site's to change. Counts are of reviews, not of findings: a rule that stands in one review twice counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import msgspec

from fhir_alliance.core.model import Decision, Ending, Review, ReviewKind, ReviewStatus, TaskStatus


class RuleRate(msgspec.Struct, frozen=True):
    """What became of the goal reviews in which a rule stands.

    asked: all of them. open: waiting or taken up. accepted: done by people. declined: the client did not want it.
    overridden: rejected, or cancelled by a person. failed: nobody could. lapsed: the ground was lost, or the rupture
    repaired, before that. repeated: the rule had stood in an earlier review of the client that a person had ended.
    """

    rule: str
    asked: int = 0
    open: int = 0
    accepted: int = 0
    declined: int = 0
    overridden: int = 0
    failed: int = 0
    lapsed: int = 0
    repeated: int = 0

    @property
    def decided(self) -> int:
        """How many of the reviews people decided on."""
        return self.accepted + self.declined + self.overridden

    @property
    def acceptance(self) -> float | None:
        """The share of accepted among those that people decided on, from 0 to 1; None where there are none."""
        return self.accepted / self.decided if self.decided else None


def rates(reviews: Iterable[Review]) -> list[RuleRate]:
    """Return the rates of all rules that stand in goal reviews, by rule id.

    reviews: all of a site's; safety reviews are no alerts of rules and are left out.
    """
    counts: dict[str, Counter[str]] = {}
    ended: set[tuple[str, str]] = set()
    for review in sorted((r for r in reviews if r.kind is ReviewKind.GOAL), key=_opened):
        outcome = _outcome(review)
        for rule in sorted({evidence.rule for evidence in review.evidence if evidence.rule}):
            count = counts.setdefault(rule, Counter())
            count.update(("asked", outcome))
            count["repeated"] += (review.subject, rule) in ended
            if outcome in ("accepted", "declined", "overridden", "failed"):
                ended.add((review.subject, rule))
    return [RuleRate(rule, **count) for rule, count in sorted(counts.items())]


def _opened(review: Review) -> tuple[datetime, str]:
    return review.opened, review.key


def _outcome(review: Review) -> str:
    if review.status is ReviewStatus.OPEN:
        return "open"
    if isinstance(review.ending, Ending):
        return "lapsed"
    if review.stage is TaskStatus.COMPLETED:
        return "declined" if review.decision is Decision.CLIENT_DECLINED else "accepted"
    return "failed" if review.stage is TaskStatus.FAILED else "overridden"
