"""A measure as a FHIR Measure resource: what is published of it beside the TOML that it is calculated from."""

from __future__ import annotations

from typing import Any, Final

from fhir_alliance.core.measures.definition import Group, Measure, Population
from fhir_alliance.core.measures.equity import divisions
from fhir_alliance.fhir.measure_parts import group_code, kind_code
from fhir_alliance.fhir.measure_report import SCORING, measure_url

_POPULATION: Final = "http://terminology.hl7.org/CodeSystem/measure-population"
_IMPROVEMENT: Final = "http://terminology.hl7.org/CodeSystem/measure-improvement-notation"
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def measure_resource(measure: Measure) -> dict[str, Any]:
    """Return the Measure. Its criteria are in words: what is calculated stands in the measure's TOML file."""
    resource: dict[str, Any] = {
        "resourceType": "Measure",
        "id": measure.id,
        "url": measure_url(measure),
        "version": measure.version,
        "name": "".join(part.title() for part in measure.id.split("-")),
        "title": measure.title,
        "status": "active",
        "experimental": False,
        "publisher": "fhir_alliance",
        "description": " ".join(measure.description.split()),
        "purpose": f"Edition: {measure.edition}. Steward: {measure.steward}.",
        "disclaimer": " ".join(measure.does_not_claim),
        "scoring": SCORING,
        "improvementNotation": {"coding": [{"system": _IMPROVEMENT, "code": measure.improvement.value}]},
        "relatedArtifact": [{"type": "citation", "citation": source} for source in measure.source],
        "group": [_group(group, measure) for group in measure.groups],
    }
    if measure.url:
        resource["relatedArtifact"].append({"type": "derived-from", "url": measure.url})
    return resource


def _group(group: Group, measure: Measure) -> dict[str, Any]:
    populations = []
    for population, clauses in group.populations.items():
        joint = " or " if population in (Population.EXCLUSION, Population.EXCEPTION) else " and "
        populations.append(
            {
                "code": {"coding": [{"system": _POPULATION, "code": population.value}]},
                "criteria": _in_words(joint.join(clause.words for clause in clauses)),
            }
        )
    stratifiers = [
        {"id": f"{group.id}-{kind}", "code": kind_code(kind), "description": words, "criteria": _in_words(words)}
        for kind, words in divisions(measure).items()
    ]
    return {
        "id": group.id,
        "code": group_code(measure, group),
        "description": group.title,
        "population": populations,
        "stratifier": stratifiers,
    }


def _in_words(words: str) -> dict[str, Any]:
    """Return a criterion in words. FHIR asks for the language of an expression and knows none for words."""
    none = {"extension": [{"url": _ABSENT, "valueCode": "not-applicable"}]}
    return {"_language": none, "expression": words}
