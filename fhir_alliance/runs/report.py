"""The story of a report: person by person, ask consent, find the populations, forget the person; then publish once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from fhir_alliance.core.audit import Access
from fhir_alliance.core.measures.adjoining import Earlier
from fhir_alliance.core.measures.audience import Audience, Role, audience_of
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.measures.evaluation import Shown
from fhir_alliance.core.measures.period import period_of
from fhir_alliance.core.measures.publication import protected
from fhir_alliance.core.measures.tallying import Tallying
from fhir_alliance.core.model import Family, Tally
from fhir_alliance.core.rules.chart import Rulebook
from fhir_alliance.core.ways_out import Refused, ViewPass
from fhir_alliance.errors import StopRun
from fhir_alliance.runs.audit import Tell, untold
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.measures import code_sets_of, find_measure
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.readers import Wish, given, why_not
from fhir_alliance.runs.report_people import Brief, Examiner, one_by_one
from fhir_alliance.runs.rule_cards import shipped_cards
from fhir_alliance.stores.store import Store


class Asked(msgspec.Struct, frozen=True):
    """A report as a person asks for it, in words. software: the program's version."""

    measure: str
    period: str
    audience: str
    software: str
    cut: str = ""
    value_sets: tuple[Path, ...] = ()
    reporter: str = ""
    also: tuple[str, ...] = ()


class ReportOrder(msgspec.Struct, frozen=True):
    """What is asked for.

    cut: the last day that is looked at.  now: consents count as of it.  value_sets: folders or files of ValueSets.
    earlier: what the same readers have already.  also: "pdf", "parquet".
    """

    measure: Measure
    period: Days
    audience: Audience
    cut: date
    now: datetime
    value_sets: tuple[Path, ...] = ()
    reporter: str = ""
    software: str = ""
    earlier: tuple[Earlier, ...] = ()
    also: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """What was found, before anything is written.

    shown: by person, in the order of their references; empty where the audience may not see people.
    inputs: the digest of all that was read.  value_sets: the version of each that was used.
    """

    order: ReportOrder
    tally: Tally
    shown: tuple[Shown, ...]
    inputs: str
    value_sets: dict[str, str]
    clinics: tuple[str, ...]


def order_of(asked: Asked, now: datetime) -> ReportOrder:
    """Return the order that these words say; raises StopRun FA711-FA713, FA716."""
    days = period_of(asked.period)
    last = day_of(asked.cut, "--cut") if asked.cut else days.last
    measure, audience = find_measure(asked.measure), audience_of(asked.audience)
    return ReportOrder(
        measure, days, audience, last, now, asked.value_sets, asked.reporter, asked.software, also=asked.also
    )


def day_of(text: str, option: str) -> date:
    """Return the day that an option says; raises StopRun FA716."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise StopRun("FA716", f"{text!r} is no day.", f"Write {option} 2026-12-31.") from None


def days_of(period: str) -> Days:
    """Return the days of a period in words; raises StopRun FA711."""
    return period_of(period)


def make_report(
    store: Store,
    catalog: Catalog,
    policy: Policy,
    order: ReportOrder,
    watch: Callable[[int], None] = lambda count: None,
    tell: Tell = untold,
    examine: Examiner = one_by_one,
) -> Report:
    """Return the report on everybody in a store.

    watch: told how many people were looked at.  tell: is told whose record was read, before there is a report.
    examine: looks at the people, in one process or in many.
    Raises StopRun FA610 where these give a small count away, FA715 for what an insurer may not be told.
    """
    if order.audience.role is Role.INSURER and order.measure.is_about_alliance:
        raise StopRun("FA715", f"{order.measure.id} rests on ratings of the alliance.", "No insurer is told of them.")
    code_sets, versions = code_sets_of(order.measure, store, order.value_sets)
    book = Rulebook(catalog.instruments, shipped_cards())
    wish = _wish(order)
    brief = Brief(
        order.measure, order.period, order.cut, wish, policy, catalog.instruments, code_sets, book, store.base
    )
    tallying, digest = Tallying(order.measure, order.period), sha256()
    found: list[Shown] = []
    clinics: set[str] = set()
    looks: list[Access] = []
    for number, one in enumerate(examine(store, brief), start=1):
        digest.update(one.digest)
        looks.append(one.look)
        if isinstance(one.answer, Refused):
            tallying.withhold(why_not(one.answer))
        else:
            tallying.add(one.answer, one.members, one.strata, one.odd)
            clinics.update(one.clinics)
            if isinstance(one.answer, ViewPass) and one.members:
                found.append(Shown(one.answer, one.members, one.strata))
        watch(number)
    if not order.audience.sees_people:
        let = sum(told.ground.permitted for told in looks)
        looks.append(given(wish, order.measure.id, let, policy.consent.version))
    tell(looks)
    tally = tallying.tally()
    if not order.audience.sees_people:
        tally = protected(order.measure, tally, order.earlier)
    return Report(order, tally, tuple(found), digest.hexdigest(), dict(versions), tuple(sorted(clinics)))


def _wish(order: ReportOrder) -> Wish:
    codes = frozenset(code for code_set in order.measure.code_sets for code in code_set.codes)
    family = Family.ALLIANCE if order.measure.is_about_alliance else Family.OUTCOME
    return Wish(order.audience, codes, family, order.now)
