"""The story of publishing: profiles, terms and Questionnaires that stand in the store as they should."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir.difference import CANONICAL, Known, difference
from fhir_alliance.fhir.terminology import code_systems
from fhir_alliance.runs.catalog import Catalog, shipped
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import planned
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Store

ORDER: Final = ("CodeSystem", "ValueSet", "StructureDefinition", "Questionnaire")


def publish(store: Store, catalog: Catalog, journal: Journal, *, dry_run: bool = False) -> Summary:
    """Return what was done so that all artefacts stand in the store; a second time nothing is."""
    summary = Summary()
    artefacts = [*code_systems(catalog.instruments), *profiles(), *catalog.publishable()]
    for kind in ORDER:
        wanted = [artefact for artefact in artefacts if artefact["resourceType"] == kind]
        known = Known(store.canonicals(kind, [artefact["url"] for artefact in wanted]), key="url")
        changes, unchanged = difference([_write(artefact) for artefact in wanted], known)
        summary.unchanged += unchanged
        if dry_run:
            summary.planned += changes
            summary.add(planned(changes))
            continue
        for change in changes:  # one by one: a server that validates has to know what the next one builds on
            written = store.put([change], known, journal)
            summary.add(written)
            summary.refused += written.refused
    if not dry_run:
        store.finish()
    return summary


def profiles(folder: Path | None = None) -> Sequence[Mapping[str, Any]]:
    """Return the profiles, code systems and value sets that ship; the examples beside them are left out."""
    files = sorted((folder or shipped("profiles")).glob("*.json"))
    return [json.loads(file.read_bytes()) for file in files if not file.name.endswith(".example.json")]


def _write(artefact: Mapping[str, Any]) -> Write:
    kind, url = str(artefact["resourceType"]), str(artefact["url"])
    return Write(kind, CANONICAL, url, WriteMode.KEEP_CURRENT, orjson.dumps(artefact), group=url)
