"""Findings as Observations: only where a site wants them, on what they rest, and gone when it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from fhir_alliance.core.labels import OUTSIDE, OWN_RECORD
from fhir_alliance.fhir.labels import honoured
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.testing import response_json

Site: TypeAlias = Any  # folder or server: see conftest.py
POLICY = Policy(with_findings=True)
FINDING = "https://fhir-alliance.org/fhir/sid/finding"
OURS = "https://fhir-alliance.org/fhir"
ITEMS = [item.link_id for item in load_catalog().find("alliance-checkin").items if item.options]
ANNA = {"resourceType": "Patient", "id": "anna"}


def form(name: str, points: list[int], day: str, **elements: Any) -> dict[str, Any]:
    """Return a PHQ-9 form of a day in 2026."""
    authored = f"2026-{day}T10:00:00+01:00"
    return response_json(points, name=name, subject="Patient/anna", authored=authored, **elements)


def checkin(name: str, points: int, day: str) -> dict[str, Any]:
    """Return an alliance check-in with the same answer to every item (held-back mirrored)."""
    items = [
        {
            "linkId": link,
            "answer": [
                {
                    "valueCoding": {
                        "system": f"{OURS}/CodeSystem/answers",
                        "code": f"checkin-{6 - points if link == 'held-back' else points}",
                    }
                }
            ],
        }
        for link in ITEMS
    ]
    return form(name, [0] * 9, day, questionnaire=f"{OURS}/Questionnaire/alliance-checkin|1.0.0", item=items)


def findings(site: Site, code: str) -> list[dict[str, Any]]:
    """Return the Observations of findings with a code."""
    return [
        o
        for o in site.all("Observation")
        if o["identifier"][0]["system"] == FINDING and o["code"]["coding"][0]["code"] == code
    ]


def test_a_reliable_change_is_told(site: Site, check_valid: Callable[[Site], None]) -> None:
    """From 16 to 4 on the PHQ-9: recovered, by so many points, derived from the first score and the newest one."""
    site.load(ANNA, form("a1", [2] * 8 + [0], "01-05"), form("a2", [1] * 4 + [0] * 5, "01-12"))
    site.sync(POLICY)
    [change] = findings(site, "reliable-change")
    assert change["valueCodeableConcept"]["coding"][0]["code"] == "recovered"
    points = change["component"][0]
    assert (points["code"]["coding"][0]["code"], points["valueQuantity"]["value"]) == ("change-points", 12)
    by_reference = {f"Observation/{o['id']}": o for o in site.all("Observation")}
    assert [by_reference[s["reference"]]["valueQuantity"]["value"] for s in change["derivedFrom"]] == [16, 4]
    assert change["method"]["text"].startswith("reliable-improvement ")
    check_valid(site)
    again = site.sync(POLICY)
    assert (dict(again.created), dict(again.updated)) == ({}, {})


def test_a_finding_follows_its_scores(site: Site) -> None:
    """An amended score corrects the finding, or withdraws it where it no longer holds, and brings it back."""
    site.load(ANNA, form("a1", [2] * 8 + [0], "01-05"), form("a2", [1] * 4 + [0] * 5, "01-12"))
    site.sync(POLICY)
    for points, status, said in (
        ([2] * 2 + [1] * 6 + [0], "corrected", "reliably-improved"),
        ([2] * 8 + [0], "entered-in-error", None),
        ([0] * 9, "corrected", "recovered"),
    ):
        site.load(form("a2", points, "01-12", status="amended"))
        site.sync(POLICY)
        [change] = findings(site, "reliable-change")
        assert change["status"] == status
        assert said in (None, change["valueCodeableConcept"]["coding"][0]["code"])
    site.load(form("a2", [0] * 9, "01-12", status="entered-in-error"))
    site.sync(POLICY)
    assert [change["status"] for change in findings(site, "reliable-change")] == ["entered-in-error"]


def test_a_rupture_is_probable_and_stays_inside(site: Site, check_valid: Callable[[Site], None]) -> None:
    """A probable rupture rests on the series, and its labels keep it from everybody outside the record."""
    site.load(ANNA, *(checkin(f"c{n}", points, f"01-0{n}") for n, points in enumerate((5, 4, 5, 4, 1), 1)))
    site.sync(POLICY)
    ruptures = findings(site, "probable-rupture")
    assert ruptures
    assert all(rupture["valueBoolean"] and len(rupture["derivedFrom"]) == 5 for rupture in ruptures)
    assert honoured(ruptures, OUTSIDE).kept == []
    assert honoured(ruptures, OWN_RECORD).kept == ruptures
    assert "diagnos" not in str(ruptures)
    check_valid(site)


def test_findings_are_a_sites_choice(site: Site) -> None:
    """Unless a site asks for them, none is written."""
    site.load(ANNA, form("a1", [2] * 8 + [0], "01-05"), form("a2", [1] * 4 + [0] * 5, "01-12"))
    site.sync()
    assert [o for o in site.all("Observation") if o["identifier"][0]["system"] == FINDING] == []
