"""A tally, and single people's places in it, as FHIR MeasureReport: individual, subject-list and summary.

The shape is that of Da Vinci DEQM: measure with version, reporter, period, date, and per group its populations,
score and strata. No id is random and no date is the clock's, so the same input gives the same bytes.
A masked number has no count, but a data-absent-reason that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.evaluation import Member, Shown
from fhir_alliance.core.measures.tallying import rate
from fhir_alliance.core.model import Count, Missing, Part, Tally
from fhir_alliance.fhir import identifiers as ids

_POPULATION: Final = "http://terminology.hl7.org/CodeSystem/measure-population"
_IMPROVEMENT: Final = "http://terminology.hl7.org/CodeSystem/measure-improvement-notation"
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
PLACES: Final = 4  # decimals of a score


def measure_url(measure: Measure) -> str:
    """Return the canonical address of our Measure resource."""
    return f"{ids.BASE}/Measure/{measure.id}"


def derived_id(*parts: str) -> str:
    """Return a resource id that the same parts always give."""
    return sha256("\0".join(parts).encode()).hexdigest()


def summary(measure: Measure, tally: Tally, reporter: str, cut: date) -> dict[str, Any]:
    """Return the summary MeasureReport of a tally, which counts nobody without a pass."""
    report = _report(measure, tally.period, "summary", reporter, cut)
    report["group"] = [_group(measure, tally, part) for part in tally.parts if not part.stratum]
    return report


def individual(measure: Measure, shown: Shown, period: tuple[date, date], reporter: str, cut: date) -> dict[str, Any]:
    """Return one person's MeasureReport, with the reason for each population."""
    members = shown.let_out()
    subject = members[0].subject
    report = _report(measure, period, "individual", reporter, cut, subject)
    report["subject"] = {"reference": subject}
    report["group"] = [_own_group(measure, member) for member in members]
    if evidence := sorted({reference for member in members for reference in member.evidence}):
        report["evaluatedResource"] = [{"reference": reference} for reference in evidence]
    return report


def subject_list(measure: Measure, tally: Tally, reporter: str, cut: date, shown: Iterable[Shown]) -> dict[str, Any]:
    """Return the MeasureReport that names who is in each population."""
    report = _report(measure, tally.period, "subject-list", reporter, cut)
    found: dict[tuple[str, str], list[str]] = {}
    for member in (member for person in shown for member in person.let_out()):
        for population, count in member.counts.items():
            if count:
                found.setdefault((member.group, population.value), []).append(member.subject)
    lists: list[dict[str, Any]] = []
    groups = []
    for part in (part for part in tally.parts if not part.stratum):
        group = _group(measure, tally, part)
        for population in group["population"]:
            name = f"{part.group}-{_code(population)}"
            subjects = found.get((part.group, _code(population)), [])
            population["subjectResults"] = {"reference": f"#{name}"}
            lists.append(_list(name, subjects))
        groups.append(group)
    report["contained"] = lists
    report["group"] = groups
    return report


def _report(
    measure: Measure, period: tuple[date, date], kind: str, reporter: str, cut: date, subject: str = ""
) -> dict[str, Any]:
    first, last = (day.isoformat() for day in period)
    key = derived_id(measure.id, measure.version, first, last, kind, subject)
    return {
        "resourceType": "MeasureReport",
        "id": key,
        "identifier": [{"system": ids.MEASURE_REPORT, "value": key}],
        "status": "complete",
        "type": kind,
        "measure": f"{measure_url(measure)}|{measure.version}",
        "date": cut.isoformat(),
        "reporter": {"reference": reporter} if "/" in reporter else {"display": reporter or "not stated"},
        "period": {"start": first, "end": last},
        "improvementNotation": {"coding": [{"system": _IMPROVEMENT, "code": measure.improvement.value}]},
    }


def _group(measure: Measure, tally: Tally, part: Part) -> dict[str, Any]:
    """Return a group with its score, and its strata by what they divide."""
    group: dict[str, Any] = {"id": part.group, "code": {"text": part.title}, **_counted(part.counts)}
    strata: dict[str, list[Part]] = {}
    for other in tally.parts:
        if other.group == part.group and other.stratum:
            strata.setdefault(other.stratum.partition(":")[0], []).append(other)
    if strata:
        group["stratifier"] = [
            {
                "code": [{"text": kind}],
                "stratum": [{"value": {"text": p.stratum.partition(":")[2]}, **_counted(p.counts)} for p in parts],
            }
            for kind, parts in strata.items()
        ]
    return group


def _counted(counts: Mapping[str, Count]) -> dict[str, Any]:
    counted: dict[str, Any] = {"population": [_population(code, count) for code, count in counts.items()]}
    score = rate(counts)
    if score is not None:
        counted["measureScore"] = {"value": float(round(score, PLACES))}
    elif Missing.MASKED in counts.values():
        counted["measureScore"] = {"extension": [{"url": _ABSENT, "valueCode": "masked"}]}
    return counted


def _population(code: str, count: Count) -> dict[str, Any]:
    population: dict[str, Any] = {"code": {"coding": [{"system": _POPULATION, "code": code}]}}
    if isinstance(count, Missing):
        population["_count"] = {"extension": [{"url": _ABSENT, "valueCode": "masked"}]}
    else:
        population["count"] = count
    return population


def _own_group(measure: Measure, member: Member) -> dict[str, Any]:
    populations = []
    for code, count in member.counts.items():
        population = _population(code.value, count)
        if reason := member.reasons.get(code):
            population = {"extension": [{"url": ids.POPULATION_REASON, "valueString": reason}], **population}
        populations.append(population)
    group: dict[str, Any] = {"id": member.group, "population": populations}
    if score := _own_score(member):
        group["measureScore"] = {"value": float(round(score[0], PLACES))}
    if measure.strata:
        inside = [{"value": {"text": s.id}, "population": [_in(s.id, member)]} for s in measure.strata]
        group["stratifier"] = [{"code": [{"text": "measure"}], "stratum": inside}]
    return group


def _in(stratum: str, member: Member) -> dict[str, Any]:
    return _population(Population.INITIAL.value, int(stratum in member.strata))


def _own_score(member: Member) -> tuple[Decimal] | None:
    score = rate({code.value: count for code, count in member.counts.items()})
    return None if score is None else (score,)


def _list(name: str, subjects: Sequence[str]) -> dict[str, Any]:
    contained: dict[str, Any] = {"resourceType": "List", "id": name, "status": "current", "mode": "snapshot"}
    if subjects:
        contained["entry"] = [{"item": {"reference": subject}} for subject in sorted(subjects)]
    return contained


def _code(population: Mapping[str, Any]) -> str:
    return str(population["code"]["coding"][0]["code"])
