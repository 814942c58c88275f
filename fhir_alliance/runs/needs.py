"""What each command does with a store, by resource type: a server is asked for these rights and no others."""

from __future__ import annotations

from functools import reduce
from typing import Final

from fhir_alliance.config import Config, ReviewRoute, ScoreRoute
from fhir_alliance.runs.publish import ORDER as PUBLISHED
from fhir_alliance.stores.scopes import Needs, of

SYNC: Final = Needs(
    reads=of(
        "QuestionnaireResponse", "Questionnaire", "Observation", "Task", "Consent", "Goal", "CarePlan", "CareTeam",
        "Encounter",
    ),
    writes=of("Observation", "Task", "Provenance"),
    # without the first two, the forms that need them are parked; without the third, nobody can tell of which program a
    # form is; a Communication carries an answer about safety where no Task is taken; a Patient tells whose record was
    # merged with whose
    reads_if_allowed=of("ValueSet", "CodeSystem", "EpisodeOfCare", "Communication", "Patient"),
    writes_if_allowed=of("Communication", "Goal"),  # a Goal only where people confirmed it
)  # fmt: skip
ORDERING: Final = Needs(
    reads=of("QuestionnaireResponse", "Task", "EpisodeOfCare", "CarePlan", "Flag"),
    writes=of("Task"),
    reads_if_allowed=of("Patient"),  # tells who has died
)
SIGNING: Final = Needs(reads=of("Consent", "Patient"), writes=of("Consent"), reads_if_allowed=of("RelatedPerson"))
DOCUMENTS: Final = Needs(reads_if_allowed=of("DocumentReference"), writes_if_allowed=of("DocumentReference"))
SCORE_FORMS: Final = Needs(writes_if_allowed=of("QuestionnaireResponse"))
PROPOSING: Final = Needs(reads_if_allowed=of("ServiceRequest"), writes_if_allowed=of("ServiceRequest"))
IDENTIFYING: Final = Needs(reads=of("Patient"))  # a message names a client by an identifier of the receiver's
PUBLISHING: Final = Needs(reads=of(*PUBLISHED), writes=of(*PUBLISHED))
FITTING: Final = Needs(reads=of("QuestionnaireResponse", "Observation"))
AUDITING: Final = Needs(writes_if_allowed=of("AuditEvent"))  # where a server takes none, the trail is kept here
DISCLOSING: Final = Needs(reads=of("AuditEvent"))
ALL: Final = reduce(Needs.joined, (SYNC, ORDERING, PUBLISHING))


def delivering(config: Config) -> Needs:
    """Return what the ways need in which a site lets its scores and goal reviews be delivered."""
    needs = Needs()
    if ScoreRoute.DOCUMENT in config.delivery.scores:
        needs = needs.joined(DOCUMENTS)
    if ScoreRoute.SCORE_FORM in config.delivery.scores:
        needs = needs.joined(SCORE_FORMS)
    if ReviewRoute.REQUEST in config.delivery.reviews:
        needs = needs.joined(PROPOSING)
    return needs.joined(IDENTIFYING) if config.delivery.patient_identifier else needs
