"""What a sync and an order promise for a client who has died, on a folder and on a real FHIR server alike."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias

from fhir_alliance.core.ordering import Cadence
from fhir_alliance.errors import Exit
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.order import order
from tests.contract import test_sync as clinic

Site: TypeAlias = Any  # folder or server: see conftest.py
ANNA = {"resourceType": "Patient", "id": "anna"}
WORSE = [3, 3, 3, 3, 3, 3, 3, 3, 1]  # with an answer that a clinician has to look at


def test_a_review_ends_with_the_client_and_safety_does_not(site: Site) -> None:
    """A waiting review ends, forms are scored, safety is raised as ever; where the record was wrong, it opens again."""
    site.load(*clinic.people(), clinic.form("a1", clinic.MILD, "01-05"), clinic.form("a2", clinic.SEVERE, "01-12"))
    assert site.sync().deceased == set()
    site.load(ANNA | {"deceasedDateTime": "2026-01-18"}, clinic.form("a3", WORSE, "01-19"))
    done = site.sync()
    assert (done.as_object()["deceased"], done.exit) == (1, Exit.DONE)
    [review] = clinic.tasks(site, "goal-review")
    assert (review["status"], review["statusReason"]["coding"][0]["code"]) == ("cancelled", "died")
    [safety] = clinic.tasks(site, "safety-review")
    assert (safety["status"], safety["priority"]) == ("requested", "urgent")
    assert clinic.totals(site)["a3"] == ("final", 25)
    site.load(ANNA | {"deceasedBoolean": False}, clinic.form("a4", clinic.SEVERE, "01-26"))
    assert site.sync().deceased == set()
    [review] = clinic.tasks(site, "goal-review")
    assert review["status"] == "requested"
    assert "statusReason" not in review


def test_a_dead_client_is_asked_nothing(site: Site) -> None:
    """Requests that stand are ended and say why, and none is made anew, whatever care plan is still active."""

    def asks(days: int) -> Any:
        with site.opened() as (store, journal):
            return order(store, load_catalog(), journal, (Cadence("phq-9", 7),), site.now + timedelta(days=days))

    site.load(ANNA, *(r for r in clinic.people() if r["resourceType"] == "CarePlan"))
    assert asks(0).created == {"Task": 1}
    site.load(ANNA | {"deceasedBoolean": True})
    done = asks(1)
    assert (done.created, done.updated, done.as_object()["deceased"]) == ({}, {"Task": 1}, 1)
    [request] = site.all("Task")
    assert (request["status"], request["statusReason"]) == ("cancelled", {"text": "The client has died."})
    again = asks(30)
    assert (again.created, again.updated) == ({}, {})
