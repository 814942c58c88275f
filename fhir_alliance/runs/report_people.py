"""One person of a report: ask consent, find the populations, forget the person. The same for every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from hashlib import sha256
from typing import NamedTuple, TypeAlias

import msgspec
import orjson

from fhir_alliance.core.audit import Access
from fhir_alliance.core.measures.bad_input import set_right
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.measures.equity import strata_of
from fhir_alliance.core.measures.evaluation import Member
from fhir_alliance.core.measures.logic import members_of
from fhir_alliance.core.measures.people import Codes, Person
from fhir_alliance.core.model import Instrument
from fhir_alliance.core.rules.chart import Rulebook
from fhir_alliance.core.ways_out import Refused, ReportPass
from fhir_alliance.fhir.person import KINDS, person_of
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.readers import LookUp, Wish, for_reader, kin_in, let_in, look
from fhir_alliance.stores.store import PersonRecord, Store


class Brief(NamedTuple):
    """All that is needed to look at one person: what is asked, by whom, and what it is judged by.

    cut: the last day that is looked at.  base: the server's address, if there is one.
    """

    measure: Measure
    period: Days
    cut: date
    wish: Wish
    policy: Policy
    instruments: Mapping[str, Instrument]
    code_sets: Mapping[str, Codes]
    book: Rulebook
    base: str


class Examined(NamedTuple):
    """What became of one person.

    subject: their id.  digest: of all that was read about them.  look: that it was read.  answer: what lets them in, or
    why they are left out.  members: in words only where the audience sees people.
    """

    subject: str
    digest: bytes
    look: Access
    answer: ReportPass | Refused
    members: tuple[Member, ...] = ()
    strata: tuple[str, ...] = ()
    odd: tuple[tuple[str, int], ...] = ()
    clinics: tuple[str, ...] = ()


# looks at everybody in a store, and yields them by id
Examiner: TypeAlias = Callable[[Store, Brief], Iterator[Examined]]


def one_by_one(store: Store, brief: Brief) -> Iterator[Examined]:
    """Yield what became of each person of a store, as they come."""
    with kin_in(store) as look_up:
        for record in store.people(KINDS):
            yield examined(record, brief, look_up)


def examined(whole: PersonRecord, brief: Brief, look_up: LookUp) -> Examined:
    """Return what becomes of one person. look_up: gives the kin of a record that was merged."""
    wish = brief.wish
    record = for_reader(whole, wish.audience)
    subject, digest = str(record.patient.get("id", "")), sha256(_bytes(record)).digest()
    answer = let_in(record, wish, brief.policy, brief.base, look_up)
    looked = look(record, wish, answer)
    if isinstance(answer, Refused):
        return Examined(subject, digest, looked, answer)
    person = read_person(record, brief.instruments, brief.period, brief.cut, brief.base)
    members = tuple(members_of(brief.measure, person, brief.period, brief.code_sets, brief.book))
    if not wish.audience.sees_people:
        members = tuple(msgspec.structs.replace(member, reasons={}, evidence=()) for member in members)
    return Examined(
        subject, digest, looked, answer, members, strata_of(person, brief.period), person.odd, person.clinics
    )


def read_person(
    record: PersonRecord, instruments: Mapping[str, Instrument], period: Days, cut: date, base: str
) -> Person:
    """Return a record as a person, set right by the stated rules for what is odd."""
    person = person_of(record.patient, record.resources, instruments, base)
    if record.adopted:
        person = msgspec.structs.replace(person, odd=(*person.odd, ("subject-elsewhere", record.adopted)))
    return set_right(person, period, cut)


def _bytes(record: PersonRecord) -> bytes:
    """Return a person's record in one order of keys and resources, for the digest."""
    parts = [orjson.dumps(r, option=orjson.OPT_SORT_KEYS) for r in record.resources]
    return b"\n".join([orjson.dumps(record.patient, option=orjson.OPT_SORT_KEYS), *sorted(parts)])
