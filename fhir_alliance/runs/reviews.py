"""The part of a sync that reviews: what has changed in the clients' histories, judged, and the Tasks that follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from fhir_alliance.core.achievement import propose, with_proposals
from fhir_alliance.core.agenda import Agenda
from fhir_alliance.core.deceased import has_died
from fhir_alliance.core.model import (
    Cleared,
    Finding,
    Proposal,
    Rater,
    Response,
    Review,
    ReviewKind,
    ReviewStatus,
    Score,
    Write,
)
from fhir_alliance.core.reviews import Found, Setting, plan_goal_reviews
from fhir_alliance.core.rules import evaluate, judged, regular_review
from fhir_alliance.core.rules.chart import Chart
from fhir_alliance.core.rules.series import series_of
from fhir_alliance.fhir.goal import read_pursued
from fhir_alliance.fhir.task import changed_task, new_task
from fhir_alliance.runs.findings import finding_writes
from fhir_alliance.runs.kept_out import is_kept_out
from fhir_alliance.runs.merged import Kindred
from fhir_alliance.runs.record import Consents, Record, changed_since
from fhir_alliance.runs.review_labels import labelled
from fhir_alliance.runs.rule_cards import rulebook
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.summary import Summary

_NO_SCORE: Final = timedelta(days=36500)  # after every score: none of them is judged anew


class News(NamedTuple):
    """What a page brings to its clients' histories: forms that passed the gate, their scores, scores made void.

    asked: clients without news, who are looked at by the calendar alone.  consents: the clients', as they are now.
    """

    cleared: Sequence[Cleared]
    scores: Sequence[Score]
    voided: Sequence[Write]
    asked: Sequence[str] = ()
    consents: Consents = {}  # noqa: RUF012 - never changed


def review_tasks(news: News, record: Record, desk: Desk, now: datetime, summary: Summary) -> list[Write]:
    """Return the Tasks to open, to add to, or to cancel, given how the clients' histories have changed.

    Where the site wants findings as Observations, they come with them.
    """
    book = rulebook(desk.instruments, desk.policy.rules, desk.policy.courses)
    history, since = history_with(news, record)
    since = dict.fromkeys(news.asked, now + _NO_SCORE) | since
    charts = record.charts(history)
    findings = evaluate(charts, book, now, since)
    looked_for = judged(charts, book, now, since, record.reviews)
    latest = {form.form.subject: form.form for form in news.cleared}
    settings = _owned(
        record.settings({subject: form.encounter for subject, form in latest.items()}), record, desk, news.consents, now
    )
    died = {subject for subject, death in record.deaths.items() if has_died(death, now)}
    summary.deceased |= died & since.keys()
    groups = {subject: form.key for subject, form in latest.items()}
    seen = Found(findings, looked_for)
    writes = finding_writes(charts, book, seen, record, groups) if desk.policy.with_findings else []
    summary.findings.update(finding.rule for finding in findings)
    for chart in charts:
        subject = chart.subject
        if subject not in since:
            continue
        reviews = [review for review in record.reviews if review.subject == subject]
        regular = regular_review(chart, book, reviews, now)
        own = [finding for finding in findings if finding.subject == subject and _counts(finding)]
        found = _spoken(Found(tuple(own), looked_for, regular), language_of(subject, history), desk.policy.agenda)
        setting = msgspec.structs.replace(settings[subject], has_died=subject in died)
        planned = plan_goal_reviews(setting, found, reviews, desk.policy.review, now)
        forms = [form.form for form in news.cleared if form.form.subject == subject]
        planned = labelled(reviews, planned, chart, forms, record, desk)
        proposals = proposals_of(chart, record, desk, now) if _may_propose((*reviews, *planned)) else {}
        for review in with_proposals(reviews, planned, proposals):
            review = msgspec.structs.replace(review, agenda=desk.policy.agenda.once(review.agenda))
            writes.append(_task(review, latest.get(subject), record, now))
        summary.standing |= {r.key for r in reviews if r.kind is ReviewKind.GOAL} - {write.value for write in writes}
    return writes


def _owned(
    settings: dict[str, Setting], record: Record, desk: Desk, consents: Consents, now: datetime
) -> dict[str, Setting]:
    """Return the settings without owners who are kept from the client's data: a Task would show it to them."""
    alone, boundaries = Kindred("", frozenset()), desk.policy.boundaries
    kept_out = {
        subject
        for subject, setting in settings.items()
        if setting.owner
        and is_kept_out(
            setting.owner, subject, boundaries, record.families.get(subject, alone), consents.get(subject, ()), now
        )
    }
    return {s: msgspec.structs.replace(own, owner="") if s in kept_out else own for s, own in settings.items()}


def _counts(finding: Finding) -> bool:
    """Return whether a finding has a say in reviews: a quiet one only where it says that others are over."""
    return not finding.is_quiet or bool(finding.repairs)


def _may_propose(reviews: Iterable[Review]) -> bool:
    """Return whether a Goal is in the focus of an open review."""
    return any(review.status is ReviewStatus.OPEN and review.focus.startswith("Goal/") for review in reviews)


def proposals_of(chart: Chart, record: Record, desk: Desk, now: datetime) -> dict[str, Proposal]:
    """Return what a client's scores say of each of their goals, by its reference."""
    course = series_of(chart.scores, desk.instruments)
    found = {}
    for resource in record.goals(chart.subject):
        goal = read_pursued(resource, desk.instruments)
        proposal = propose(goal, course, now.date())
        if proposal is not None:
            found[goal.reference] = proposal
    return found


def history_with(news: News, record: Record) -> tuple[list[Score], dict[str, datetime]]:
    """Return the clients' scores as they are with the news, and by client the moment from which they are judged anew.

    That moment is the earliest new score; where one that stood before has changed or is void, it is the client's first:
    what was said since then may have rested on it. What the client keeps from the therapist counts as void.
    """
    stood = {score.key: _veiled(score) for score in record.history}
    void = {write.value for write in news.voided}
    fresh = {score.key: _veiled(score) for score in news.scores}
    history = [
        msgspec.structs.replace(score, withdrawn=True) if score.key in void else fresh.get(score.key, score)
        for score in (stood | fresh).values()
    ]
    changed = [score for score in history if score.key in fresh or score.key in void]
    shaken = {score.subject for score in changed if score.key in stood and _differs(score, stood[score.key])}
    return history, changed_since((*changed, *(score for score in history if score.subject in shaken)))


def _veiled(score: Score) -> Score:
    """Return a score as reviews may know of it: one that the client keeps from the therapist is none."""
    return msgspec.structs.replace(score, withdrawn=True) if score.is_kept else score


def _differs(score: Score, before: Score) -> bool:
    return (score.value, score.when, score.withdrawn) != (before.value, before.when, before.withdrawn)


def language_of(subject: str, history: Iterable[Score]) -> str:
    """Return the language that the client last answered a form in, or "" where none is known."""
    own = [s for s in history if s.subject == subject and s.rater is Rater.CLIENT and s.language]
    return max(own, key=lambda score: score.when).language if own else ""


def _spoken(found: Found, language: str, agenda: Agenda) -> Found:
    """Return the findings with their topics as questions in the client's language."""

    def spoken(finding: Finding) -> Finding:
        return msgspec.structs.replace(finding, agenda=agenda.questions(finding.agenda, language))

    regular = spoken(found.regular) if found.regular is not None else None
    return Found(tuple(map(spoken, found.findings)), found.judged, regular)


def _task(review: Review, form: Response | None, record: Record, now: datetime) -> Write:
    """Return the Task's write, to go with the newest scores that it rests on."""
    group = form.key if form is not None else ""
    return changed_task(record.tasks[review.key], review, now, group) if review.stored else new_task(review, group)
