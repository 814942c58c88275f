"""The stories that supervisors ask for: caseload, therapists' outcomes, an accreditor's evidence, assessments done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from fhir_alliance.core.audit import Access
from fhir_alliance.core.measures.audience import Audience, Role, audience_of
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.logic import members_of
from fhir_alliance.core.measures.people import Person
from fhir_alliance.core.measures.supervision import (
    INTERVAL,
    SCORE,
    Assessment,
    CaseRow,
    Link,
    assessments,
    case_row,
    chain,
    has_standing_goal,
    withheld_row,
)
from fhir_alliance.core.measures.therapists import Caseloads, Estimates, demand_people, estimates
from fhir_alliance.core.model import Family
from fhir_alliance.core.rules.chart import Rulebook
from fhir_alliance.core.ways_out import Refused, ReportPass, ViewPass
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.person import KINDS
from fhir_alliance.runs.audit import Tell, untold
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.measures import code_sets_of
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.readers import Wish, for_reader, kin_in, let_in, look
from fhir_alliance.runs.report import ReportOrder
from fhir_alliance.runs.report_people import read_person
from fhir_alliance.runs.rule_cards import shipped_cards
from fhir_alliance.stores.store import Store


class Office(NamedTuple):
    """Where a supervisor looks: the store, what is known of instruments, what the site decided, and when.

    tell: is told whose record was looked at, before anything of it is shown.
    reader: who looks, as a reference, "" where that is not said.
    """

    store: Store
    catalog: Catalog
    policy: Policy
    now: datetime
    tell: Tell = untold
    reader: str = ""

    def book(self) -> Rulebook:
        """Return by what charts are judged: the site's own settings."""
        return Rulebook(self.catalog.instruments, shipped_cards(), self.policy.rules, self.policy.courses)

    def people(self, period: Days, family: Family) -> Iterator[tuple[Person, ReportPass | Refused]]:
        """Yield all people as of the period's end, and what lets a supervisor see them, or keeps them from one."""
        wish, looks = Wish(Audience(Role.SUPERVISOR, self.reader), frozenset(), family, self.now), list[Access]()
        with kin_in(self.store) as look_up:
            for whole in self.store.people(KINDS):
                record = for_reader(whole, wish.audience)
                answer = let_in(record, wish, self.policy, self.store.base, look_up)
                looks.append(look(record, wish, answer))
                yield read_person(record, self.catalog.instruments, period, period.last, self.store.base), answer
        self.tell(looks)


def reader_of(text: str) -> str:
    """Return who looks, as a reference, "" where that is not said; raises StopRun FA712."""
    try:
        return audience_of(f"{Role.SUPERVISOR}:{text}").name if text else ""
    except StopRun:
        raise StopRun("FA712", f"{text!r} names no reader.", "Write --reader Practitioner/ID.") from None


class Evidence(NamedTuple):
    """What an accreditor is shown (Joint Commission CTS.03.01.09).

    links: element 1 and 2, score by score.  counts: element 3, over everybody.  withheld: left out by consent.
    """

    links: tuple[Link, ...]
    counts: dict[str, int]
    withheld: int


def caseload(office: Office, day: date, missing_days: int) -> tuple[CaseRow, ...]:
    """Return every client's row, safety answers first, then who is not on track; of a withheld one only safety."""
    book = office.book()
    rows = [
        case_row(answer, person, book, day, missing_days) if isinstance(answer, ViewPass) else withheld_row(person)
        for person, answer in office.people(Days(date.min, day), Family.ALLIANCE)
    ]
    return tuple(sorted(rows, key=_place))


def _place(row: CaseRow) -> tuple[bool, bool, bool, str]:
    """Return where a row stands in the caseload: by what is open, which grades nobody."""
    return not row.unreviewed_safety, not row.off_track, not row.needs_a_look, row.subject


def therapists(office: Office, order: ReportOrder) -> tuple[Estimates, int]:
    """Return the estimates of a measure by therapist, and how many clients consent left out.

    Raises StopRun FA718 for too few therapists, FA721 where the measure counts no people.
    """
    demand_people(order.measure)
    code_sets, _ = code_sets_of(order.measure, office.store, order.value_sets)
    loads, left_out = Caseloads(), 0
    family = Family.ALLIANCE if order.measure.is_about_alliance else Family.OUTCOME
    for person, answer in office.people(order.period, family):
        if not isinstance(answer, ViewPass):
            left_out += 1
            continue
        first = members_of(order.measure, person, order.period, code_sets, office.book())[0]
        loads.add(answer, person.therapist, first)
    return estimates(loads.by_therapist()), left_out


def accreditation(office: Office, period: Days) -> Evidence:
    """Return the evidence of a period: each score with its review, decision and goal, and counts over everybody."""
    book, counts, links, left_out = office.book(), Counter[str](), list[Link](), 0
    for person, answer in office.people(period, Family.OUTCOME):
        if not isinstance(answer, ViewPass):
            left_out += 1
            continue
        own = chain(answer, person, book, period)
        counts["clients with a standing goal"] += has_standing_goal(person)
        counts["of these, measured by a standard tool (EP 1)"] += has_standing_goal(person) and bool(own)
        counts["scores"] += len({link.score for link in own})
        counts["reviews that rest on a score"] += len({link.review for link in own if link.because == SCORE})
        counts["reviews at the agreed interval, with the score before it"] += len(
            {link.review for link in own if link.because == INTERVAL}
        )
        counts["of all reviews, completed (EP 2)"] += len({link.review for link in own if link.closed_on})
        counts["of all reviews, with a decision on the goal (EP 2)"] += len(
            {link.review for link in own if link.decision}
        )
        links += own
    return Evidence(tuple(links), dict(counts), left_out)


def assessed(office: Office, period: Days) -> tuple[tuple[Assessment, ...], int]:
    """Return the assessments of a period, and how many clients consent left out."""
    found: list[Assessment] = []
    book, left_out = office.book(), 0
    for person, answer in office.people(period, Family.OUTCOME):
        if not isinstance(answer, ViewPass):
            left_out += 1
        else:
            found += assessments(answer, person, book, period)
    return tuple(sorted(found, key=lambda a: (a.day, a.subject, a.instrument))), left_out
