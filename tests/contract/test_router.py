"""What Medplum's router does otherwise than HAPI is found by itself, and nothing is missed or doubled for it."""

from __future__ import annotations

from pathlib import Path

from fhir_alliance.config import Config
from fhir_alliance.errors import Exit
from fhir_alliance.runs.doctor import doctor
from fhir_alliance.testing import response_json
from tests.contract.conftest import RouterSite


def test_the_check_up_finds_what_it_does_otherwise(router_site: RouterSite, tmp_path: Path) -> None:
    """No next page, no whole transaction, nothing found where it does not know how: told by reads about nobody."""
    for name in ("one", "two"):
        router_site.load({"resourceType": "Questionnaire", "id": name, "status": "active", "url": f"urn:{name}"})
    found = doctor(router_site.fhir.base, Config.model_validate({"state": {"folder": tmp_path / "state"}}))
    told = {check.name: check.standing for check in found.checks}
    assert (told["pages"], told["unknown parameters"], told["transactions"]) == ("note", "note", "note")
    assert "changes" not in told
    assert found.routes[0].route == "Observation in a batch, conditional-create"
    assert all("all of a form stands" not in route.reason for route in found.routes)
    assert found.exit is Exit.DONE


def test_more_forms_than_a_page(router_site: RouterSite) -> None:
    """Of more forms than a page holds each is read once, though the server names no next page."""
    requests = [{"method": "PUT", "url": f"QuestionnaireResponse/r{number}"} for number in range(520)]
    entries = [
        {"resource": response_json([1] * 9, name=request["url"].rpartition("/")[2]), "request": request}
        for request in requests
    ]
    router_site.fhir.post({"resourceType": "Bundle", "type": "batch", "entry": entries})
    with router_site.opened() as (store, _):
        read = [record.source for page in store.responses("", ()) for record in page.records]
    assert sorted(read) == sorted(request["url"] for request in requests)
