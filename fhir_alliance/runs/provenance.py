"""The Provenances that go with a page's changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Final

from fhir_alliance.core.model import Cleared
from fhir_alliance.fhir.difference import Change
from fhir_alliance.fhir.provenance import Maker, provenance
from fhir_alliance.runs.score import Desk

VERSION: Final = version("fhir-alliance")


def provenances(changes: Sequence[Change], cleared: Collection[Cleared], desk: Desk, now: datetime) -> list[Change]:
    """Return one Provenance for each form whose Observations change; none where the site wants none."""
    if not desk.policy.with_provenance:
        return []
    forms: Mapping[str, Cleared] = {form.form.key: form for form in cleared}
    maker = Maker(VERSION, desk.policy.consent.version)
    found: dict[str, list[Change]] = {}
    for change in changes:
        if change.write.type == "Observation":
            found.setdefault(change.write.group, []).append(change)
    made = []
    for group, own in found.items():
        form = forms.get(group)
        instrument = desk.bench(form.form).scorer.instrument if form is not None else None
        made.append(provenance(own, form, instrument, maker, now))
    return made
