"""A tally, and single people's places in it, as FHIR MeasureReport: individual, subject-list and summary.

The shape is near that of Da Vinci DEQM 5.0.0: measure with version, scoring, reporter, period, date, and per group its
populations, score and strata; its profiles are not claimed (docs/decisions/0030-deqm.md). No id is random, no date is
the clock's, so the same input gives the same bytes. A masked number has no count, but a reason that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from typing import Any, Final

from fhir_alliance.core.measures.definition import Group, Measure, Population
from fhir_alliance.core.measures.equity import divisions
from fhir_alliance.core.measures.evaluation import Member, Shown
from fhir_alliance.core.measures.tallying import rate
from fhir_alliance.core.model import Count, Missing, Part, Tally
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.measure_parts import group_code, kind_code

_POPULATION: Final = "http://terminology.hl7.org/CodeSystem/measure-population"
_IMPROVEMENT: Final = "http://terminology.hl7.org/CodeSystem/measure-improvement-notation"
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_DEQM_SCORING: Final = "http://hl7.org/fhir/us/davinci-deqm/StructureDefinition/extension-measureScoring"
SCORING: Final = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/measure-scoring", "code": "proportion"}]}
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
    report["group"] = [_own_group(measure, member, shown) for member in members]
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
        "extension": [{"url": _DEQM_SCORING, "valueCodeableConcept": SCORING}],
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
    group = {"id": part.group, "code": group_code(measure, _named(measure, part.group)), **_counted(part.counts)}
    strata = [(p.stratum, p.counts) for p in tally.parts if p.group == part.group and p.stratum]
    return group | {"stratifier": _stratifiers(measure, strata)}


def _stratifiers(measure: Measure, strata: Sequence[tuple[str, Mapping[str, Count]]]) -> list[dict[str, Any]]:
    """Return a stratifier for each that the Measure declares, also where nobody is in any of its strata."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in divisions(measure)}
    for stratum, counts in strata:
        kind, _, value = stratum.partition(":")
        found[kind].append({"value": {"text": value}, **_counted(counts)})
    named = ((kind, {"code": [kind_code(kind)]}) for kind in found)
    return [code | ({"stratum": found[kind]} if found[kind] else {}) for kind, code in named]


def _counted(counts: Mapping[str, Count]) -> dict[str, Any]:
    counted: dict[str, Any] = {"population": [_population(code, count) for code, count in counts.items()]}
    return counted | {"measureScore": _score(counts)}


def _score(counts: Mapping[str, Count]) -> dict[str, Any]:
    """Return the score: a number, or the reason why there is none on the value, where the server's rules want one."""
    score = rate(counts)
    if score is not None:
        return {"value": float(round(score, PLACES))}
    return {"_value": _absent("masked" if Missing.MASKED in counts.values() else "not-applicable")}


def _population(code: str, count: Count) -> dict[str, Any]:
    population: dict[str, Any] = {"code": {"coding": [{"system": _POPULATION, "code": code}]}}
    if isinstance(count, Missing):
        population["_count"] = _absent("masked")
    else:
        population["count"] = count
    return population


def _absent(reason: str) -> dict[str, Any]:
    return {"extension": [{"url": _ABSENT, "valueCode": reason}]}


def _own_group(measure: Measure, member: Member, shown: Shown) -> dict[str, Any]:
    populations = []
    for code, count in member.counts.items():
        population = _population(code.value, count)
        if reason := member.reasons.get(code):
            population = {"extension": [{"url": ids.POPULATION_REASON, "valueString": reason}], **population}
        populations.append(population)
    counts = _by_code(member.counts)
    strata = [*shown.strata, *(f"measure:{stratum}" for stratum in member.strata)]
    own = [(stratum, counts) for stratum in strata if member.counts.get(Population.INITIAL)]
    own += [(stratum, _by_code(parts)) for stratum, parts in member.divided.items()]
    return {
        "id": member.group,
        "code": group_code(measure, _named(measure, member.group)),
        "population": populations,
        "measureScore": _score(counts),
        "stratifier": _stratifiers(measure, own),
    }


def _named(measure: Measure, group: str) -> Group:
    return next(one for one in measure.groups if one.id == group)


def _by_code(counts: Mapping[Population, int]) -> dict[str, Count]:
    return {population.value: count for population, count in counts.items()}


def _list(name: str, subjects: Sequence[str]) -> dict[str, Any]:
    contained: dict[str, Any] = {"resourceType": "List", "id": name, "status": "current", "mode": "snapshot"}
    if subjects:
        contained["entry"] = [{"item": {"reference": subject}} for subject in sorted(subjects)]
    return contained


def _code(population: Mapping[str, Any]) -> str:
    return str(population["code"]["coding"][0]["code"])
