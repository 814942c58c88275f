"""Writes the Measure resources of all measures that ship: python -m fhir_alliance.runs.measure_resources FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from fhir_alliance.fhir.measure import measure_resource
from fhir_alliance.runs.measures import load_measures
from fhir_alliance.stores.files import replace_file


def resources() -> dict[str, bytes]:
    """Return each Measure as JSON, by its file name."""
    return {
        f"{m.id}.json": orjson.dumps(measure_resource(m), option=orjson.OPT_INDENT_2) for m in load_measures().values()
    }


def write_resources(folder: Path) -> int:
    """Return how many Measures now stand in a folder."""
    found = resources()
    for name, body in found.items():
        replace_file(folder / name, [body])
    return len(found)


if __name__ == "__main__":
    write_resources(Path(sys.argv[1]))
