"""Clients in care who send nothing are looked at too, where the site has chosen a rule that asks for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias

from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.runs.policy import Policy
from fhir_alliance.testing import response_json

Site: TypeAlias = Any  # folder or server: see conftest.py
AWAY = Policy(rules=RuleSettings(silent_days=28))
TREAT = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]


def client(name: str, status: str = "active") -> list[dict[str, Any]]:
    """Return a client with a care plan and one form."""
    subject = {"reference": f"Patient/{name}"}
    plan = {"id": f"plan-{name}", "status": status, "intent": "plan", "subject": subject}
    form = response_json([1] * 8 + [0], name=f"f-{name}", subject=f"Patient/{name}", authored="2026-01-05T10:00:00Z")
    return [{"resourceType": "Patient", "id": name}, {"resourceType": "CarePlan", **plan}, form]


def asked(site: Site) -> list[str]:
    """Return of whom a review stands open."""
    return [task["for"]["reference"] for task in site.all("Task") if task["status"] == "requested"]


def test_who_stays_away_is_seen_without_a_form(site: Site) -> None:
    """A client in care is asked about on the day that the silence is full, and once; one who has left care is not."""
    site.load(*client("anna"), *client("ben", "completed"))
    start = site.now.replace(year=2026, month=1, day=6)
    site.sync(AWAY, now=start)
    assert asked(site) == []
    site.sync(AWAY, now=start + timedelta(days=26))
    assert asked(site) == []
    site.sync(AWAY, now=start + timedelta(days=27))
    assert asked(site) == ["Patient/anna"]
    assert "neither a session nor a form for 28 days" in site.all("Task")[0]["description"]
    assert not site.sync(AWAY, now=start + timedelta(days=28)).created["Task"]


def test_without_a_chosen_number_nobody_is_looked_at(site: Site) -> None:
    """By default no round is made."""
    site.load(*client("anna"))
    site.sync(now=site.now + timedelta(days=400))
    site.sync(now=site.now + timedelta(days=401))
    assert asked(site) == []


def test_a_client_who_forbids_it_is_left_alone(site: Site) -> None:
    """Where the client's Consent denies treatment use, the calendar asks nothing about them."""
    no = {
        "resourceType": "Consent", "id": "no", "status": "active", "patient": {"reference": "Patient/anna"},
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "dateTime": "2026-01-01", "provision": {"type": "deny", "purpose": TREAT},
    }  # fmt: skip
    site.load(*client("anna"), *client("ben"))
    site.sync(AWAY, now=site.now.replace(year=2026, month=1, day=6))
    site.load(no)
    site.sync(AWAY)
    assert asked(site) == ["Patient/ben"]
