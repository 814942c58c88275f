"""Writes the Measures that ship, and their codes: python -m fhir_alliance.runs.measure_resources FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from fhir_alliance.fhir.measure import measure_resource
from fhir_alliance.fhir.measure_parts import measure_parts
from fhir_alliance.runs.measures import load_measures
from fhir_alliance.stores.files import replace_file


def resources() -> dict[str, bytes]:
    """Return each Measure, and the CodeSystem of their parts, as JSON by file name."""
    measures = load_measures().values()
    made = [*(measure_resource(measure) for measure in measures), measure_parts(measures)]
    return {f"{one['id']}.json": orjson.dumps(one, option=orjson.OPT_INDENT_2) for one in made}


def write_resources(folder: Path) -> int:
    """Return how many resources now stand in a folder."""
    found = resources()
    for name, body in found.items():
        replace_file(folder / name, [body])
    return len(found)


if __name__ == "__main__":
    write_resources(Path(sys.argv[1]))
