"""Goals belong to the client: scores propose, people decide, and only what they confirmed is done, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from fhir_alliance.runs.decisions import carry_out
from fhir_alliance.runs.summary import Summary
from fhir_alliance.testing import response_json

Site: TypeAlias = Any  # folder or server: see conftest.py
ANNA = "Patient/anna"
TERMS = "https://fhir-alliance.org/fhir/CodeSystem/terms"
ACHIEVEMENT = "http://terminology.hl7.org/CodeSystem/goal-achievement"
CROSSING = ([2] * 8 + [0], [0] * 9)  # from 16 to 0


def goal(name: str = "sleep", subject: str = ANNA, **elements: Any) -> dict[str, Any]:
    """Return a goal in the client's own words, with a target on the PHQ-9."""
    return {
        "resourceType": "Goal", "id": name, "lifecycleStatus": "active", "startDate": "2026-01-01",
        "description": {"text": "I want to sleep through the night again"},
        "subject": {"reference": subject}, "expressedBy": {"reference": subject},
        "target": [
            {
                "measure": {"coding": [{"system": "http://loinc.org", "code": "44261-6"}]},
                "detailQuantity": {"value": 5, "comparator": "<"},
                "dueDate": "2026-12-31",
            }
        ],
    } | elements  # fmt: skip


def people() -> list[dict[str, Any]]:
    """Return a client with a goal, and a practitioner."""
    return [
        {"resourceType": "Patient", "id": "anna"}, {"resourceType": "Patient", "id": "ben"},
        {"resourceType": "Practitioner", "id": "tom"}, goal(),
    ]  # fmt: skip


def form(name: str, points: list[int], day: str) -> dict[str, Any]:
    """Return a PHQ-9 form of a day in 2026."""
    return response_json(points, name=name, subject=ANNA, authored=f"2026-{day}T10:00:00+01:00")


def review(site: Site) -> dict[str, Any]:
    """Return the one goal review."""
    [task] = [t for t in site.all("Task") if t["code"]["coding"][0]["code"] == "goal-review"]
    return task


def proposal(site: Site) -> tuple[str, str]:
    """Return what the review proposes, as code and text."""
    [concept] = [
        entry["valueCodeableConcept"]
        for entry in review(site)["input"]
        if entry["type"]["coding"][0]["code"] == "proposed-achievement"
    ]
    return concept["coding"][0]["code"], concept["text"]


def output(kind: str, **value: Any) -> dict[str, Any]:
    """Return one output of a review."""
    return {"type": {"coding": [{"system": TERMS, "code": kind}]}, **value}


def decide(site: Site, decision: str, by: str = "Practitioner/tom", status: str = "completed") -> None:
    """Let somebody complete the review with a decision; with nobody named, nothing is confirmed."""
    made = [output("decision", valueCodeableConcept={"coding": [{"system": TERMS, "code": decision}]})]
    if by:
        made.append(output("confirmed-by", valueReference={"reference": by}))
    site.edit(review(site) | {"status": status, "output": made, "executionPeriod": {"end": "2026-02-01T09:00:00Z"}})


def opened(site: Site) -> None:
    """Let a review of Anna's goal be opened."""
    site.load(*people(), form("a1", CROSSING[0], "01-05"), form("a2", CROSSING[1], "01-12"))
    site.sync()


def confirmations(site: Site) -> list[dict[str, Any]]:
    """Return the Provenances of goals."""
    return [p for p in site.all("Provenance") if p["target"][0]["reference"].startswith("Goal/")]


def state(site: Site, name: str = "sleep") -> tuple[str, str]:
    """Return a goal's lifecycle and achievement as they stand."""
    with site.opened() as (store, _):
        [found] = store.named("Goal", {f"Goal/{name}"})
    coding = (found.get("achievementStatus") or {}).get("coding") or [{"code": ""}]
    return found["lifecycleStatus"], coding[0]["code"]


def test_the_scores_propose(site: Site, check_valid: Callable[[Site], None]) -> None:
    """A review of a goal says what the scores say of its target, anew with each score, and the goal stays as it is."""
    site.load(*people(), form("a1", CROSSING[0], "01-05"), form("a2", [1] * 8 + [0], "01-12"))
    site.sync()
    assert proposal(site) == (
        "improving", "PHQ-9 total is 8, the target is below 5; the first score was 16, reliable change is 6."
    )  # fmt: skip
    check_valid(site)
    site.load(form("a3", CROSSING[1], "01-19"))
    site.sync()
    assert proposal(site) == ("achieved", "PHQ-9 total is 0, the target is below 5: reached.")
    assert state(site) == ("active", "")
    check_valid(site)
    assert not site.sync().updated


@pytest.mark.parametrize(
    ("decision", "after"),
    [
        ("goal-reached", ("completed", "achieved")),
        ("goal-ended", ("cancelled", "")),
        ("goal-kept", ("active", "achieved")),
        ("goal-changed", ("active", "")),
        ("client-declined", ("active", "")),
    ],
)
def test_what_people_confirmed_is_done(site: Site, decision: str, after: tuple[str, str]) -> None:
    """A confirmed decision changes the goal as it says, and says in the review that it is done."""
    opened(site)
    decide(site, decision)
    done = site.sync()
    assert state(site) == after
    assert done.updated["Goal"] == (after != ("active", ""))
    assert review(site)["output"][-1]["type"]["coding"][0]["code"] == "goal-update"
    assert not site.sync().updated


def test_who_confirmed_stands_in_a_provenance(site: Site) -> None:
    """Beside the changed goal stands who confirmed it, in which review, and what carried it out."""
    opened(site)
    decide(site, "goal-reached", by=ANNA)
    site.sync()
    [provenance] = confirmations(site)
    assert provenance["target"][0]["reference"].startswith("Goal/sleep")
    assert provenance["agent"][0]["who"] == {"reference": ANNA}
    assert provenance["agent"][1]["who"]["identifier"]["value"] == "fhir_alliance"
    assert provenance["entity"][0]["what"]["reference"] == f"Task/{review(site)['id']}"


@pytest.mark.parametrize(
    "said",
    [
        {"by": ""},
        {"by": "Device/d"},
        {"by": "Organization/o"},
        {"status": "in-progress"},
        {"status": "rejected"},
    ],
    ids=["by nobody", "by a device", "by an organization", "not completed", "rejected"],
)
def test_what_nobody_confirmed_is_not_done(folder_site: Site, said: dict[str, Any]) -> None:
    """A decision changes no goal unless the client, a relative or a clinician confirmed it in a completed review."""
    opened(folder_site)
    decide(folder_site, "goal-reached", **said)
    folder_site.sync()
    assert state(folder_site) == ("active", "")
    assert confirmations(folder_site) == []


def test_a_decision_is_carried_out_once(site: Site) -> None:
    """A goal that is taken up again after its review stays taken up: the old decision is not done a second time."""
    opened(site)
    decide(site, "goal-reached")
    site.sync()
    site.load(goal(lifecycleStatus="active", note=[{"text": "Again, after the move."}]))
    assert not site.sync().updated
    assert state(site) == ("active", "")


def test_another_clients_goal_is_never_changed(site: Site) -> None:
    """A review that was pointed to the goal of somebody else changes nothing."""
    opened(site)
    site.load(goal("other", "Patient/ben"))
    site.edit(review(site) | {"focus": {"reference": "Goal/other"}})
    decide(site, "goal-reached")
    site.sync()
    assert (state(site, "other"), state(site)) == (("active", ""), ("active", ""))


def test_the_story_tells_of_the_goal(site: Site) -> None:
    """Who asks what changes for a client is told that their goal does, and why."""
    opened(site)
    decide(site, "goal-reached")
    with site.opened() as (store, journal):
        summary = Summary(ANNA)
        carry_out(store, journal, summary, site.now, dry_run=True)
    [passage] = [passage for passage in summary.story if passage.what == "Goal/sleep"]
    assert (passage.was, passage.now, passage.why) == ("active", "completed, achieved", "confirmed in its review")


def test_a_rehearsal_changes_no_goal(site: Site) -> None:
    """A dry run counts the change and leaves the goal alone."""
    opened(site)
    decide(site, "goal-reached")
    assert site.sync(dry_run=True).as_object()["updated"]["Goal"] == 1
    assert state(site) == ("active", "")


class Meddling:
    """A store in whose record somebody changes Anna's goal just after we have read it."""

    def __init__(self, store: Any, site: Site) -> None:
        self._store, self._site = store, site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def named(self, kind: str, references: Any) -> Any:
        found = self._store.named(kind, references)
        if kind == "Goal":
            self._site.load(goal(note=[{"text": "We spoke about it today."}]))
        return found


def test_a_goal_that_changed_in_the_meantime_is_left_alone(site: Site) -> None:
    """Where somebody changes the goal between our reading and our writing, theirs stands, whole."""
    opened(site)
    decide(site, "goal-reached")
    with site.opened() as (store, journal):
        summary = Summary()
        carry_out(Meddling(store, site), journal, summary, site.now, dry_run=False)
        store.finish()
    assert state(site) == ("active", "")
    if store.base:  # a server refuses the whole transaction, and the next run does it
        assert [parked.code for parked in summary.parked] == ["FA412"]
        assert confirmations(site) == []
        site.sync()
        assert state(site) == ("completed", "achieved")


def test_in_a_folder_the_exported_goal_is_never_touched(folder_site: Site) -> None:
    """The changed goal stands in a file of ours; the exported one is as it was, and counts again once it is newer."""
    opened(folder_site)
    before = (folder_site.folder / "Goal.ndjson").read_bytes()
    decide(folder_site, "goal-reached")
    folder_site.sync()
    assert (folder_site.folder / "Goal.ndjson").read_bytes() == before
    [derived] = folder_site.all("Goal")
    assert (derived["lifecycleStatus"], derived["statusDate"]) == ("completed", "2026-02-01")
    assert state(folder_site) == ("completed", "achieved")
    folder_site.load(goal(lifecycleStatus="on-hold"))
    assert state(folder_site) == ("on-hold", "")
