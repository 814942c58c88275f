"""The story of publishing: profiles, terms and Questionnaires that stand in the store as they should."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.concept_maps import concept_maps
from fhir_alliance.fhir.difference import Known
from fhir_alliance.fhir.publication import State, Step, form_steps, kept_step
from fhir_alliance.fhir.terminology import code_systems
from fhir_alliance.runs.catalog import Catalog, shipped
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.turn import planned
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Store, Written

ORDER: Final = ("CodeSystem", "ValueSet", "ConceptMap", "StructureDefinition", "Measure", "Questionnaire")


def publish(
    store: Store, catalog: Catalog, journal: Journal, *, others: Sequence[Mapping[str, Any]] = (), dry_run: bool = False
) -> Summary:
    """Return what was done so that all artefacts stand in the store; a second time nothing is.

    others: Questionnaires that are no instruments.
    Everything is planned before anything is sent: raises StopRun FA130 or FA131 where a Questionnaire in use would
    have to be overwritten. A dry run only plans, conflicts included.
    """
    summary = Summary()
    summary.steps = plan(store, catalog, others)
    if dry_run:
        _rehearse(summary)
        return summary
    stop_at_conflicts(summary.steps)
    failed: set[str] = set()
    for step in summary.steps:  # one by one: a server that validates has to know what the next one builds on
        if step.change is None:
            summary.unchanged[step.type] += 1
        elif step.url not in failed:  # nothing is retired whose successor does not stand
            written = store.put([step.change], Known([], key="url"), journal)
            if written.unknown or written.refused:
                failed.add(step.url)
            _count(step, written, summary)
    store.finish()
    return summary


def plan(store: Store, catalog: Catalog, others: Sequence[Mapping[str, Any]] = ()) -> list[Step]:
    """Return how every artefact stands in the store, in the order in which they are sent."""
    wanted = artefacts(catalog, others)
    lapsed = catalog.lapsed()
    steps: list[Step] = []
    for kind in ORDER:
        of_kind = [artefact for artefact in wanted if artefact["resourceType"] == kind]
        stored: dict[str, list[Mapping[str, Any]]] = {artefact["url"]: [] for artefact in of_kind}
        for resource in store.canonicals(kind, list(stored)):
            stored.get(str(resource.get("url", "")), []).append(resource)
        for artefact in of_kind:
            held = stored[artefact["url"]]
            if kind == "Questionnaire":
                steps += form_steps(artefact, held, is_lapsed=artefact["url"] in lapsed)
            else:
                steps.append(kept_step(artefact, held))
    return steps


def artefacts(catalog: Catalog, others: Sequence[Mapping[str, Any]] = ()) -> list[Mapping[str, Any]]:
    """Return all that is published: terminology, maps, profiles, a Questionnaire of each instrument, and others."""
    instruments, forms = catalog.instruments, catalog.publishable()
    return [*code_systems(instruments, forms), *concept_maps(instruments), *profiles(), *forms, *others]


def score_sheet() -> dict[str, Any]:
    """Return the Questionnaire to which scores are written as answers where a server takes no Observation."""
    form: dict[str, Any] = json.loads((shipped("profiles") / "forms" / "score-sheet.json").read_bytes())
    return form


def profiles(folder: Path | None = None) -> Sequence[Mapping[str, Any]]:
    """Return the profiles, code systems and value sets that ship; the examples beside them are left out."""
    files = sorted((folder or shipped("profiles")).glob("*.json"))
    return [json.loads(file.read_bytes()) for file in files if not file.name.endswith(".example.json")]


def stop_at_conflicts(steps: Iterable[Step]) -> None:
    """Raise StopRun with every Questionnaire that would have to be overwritten; return where there is none."""
    conflicts = [step for step in steps if step.state is State.CONFLICT]
    if conflicts:
        named = "; ".join(f"{step.url}|{step.version} {step.what}" for step in conflicts)
        raise StopRun(conflicts[0].code, f"{named}. Nothing was published.", _HINTS[conflicts[0].code])


_HINTS: Final = {
    "FA130": "Give the changed form a new version, a changed overlay a higher revision.",
    "FA131": "Use the program, or the overlay, that published it; or retire it in the store.",
}


def _rehearse(summary: Summary) -> None:
    """Count what sending the steps would do."""
    for step in summary.steps:
        if step.change is not None:
            summary.planned.append(step.change)
            _count(step, planned([step.change]), summary)
        elif step.state is State.UNCHANGED:
            summary.unchanged[step.type] += 1


def _count(step: Step, written: Written, summary: Summary) -> None:
    """Count what became of a step; what was retired is not counted as updated again."""
    if step.state is State.TO_RETIRE:
        summary.retired += written.updated
        written.updated.clear()
    summary.add(written)
    summary.refused += written.refused
