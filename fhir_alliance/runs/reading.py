"""A page of forms, read and sorted, and taken in parts of so many clients as memory has room for what is on record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from fhir_alliance.core.intake import Intake
from fhir_alliance.core.model import Response
from fhir_alliance.core.safety import Concern
from fhir_alliance.fhir.inbound import OwnForm, Parked, Skipped, Withdrawal
from fhir_alliance.fhir.inbound import Reading as Read
from fhir_alliance.runs.intake import taken
from fhir_alliance.runs.merged import People, people_of
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.store import Page, Store

RECORDS_AT_ONCE: Final = 10_000  # some 120 MB: an Observation in memory takes 12 kB
_EACH: Final = 100  # records about a client, until some have been seen


class Reading(NamedTuple):
    """A page, sorted: forms to score, forms withdrawn, who a clinician should look at, and consent forms.

    read: the references and places of all its records.  places: by key, of those that have no id.
    """

    forms: list[Response]
    withdrawals: list[Withdrawal]
    concerns: list[Concern]
    parked: list[Parked]
    read: list[str]
    intakes: list[Intake]
    places: dict[str, str]

    @property
    def subjects(self) -> set[str]:
        """The clients that it is about, as references, as far as it says."""
        named = (form.subject for part in (self.forms, self.withdrawals, self.intakes) for form in part)
        return {subject for subject in named if subject}


class Part(NamedTuple):
    """What a page holds about some clients. people: what their Patients tell."""

    subjects: set[str]
    people: People
    forms: list[Response]
    withdrawals: list[Withdrawal]
    intakes: list[Intake]


class Parts:
    """Divides the pages of a run by clients. It learns how much is on record about one, so that a part stays small."""

    def __init__(self) -> None:
        self._records, self._clients = 0, 0

    def learn(self, record: Record) -> None:
        """Take in how much is on record about a part's clients; the last part counts, as records grow by the page."""
        self._records, self._clients = record.size, len(record.subjects)

    def of(self, reading: Reading, store: Store) -> Iterator[Part]:
        """Yield the page in parts. Records of one person are never parted.

        A withdrawal may not say whose it is: then anybody's form may rest on it, and the page stays whole.
        """
        told = people_of(store, reading.subjects)
        families = told.families
        if any(not withdrawal.subject for withdrawal in reading.withdrawals):
            yield _part(reading, told, reading.subjects | {""})
            return
        of_person: dict[str, set[str]] = {}
        for subject in sorted(reading.subjects):
            of_person.setdefault(min(families[subject].ids) if subject in families else subject, set()).add(subject)
        people = list(of_person.values())
        while people:
            room = self._room()
            yield _part(reading, told, set().union(*people[:room]))
            del people[:room]

    def _room(self) -> int:
        each = self._records / self._clients if self._clients else _EACH
        return max(1, int(RECORDS_AT_ONCE / max(each, 1)))


def _part(reading: Reading, told: People, subjects: set[str]) -> Part:
    return Part(
        subjects - {""},
        told.of(subjects),
        [form for form in reading.forms if form.subject in subjects],
        [withdrawal for withdrawal in reading.withdrawals if withdrawal.subject in subjects],
        [intake for intake in reading.intakes if intake.subject in subjects],
    )


def read_page(page: Page, desk: Desk, store: Store, now: datetime, summary: Summary) -> Reading:
    """Return the page sorted; unfinished and parked forms are counted, but their concerns are kept."""
    reading = Reading([], [], [], [], [], [], {})
    for record in page.records:
        form: Read | Intake = desk.read(record, now, store.base)
        if isinstance(form, OwnForm):
            continue
        summary.read += 1
        place = str(record.place)
        reading.read.extend((place, form.reference))
        if isinstance(form, Response | Withdrawal) and not form.reference:
            reading.places[form.key] = place
        if isinstance(form, Response):
            reading.forms.append(form)
            concern = desk.forms.concern_of(form)
        elif isinstance(form, Withdrawal):
            summary.withdrawn += 1
            reading.withdrawals.append(form)
            continue
        else:
            if isinstance(form, Parked) and desk.policy.intake is not None:
                form = taken(record, form, store.base)
            if isinstance(form, Intake):
                reading.intakes.append(form)
                continue
            concern = form.concern
            if isinstance(form, Skipped):
                summary.unfinished += 1
            else:
                reading.parked.append(form)
                summary.reviews["nameless"] += form.is_nameless
        if concern is not None:
            reading.concerns.append(concern)
    reading.forms.sort(key=lambda form: (form.when, form.key))
    summary.parked += reading.parked
    summary.safety += len(reading.concerns)
    return reading
