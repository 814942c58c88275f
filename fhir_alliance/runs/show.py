"""The story of one client's page: what stands in the store, as far as consent lets the viewer see it.

Nothing is scored, written or opened. The viewer is somebody who treats the client (purpose TREAT); a kind of record
that a Consent keeps from treatment is told by name and reason, and is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from fhir_alliance.core.audit import Access, Action, Ground
from fhir_alliance.core.consent import Datum
from fhir_alliance.core.course import ClientCourse, Kept, StatedGoal, courses_of, findings_of, is_dated
from fhir_alliance.core.model import Review, Score
from fhir_alliance.core.ways_out import Refused, ViewPass
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.fhir.observation import datum_of
from fhir_alliance.fhir.session import mode_of
from fhir_alliance.fhir.stated_goal import name_of, read_goal
from fhir_alliance.fhir.stored_datum import datum_of_stored
from fhir_alliance.runs.audit import Tell, untold
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.record import Record, consents_of
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.sync import learn
from fhir_alliance.runs.viewer import Viewer, objections_of
from fhir_alliance.stores.store import Store

_GOALS, _REVIEWS = "goals", "reviews"


def show(
    store: Store, catalog: Catalog, policy: Policy, client: str, now: datetime, *, tell: Tell = untold
) -> ClientCourse:
    """Return one client's course.

    client: a Patient's id or reference.  now: aware; consents count as of this moment.
    tell: is told that somebody was shown it, or was not.
    Raises StopRun FA140 where the store has no such Patient, ConsentUnreachable where consents cannot be read.
    """
    subject = local(client if "/" in client else f"Patient/{client}", store.base)
    if not subject.startswith("Patient/"):
        raise _nobody()
    viewer = Viewer(subject, consents_of(store, {subject}).get(subject, ()), policy.consent, now)
    desk = Desk(catalog, policy)
    learn(desk, store)
    record = Record(store, {subject}, desk.instruments)
    patient = next(iter(store.named("Patient", {subject})), None)
    if patient is None and not (record.observations or record.tasks or record.goals(subject)):
        raise _nobody()
    answers = _answers(record, desk, viewer, store.base)
    passes = {key: answer for key, answer in answers.items() if isinstance(answer, ViewPass)}
    objections = {key: objections_of(answer) for key, answer in answers.items()}
    whole = viewer.let_see(Datum.of(()))
    if isinstance(whole, Refused) and not passes:
        tell([_shown(viewer, [whole])])
        reasons = objections_of(whole)
        return ClientCourse(subject, "", now, kept=(Kept("everything", reasons),), all_kept=True)
    tell([_shown(viewer, list(passes.values()) or [whole])])  # before anybody sees it
    course = ClientCourse(subject, name_of(patient or {}), now, kept=tuple(_kept(record.history, objections, desk)))
    return _filled(course, record, viewer, desk, passes)


def _answers(record: Record, desk: Desk, viewer: Viewer, base: str) -> dict[str, ViewPass | Refused]:
    """Return, by a score's key, what lets it be seen or not: each is asked about, a client may keep a single form."""
    data = {name: datum_of(instrument) for name, instrument in desk.instruments.items()}
    return {
        score.key: viewer.let_see(datum_of_stored(record.observations[score.key], score, data[score.instrument], base))
        for score in record.history
    }


def _kept(history: Sequence[Score], objections: Mapping[str, tuple[str, ...]], desk: Desk) -> Iterator[Kept]:
    """Yield the instruments of which scores may not be seen: how many, where it is not all, and the reasons."""
    for name in sorted({score.instrument for score in history if objections[score.key]}):
        keys = [score.key for score in history if score.instrument == name]
        hidden = [key for key in keys if objections[key]]
        part = "" if len(hidden) == len(keys) else f", {len(hidden)} of {len(keys)} scores"
        reasons = dict.fromkeys(reason for key in hidden for reason in objections[key])
        yield Kept(f"{desk.instruments[name].title}{part}", tuple(reasons))


def _shown(viewer: Viewer, answers: Sequence[ViewPass | Refused]) -> Access:
    """Return the access that the trail keeps: of somebody at the terminal, under this program's account.

    answers: those that let something be seen, or the one that lets nothing be.
    """
    consents = tuple(dict.fromkeys(name for answer in answers for name in answer.decision.consents))
    reasons = tuple(dict.fromkeys(reason for answer in answers for reason in answer.decision.reasons))
    ground = Ground(answers[0].decision.permitted, consents, viewer.policy.version, reasons)
    return Access(
        Action.READ, viewer.subject, viewer.now, ("Observation", "Task", "Goal"), viewer.policy.purpose, ground=ground
    )


def _nobody() -> StopRun:
    return StopRun("FA140", "the store has no such client.", "Name a Patient by its id, as in: show client-01")


def _filled(
    shown: ClientCourse, record: Record, viewer: Viewer, desk: Desk, passes: Mapping[str, ViewPass]
) -> ClientCourse:
    """Return the course with all that may be seen, and with what is kept besides scores. passes: by a score's key."""
    seen = [score for score in record.history if score.key in passes]
    modes = {key: mode_of(encounter) for key, encounter in record.sessions().items()}
    goals, why_no_goals = _goals(record, viewer)
    reviews, why_no_reviews = _reviews(record, viewer, _open_to_findings(record, desk, seen) if shown.kept else None)
    return msgspec.structs.replace(
        shown,
        courses=courses_of(seen, desk.instruments, modes),
        goals=goals,
        reviews=reviews,
        findings=findings_of(reviews, seen),
        kept=(*shown.kept, *why_no_goals, *why_no_reviews),
        withdrawn=sum(score.withdrawn for score in seen),
        undated=sum(not is_dated(score) and not score.withdrawn for score in seen),
    )


def _open_to_findings(record: Record, desk: Desk, seen: Sequence[Score]) -> set[str]:
    """Return the names of the scores whose findings may be told, where some scores may not be seen.

    A finding tells of earlier scores, of the other rater's and of other instruments beside its own: where one score
    of a family is kept, no finding of that family is told.
    """
    keys = {score.key for score in seen}
    kept = {desk.instruments[score.instrument].family for score in record.history if score.key not in keys}
    told = (score for score in seen if desk.instruments[score.instrument].family not in kept)
    return {name for score in told for name in score.names}


def _goals(record: Record, viewer: Viewer) -> tuple[tuple[StatedGoal, ...], tuple[Kept, ...]]:
    if reasons := viewer.objections(Datum(frozenset({"Goal"}), frozenset())):
        return (), (Kept(_GOALS, reasons),)
    goals = [goal for resource in record.goals(viewer.subject) if (goal := read_goal(resource)) is not None]
    return tuple(sorted(goals, key=lambda goal: (str(goal.starts), goal.reference))), ()


def _reviews(record: Record, viewer: Viewer, told: set[str] | None) -> tuple[tuple[Review, ...], tuple[Kept, ...]]:
    """Return the reviews. told: where some scores are kept, those on which findings may be told."""
    if reasons := viewer.objections(Datum(frozenset({"Task"}), frozenset())):
        return (), (Kept(_REVIEWS, reasons),)
    reviews = [review for review in record.reviews if review.subject == viewer.subject]
    if told is not None:
        reviews = [_resting_on(review, told) for review in reviews]
    return tuple(sorted(reviews, key=lambda review: (review.opened, review.key))), ()


def _resting_on(review: Review, told: set[str]) -> Review:
    """Return a review with evidence on these scores only; its agenda was made from all of it and goes with the rest."""
    left = tuple(e for e in review.evidence if not e.score_key or e.score_key in told)
    return review if left == review.evidence else msgspec.structs.replace(review, evidence=left, agenda=())
