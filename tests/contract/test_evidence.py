"""What people are shown of reviews names what the store holds, whatever ids the store gives."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, TypeAlias

from fhir_alliance.core.consent import ConsentPolicy
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.consent_files import load_table
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.show import show
from fhir_alliance.runs.supervision import Office, accreditation, assessed
from fhir_alliance.testing import response_json

Site: TypeAlias = Any  # folder or server: see conftest.py
CATALOG = load_catalog()
PERIOD = Days(date(2026, 5, 1), date(2026, 12, 31))
CONSENT = ConsentPolicy(table=load_table())
POLICY = Policy(consent=CONSENT)
REGULAR = Policy(consent=CONSENT, rules=RuleSettings(review_every_days=7))
PEOPLE = (
    {"resourceType": "Patient", "id": "anna"},
    {
        "resourceType": "Goal", "id": "walk", "lifecycleStatus": "active", "description": {"text": "A walk each day"},
        "subject": {"reference": "Patient/anna"}, "startDate": "2026-05-02",
    },
)  # fmt: skip


def form(name: str, points: list[int], day: date) -> dict[str, Any]:
    """Return Anna's PHQ-9 of a day."""
    authored = f"{day}T10:00:00+01:00"
    return response_json(points, name=name, subject="Patient/anna", authored=authored)


def test_evidence_and_course_name_the_scores_that_a_review_rests_on(site: Site) -> None:
    """From 16 to 4: the accreditor's chain, the assessments and the client's course lead to what stands there."""
    today = site.now.date()
    site.load(*PEOPLE, form("a1", [2] * 8 + [0], today - timedelta(days=5)), form("a2", [1] * 4 + [0] * 5, today))
    site.sync(POLICY)
    [task] = site.all("Task")
    site.edit(task | {"status": "completed", "executionPeriod": {"end": site.now.isoformat()}})
    scores = {
        o["valueQuantity"]["value"]: f"Observation/{o['id']}" for o in site.all("Observation") if "valueQuantity" in o
    }
    with site.opened() as (store, _):
        office = Office(store, CATALOG, POLICY, site.now)
        links = accreditation(office, PERIOD).links
        done, _ = assessed(office, PERIOD)
        course = show(store, CATALOG, POLICY, "anna", site.now)
    assert [(link.points, link.score) for link in links] == [("16", scores[16]), ("4", scores[4])]
    chain = [(link.review, link.because, link.closed_on, link.goal) for link in links]
    assert chain[0] == ("", "", "", "")
    assert chain[1] == (f"Task/{task['id']}", "the score", today.isoformat(), "Goal/walk")
    assert [(one.observation, one.review) for one in done] == [(scores[16], ""), (scores[4], f"Task/{task['id']}")]
    assert {found.when for found in course.findings} == {today}


def test_a_review_at_the_agreed_interval_is_evidence_too(site: Site) -> None:
    """What the clinic asks for regularly stands with the last score before it: that is what the review looks at."""
    today = site.now.date()
    site.load(
        *PEOPLE,
        form("a1", [1] * 8 + [0], today - timedelta(days=20)),
        form("a2", [1] * 8 + [0], today - timedelta(days=1)),
    )
    site.sync(REGULAR)
    [task] = site.all("Task")
    with site.opened() as (store, _):
        found = accreditation(Office(store, CATALOG, REGULAR, site.now), PERIOD)
    assert [(link.review, link.because) for link in found.links] == [
        ("", ""), (f"Task/{task['id']}", "the interval"),
    ]  # fmt: skip
    assert found.counts["reviews at the agreed interval, with the score before it"] == 1
    assert found.counts["reviews that rest on a score"] == 0
