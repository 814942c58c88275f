"""What a store holds about the clients of a page, read once per page and turned into nouns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from fhir_alliance.core.consent import ConsentRecord
from fhir_alliance.core.model import Instrument, Review, Score
from fhir_alliance.core.reviews import Setting
from fhir_alliance.core.rules.chart import Chart
from fhir_alliance.errors import AllianceError, ConsentUnreachable
from fhir_alliance.fhir.chart import read_session, read_targets
from fhir_alliance.fhir.consent import read_consent
from fhir_alliance.fhir.difference import Known
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.finding import finding_identifier
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.fhir.observation import score_identifier
from fhir_alliance.fhir.setting import setting_of
from fhir_alliance.fhir.stored_score import read_score
from fhir_alliance.fhir.task import read_review, review_identifier
from fhir_alliance.runs.merged import Kindred, People, Source, families_of, people_of
from fhir_alliance.stores.store import Store

Consents: TypeAlias = Mapping[str, Sequence[ConsentRecord]]
"""All Consents of some clients, by client."""


class Record:
    """The part of the record that concerns some clients.

    known: our own Observations and Tasks there, by identifier.  history: the scores in them.
    findings: Observations of rules' judgements, by the finding's key.
    families: of clients whose record was merged with another, which belong together.  deaths: what is said of them.
    size: how many resources it is.
    """

    def __init__(
        self, store: Store, subjects: Collection[str], instruments: Mapping[str, Instrument],
        carried: Collection[Mapping[str, Any]] = (), people: People | None = None,
    ) -> None:  # fmt: skip
        """carried: Observations and Tasks of ours that stand in documents and lists, where the store takes none.

        people: what the clients' Patients tell, where it is known already.
        """
        self._store = store
        self._instruments = instruments
        self._subjects = sorted(subjects)
        people = people_of(store, self._subjects) if people is None else people
        self.families, self.deaths = people.families, people.deaths
        surveys = self._all("Observation")
        observations = [
            *_of(carried, "Observation"),
            *(r for r in surveys if score_identifier(r)),
        ]  # what stands by itself outranks
        tasks = [*_of(carried, "Task"), *(r for r in self._all("Task") if review_identifier(r))]
        self.observations = _latest(observations, score_identifier)
        self.tasks = _latest(tasks, review_identifier)
        self.findings = _latest((r for r in surveys if finding_identifier(r)), finding_identifier)
        self.known = Known([*self.observations.values(), *self.findings.values(), *self.tasks.values()])
        scores = (read_score(r, instruments, store.base) for r in self.observations.values())
        self.history: list[Score] = [score for score in scores if score is not None]
        reviews = (read_review(r, store.base) for r in self.tasks.values())
        self.reviews: list[Review] = [review for review in reviews if review is not None]
        self._about = {kind: _by_subject(self._all(kind)) for kind in ("Goal", "CarePlan", "CareTeam", "Encounter")}

        self.size = len(surveys) + len(tasks) + sum(len(own) for of in self._about.values() for own in of.values())

    @property
    def subjects(self) -> list[str]:
        """The clients that it is about, as references."""
        return list(self._subjects)

    def _all(self, kind: str) -> list[Mapping[str, Any]]:
        """Return what the store holds about the clients; what is not shaped as FHIR counts as not there."""
        return [resource for resource in self._store.about(kind, self._subjects) if is_shaped(resource)]

    def charts(self, history: Iterable[Score]) -> list[Chart]:
        """Return each client's chart. history: all their scores as they stand after this page."""
        scores: dict[str, list[Score]] = {}
        for score in history:
            scores.setdefault(score.subject, []).append(score)
        return [
            Chart(
                subject,
                tuple(scores.get(subject, ())),
                tuple(
                    session
                    for encounter in self._about["Encounter"].get(subject, ())
                    if (session := read_session(encounter, self._store.base)) is not None
                ),
                read_targets(self._about["Goal"].get(subject, ()), self._instruments),
                _has_left(self._about["CarePlan"].get(subject, ())),
            )
            for subject in self._subjects
        ]

    def settings(self, encounters: Mapping[str, str]) -> dict[str, Setting]:
        """Return what each client's review hangs on. encounters: of each client, the reference that counts."""
        named = self._store.named("Encounter", set(encounters.values()) - {""})
        found = {f"Encounter/{r.get('id')}": r for r in named if is_shaped(r)}
        return {
            subject: setting_of(
                subject,
                found.get(encounters.get(subject, "")),
                self._about["Goal"].get(subject, ()),
                self._about["CarePlan"].get(subject, ()),
                self._about["CareTeam"].get(subject, ()),
                self._store.base,
            )
            for subject in self._subjects
        }

    def goals(self, subject: str) -> list[Mapping[str, Any]]:
        """Return a client's Goals."""
        return self._about["Goal"].get(subject, [])

    def sessions(self) -> dict[str, Mapping[str, Any]]:
        """Return, by a score's key, the Encounter in which its form was answered, where the store holds it."""
        named = {key: _encounter(resource, self._store.base) for key, resource in self.observations.items()}
        found = {f"Encounter/{r.get('id')}": r for held in self._about["Encounter"].values() for r in held}
        return {key: found[reference] for key, reference in named.items() if reference in found}


def _has_left(care_plans: Collection[Mapping[str, Any]]) -> bool:
    """Return whether care plans are on record and none is active; without any, it is not known that care ended."""
    return bool(care_plans) and all(plan.get("status") != "active" for plan in care_plans)


def consents_of(
    store: Source, subjects: Collection[str], families: Mapping[str, Kindred] | None = None
) -> dict[str, list[ConsentRecord]]:
    """Return the Consents of each client; all of them or none: raises ConsentUnreachable FA302.

    families: which records were merged, where it is known already.  Of merged records, see `runs.merged`.
    """
    families = families_of(store, subjects) if families is None else families
    wanted = {*subjects, *(one for family in families.values() for one in family.ids)}
    try:
        resources = store.about("Consent", sorted(wanted))
    except ConsentUnreachable:
        raise
    except AllianceError as error:
        raise ConsentUnreachable("FA302", f"consents cannot be read ({error.code}); nothing is shared.") from error
    found: dict[str, list[ConsentRecord]] = {}
    for resource in resources:
        record = relied_on(resource, store.base)
        if record.subject not in wanted:
            raise ConsentUnreachable("FA303", "the store gave a Consent of another client; nothing is shared.")
        found.setdefault(record.subject, []).append(record)
    return found | {subject: _of_person(subject, family, found) for subject, family in families.items()}


def _of_person(subject: str, family: Kindred, found: Mapping[str, Sequence[ConsentRecord]]) -> list[ConsentRecord]:
    """Return the Consents of one person as they count for one of the person's records."""
    return [
        msgspec.structs.replace(record, subject=subject, merged=one != family.survivor)
        for one in sorted(family.ids)
        for record in found.get(one, ())
    ]


def relied_on(resource: Mapping[str, Any], base: str = "") -> ConsentRecord:
    """Return a Consent's record; raises ConsentUnreachable FA304 where it cannot be told whose it is."""
    record = read_consent(resource, base)
    if record.unreadable and not record.subject:
        raise ConsentUnreachable(
            "FA304", f"{record.reference} does not say whose it is; nothing is shared.", "Correct that Consent."
        )
    return record


def changed_since(scores: Iterable[Score]) -> dict[str, datetime]:
    """Return, by client, the earliest moment from which the history has changed."""
    since: dict[str, datetime] = {}
    for score in scores:
        since[score.subject] = min(score.when, since.get(score.subject, score.when))
    return since


def _encounter(observation: Mapping[str, Any], base: str) -> str:
    return local(str((observation.get("encounter") or {}).get("reference", "")), base)


def _latest(resources: Iterable[Mapping[str, Any]], key: Any) -> dict[str, Mapping[str, Any]]:
    return {key(resource): resource for resource in resources}


def _by_subject(resources: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for resource in resources:
        found.setdefault(str((resource.get("subject") or {}).get("reference", "")), []).append(resource)
    return found


def _of(resources: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [resource for resource in resources if resource.get("resourceType") == kind]
