"""The measures that can be reported: those that ship, and the ValueSets that a site supplies for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.measures.people import Codes
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.value_sets import Supplied
from fhir_alliance.runs.catalog import shipped
from fhir_alliance.runs.measure_file import read_measure
from fhir_alliance.stores.folder import records_of
from fhir_alliance.stores.store import Store


def load_measures() -> dict[str, Measure]:
    """Return all measures by id."""
    measures = [read_measure(path) for path in sorted(shipped("measures").glob("*.toml"))]
    return {measure.id: measure for measure in measures}


def find_measure(name: str) -> Measure:
    """Return a measure by id; raises StopRun FA713."""
    measures = load_measures()
    if name not in measures:
        raise StopRun("FA713", f"there is no measure {name!r}.", f"Known: {', '.join(sorted(measures))}.")
    return measures[name]


def code_sets_of(
    measure: Measure, store: Store, folders: Sequence[Path]
) -> tuple[Mapping[str, Codes], Mapping[str, str]]:
    """Return the measure's code sets, and the version of each ValueSet used.

    folders: of ValueSet files; of several versions the highest counts, those in the store included.
    Raises StopRun FA714 where one is missing.
    """
    given = {code_set.name: code_set.codes for code_set in measure.code_sets if not code_set.value_set}
    wanted = [code_set for code_set in measure.code_sets if code_set.value_set]
    versions: dict[str, str] = {}
    if not wanted:
        return given, versions
    inside = store.canonicals("ValueSet", [code_set.value_set for code_set in wanted])
    supplied = Supplied.of([*inside, *records_of(folders, "ValueSet")])
    missing = []
    for code_set in wanted:
        found = supplied.codes(code_set)
        if found is None:
            missing.append(f"{code_set.title} ({code_set.value_set})")
            continue
        given[code_set.name], versions[code_set.value_set] = found
    if missing:
        raise StopRun(
            "FA714",
            f"{measure.id} needs {len(missing)} ValueSets that are not there: {'; '.join(missing)}.",
            "Name a folder of ValueSet files with --valuesets. They are licensed to sites, so none ships.",
        )
    return given, versions
