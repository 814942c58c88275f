"""What groups and stratifiers are called in FHIR: a Measure and its reports are matched by these codes, not by text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fhir_alliance.core.measures.definition import Group, Measure
from fhir_alliance.core.measures.equity import divisions
from fhir_alliance.fhir import identifiers as ids

VERSION: Final = "0.1.0"


def group_code(measure: Measure, group: Group) -> dict[str, Any]:
    """Return the code of one rate of a measure."""
    return {"coding": [{"system": ids.MEASURE_PARTS, "code": f"{measure.id}-{group.id}"}], "text": group.title}


def kind_code(kind: str) -> dict[str, Any]:
    """Return the code of what a report is divided by (language, month)."""
    return {"coding": [{"system": ids.MEASURE_PARTS, "code": f"by-{kind}"}], "text": kind}


def measure_parts(measures: Iterable[Measure]) -> dict[str, Any]:
    """Return the CodeSystem of all groups and stratifiers of some measures."""
    concepts: dict[str, str] = {}
    for measure in measures:
        concepts |= {f"{measure.id}-{group.id}": f"{measure.id}: {group.title}" for group in measure.groups}
        concepts |= {
            f"by-{kind}": "Strata of the measure" if kind == "measure" else words
            for kind, words in divisions(measure).items()
        }
    return {
        "resourceType": "CodeSystem",
        "id": "measure-parts",
        "url": ids.MEASURE_PARTS,
        "version": VERSION,
        "name": "AllianceMeasureParts",
        "title": "Groups and stratifiers of the measures",
        "status": "active",
        "experimental": False,
        "publisher": "fhir_alliance",
        "description": "Each rate of each measure, and what their reports are divided by.",
        "caseSensitive": True,
        "content": "complete",
        "count": len(concepts),
        "concept": [{"code": code, "display": concepts[code]} for code in sorted(concepts)],
    }
