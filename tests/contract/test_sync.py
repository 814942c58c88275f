"""What a sync promises, on a folder and on a real FHIR server alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import pytest

from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.errors import Exit, RetryLater
from fhir_alliance.runs.policy import Policy
from fhir_alliance.testing import response_json

Site: TypeAlias = Any  # folder or server: see conftest.py
ANNA, BEN = "Patient/anna", "Patient/ben"
PER_FORM = 2  # of a PHQ-9: the panel and the total
MILD, SEVERE = [1, 1, 1, 1, 1, 1, 1, 0, 0], [3, 3, 3, 3, 3, 3, 3, 2, 0]
TREAT = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]


def people() -> list[dict[str, Any]]:
    """Return a small clinic: two clients; Anna has a goal, a plan, a team, an episode and an encounter."""
    anna = {"reference": ANNA}
    return [
        {"resourceType": "Patient", "id": "anna"},
        {"resourceType": "Patient", "id": "ben"},
        {"resourceType": "Practitioner", "id": "tom"},
        {"resourceType": "Practitioner", "id": "lea"},
        {"resourceType": "EpisodeOfCare", "id": "first", "status": "active", "patient": anna},
        {
            "resourceType": "Encounter",
            "id": "session",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR"},
            "subject": anna,
            "episodeOfCare": [{"reference": "EpisodeOfCare/first"}],
            "participant": [{"individual": {"reference": "Practitioner/tom"}}],
        },
        {
            "resourceType": "Goal",
            "id": "sleep",
            "lifecycleStatus": "active",
            "description": {"text": "I want to sleep through the night"},
            "subject": anna,
        },
        {"resourceType": "CarePlan", "id": "plan", "status": "active", "intent": "plan", "subject": anna},
        {
            "resourceType": "CareTeam",
            "id": "team",
            "status": "active",
            "subject": anna,
            "participant": [{"role": [{"text": "lead therapist"}], "member": {"reference": "Practitioner/lea"}}],
        },
    ]


def form(name: str, points: list[int | None], day: str, subject: str = ANNA, **elements: Any) -> dict[str, Any]:
    """Return a PHQ-9 form of a day in 2026."""
    encounter = {"encounter": {"reference": "Encounter/session"}} if subject == ANNA else {}
    return response_json(
        points, name=name, subject=subject, authored=f"2026-{day}T10:00:00+01:00", **(encounter | elements)
    )


def checkin(name: str, points: int, day: str) -> dict[str, Any]:
    """Return Anna's alliance check-in with the same answer to every item (held-back mirrored)."""
    link_ids = [
        "understood",
        "trust",
        "warmth",
        "goals-shared",
        "goals-right",
        "tasks-sense",
        "pace",
        "hope",
        "respect",
        "held-back",
    ]
    system = "https://fhir-alliance.org/fhir/CodeSystem/answers"
    items = [
        {
            "linkId": link,
            "answer": [
                {"valueCoding": {"system": system, "code": f"checkin-{6 - points if link == 'held-back' else points}"}}
            ],
        }
        for link in link_ids
    ]
    url = "https://fhir-alliance.org/fhir/Questionnaire/alliance-checkin|1.0.0"
    return form(name, [None] * 9, day, questionnaire=url, item=items)


def consent(name: str, subject: str, provision: dict[str, Any], status: str = "active") -> dict[str, Any]:
    """Return a privacy Consent."""
    return {
        "resourceType": "Consent",
        "id": name,
        "status": status,
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "patient": {"reference": subject},
        "dateTime": "2026-01-01",
        "provision": provision,
    }


def tasks(site: Site, code: str) -> list[dict[str, Any]]:
    """Return the Tasks with a code of ours."""
    return [task for task in site.all("Task") if task["code"]["coding"][0]["code"] == code]


def totals(site: Site) -> dict[str, Any]:
    """Return the total's value (or None) by the response that it was derived from, with the status."""
    found = {}
    for observation in site.all("Observation"):
        if any(coding["code"].endswith("-total") for coding in observation["code"]["coding"]):
            source = observation["derivedFrom"][0]["reference"].split("/")[1]
            value = observation.get("valueQuantity", {}).get("value")
            found[source] = (observation["status"], value)
    return found


def test_forms_become_scores_and_a_review(site: Site, check_valid: Callable[[Site], None]) -> None:
    """Two forms that cross a severity band become scores, and one goal review for the client's own goal."""
    site.load(*people(), form("a1", MILD, "01-05"), form("a2", SEVERE, "01-12"))
    done = site.sync()
    assert (done.read, done.scored, done.exit) == (2, 2, Exit.DONE)
    assert done.as_object()["created"] == {"Observation": 2 * PER_FORM, "Provenance": 2, "Task": 1}
    assert totals(site) == {"a1": ("final", 7), "a2": ("final", 23)}
    [task] = tasks(site, "goal-review")
    assert task["focus"]["reference"] == "Goal/sleep"
    assert task["owner"]["reference"] == "Practitioner/lea"
    assert task["basedOn"] == [{"reference": "CarePlan/plan"}]
    assert task["restriction"]["period"]["end"].startswith("2026-06-15")
    assert "caseness line of 10" in task["description"]
    check_valid(site)


def test_members_and_sources_point_to_what_stands_there(site: Site) -> None:
    """The panel's members are the scores, and every Observation names the version of the form."""
    site.load(*people(), form("a1", MILD, "01-05"))
    site.sync()
    observations = {f"Observation/{o['id']}": o for o in site.all("Observation")}
    [panel] = [o for o in observations.values() if "hasMember" in o]
    assert [m["reference"] in observations for m in panel["hasMember"]] == [True] * (PER_FORM - 1)
    assert "valueQuantity" not in panel
    [source] = {o["derivedFrom"][0]["reference"] for o in observations.values()}
    assert re.fullmatch(r"QuestionnaireResponse/a1/_history/[\w-]+", source)
    assert {o["effectiveDateTime"] for o in observations.values()} == {"2026-01-05T10:00:00+01:00"}


def test_a_second_run_writes_nothing(site: Site) -> None:
    """Over the same store a second run creates and updates nothing, with its journal and without it."""
    site.load(*people(), form("a1", MILD, "01-05"), form("a2", [3, 3, 3, 3, 3, 3, 3, 2, 2], "01-12"))
    site.sync()
    before = {kind: site.all(kind) for kind in ("Observation", "Task")}
    again = site.sync()
    site.forget()
    fresh = site.sync()
    for done in (again, fresh):
        assert not done.created
        assert not done.updated
    assert fresh.as_object()["unchanged"] == {"Observation": 2 * PER_FORM, "Task": 2}
    assert {kind: site.all(kind) for kind in ("Observation", "Task")} == before


def test_amending_and_withdrawing_change_exactly_what_rests_on_them(
    site: Site, check_valid: Callable[[Site], None]
) -> None:
    """An amended form updates its own Observations, a withdrawn one voids its own and cancels its review."""
    site.load(*people(), form("a1", MILD, "01-05"), form("a2", SEVERE, "01-12"), form("b1", MILD, "01-06", BEN))
    site.sync()
    untouched = [o for o in site.all("Observation") if "/a1/" in str(o["derivedFrom"])]
    site.load(
        form("b1", SEVERE, "01-06", BEN, status="amended"), form("a2", SEVERE, "01-12", status="entered-in-error")
    )
    done = site.sync()
    assert done.as_object()["created"] == {"Provenance": 2}  # what is new about both forms
    assert done.as_object()["updated"] == {"Observation": 2 * PER_FORM, "Task": 1}
    assert totals(site) == {"a1": ("final", 7), "a2": ("entered-in-error", 23), "b1": ("amended", 23)}
    assert [o for o in site.all("Observation") if "/a1/" in str(o["derivedFrom"])] == untouched
    [task] = tasks(site, "goal-review")
    assert task["status"] == "cancelled"
    assert "withdrawn" in task["statusReason"]["text"]
    check_valid(site)
    assert not site.sync().updated


def test_a_review_follows_its_ground(site: Site, check_valid: Callable[[Site], None]) -> None:
    """Amending a form takes the ground from its review, which is cancelled; amending it back opens it again."""
    site.load(*people(), form("a1", MILD, "01-05"), form("a2", SEVERE, "01-12"))
    site.sync()
    [first] = tasks(site, "goal-review")
    site.load(form("a2", MILD, "01-12", status="amended"))
    site.sync()
    [gone] = tasks(site, "goal-review")
    assert (gone["id"], gone["status"]) == (first["id"], "cancelled")
    assert gone["statusReason"]["coding"][0]["code"] == "ground-lost"
    check_valid(site)
    site.load(form("a2", [3] * 8 + [0], "01-12", status="amended"))
    site.sync(now=site.now + timedelta(days=1))
    [again] = tasks(site, "goal-review")
    assert (again["id"], again["status"]) == (first["id"], "requested")
    assert "is 24" in again["description"]
    assert "statusReason" not in again
    check_valid(site)
    assert not site.sync().updated


def test_the_agenda_is_in_the_clients_language(site: Site) -> None:
    """A client who answers in German is asked in German, and one whose form says no language in English."""
    german = {"language": "de"}
    site.load(*people(), form("a1", MILD, "01-05", **german), form("a2", SEVERE, "01-12", **german))
    site.load(form("b1", MILD, "01-05", BEN), form("b2", SEVERE, "01-12", BEN))
    site.sync()
    asked = {task["for"]["reference"]: task["input"][0]["valueString"] for task in tasks(site, "goal-review")}
    assert asked[ANNA].startswith("Was ist schwerer geworden")
    assert asked[BEN].startswith("What has become harder")


def test_a_corrected_number_is_told_in_the_review(site: Site) -> None:
    """Where a score is corrected and still calls for a review, its Task says the corrected number, and no other."""
    site.load(*people(), form("a1", MILD, "01-05"), form("a2", SEVERE, "01-12"))
    site.sync()
    site.load(form("a2", [3] * 8 + [0], "01-12", status="amended"))
    site.sync()
    [task] = tasks(site, "goal-review")
    assert "is 24" in task["description"]
    assert "is 23" not in str(task)
    assert not site.sync().updated


def test_a_changed_form_that_still_says_completed_is_a_correction(site: Site) -> None:
    """Where a source changes answers without saying amended, the score says corrected."""
    site.load(*people(), form("a1", MILD, "01-05"))
    site.sync()
    site.load(form("a1", SEVERE, "01-05"))
    assert site.sync().as_object()["updated"] == {"Observation": PER_FORM}
    assert totals(site) == {"a1": ("corrected", 23)}
    assert not site.sync().updated


def test_new_evidence_joins_the_open_review(site: Site) -> None:
    """A second finding joins the open goal review instead of opening another; a third run adds nothing."""
    site.load(*people(), form("a1", MILD, "01-05"), form("a2", SEVERE, "01-12"))
    site.sync()
    site.load(*(checkin(f"c{week}", points, f"02-0{week}") for week, points in ((1, 5), (2, 4), (3, 5), (4, 1))))
    done = site.sync()
    assert done.as_object()["updated"] == {"Task": 1}
    [task] = tasks(site, "goal-review")
    evidence = [i for i in task["input"] if i["type"]["coding"][0]["code"] == "evidence"]
    # The crossing and the deterioration; then the drop in total, bond, goal and task, and the three low parts.
    assert len(evidence) == 2 + 4 + 3
    observations = {f"Observation/{o['id']}" for o in site.all("Observation")}
    assert {i["valueReference"]["reference"] for i in evidence} <= observations
    assert not site.sync().updated


def test_a_completed_review_starts_a_cool_down(site: Site) -> None:
    """After a person completed the review, a finding within the quiet time opens no other; a later one does."""
    site.load(*people(), form("a1", MILD, "01-05"), form("a2", SEVERE, "01-12"))
    site.sync()
    [task] = tasks(site, "goal-review")
    site.edit(task | {"status": "completed", "executionPeriod": {"end": "2026-01-20T09:00:00Z"}})
    site.load(form("a3", [0] * 9, "02-02"))
    assert "Task" not in site.sync().created
    site.load(form("a4", [2] * 8 + [0], "05-04"))
    assert site.sync().created["Task"] == 1
    assert sorted(t["status"] for t in tasks(site, "goal-review")) == ["completed", "requested"]


def test_consent_withholds_scores_but_not_safety(site: Site, check_valid: Callable[[Site], None]) -> None:
    """A client who denies treatment use gets no score written; an answer about safety is raised all the same."""
    site.load(*people(), consent("no", BEN, {"type": "deny", "purpose": TREAT}))
    site.load(form("b1", [1, 1, 1, 1, 1, 1, 1, 1, 2], "01-05", BEN), form("a1", MILD, "01-05"))
    done = site.sync()
    assert (done.scored, done.withheld) == (1, 1)
    assert {o["subject"]["reference"] for o in site.all("Observation")} == {ANNA}
    [task] = tasks(site, "safety-review")
    assert task["priority"] == "urgent"
    assert task["focus"]["reference"] == "QuestionnaireResponse/b1"
    check_valid(site)


def test_nested_permit_lets_through_and_expired_deny_does_not_count(site: Site) -> None:
    """A nested permit for treatment opens a denying consent; a deny whose period has ended is ignored."""
    site.load(
        *people(),
        consent("nested", ANNA, {"type": "deny", "provision": [{"type": "permit", "purpose": TREAT}]}),
        consent("old", BEN, {"type": "deny", "period": {"end": "2026-02-01"}}),
        form("a1", MILD, "01-05"),
        form("b1", MILD, "01-05", BEN),
    )
    done = site.sync()
    assert (done.scored, done.withheld) == (2, 0)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([0] * 8 + [None], "unanswered"),
        ([0] * 8 + [1], "answer to the safety item"),
        ([3] * 5 + [None] * 3 + [1], "answer"),
    ],
    ids=["unanswered", "answered with a low total", "answered in a form without a score"],
)
def test_the_safety_item_is_raised(site: Site, points: list[int | None], words: str) -> None:
    """Item 9 above zero or unanswered opens its own urgent review, whatever the total; the text grades nothing."""
    site.load(*people(), form("a1", points, "01-05"))
    site.sync()
    [task] = tasks(site, "safety-review")
    assert words in task["description"]
    assert "risk" not in task["description"]
    assert task["owner"]["reference"] == "Practitioner/lea"


def test_safety_is_raised_even_where_the_form_is_parked(site: Site) -> None:
    """A form that has to be parked for another item still raises its safety answer."""
    broken = form("a1", [1, 1, 1, 1, 1, 1, 1, 1, 3], "01-05", questionnaire="http://loinc.org/q/44249-1")
    broken["item"][2]["answer"] = [{"valueInteger": 7}]
    site.load(*people(), broken)
    done = site.sync()
    assert [parked.code for parked in done.parked] == ["FA203"]
    assert done.exit is Exit.PARKED
    assert len(tasks(site, "safety-review")) == 1
    assert site.all("Observation") == []


def test_an_unscorable_form_says_so(site: Site, check_valid: Callable[[Site], None]) -> None:
    """Seven of nine answers give an Observation with a reason for having no value, and never a number."""
    site.load(*people(), form("a1", [1] * 6 + [None, None, 0], "01-05"))
    done = site.sync()
    assert (done.scored, done.unscorable) == (0, 1)
    absent = [o for o in site.all("Observation") if "dataAbsentReason" in o]
    assert len(absent) == PER_FORM - 1
    [total] = [o for o in absent if any(coding["code"] == "phq-9-total" for coding in o["code"]["coding"])]
    assert total["note"][0]["text"] == "7 of 9 answered; rule needs 9."
    assert "valueQuantity" not in total
    check_valid(site)


def test_a_form_mended_at_the_source_is_taken_in(site: Site) -> None:
    """A parked form is read again in the next run and scored once it is right."""
    broken = form("a1", MILD, "01-05", questionnaire="http://loinc.org/q/44249-1")
    broken["item"][0]["answer"] = [{"valueInteger": 9}]
    site.load(*people(), broken)
    assert len(site.sync().parked) == 1
    assert len(site.sync().parked) == 1
    site.load(form("a1", MILD, "01-05"))
    done = site.sync()
    assert (done.scored, len(done.parked)) == (1, 0)


def test_a_dry_run_sends_nothing(site: Site) -> None:
    """A dry run counts what would be written and leaves the store as it was; the next run still does it all."""
    site.load(*people(), form("a1", MILD, "01-05"))
    rehearsed = site.sync(dry_run=True)
    assert rehearsed.as_object()["created"] == {"Observation": PER_FORM, "Provenance": 1}
    assert site.all("Observation") == []
    assert site.sync().as_object()["created"] == {"Observation": PER_FORM, "Provenance": 1}


def test_two_runs_at_once(site: Site) -> None:
    """While one run holds the lease, another is told to come back later (status 75)."""
    site.load(*people(), form("a1", MILD, "01-05"))
    with site.opened(), pytest.raises(RetryLater) as told:
        site.sync()
    assert told.value.exit is Exit.LATER
    assert site.sync().scored == 1


def test_the_regular_review_comes_by_the_sites_interval(site: Site) -> None:
    """With an interval set, a client without any other finding gets one review when the time has passed."""
    policy = Policy(rules=RuleSettings(review_every_days=90))
    site.load(*people(), form("a1", MILD, "01-05"))
    assert site.sync(policy, now=datetime(2026, 3, 1, tzinfo=site.now.tzinfo)).created["Task"] == 0
    site.forget()
    assert site.sync(policy, now=site.now).created["Task"] == 1
    site.forget()
    assert site.sync(policy, now=site.now + timedelta(days=1)).created["Task"] == 0


def test_day_by_day_ends_as_one_run_does(site: Site) -> None:
    """Twelve weeks synced one form at a time leave the same scores and the same evidence as one run over all."""
    weeks = [form(f"w{n}", points, f"{1 + n // 4:02}-{1 + 7 * (n % 4):02}") for n, points in enumerate(
        [MILD, MILD, SEVERE, SEVERE, MILD, [0] * 9, [0] * 9, SEVERE]
    )]  # fmt: skip
    site.load(*people())
    for week in weeks:
        site.load(week)
        site.sync()
    step_by_step = _evidence(site), totals(site)
    site.clear()
    site.sync()
    assert step_by_step == (_evidence(site), totals(site))
    # Crossings to severe, to mild, to minimal, to severe again; worse, better, worse than at first.
    assert len(_evidence(site)) == 4 + 3


def _evidence(site: Site) -> set[str]:
    return {
        i["valueReference"]["identifier"]["value"]
        for task in tasks(site, "goal-review")
        for i in task["input"]
        if i["type"]["coding"][0]["code"] == "evidence"
    }
