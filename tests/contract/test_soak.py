"""Many forms through the real server, by a way that fails and a program that is killed: benchmarks/soak.py in short."""

from __future__ import annotations

from pathlib import Path

from tests.contract.conftest import HapiSite
from tests.servers import soak

PLAN = soak.Plan(forms=120, rate=0.06, page=40, kills=2, between=(12, 40))


def test_soak(hapi_site: HapiSite, tmp_path: Path) -> None:
    """With throttles, gateways that give up, cut answers and deaths, each form's scores stand once, in one version."""
    soak.load(hapi_site.fhir, PLAN)
    soaked = soak.soak(hapi_site.fhir.base, tmp_path, PLAN)
    assert soaked.killed == PLAN.kills
    assert soaked.faults
    found, versions = soak.standing(hapi_site.fhir)
    forms = {f"QuestionnaireResponse/soak-r{number}" for number in range(PLAN.forms)}
    assert {form for form, _ in found} == forms
    assert (set(found.values()), len(found)) == ({1}, 2 * PLAN.forms)  # panel and total
    assert set(versions) == {"1"}
    assert len(hapi_site.all("Provenance")) == PLAN.forms
    assert (soaked.last["created"], soaked.last["updated"]) == ({}, {})
