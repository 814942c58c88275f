"""The part of a sync that reviews: what has changed in the clients' histories, judged, and the Tasks that follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from fhir_alliance.core.model import Cleared, Response, Review, ReviewKind, Score, Write
from fhir_alliance.core.reviews import plan_goal_review
from fhir_alliance.core.rules import evaluate, judged, regular_review
from fhir_alliance.fhir.task import changed_task, new_task
from fhir_alliance.runs.record import Record, changed_since
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.summary import Summary


class News(NamedTuple):
    """What a page brings to its clients' histories: forms that passed the gate, their scores, scores made void."""

    cleared: Sequence[Cleared]
    scores: Sequence[Score]
    voided: Sequence[Write]


def review_tasks(news: News, record: Record, desk: Desk, now: datetime, summary: Summary) -> list[Write]:
    """Return the Tasks to open, to add to, or to cancel, given how the clients' histories have changed."""
    rules = desk.policy.rules
    history, since = history_with(news, record)
    findings = evaluate(history, desk.instruments, rules, now, since)
    looked_for = judged(history, rules, now, since)
    latest = {form.form.subject: form.form for form in news.cleared}
    settings = record.settings({subject: form.encounter for subject, form in latest.items()})
    writes = []
    summary.findings.update(finding.rule for finding in findings)
    for subject in since:
        reviews = [review for review in record.reviews if review.subject == subject]
        own = [finding for finding in findings if finding.subject == subject]
        regular = regular_review(subject, history, reviews, rules, now)
        review = plan_goal_review(settings[subject], own, regular, reviews, looked_for, desk.policy.review, now)
        if review is not None:
            writes.append(_task(review, latest.get(subject), record, now))
        summary.standing |= {r.key for r in reviews if r.kind is ReviewKind.GOAL} - {write.value for write in writes}
    return writes


def history_with(news: News, record: Record) -> tuple[list[Score], dict[str, datetime]]:
    """Return the clients' scores as they are with the news, and by client the moment from which they have changed."""
    void = {write.value for write in news.voided}
    fresh = {score.key: score for score in news.scores}
    history = [
        msgspec.structs.replace(score, withdrawn=True) if score.key in void else fresh.get(score.key, score)
        for score in {score.key: score for score in (*record.history, *news.scores)}.values()
    ]
    return history, changed_since(score for score in history if score.key in fresh or score.key in void)


def _task(review: Review, form: Response | None, record: Record, now: datetime) -> Write:
    """Return the Task's write, to go with the newest scores that it rests on."""
    group = form.key if form is not None else ""
    return changed_task(record.tasks[review.key], review, now, group) if review.stored else new_task(review, group)
