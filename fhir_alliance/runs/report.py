"""The story of a report: person by person, ask consent, find the populations, forget the person; then publish once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
import orjson

from fhir_alliance.core.consent import (
    Action,
    ConsentPolicy,
    ConsentRecord,
    DataLevel,
    Datum,
    Recipient,
    Request,
    Verdict,
    judge,
)
from fhir_alliance.core.measures.audience import Audience, Role, audience_of
from fhir_alliance.core.measures.bad_input import set_right
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.measures.equity import strata_of
from fhir_alliance.core.measures.evaluation import Member
from fhir_alliance.core.measures.logic import members_of
from fhir_alliance.core.measures.people import Person
from fhir_alliance.core.measures.period import period_of
from fhir_alliance.core.measures.publication import Earlier, protected
from fhir_alliance.core.measures.tallying import Tallying
from fhir_alliance.core.model import Instrument, Tally
from fhir_alliance.core.rules.chart import Rulebook
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.person import KINDS, person_of
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.measures import code_sets_of, find_measure
from fhir_alliance.runs.record import relied_on
from fhir_alliance.runs.rule_cards import shipped_cards
from fhir_alliance.stores.store import PersonRecord, Store

# HL7 v3-ActReason: supervision belongs to treatment; quality improvement; payment
PURPOSES: Final = {Role.SUPERVISOR: "TREAT", Role.QUALITY: "HQUALIMP", Role.INSURER: "HPAYMT"}
NONE_ON_RECORD: Final = "no consent is on record, and the site asks for one"


class Asked(msgspec.Struct, frozen=True):
    """A report as a person asks for it, in words. software: the program's version."""

    measure: str
    period: str
    audience: str
    software: str
    cut: str = ""
    value_sets: tuple[Path, ...] = ()
    reporter: str = ""


class ReportOrder(msgspec.Struct, frozen=True):
    """What is asked for. cut: the last day that is looked at.  value_sets: folders or files of ValueSets."""

    measure: Measure
    period: Days
    audience: Audience
    cut: date
    value_sets: tuple[Path, ...] = ()
    reporter: str = ""
    software: str = ""


class Report(msgspec.Struct, frozen=True):
    """What was found, before anything is written.

    members: by person, in the order of their references; empty where the audience may not see people.
    inputs: the digest of all that was read.  value_sets: the version of each that was used.
    """

    order: ReportOrder
    tally: Tally
    members: tuple[tuple[Member, ...], ...]
    inputs: str
    value_sets: dict[str, str]
    clinics: tuple[str, ...]


def order_of(asked: Asked) -> ReportOrder:
    """Return the order that these words say; raises StopRun FA711-FA713, FA716."""
    days = period_of(asked.period)
    try:
        last = date.fromisoformat(asked.cut) if asked.cut else days.last
    except ValueError:
        raise StopRun("FA716", f"{asked.cut!r} is no day.", "Write --cut 2026-12-31.") from None
    measure, audience = find_measure(asked.measure), audience_of(asked.audience)
    return ReportOrder(measure, days, audience, last, asked.value_sets, asked.reporter, asked.software)


def make_report(
    store: Store, catalog: Catalog, policy: ConsentPolicy, order: ReportOrder, earlier: Sequence[Earlier] = (),
    watch: Callable[[int], None] = lambda count: None,
) -> Report:  # fmt: skip
    """Return the report on everybody in a store.

    earlier: what the same readers have already.  watch: told how many people were looked at.
    Raises StopRun FA610 where these give a small count away, FA715 for what an insurer may not be told.
    """
    if order.audience.role is Role.INSURER and order.measure.is_about_alliance:
        raise StopRun("FA715", f"{order.measure.id} rests on ratings of the alliance.", "No insurer is told of them.")
    code_sets, versions = code_sets_of(order.measure, store, order.value_sets)
    book = Rulebook(catalog.instruments, shipped_cards())
    tallying = Tallying(order.measure, order.period)
    found: list[tuple[Member, ...]] = []
    digest = sha256()
    clinics: set[str] = set()
    for number, record in enumerate(store.people(KINDS), start=1):
        digest.update(_bytes(record))
        reason = withheld(record, order, policy, store.base)
        if reason:
            tallying.withhold(reason)
        else:
            person = _person(record, catalog.instruments, order, store.base)
            members = tuple(members_of(order.measure, person, order.period, code_sets, book))
            tallying.add(members, strata_of(person, order.period), person.odd)
            clinics.update(person.clinics)
            if order.audience.sees_people:
                found.append(members)
        watch(number)
    tally = tallying.tally()
    if not order.audience.sees_people:
        tally = protected(order.measure, tally, earlier)
    return Report(order, tally, tuple(found), digest.hexdigest(), dict(versions), tuple(sorted(clinics)))


def withheld(record: PersonRecord, order: ReportOrder, policy: ConsentPolicy, base: str) -> str:
    """Return why a person is left out of the report, or "" where nothing speaks against it."""
    subject = f"Patient/{record.patient.get('id', '')}"
    consents = [relied_on(r, base) for r in record.resources if r.get("resourceType") == "Consent"]
    verdicts = _verdicts(consents, subject, order)
    if Verdict.DENY in verdicts:
        return "a Consent forbids it"
    if Verdict.UNDECIDED in verdicts:
        return "a Consent cannot be evaluated"
    return "" if Verdict.PERMIT in verdicts or policy.default_permit else NONE_ON_RECORD


def _verdicts(consents: Iterable[ConsentRecord], subject: str, order: ReportOrder) -> list[Verdict]:
    codes = frozenset(code for code_set in order.measure.code_sets for code in code_set.codes)
    datum = Datum(frozenset({"QuestionnaireResponse", "Observation", "MeasureReport"}), codes, DataLevel.AGGREGATE)
    request = Request(subject, Action.USE, Recipient(), PURPOSES[order.audience.role], datum)
    moment = datetime.combine(order.cut, time.max, UTC)
    return [judge(record, request, moment).verdict for record in consents]


def _person(record: PersonRecord, instruments: Mapping[str, Instrument], order: ReportOrder, base: str) -> Person:
    person = person_of(record.patient, record.resources, instruments, base)
    if record.adopted:
        person = msgspec.structs.replace(person, odd=(*person.odd, ("subject-elsewhere", record.adopted)))
    return set_right(person, order.period, order.cut)


def _bytes(record: PersonRecord) -> bytes:
    """Return a person's record in one order of keys and resources, for the digest."""
    parts = [orjson.dumps(r, option=orjson.OPT_SORT_KEYS) for r in record.resources]
    return b"\n".join([orjson.dumps(record.patient, option=orjson.OPT_SORT_KEYS), *sorted(parts)])
