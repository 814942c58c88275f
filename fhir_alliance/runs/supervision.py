"""The stories that supervisors ask for: caseload, therapists' outcomes, an accreditor's evidence, assessments done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from fhir_alliance.core.measures.audience import Audience, Role
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Population
from fhir_alliance.core.measures.logic import members_of
from fhir_alliance.core.measures.people import Person
from fhir_alliance.core.measures.supervision import (
    Assessment,
    CaseRow,
    Link,
    assessments,
    case_row,
    chain,
    has_standing_goal,
    unreviewed_safety,
)
from fhir_alliance.core.measures.therapists import Caseload, Estimates, estimates
from fhir_alliance.core.model import Family
from fhir_alliance.core.rules.chart import Rulebook
from fhir_alliance.fhir.person import KINDS
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.measures import code_sets_of
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.report import ReportOrder, Wish, for_reader, read_person, withheld
from fhir_alliance.runs.rule_cards import shipped_cards
from fhir_alliance.stores.store import Store


class Office(NamedTuple):
    """Where a supervisor looks: the store, what is known of instruments, what the site decided, and when."""

    store: Store
    catalog: Catalog
    policy: Policy
    now: datetime

    def book(self) -> Rulebook:
        """Return by what charts are judged: the site's own settings."""
        return Rulebook(self.catalog.instruments, shipped_cards(), self.policy.rules, self.policy.courses)

    def people(self, period: Days, family: Family) -> Iterator[tuple[Person, str]]:
        """Yield all people as of the period's end, and why consent keeps one from a supervisor, or ""."""
        wish = Wish(Audience(Role.SUPERVISOR), frozenset(), family, self.now)
        for whole in self.store.people(KINDS):
            record = for_reader(whole, wish.audience)
            reason = withheld(record, wish, self.policy, self.store.base)
            yield read_person(record, self.catalog.instruments, period, period.last, self.store.base), reason


class Evidence(NamedTuple):
    """What an accreditor is shown (Joint Commission CTS.03.01.09).

    links: element 1 and 2, score by score.  counts: element 3, over everybody.  withheld: left out by consent.
    """

    links: tuple[Link, ...]
    counts: dict[str, int]
    withheld: int


def caseload(office: Office, day: date, missing_days: int) -> tuple[CaseRow, ...]:
    """Return every client's row, those that need a look first; of a withheld one only what stands for safety."""
    rows = []
    book = office.book()
    for person, reason in office.people(Days(date.min, day), Family.ALLIANCE):
        if reason:
            safety = unreviewed_safety(person)
            rows.append(CaseRow(person.reference, person.therapist, unreviewed_safety=safety, is_withheld=True))
        else:
            rows.append(case_row(person, book, day, missing_days))
    return tuple(sorted(rows, key=lambda row: (not row.needs_a_look, row.subject)))


def therapists(office: Office, order: ReportOrder) -> tuple[Estimates, int]:
    """Return the estimates of a measure by therapist, and how many clients consent left out; raises StopRun FA718."""
    code_sets, _ = code_sets_of(order.measure, office.store, order.value_sets)
    eligible, reached, left_out = Counter[str](), Counter[str](), 0
    family = Family.ALLIANCE if order.measure.is_about_alliance else Family.OUTCOME
    for person, reason in office.people(order.period, family):
        if reason:
            left_out += 1
            continue
        first = members_of(order.measure, person, order.period, code_sets, office.book())[0]
        if person.therapist and _left(first.counts):
            eligible[person.therapist] += 1
            reached[person.therapist] += first.counts.get(Population.NUMERATOR, 0) > 0
    loads = {name: Caseload(clients, reached[name]) for name, clients in eligible.items()}
    return estimates(loads), left_out


def accreditation(office: Office, period: Days) -> Evidence:
    """Return the evidence of a period: each score with its review, decision and goal, and counts over everybody."""
    book, counts, links, left_out = office.book(), Counter[str](), list[Link](), 0
    for person, reason in office.people(period, Family.OUTCOME):
        if reason:
            left_out += 1
            continue
        own = chain(person, book, period)
        counts["clients with a standing goal"] += has_standing_goal(person)
        counts["of these, measured by a standard tool (EP 1)"] += has_standing_goal(person) and bool(own)
        counts["scores"] += len({link.score for link in own})
        counts["reviews that rest on a score"] += len({link.review for link in own} - {""})
        counts["of these, completed (EP 2)"] += len({link.review for link in own if link.closed_on})
        counts["of these, with a decision on the goal (EP 2)"] += len({link.review for link in own if link.decision})
        links += own
    return Evidence(tuple(links), dict(counts), left_out)


def assessed(office: Office, period: Days) -> tuple[tuple[Assessment, ...], int]:
    """Return the assessments of a period, and how many clients consent left out."""
    found: list[Assessment] = []
    book, left_out = office.book(), 0
    for person, reason in office.people(period, Family.OUTCOME):
        if reason:
            left_out += 1
        else:
            found += assessments(person, book, period)
    return tuple(sorted(found, key=lambda a: (a.day, a.subject, a.instrument))), left_out


def _left(counts: dict[Population, int]) -> int:
    inside = (Population.EXCLUSION, Population.EXCEPTION)
    return counts.get(Population.DENOMINATOR, 0) - sum(counts.get(population, 0) for population in inside)
