"""What ordering promises, on a folder and on a real FHIR server alike."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeAlias

from fhir_alliance.core.ordering import Cadence
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.order import order
from fhir_alliance.testing import response_json

Site: TypeAlias = Any  # folder or server: see conftest.py
SDC = "http://hl7.org/fhir/uv/sdc/CodeSystem/temp"
WEEKLY = (Cadence("phq-9", 7),)
ANNA, BEN = {"reference": "Patient/anna"}, {"reference": "Patient/ben"}


def people() -> list[dict[str, Any]]:
    """Return two clients in care, of whom Ben has a care plan that asks for the GAD-7 every fortnight."""
    url = "https://fhir-alliance.org/fhir/Questionnaire/gad-7"
    timing = {"repeat": {"frequency": 1, "period": 2, "periodUnit": "wk"}}
    detail = {"instantiatesCanonical": [url], "status": "in-progress", "scheduledTiming": timing}
    return [
        {"resourceType": "Patient", "id": "anna"},
        {"resourceType": "Patient", "id": "ben"},
        {"resourceType": "Patient", "id": "former"},
        {"resourceType": "EpisodeOfCare", "id": "a", "status": "active", "patient": ANNA},
        {"resourceType": "EpisodeOfCare", "id": "f", "status": "finished", "patient": {"reference": "Patient/former"}},
        {
            "resourceType": "CarePlan",
            "id": "b",
            "status": "active",
            "intent": "plan",
            "subject": BEN,
            "activity": [{"detail": detail}],
        },
    ]


def run(site: Site, now: datetime, *, dry_run: bool = False) -> Any:
    """Run the story."""
    with site.opened() as (store, journal):
        return order(store, load_catalog(), journal, WEEKLY, now, dry_run=dry_run)


def asked(site: Site) -> dict[tuple[str, str], str]:
    """Return the status of every request, by client and form."""
    return {
        (task["for"]["reference"], task["input"][0]["valueCanonical"].split("/")[-1]): task["status"]
        for task in site.all("Task")
        if task["code"]["coding"][0] == {"system": SDC, "code": "complete-questionnaire"}
    }


def test_clients_in_care_are_asked_once(site: Site) -> None:
    """Each client in care is asked by the clinic's cadence and their own care plan's, and a second run asks nothing."""
    site.load(*people())
    assert run(site, site.now, dry_run=True).created == {"Task": 3}
    assert site.all("Task") == []
    assert run(site, site.now).created == {"Task": 3}
    versions = {name: f"{name}|{i.version}" for name, i in load_catalog().instruments.items()}
    assert asked(site) == {
        ("Patient/anna", versions["phq-9"]): "requested",
        ("Patient/ben", versions["phq-9"]): "requested",
        ("Patient/ben", versions["gad-7"]): "requested",
    }
    again = run(site, site.now)
    assert (again.created, again.updated, again.unchanged) == ({}, {}, {"Task": 3})


def test_a_request_has_the_shape_of_sdc(site: Site) -> None:
    """A request names the form as input with its version, has no focus, and is the client's to do by a date."""
    site.load(*people())
    run(site, site.now)
    for task in site.all("Task"):
        assert task["intent"] == "order"
        assert "focus" not in task
        assert task["owner"] == task["for"]
        assert task["restriction"]["period"]["end"] > task["authoredOn"]
        assert task["input"][0]["type"]["coding"][0] == {"system": SDC, "code": "questionnaire"}


def test_an_answer_completes_the_request(site: Site) -> None:
    """A finished form completes its request and is named in it; other requests stand."""
    site.load(*people())
    run(site, site.now)
    later = site.now + timedelta(days=1)
    site.load(response_json([1] * 8 + [0], name="a1", subject="Patient/anna", authored=later.isoformat()))
    done = run(site, later)
    assert (done.created, done.updated) == ({}, {"Task": 1})
    [task] = [t for t in site.all("Task") if t["status"] == "completed"]
    assert task["for"] == ANNA
    assert task["output"][0]["type"]["coding"][0] == {"system": SDC, "code": "questionnaire-response"}
    assert task["output"][0]["valueReference"] == {"reference": "QuestionnaireResponse/a1"}
    assert not run(site, later).updated


def test_fewer_forms_are_respected(site: Site) -> None:
    """A Flag that says the client wants fewer forms puts open requests on hold, and unanswered ones expire by date."""
    site.load(*people())
    run(site, site.now)
    system = "https://fhir-alliance.org/fhir/CodeSystem/terms"
    wish = {"coding": [{"system": system, "code": "fewer-forms"}]}
    site.load({"resourceType": "Flag", "id": "quiet", "status": "active", "code": wish, "subject": ANNA})
    assert run(site, site.now + timedelta(days=1)).updated == {"Task": 1}
    assert [t["status"] for t in site.all("Task") if t["for"] == ANNA] == ["on-hold"]
    done = run(site, site.now + timedelta(days=8))
    assert [t["status"] for t in site.all("Task") if t["for"] == ANNA] == ["cancelled"]
    assert done.created == {"Task": 1}  # Ben's next PHQ-9; his GAD-7 comes every fortnight, and Anna is left alone
