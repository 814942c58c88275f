"""The story of one client's page: what stands in the store, as far as consent lets the viewer see it.

Nothing is scored, written or opened. The viewer is somebody who treats the client (purpose TREAT); a kind of record
that a Consent keeps from treatment is told by name and reason, and is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fhir_alliance.core.audit import Access, Action, Ground
from fhir_alliance.core.consent import Datum
from fhir_alliance.core.course import ClientCourse, Kept, StatedGoal, courses_of, findings_of, is_dated
from fhir_alliance.core.model import Instrument, Review, Score
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.fhir.observation import panel_codes
from fhir_alliance.fhir.session import mode_of
from fhir_alliance.fhir.stated_goal import name_of, read_goal
from fhir_alliance.runs.audit import Tell, untold
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.record import Record, consents_of
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.sync import learn
from fhir_alliance.runs.viewer import Viewer
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
    if reasons := viewer.objections(Datum.of(())):
        tell([_shown(viewer, reasons)])
        return ClientCourse(subject, "", now, kept=(Kept("everything", reasons),), all_kept=True)
    desk = Desk(catalog, policy)
    learn(desk, store)
    record = Record(store, {subject}, desk.instruments)
    patient = next(iter(store.named("Patient", {subject})), None)
    if patient is None and not (record.observations or record.tasks or record.goals(subject)):
        raise _nobody()
    course = _filled(ClientCourse(subject, name_of(patient or {}), now), record, viewer, desk)
    tell([_shown(viewer)])  # before anybody sees it
    return course


def _shown(viewer: Viewer, reasons: tuple[str, ...] = ()) -> Access:
    """Return the access that the trail keeps: of somebody at the terminal, under this program's account."""
    consents = tuple(consent.reference for consent in viewer.consents)
    ground = Ground(not reasons, consents, viewer.policy.version, reasons)
    return Access(
        Action.READ, viewer.subject, viewer.now, ("Observation", "Task", "Goal"), viewer.policy.purpose, ground=ground
    )


def _nobody() -> StopRun:
    return StopRun("FA140", "the store has no such client.", "Name a Patient by its id, as in: show client-01")


def _filled(shown: ClientCourse, record: Record, viewer: Viewer, desk: Desk) -> ClientCourse:
    """Return the course with all that the gate lets through, and with what it keeps."""
    history = [score for score in record.history if score.subject == shown.subject]
    kept = _kept_instruments(history, desk, viewer)
    seen = [score for score in history if score.instrument not in kept]
    modes = {key: mode_of(encounter) for key, encounter in record.sessions().items()}
    goals, why_no_goals = _goals(record, viewer)
    reviews, why_no_reviews = _reviews(record, viewer, {score.key for score in seen} if kept else None)
    titles = [Kept(desk.instruments[name].title, reasons) for name, reasons in sorted(kept.items())]
    return msgspec.structs.replace(
        shown,
        courses=courses_of(seen, desk.instruments, modes),
        goals=goals,
        reviews=reviews,
        findings=findings_of(reviews, seen),
        kept=(*titles, *why_no_goals, *why_no_reviews),
        withdrawn=sum(score.withdrawn for score in seen),
        undated=sum(not is_dated(score) and not score.withdrawn for score in seen),
    )


def _kept_instruments(history: Sequence[Score], desk: Desk, viewer: Viewer) -> dict[str, tuple[str, ...]]:
    """Return the instruments whose scores may not be seen, each with the reasons."""
    named = sorted({score.instrument for score in history if score.instrument in desk.instruments})
    said = {name: viewer.objections(_datum(desk.instruments[name])) for name in named}
    return {name: reasons for name, reasons in said.items() if reasons}


def _datum(instrument: Instrument) -> Datum:
    return Datum.of(panel_codes(instrument))


def _goals(record: Record, viewer: Viewer) -> tuple[tuple[StatedGoal, ...], tuple[Kept, ...]]:
    if reasons := viewer.objections(Datum(frozenset({"Goal"}), frozenset())):
        return (), (Kept(_GOALS, reasons),)
    goals = [goal for resource in record.goals(viewer.subject) if (goal := read_goal(resource)) is not None]
    return tuple(sorted(goals, key=lambda goal: (str(goal.starts), goal.reference))), ()


def _reviews(record: Record, viewer: Viewer, seen: set[str] | None) -> tuple[tuple[Review, ...], tuple[Kept, ...]]:
    """Return the reviews. seen: the scores that may be seen, where some may not; then reviews rest on no others."""
    if reasons := viewer.objections(Datum(frozenset({"Task"}), frozenset())):
        return (), (Kept(_REVIEWS, reasons),)
    reviews = [review for review in record.reviews if review.subject == viewer.subject]
    if seen is not None:
        reviews = [_resting_on(review, seen) for review in reviews]
    return tuple(sorted(reviews, key=lambda review: (review.opened, review.key))), ()


def _resting_on(review: Review, seen: set[str]) -> Review:
    """Return a review with evidence on these scores only; its agenda was made from all of it and goes with the rest."""
    left = tuple(e for e in review.evidence if not e.score_key or e.score_key in seen)
    return review if left == review.evidence else msgspec.structs.replace(review, evidence=left, agenda=())
