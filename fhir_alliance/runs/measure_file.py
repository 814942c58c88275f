"""What people write about a measure: `measures/*.toml`, and what becomes of it."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from fhir_alliance.core.measures.calendar import By
from fhir_alliance.core.measures.definition import (
    Bounds,
    Clause,
    CodeSet,
    Event,
    Group,
    Improvement,
    Measure,
    Near,
    Pick,
    Point,
    Population,
    Relation,
    Stratum,
    Window,
)
from fhir_alliance.core.measures.people import Kind
from fhir_alliance.core.model import Number
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.answers import whole
from fhir_alliance.runs.scoring_file import read_toml

_POINT = re.compile(r"([a-z][a-z0-9-]*)(?:\.(start|end))?(?: ([+-]) (\d+) (days?|weeks?|months?|years?))?")
_UNITS = {"day": (0, 1), "week": (0, 7), "month": (1, 0), "year": (12, 0)}  # months and days in each
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]
_PointText = Annotated[str, StringConstraints(pattern=f"^{_POINT.pattern}$")]
_RELATIONS = {
    "starts_in": Relation.STARTS_IN,
    "ends_in": Relation.ENDS_IN,
    "within": Relation.WITHIN,
    "overlaps_window": Relation.OVERLAPS,
    "starts_by_end_of": Relation.STARTS_BY_END,
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CodePart(_Strict):
    """One code that may stand here: LOINC and HL7 codes do; SNOMED CT single codes as the public logic names them."""

    system: str
    code: str
    display: str = ""


class CodeSetPart(_Strict):
    """Codes given here, or the address of the ValueSet that a site supplies."""

    codes: tuple[CodePart, ...] = ()
    value_set: str = ""
    title: str = ""

    @model_validator(mode="after")
    def _has_one(self) -> CodeSetPart:
        if bool(self.codes) == bool(self.value_set):
            raise ValueError("needs either codes or value_set")
        return self

    def noun(self, name: str) -> CodeSet:
        """Return the code set."""
        codes = frozenset((code.system, code.code) for code in self.codes)
        return CodeSet(name, codes, self.value_set, self.title)


class _Limits(_Strict):
    above: Decimal | None = None
    at_least: Decimal | None = None
    below: Decimal | None = None
    at_most: Decimal | None = None

    def bounds(self) -> Bounds:
        """Return the limits of points."""
        limits = (self.above, self.at_least, self.below, self.at_most)
        return Bounds(*(None if limit is None else whole(limit) for limit in limits))


class NearPart(_Strict):
    """Beside another event."""

    event: _Name
    days_before: int = Field(0, ge=0)
    days_after: int = Field(0, ge=0)
    after_start: bool = False
    by_start: bool = False
    after_end: bool = False
    by_end: bool = False


class EventPart(_Limits):
    """Which facts count."""

    facts: Kind = Kind.OBSERVATION
    codes: tuple[_Name, ...] = ()
    status: frozenset[str] = frozenset()
    status_not: frozenset[str] = frozenset()
    verification: frozenset[str] = frozenset()
    intent: frozenset[str] = frozenset()
    refuses_negated: bool = False
    answer: str = ""
    disposition: str = ""
    reason: str = ""
    has_value: bool = False
    starts_in: str = ""
    ends_in: str = ""
    within: str = ""
    overlaps_window: str = ""
    starts_by_end_of: str = ""
    overlaps: str = ""
    overlaps_by: Literal["instant", "day"] = "instant"
    near: NearPart | None = None
    before: str = ""
    any_of: tuple[_Name, ...] = ()
    pick: Pick = Pick.ALL
    same_codes_as: str = ""

    def noun(self, name: str) -> Event:
        """Return the event."""
        return Event(
            name,
            self.facts,
            self.codes,
            self.status,
            self.status_not,
            self.verification,
            self.intent,
            self.refuses_negated,
            self.answer,
            self.disposition,
            self.reason,
            self.has_value,
            self.bounds(),
            tuple((relation, getattr(self, key)) for key, relation in _RELATIONS.items() if getattr(self, key)),
            self.overlaps,
            By.DAY if self.overlaps_by == "day" else By.INSTANT,
            None if self.near is None else Near(**self.near.model_dump()),
            self.before,
            self.any_of,
            self.pick,
            self.same_codes_as,
        )


class WindowPart(_Strict):
    """Days, from a point to a point, both included; `before` leaves its day out."""

    start: _PointText = Field(alias="from")
    to: _PointText = ""
    before: _PointText = ""
    give_days: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _has_an_end(self) -> WindowPart:
        if bool(self.to) == bool(self.before):
            raise ValueError("needs either to or before")
        return self

    def noun(self, name: str) -> Window:
        """Return the window."""
        return Window(name, point(self.start), point(self.to or self.before), bool(self.before), self.give_days)


class ClausePart(_Limits):
    """One condition; `words` say it to a reader, after "not" as well."""

    words: str = ""
    event: str = ""
    count: int = Field(1, ge=1)
    absent: bool = False
    age_at: _PointText | None = None
    age_from: int | None = None
    age_to: int | None = None
    died_by: str = ""
    lower_by_percent: Decimal | None = None
    than: str = ""
    answer: str = ""
    one_of: tuple[tuple[ClausePart, ...], ...] = ()

    def noun(self) -> Clause:
        """Return the clause."""
        return Clause(
            self.words,
            self.event,
            self.count,
            self.bounds(),
            self.absent,
            None if self.age_at is None else point(self.age_at),
            self.age_from,
            self.age_to,
            self.died_by,
            None if self.lower_by_percent is None else whole(self.lower_by_percent),
            self.than,
            self.answer,
            tuple(tuple(part.noun() for part in parts) for parts in self.one_of),
        )


class GroupPart(_Strict):
    """One rate; populations that it does not give are the measure's."""

    id: _Name
    title: str
    third: int = Field(0, ge=0, le=3)
    within: tuple[_Name, ...] = ()
    of: str = ""
    population: dict[Population, tuple[ClausePart, ...]] = {}


class StratumPart(_Strict):
    """A part of the population that is shown on its own."""

    title: str
    all: tuple[ClausePart, ...] = ()


class MeasureFile(_Strict):
    """A whole file."""

    id: _Name
    version: str
    title: str
    steward: str
    edition: str
    improvement: Improvement
    description: str
    source: tuple[str, ...] = Field(min_length=1)
    does_not_claim: tuple[str, ...] = Field(min_length=1)
    url: str = ""
    program: str = ""
    logic: str = "events"
    basis: str = "person"
    by_month: bool = False
    is_about_alliance: bool = False
    settings: dict[str, int | Decimal | str] = {}
    codes: dict[_Name, CodeSetPart] = {}
    window: dict[_Name, WindowPart] = {}
    event: dict[_Name, EventPart] = {}
    population: dict[Population, tuple[ClausePart, ...]] = {}
    group: tuple[GroupPart, ...] = ()
    stratum: dict[_Name, StratumPart] = {}

    def noun(self) -> Measure:
        """Return the measure."""
        return Measure(
            self.id,
            self.version,
            self.title,
            self.steward,
            self.edition,
            self.improvement,
            self.source,
            self.does_not_claim,
            self._groups(),
            self.description,
            self.logic,
            {key: _number(value) for key, value in self.settings.items()},
            self.basis,
            self.url,
            tuple(part.noun(name) for name, part in self.codes.items()),
            tuple(part.noun(name) for name, part in self.event.items()),
            tuple(part.noun(name) for name, part in self.window.items()),
            tuple(Stratum(name, part.title, tuple(c.noun() for c in part.all)) for name, part in self.stratum.items()),
            self.by_month,
            self.is_about_alliance,
            self.program,
        )

    def _groups(self) -> tuple[Group, ...]:
        own = {name: tuple(c.noun() for c in parts) for name, parts in self.population.items()}
        groups = self.group or (GroupPart(id="rate", title=self.title),)
        found = []
        for group in groups:
            given = {name: tuple(c.noun() for c in parts) for name, parts in group.population.items()}
            ordered = {name: (own | given)[name] for name in Population if name in own | given}
            found.append(Group(group.id, group.title, ordered, group.third, group.within, group.of))
        return tuple(found)


def point(text: str) -> Point:
    """Return the point that a text like "index.end + 12 months" says."""
    found = _POINT.fullmatch(text)
    if found is None:
        raise ValueError(f"not a point: {text!r}")
    of, end, sign, number, unit = found.groups()
    if sign is None:
        return Point(of, end == "end")
    months, days = _UNITS[unit.removesuffix("s")]
    moved = int(number) * (1 if sign == "+" else -1)
    return Point(of, end == "end", moved * months, moved * days)


def read_measure(path: Path) -> Measure:
    """Return the measure of a file; raises StopRun FA103 where it is not understood, FA710 where names lead nowhere."""
    measure = read_toml(path, MeasureFile).noun()
    if missing := _dangling(measure):
        raise StopRun("FA710", f"{path} names {', '.join(missing)}, which it does not define.", "Correct the names.")
    return measure


def _dangling(measure: Measure) -> list[str]:
    """Return the names of code sets, events and windows that are used but not there."""
    sets = {code_set.name for code_set in measure.code_sets}
    events, windows = {e.name for e in measure.events}, {w.name for w in measure.windows} | {"period", "year"}
    used: list[tuple[str, set[str]]] = []
    for event in measure.events:
        used += [(name, sets) for name in (*event.codes, event.answer, event.disposition, event.reason)]
        used += [(name, windows) for _, name in event.windows]
        used += [(event.near.event, events)] if event.near else []
        used += [(name, events) for name in (event.overlaps, event.before, event.same_codes_as, *event.any_of)]
    for window in measure.windows:
        used += [(p.of, windows | events) for p in (window.start, window.to)]
    clauses = [c for group in measure.groups for clauses in group.populations.values() for c in clauses]
    clauses += [clause for stratum in measure.strata for clause in stratum.clauses]
    clauses += [clause for whole in clauses for parts in whole.one_of for clause in parts]
    for clause in clauses:
        used += [(clause.answer, sets)]
        used += [(clause.event, events), (clause.than, events), (clause.died_by, windows)]
        used += [(clause.age_at.of, windows | events)] if clause.age_at else []
    return sorted({repr(name) for name, known in used if name and name not in known})


def _number(value: Any) -> Number | str:
    return whole(value) if isinstance(value, Decimal) else value
