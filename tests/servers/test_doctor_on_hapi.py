"""The check-up of a real server: it finds by itself what HAPI FHIR can do, and touches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhir_alliance.config import Config
from fhir_alliance.errors import Exit
from fhir_alliance.runs.doctor import doctor


@pytest.mark.hapi
def test_hapi_is_found_fit(fhir: Any, tmp_path: Path) -> None:
    """HAPI keeps transactions together and updates by identifier, ignores no condition, and gets no resource."""
    before = fhir.get("Task", _summary="count")["total"]
    found = doctor(fhir.base, Config.model_validate({"state": {"folder": tmp_path / "state"}}))
    assert found.exit is Exit.DONE, found.checks
    assert [check for check in found.checks if check.standing == "fault"] == []
    assert ("transactions", "ok") in [(check.name, check.standing) for check in found.checks]
    assert all(route.reason.startswith("all of a form stands or none of it") for route in found.routes)
    told = {route.output: route.route for route in found.routes}
    assert told["scores"] == "Observation in a transaction, conditional-update"
    assert told["reviews"] == "Task in a transaction, conditional-create"
    assert fhir.get("Task", _summary="count")["total"] == before
