"""The safety path on a folder and on a real FHIR server alike: raised, taken, escalated, told as a message, ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec
import pytest

from fhir_alliance.core.boundaries import Boundaries, Exclusion, Reason
from fhir_alliance.core.model import Response
from fhir_alliance.core.reviews import Setting
from fhir_alliance.core.safety_reviews import SafetyPolicy, plan_safety_review
from fhir_alliance.fhir.difference import Change, ChangeKind, Known
from fhir_alliance.fhir.identifiers import TERMS
from fhir_alliance.fhir.inbound import Forms
from fhir_alliance.fhir.safety_task import HANDED_BACK, OPEN, communication
from fhir_alliance.fhir.task import new_task
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.safety_texts import shipped_texts
from fhir_alliance.testing import response_json

Site: TypeAlias = Any  # folder or server: see conftest.py
SAFETY = SafetyPolicy(shipped_texts(), "de", "Practitioner/call", "Practitioner/sue", 24, 4)
POLICY = Policy(safety=SAFETY)


def people() -> list[dict[str, Any]]:
    """Return a client, who is on call, and who supervises."""
    return [
        {"resourceType": "Patient", "id": "anna"},
        {"resourceType": "Practitioner", "id": "call"},
        {"resourceType": "Practitioner", "id": "sue"},
    ]


def form(name: str = "f1", **elements: Any) -> dict[str, Any]:
    """Return Anna's PHQ-9 that asks for a look, answered in French, weeks before it came."""
    own = {"name": name, "subject": "Patient/anna", "authored": "2026-05-01T10:00:00+01:00", "language": "fr"}
    return response_json([1] * 9, **(own | elements))


def consent(provision: dict[str, Any]) -> dict[str, Any]:
    """Return Anna's privacy Consent."""
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    return {
        "resourceType": "Consent", "id": "c1", "status": "active", "scope": {"coding": [scope]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "patient": {"reference": "Patient/anna"}, "dateTime": "2026-01-01", "provision": provision,
    }  # fmt: skip


def codings(task: dict[str, Any]) -> list[dict[str, str]]:
    """Return the codes of a Task."""
    found: list[dict[str, str]] = task.get("code", {}).get("coding", [])
    return found


def reviews(site: Site) -> list[dict[str, Any]]:
    """Return the safety reviews that stand there, the supervisor's last."""
    found = [task for task in site.all("Task") if {"code": "safety-review", "system": TERMS} in codings(task)]
    return sorted(found, key=lambda task: "partOf" in task)


def later(site: Site, hours: float) -> datetime:
    """Return a moment after the first run."""
    moment: datetime = site.now + timedelta(hours=hours)
    return moment


def test_a_review_nobody_takes_reaches_the_supervisor_once(site: Site, check_valid: Callable[[Site], None]) -> None:
    """On call gets an urgent Task with the answer's age; overdue, the supervisor gets one that is part of it."""
    site.load(*people(), form())
    site.sync(POLICY)
    [first] = reviews(site)
    assert first["owner"]["reference"] == "Practitioner/call"
    assert "vor 30 Tagen" in first["description"]
    assert any(str(entry.get("valueString")).startswith("Merci") for entry in first["input"])
    done = site.sync(POLICY, now=later(site, 3))
    assert (done.reviews["open"], done.reviews["acknowledged"], done.reviews["overdue"]) == (1, 0, 0)
    for hours in (4, 5, 100):
        done = site.sync(POLICY, now=later(site, hours))
        assert (done.reviews["overdue"], done.reviews["escalated"]) == (1, 1)
    first, second = reviews(site)
    assert second["partOf"] == [{"reference": f"Task/{first['id']}"}]
    assert (second["owner"]["reference"], second["priority"]) == ("Practitioner/sue", "asap")
    check_valid(site)


def test_no_review_is_addressed_to_somebody_who_is_kept_out(site: Site) -> None:
    """Where whoever is on call is kept from the client's data, the supervisor is asked in their place, and told so."""
    site.load(*people(), form())
    kept_out = Boundaries(exclusions=(Exclusion("Practitioner/call", "Patient/anna", Reason.DUAL_RELATIONSHIP),))
    site.sync(msgspec.structs.replace(POLICY, boundaries=kept_out))
    [task] = reviews(site)
    assert task["owner"]["reference"] == "Practitioner/sue"
    assert SAFETY.staff().readdressed in task["description"]
    assert "call" not in str(task["description"])


def test_a_client_keeps_out_who_is_on_call(site: Site) -> None:
    """Where the client's own Consent denies it to who is on call, the next is asked; one to everybody stops nothing."""
    actor = {"role": {"coding": [{"code": "IRCP"}]}, "reference": {"reference": "Practitioner/call"}}
    for provision, owner in (
        ({"type": "deny"}, "Practitioner/call"), ({"type": "deny", "actor": [actor]}, "Practitioner/sue"),
    ):  # fmt: skip
        site.load(*people(), consent(provision), form(f"f-{owner[13:]}"))
        site.sync(POLICY)
        found = [task for task in reviews(site) if task["focus"]["reference"].endswith(owner[13:])]
        assert [task["owner"]["reference"] for task in found] == [owner]


def test_no_escalation_goes_to_a_supervisor_who_is_kept_out(site: Site) -> None:
    """Where the supervisor is kept from the client's data, what nobody takes goes to who is on call instead."""
    site.load(*people(), form())
    kept_out = Boundaries(exclusions=(Exclusion("Practitioner/sue", "Patient/anna", Reason.CLIENT_WISH),))
    policy = msgspec.structs.replace(POLICY, boundaries=kept_out)
    site.sync(policy)
    site.sync(policy, now=later(site, 5))
    assert [task["owner"]["reference"] for task in reviews(site)] == ["Practitioner/call"] * 2


def test_a_review_that_is_taken_stays_where_it_is(site: Site) -> None:
    """A Task that its owner has accepted is counted as acknowledged and never escalated; a completed one is done."""
    site.load(*people(), form())
    site.sync(POLICY)
    site.edit(reviews(site)[0] | {"status": "accepted", "lastModified": "2026-06-01T03:00:00Z"})
    done = site.sync(POLICY, now=later(site, 48))
    assert (done.reviews["acknowledged"], done.reviews["overdue"]) == (1, 0)
    site.edit(reviews(site)[0] | {"status": "completed"})
    done = site.sync(POLICY, now=later(site, 96))
    assert (done.reviews["open"], len(reviews(site))) == (0, 1)


def test_open_tasks_are_found_by_code_and_status(site: Site) -> None:
    """Of all Tasks there, only our safety reviews in the statuses asked for are given."""
    site.load(*people(), form(), form("f2", authored="2026-05-08T10:00:00+01:00"))
    other = {"resourceType": "Task", "id": "other", "status": "requested", "intent": "order"}
    site.load(other | {"for": {"reference": "Patient/anna"}})
    site.sync(POLICY)
    site.edit(reviews(site)[0] | {"status": "completed"})
    with site.opened() as (store, _):
        found = store.tasks("safety-review", (*OPEN, *HANDED_BACK))
        assert [task["status"] for task in found] == ["requested"]
        assert [task["status"] for task in store.tasks("safety-review", ("completed",))] == ["completed"]
        assert store.tasks("agenda", OPEN) == []


def test_a_withdrawn_form_ends_both(site: Site) -> None:
    """When the form was entered in error, the review and the supervisor's are cancelled, with the reason."""
    site.load(*people(), form())
    site.sync(POLICY)
    site.sync(POLICY, now=later(site, 4))
    site.load(form(status="entered-in-error"))
    site.sync(POLICY, now=later(site, 5))
    assert [task["status"] for task in reviews(site)] == ["cancelled", "cancelled"]
    assert all("irrtümlich" in task["statusReason"]["text"] for task in reviews(site))


@pytest.mark.parametrize("times", [1, 2])
def test_a_message_is_created_once(site: Site, catalog: Any, times: int, check_valid: Callable[[Site], None]) -> None:
    """A message stands for a Task under the same identifier, is valid, made once, watched, and ends with its form."""
    site.load(*people(), form())
    forms = Forms(catalog.instruments, catalog.questionnaires)
    read = forms.read(msgspec.json.encode(form()), site.now)
    assert isinstance(read, Response)
    concern = forms.concern_of(read)
    assert concern is not None
    review = plan_safety_review(concern, Setting("Patient/anna"), (), SAFETY, site.now)
    assert review is not None
    change = Change(communication(new_task(review, review.key), site.now), ChangeKind.CREATE)
    with site.opened() as (store, journal):
        for _ in range(times):
            written = store.create(change, Known([]), journal)
            assert (written.refused, written.unknown) == ([], [])
        store.finish()
        assert journal.unsettled() == []
        journal.deliver("safety-messages", "", "1")  # as the delivery notes when it sends one
    [message] = site.all("Communication")
    assert message["identifier"][0]["value"] == review.key
    assert site.errors(message) == []
    site.sync(POLICY)
    assert reviews(site) == []  # it was told already
    site.sync(POLICY, now=later(site, 5))
    [second] = reviews(site)  # a store that takes Tasks by now gets the supervisor's as one
    assert second["basedOn"] == [{"reference": f"Communication/{message['id']}"}]
    site.load(form(status="entered-in-error"))
    site.sync(POLICY, now=later(site, 6))
    [message], [second] = site.all("Communication"), reviews(site)
    assert (message["status"], second["status"]) == ("stopped", "cancelled")
    check_valid(site)
