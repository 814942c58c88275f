"""The story of one question about consent: may this recipient have this of that client, and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from fhir_alliance.core.audit import Access
from fhir_alliance.core.audit import Action as Looked
from fhir_alliance.core.consent import Decision, decide
from fhir_alliance.core.consent_request import Action, DataLevel, Datum, Recipient, Request, Role
from fhir_alliance.core.deceased import death_bars
from fhir_alliance.core.measures.people import Death
from fhir_alliance.core.purposes import KNOWN
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.care_team import team_roles
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.fhir.observation import datum_of
from fhir_alliance.runs.audit import Tell, untold
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.merged import Kindred, people_of
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.record import consents_of
from fhir_alliance.stores.store import Store

# What a recipient does with data, by what they are to the client. Anybody else is told what they did not have.
_ACTIONS = {Role.CUSTODIAN: Action.USE, Role.TREATING: Action.ACCESS, Role.SUPERVISING: Action.ACCESS,
            Role.QUALITY: Action.USE, Role.CLIENT: Action.ACCESS}  # fmt: skip


class Question(NamedTuple):
    """May a recipient have data of a client for a purpose? instrument: an id, or "" for any outcome form.

    people: how many clients an aggregate is of.
    """

    patient: str
    recipient: str
    purpose: str
    instrument: str = ""
    level: DataLevel = DataLevel.SCORE
    people: int = 1


def question_of(asked: Mapping[str, Any]) -> Question:
    """Return a question from what was asked by name, the level as its word; raises StopRun FA323 for a purpose."""
    if asked["purpose"] not in KNOWN:
        raise StopRun("FA323", "that is no purpose of use.", f"Known: {', '.join(sorted(KNOWN))}.")
    return Question(**{**asked, "level": DataLevel(asked["level"])})


def explain(
    store: Store, catalog: Catalog, policy: Policy, question: Question, now: datetime, *, tell: Tell = untold
) -> Decision:
    """Return the decision, with the path to it in words; nothing clinical is read.

    now: aware; the moment as of which is decided.  tell: is told that the client's Consents were read.
    Raises StopRun FA101 (no such instrument), FA322 (no reference), ConsentUnreachable FA302-FA304.
    """
    patient = _reference(question.patient, store, "Patient")
    tell([Access(Looked.QUERY, patient, now, ("Consent", "CareTeam"))])
    datum = datum_of(catalog.find(question.instrument)) if question.instrument else Datum.of(())
    request = asked(store, policy, question._replace(patient=patient), datum.at(question.level), now)
    consents = consents_of(store, {patient}).get(patient, ())
    return decide(request, consents, policy.consent.table, now)


def asked(store: Store, policy: Policy, question: Question, datum: Datum, now: datetime) -> Request:
    """Return a question as a request: who the recipient is to the client, and what the site's list or a death bars."""
    client = question.patient if store.named("Patient", {question.patient}) else ""
    recipient = recipient_of(store, policy, question.recipient, question.patient)
    action = next((_ACTIONS[role] for role in _ACTIONS if role in recipient.roles), Action.DISCLOSE)
    people = people_of(store, {question.patient})
    family = people.families.get(question.patient, Kindred("", frozenset()))
    death = people.deaths.get(question.patient, Death())
    bars = policy.boundaries.of_person(family.ids).bars(recipient, question.patient, question.purpose)
    bars += death_bars(death, action, now, gives=policy.gives_after_death)
    if question.level is DataLevel.AGGREGATE:
        datum = _of_people(datum, question.people)
    return Request(client, action, recipient, question.purpose, datum, bars)


def recipient_of(store: Store, policy: Policy, name: str, client: str) -> Recipient:
    """Return somebody as a recipient of a client's data: all their names, organizations and roles.

    Names and organizations come from PractitionerRoles of the store and from the site's list.
    """
    reference = _reference(name, store)
    record = policy.consent.recipient
    if reference in record.references:
        return record
    also, organizations = _practices(store, reference)
    identity = policy.boundaries.names_of(reference, also)
    identity = type(identity)(identity.references, identity.organizations | organizations)
    team = team_roles((team for team in store.about("CareTeam", [client]) if is_shaped(team)), store.base)
    return policy.boundaries.recipient(identity, client, team, is_known=True)


def _practices(store: Store, reference: str) -> tuple[set[str], frozenset[str]]:
    """Return the other names of somebody who practises, and the organizations that they practise for."""
    if not reference.startswith(("Practitioner/", "PractitionerRole/")):
        return set(), frozenset()
    names, organizations = {reference}, set[str]()
    practices = [practice for practice in store.canonicals("PractitionerRole", ()) if practice.get("id")]
    for practice in practices:
        own = f"PractitionerRole/{practice['id']}"
        person = local(str((practice.get("practitioner") or {}).get("reference", "")), store.base)
        if own == reference and person:
            names.add(person)
    for practice in practices:
        own = f"PractitionerRole/{practice['id']}"
        person = local(str((practice.get("practitioner") or {}).get("reference", "")), store.base)
        if own in names or person in names:
            names.add(own)
            organizations.add(local(str((practice.get("organization") or {}).get("reference", "")), store.base))
    return names, frozenset(organizations - {""})


def _of_people(datum: Datum, people: int) -> Datum:
    return Datum(datum.classes, datum.codes, datum.level, datum.family, datum.labels, people=people)


def _reference(name: str, store: Store, kind: str = "") -> str:
    """Return a reference of this store; raises StopRun FA322."""
    reference = local(name, store.base)
    if not reference or (kind and not reference.startswith(f"{kind}/")):
        what = f"a {kind} of this store" if kind else "a reference of this store"
        raise StopRun("FA322", f"that is not {what}.", f"Write it as {kind or 'Practitioner'}/ID.")
    return reference
