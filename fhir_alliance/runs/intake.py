"""Answered consent forms: each becomes a Consent, if whoever signed may decide; all others wait for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from fhir_alliance.config import IntakeSection
from fhir_alliance.core.intake import Intake, SignerPolicy, objection
from fhir_alliance.core.keys import derived
from fhir_alliance.core.model import Write
from fhir_alliance.errors import ParkItem
from fhir_alliance.fhir.difference import Change, Known
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.inbound import Parked, Withdrawal
from fhir_alliance.fhir.intake import (
    born_on,
    consent_identifier,
    consent_provenance,
    consent_write,
    is_intake,
    read_intake,
    signer_of,
    voided,
)
from fhir_alliance.fhir.wire import strict_json
from fhir_alliance.runs.catalog import shipped
from fhir_alliance.runs.provenance import VERSION
from fhir_alliance.stores.store import Record, Store

FORM: Final = "consent-intake.json"


class Signed(NamedTuple):
    """The consent forms of a page: the Consents they become, and those that need a person."""

    intakes: tuple[Intake, ...] = ()
    writes: tuple[Write, ...] = ()
    parked: tuple[Parked, ...] = ()
    known: Mapping[str, Mapping[str, Any]] = {}


def intake_form(section: IntakeSection) -> dict[str, Any]:
    """Return the Questionnaire with a site's names and law in its text, in every language."""
    text = (shipped("profiles") / "forms" / FORM).read_text(encoding="utf-8")
    said = {"practice": section.practice, "jurisdiction": section.jurisdiction, "duties": section.duties}
    for name, words in {**said, "emergency": section.emergency}.items():
        text = text.replace(f"{{{name}}}", json.dumps(words, ensure_ascii=False)[1:-1])
    form: dict[str, Any] = json.loads(text)
    return form


def taken(record: Record, form: Parked, base: str) -> Intake | Parked:
    """Return the consent form that a record is, or why it is parked: as no form that is known, or for its own sake."""
    if not is_intake(record.body):
        return form
    try:
        return read_intake(_resource(record.body), base) or form
    except ParkItem as fault:
        return Parked(form.reference, fault.code, f"{fault.message} {fault.hint}")


def signed(
    intakes: Sequence[Intake], withdrawals: Sequence[Withdrawal], store: Store, policy: SignerPolicy | None
) -> Signed:
    """Return what a page's consent forms become, and what the withdrawn ones leave. policy: None takes no forms."""
    subjects = {intake.subject for intake in intakes} | {gone.subject for gone in withdrawals if gone.subject}
    if policy is None or not subjects:
        return Signed()
    held = [consent for consent in store.about("Consent", sorted(subjects)) if is_shaped(consent)]
    known = Known([consent for consent in held if consent_identifier(consent)]).by_value
    patients = _by_reference(store, "Patient", [intake.subject for intake in intakes])
    people = _by_reference(store, "RelatedPerson", [i.signer for i in intakes if i.signer.startswith("RelatedPerson/")])
    accepted, parked = [], []
    for intake in intakes:
        signer = signer_of(intake, people.get(intake.signer), store.base)
        why = objection(intake, signer, born_on(patients.get(intake.subject)), policy)
        if why:
            parked.append(Parked(intake.reference, "FA341", f"no consent: {why}. Ask in person."))
        else:
            accepted.append(intake)
    gone = ((withdrawal, known.get(derived("consent", withdrawal.key))) for withdrawal in withdrawals)
    void = [voided(stored, withdrawal.key) for withdrawal, stored in gone if stored is not None]
    return Signed(tuple(accepted), (*map(consent_write, accepted), *void), tuple(parked), known)


def beside(changes: Sequence[Change], intakes: Sequence[Intake], now: datetime) -> list[Change]:
    """Return the Provenance of each Consent that is new or changed."""
    changed = {change.write.group for change in changes}
    return [consent_provenance(intake, VERSION, now) for intake in intakes if intake.key in changed]


def _resource(body: bytes) -> Mapping[str, Any]:
    resource = strict_json(body)
    if not isinstance(resource, dict):
        raise ParkItem("FA340", "a consent form that is not shaped as FHIR.", "Export the record again.")
    return resource


def _by_reference(store: Store, kind: str, references: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    found = store.named(kind, references) if references else ()
    return {f"{kind}/{resource.get('id')}": resource for resource in found if is_shaped(resource)}
