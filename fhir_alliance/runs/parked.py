"""The file of parked records: reference, code and reason, and never an answer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from fhir_alliance.fhir.inbound import Parked
from fhir_alliance.stores.files import replace_file


def write_parked(path: Path, parked: Iterable[Parked]) -> None:
    """Replace the file with what is parked now."""
    replace_file(path, (orjson.dumps({"reference": p.reference, "code": p.code, "reason": p.reason}) for p in parked))
