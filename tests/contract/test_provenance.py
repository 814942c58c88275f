"""Where scores come from stands beside them: once for each version of a form, in a folder and on a real server."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Protocol

import pytest

from fhir_alliance.runs.policy import Policy
from fhir_alliance.testing import response_json

ANNA = "Patient/anna"


class Site(Protocol):
    """A store with data in it, as conftest.py makes it."""

    def load(self, *resources: dict[str, Any]) -> None: ...
    def all(self, kind: str) -> list[dict[str, Any]]: ...
    def sync(self, policy: Policy = ...) -> Any: ...
    def forget(self) -> None: ...


def form(points: int, **elements: Any) -> dict[str, Any]:
    """Return Anna's PHQ-9."""
    return response_json([points] * 8 + [0], name="a1", subject=ANNA, **elements)


def consent() -> dict[str, Any]:
    """Return Anna's Consent to her treatment."""
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    optin = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}
    return {
        "resourceType": "Consent",
        "id": "c1",
        "meta": {"versionId": "1"},
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policyRule": {"coding": [optin]},
        "patient": {"reference": ANNA},
        "dateTime": "2026-01-01",
    }


def anna() -> dict[str, Any]:
    """Return Anna."""
    return {"resourceType": "Patient", "id": "anna"}


def operation(provenance: dict[str, Any]) -> str:
    """Return what was done."""
    return str(provenance["activity"]["coding"][0]["code"])


def targets(provenance: dict[str, Any]) -> set[str]:
    """Return the ids of the Observations that it is about."""
    return {target["reference"].split("/")[1] for target in provenance["target"]}


def test_it_says_who_what_and_by_whose_consent(site: Site) -> None:
    """Form and version, who answered, software and version, instrument and version, and the Consent: all are there."""
    site.load(anna(), consent(), form(2))
    assert site.sync().exit == 0
    [told] = site.all("Provenance")
    assert operation(told) == "CREATE"
    assert targets(told) == {observation["id"] for observation in site.all("Observation")}
    [policy] = told["policy"]
    assert policy.startswith("Consent/c1/_history/")
    source, instrument = told["entity"]
    [version_now] = {o["derivedFrom"][0]["reference"] for o in site.all("Observation")}
    assert source["what"]["reference"] == version_now
    assert version_now.startswith("QuestionnaireResponse/a1/_history/")
    assert instrument["what"]["identifier"]["value"].startswith("https://fhir-alliance.org/fhir/Questionnaire/phq-9|")
    agents = {agent["type"]["coding"][0]["code"]: agent["who"]["reference"] for agent in told["agent"]}
    assert agents["author"] == ANNA
    [device] = told["contained"]
    assert agents["assembler"] == f"#{device['id']}"
    assert device["version"] == [{"value": version("fhir-alliance")}]


def test_once_for_each_version(site: Site) -> None:
    """A second run adds none, even with its memory lost; an amended form adds one, and so does a withdrawn one."""
    site.load(anna(), form(2))
    site.sync()
    site.sync()
    site.forget()
    site.sync()
    [first] = site.all("Provenance")
    site.load(form(3, status="amended", meta={"versionId": "2"}))
    site.sync()
    assert [operation(told) for told in site.all("Provenance")].count("UPDATE") == 1
    assert first in site.all("Provenance")
    site.load(form(3, status="entered-in-error", meta={"versionId": "3"}))
    site.sync()
    site.sync()
    told = {operation(one): one for one in site.all("Provenance")}
    assert set(told) == {"CREATE", "UPDATE", "NULLIFY"}
    assert len(site.all("Provenance")) == 3
    assert targets(told["NULLIFY"]) == targets(told["CREATE"])
    assert "policy" not in told["NULLIFY"]
    versions = {operation(one): one["entity"][0]["what"]["reference"] for one in site.all("Provenance")}
    assert versions["CREATE"] != versions["UPDATE"]  # a server counts on from what was deleted under the same id
    assert all(version.startswith("QuestionnaireResponse/a1/_history/") for version in versions.values())


@pytest.mark.parametrize("wanted", [True, False])
def test_a_site_may_go_without(site: Site, wanted: bool) -> None:
    """Where the site wants none, the same scores stand without it."""
    site.load(anna(), form(2))
    site.sync(Policy(with_provenance=wanted))
    assert len(site.all("Observation")) > 1
    assert len(site.all("Provenance")) == wanted


def test_without_a_consent_the_table_is_named(site: Site) -> None:
    """Where no Consent speaks, the policy is the site's default table in its version."""
    site.load(anna(), form(2))
    site.sync()
    [told] = site.all("Provenance")
    [policy] = told["policy"]
    assert policy.startswith("https://fhir-alliance.org/fhir/consent-table|")
