"""Safety through the folder store: it fires whatever else is wrong with a form, once, and escalates in time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.audit import Access, Action
from fhir_alliance.core.consent import ConsentPolicy
from fhir_alliance.core.model import Instrument
from fhir_alliance.core.safety_reviews import SafetyPolicy
from fhir_alliance.errors import ConsentUnreachable, Exit, SafetyWaiting
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.safety_texts import shipped_texts
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.journal import Journal
from fhir_alliance.testing import response_json

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
CATALOG = load_catalog()
RAISED, LOW = [0] * 8 + [1], [0] * 9
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
SAFETY = SafetyPolicy(shipped_texts())


class Clinic:
    """A folder that is synced again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".fhir-alliance"

    def load(self, *resources: dict[str, Any]) -> None:
        """Put resources there, all of a type at once."""
        for kind in {resource["resourceType"] for resource in resources}:
            lines = [json.dumps(resource) for resource in resources if resource["resourceType"] == kind]
            (self.folder / f"{kind}.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def sync(self, policy: Policy = Policy(), now: datetime = NOW, **options: Any) -> Summary:  # noqa: B008
        """Run a sync."""
        store = FolderStore(self.folder)
        journal = Journal(self.state, store.name)
        try:
            return sync(store, CATALOG, journal, policy, now, **options)
        finally:
            store.close()
            journal.close()

    def tasks(self) -> list[dict[str, Any]]:
        """Return the safety reviews that stand there."""
        file = self.folder / "Task.fhir-alliance.ndjson"
        tasks = [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []
        return [task for task in tasks if task["code"]["coding"][0]["code"] == "safety-review"]

    def edit(self, **elements: Any) -> None:
        """Change the first safety review, as a person would."""
        file = self.folder / "Task.fhir-alliance.ndjson"
        first, *others = [json.loads(line) for line in file.read_bytes().splitlines()]
        file.write_text("\n".join(map(json.dumps, [first | elements, *others])) + "\n", encoding="utf-8")

    def waiting(self) -> list[dict[str, Any]]:
        """Return what waits in the outbox."""
        file = self.state / "safety-outbox.ndjson"
        return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    """An empty clinic."""
    folder = tmp_path / "clinic"
    folder.mkdir()
    return Clinic(folder)


def form(points: list[int | None], day: str = "2026-05-31", **elements: Any) -> dict[str, Any]:
    """Return a PHQ-9 of a day."""
    return response_json(points, **({"authored": f"{day}T10:00:00+01:00"} | elements))


def item(link_id: str, **answer: Any) -> dict[str, Any]:
    """Return an answered item."""
    return {"linkId": link_id, "answer": [answer]}


PARTIAL = form([None] * 9, status="in-progress", item=form(RAISED)["item"][8:])
ASKED_AGAIN = {"linkId": "/44260-8", "extension": [{"url": ABSENT, "valueCode": "asked-declined"}]}

WRONG = [
    pytest.param(form(RAISED), "asks for", "scored", id="a form that is scored"),
    pytest.param(PARTIAL, "asks for", "unfinished", id="a form not yet finished"),
    pytest.param(form([None] * 8 + [1]), "asks for", "unscorable", id="a form that has no score"),
    pytest.param(form(RAISED, day="2026-03-01"), "Answered 91 days ago", "scored", id="a form that comes late"),
    pytest.param(form([1] * 8 + [None]), "left unanswered", "unscorable", id="a form without that answer"),
    pytest.param(
        form([1] * 8 + [None], item=[*form([1] * 8 + [None])["item"], ASKED_AGAIN]),
        "left unanswered", "unscorable", id="a form whose answer was declined",
    ),
    pytest.param(form([1] * 9, authored="2026"), "not known", "parked", id="a form of no day"),
    pytest.param(
        form(LOW, item=[*form(LOW)["item"][:8], item("/44260-8", valueInteger=9)]),
        "could not be read", "parked", id="an answer that nobody can read",
    ),
    pytest.param(
        form(RAISED, item=[*form(RAISED)["item"], item("/44250-9", valueInteger=1)]), "asks for", "parked",
        id="a form that is broken elsewhere",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("raised", "words", "becomes"), WRONG)
def test_it_fires_whatever_else_becomes_of_the_form(
    clinic: Clinic, raised: dict[str, Any], words: str, becomes: str
) -> None:
    """Partial, unscorable, late, unanswered, parked: an urgent Task for the form stands in the record, once."""
    clinic.load(raised)
    done = clinic.sync()
    [task] = clinic.tasks()
    assert done.as_object()[becomes] == 1
    assert words in task["description"]
    assert (task["priority"], task["status"]) == ("urgent", "requested")
    assert (task["focus"]["reference"], task["for"]["reference"]) == ("QuestionnaireResponse/r1", "Patient/p1")
    assert clinic.sync().as_object()["created"] == {}
    assert len(clinic.tasks()) == 1


def test_it_fires_where_sharing_is_withheld(clinic: Clinic) -> None:
    """A form whose scores consent withholds is raised all the same: the Task says no more than that there is a form."""
    clinic.load(form(RAISED))
    done = clinic.sync(Policy(consent=ConsentPolicy(default_permit=False)))
    assert (done.withheld, done.scored, len(clinic.tasks())) == (1, 0, 1)


def test_it_does_not_fire_on_the_lowest_answer(clinic: Clinic) -> None:
    """A finished form with its safety item at the lowest answer opens nothing."""
    clinic.load(form(LOW))
    clinic.sync()
    assert clinic.tasks() == []


WATCHED = [
    pytest.param(instrument, critical, id=f"{instrument.id} {critical.link_id}")
    for instrument in CATALOG.instruments.values()
    for critical in instrument.items
    if critical.critical is not None
]


@pytest.mark.parametrize(("instrument", "critical"), WATCHED)
def test_every_critical_item_of_every_instrument_fires(clinic: Clinic, instrument: Instrument, critical: Any) -> None:
    """Each safety item, answered at its line and all others at their lowest, opens one review; below it, none."""
    line = critical.critical.at_least
    weights = sorted(option.weight for option in critical.options) or range(int(critical.low), int(critical.high) + 1)
    below = max(weight for weight in weights if weight < line)
    forms = []
    for name, points in (("at", line), ("below", below)):
        answers = {i.link_id: i.low for i in instrument.items} | {critical.link_id: points}
        items = [item(link_id, valueInteger=int(value)) for link_id, value in answers.items()]
        forms.append(form([None] * 9, questionnaire=instrument.url, item=items, name=name))
    clinic.load(*forms)
    clinic.sync()
    assert {task["focus"]["reference"].split("/")[1] for task in clinic.tasks()} == {"at"}


def test_every_critical_item_has_its_source() -> None:
    """Each line from which an answer asks for a look says where it is from."""
    assert len(WATCHED) >= 20
    assert all(item.critical.source.strip() for instrument in CATALOG.instruments.values() for item in instrument.items
               if item.critical is not None)  # fmt: skip


def test_the_on_call_owner_and_the_clients_language(clinic: Clinic) -> None:
    """The site's on-call role is asked, in the language of staff; words for the client are in the client's."""
    clinic.load(form(RAISED, language="fr"))
    texts = {**shipped_texts(), "fr": msgspec.structs.replace(shipped_texts()["fr"], phone="3114")}
    clinic.sync(Policy(safety=SafetyPolicy(texts, "de", "PractitionerRole/on-call")))
    [task] = clinic.tasks()
    assert task["owner"] == {"reference": "PractitionerRole/on-call"}
    assert "Fachperson" in task["description"]
    [words] = [entry["valueString"] for entry in task["input"] if "valueString" in entry]
    assert words.startswith("Merci")
    assert "3114" in words


# ------------------------------------------------------- acknowledgement and escalation

TEAM = {
    "resourceType": "CareTeam",
    "id": "team",
    "status": "active",
    "subject": {"reference": "Patient/p1"},
    "participant": [
        {"role": [{"text": "lead therapist"}], "member": {"reference": "Practitioner/lea"}},
        {"role": [{"text": "Supervisorin"}], "member": {"reference": "Practitioner/sue"}},
    ],
}


def later(hours: float) -> datetime:
    """Return a moment after the first run."""
    return NOW + timedelta(hours=hours)


@pytest.mark.parametrize(("hours", "status", "children"), [
    (23.9, "requested", 0), (24, "requested", 1), (24, "received", 1), (24, "on-hold", 1),
    (24, "accepted", 0), (24, "in-progress", 0), (24, "completed", 0), (24, "cancelled", 0), (1, "rejected", 1),
])  # fmt: skip
def test_the_supervisor_is_asked_when_nobody_takes_it(clinic: Clinic, hours: float, status: str, children: int) -> None:
    """A review that nobody has taken in time, or that was handed back, gets a child Task for the supervisor; once."""
    clinic.load(form(RAISED), TEAM)
    clinic.sync()
    clinic.edit(status=status)
    for run in range(2):
        done = clinic.sync(now=later(hours + run / 100))
        parent, *others = clinic.tasks()
        assert len(others) == children
        assert done.reviews["escalated"] == children
    for child in others:
        assert child["partOf"] == [{"reference": f"Task/{parent['id']}"}]
        assert (child["owner"]["reference"], child["priority"]) == ("Practitioner/sue", "asap")
        assert child["focus"] == parent["focus"]
    assert parent["status"] == status


@pytest.mark.parametrize(("priority", "expected"), [("urgent", "asap"), ("asap", "asap"), ("stat", "stat")])
def test_priority_does_not_fall(clinic: Clinic, priority: str, expected: str) -> None:
    """The supervisor's Task is no less pressing than the one that it is part of, and more than urgent."""
    clinic.load(form(RAISED), TEAM)
    clinic.sync()
    clinic.edit(priority=priority)
    clinic.sync(now=later(30))
    assert clinic.tasks()[1]["priority"] == expected


def test_the_supervisor_in_the_configuration_comes_first(clinic: Clinic) -> None:
    """[safety] escalate_to outranks the care team; and the site's hours count."""
    clinic.load(form(RAISED), TEAM)
    policy = Policy(safety=msgspec.structs.replace(SAFETY, escalate_to="Practitioner/boss", acknowledge_within_hours=2))
    clinic.sync(policy)
    clinic.sync(policy, later(2))
    assert clinic.tasks()[1]["owner"]["reference"] == "Practitioner/boss"
    assert "within 2 hours" in clinic.tasks()[1]["description"]


def test_nobody_to_escalate_to_is_told(clinic: Clinic) -> None:
    """Where neither the site nor the care team names a supervisor, the review counts as overdue, not escalated."""
    clinic.load(form(RAISED))
    clinic.sync()
    done = clinic.sync(now=later(30))
    assert (done.reviews["overdue"], done.reviews["escalated"], len(clinic.tasks())) == (1, 0, 1)


def test_a_client_without_a_new_form_is_watched_too(clinic: Clinic) -> None:
    """An open review escalates in a run that reads no form at all of that client."""
    clinic.load(form(RAISED), TEAM)
    clinic.sync()
    (clinic.folder / "QuestionnaireResponse.ndjson").unlink()
    done = clinic.sync(now=later(25))
    assert (done.read, done.reviews["escalated"], len(clinic.tasks())) == (0, 1, 2)


def test_a_dry_run_escalates_nothing(clinic: Clinic) -> None:
    """A dry run shows the supervisor's Task and writes none."""
    clinic.load(form(RAISED), TEAM)
    clinic.sync()
    done = clinic.sync(now=later(25), dry_run=True)
    assert [change.write.type for change in done.planned] == ["Task"]
    assert len(clinic.tasks()) == 1


def test_a_withdrawn_form_ends_both_reviews(clinic: Clinic) -> None:
    """When the form turns out to be entered in error, the review and the supervisor's are cancelled."""
    clinic.load(form(RAISED), TEAM)
    clinic.sync()
    clinic.sync(now=later(25))
    clinic.load(form(RAISED, status="entered-in-error"))
    clinic.sync(now=later(26))
    assert [task["status"] for task in clinic.tasks()] == ["cancelled", "cancelled"]


# ---------------------------------------------------------------- what stops a run


def test_an_unreadable_consent_does_not_hold_it_back(clinic: Clinic) -> None:
    """Where Consents cannot be read nothing is shared, and yet the review stands in the record."""
    clinic.load(form(RAISED))
    (clinic.folder / "Consent.ndjson").write_text('{"resourceType": "Consent", "provision"\n', encoding="utf-8")
    with pytest.raises(ConsentUnreachable) as stopped:
        clinic.sync()
    assert stopped.value.exit is Exit.CONSENT_UNREACHABLE
    assert len(clinic.tasks()) == 1
    assert clinic.waiting() == []
    assert not (clinic.folder / "Observation.fhir-alliance.ndjson").exists()


def test_a_folder_that_cannot_be_written_leaves_it_in_the_outbox(clinic: Clinic) -> None:
    """Where the derived file cannot be replaced the review waits, and the run ends with 24; the next delivers it."""
    clinic.load(form(RAISED))
    derived = clinic.folder / "Task.fhir-alliance.ndjson"
    derived.symlink_to(clinic.folder / "elsewhere")
    with pytest.raises(SafetyWaiting, match="FA111") as stopped:
        clinic.sync()
    assert stopped.value.exit is Exit.SAFETY_WAITING
    assert [line["concern"]["reference"] for line in clinic.waiting()] == ["QuestionnaireResponse/r1"]
    derived.unlink()
    assert clinic.sync().exit is Exit.DONE
    assert (len(clinic.tasks()), clinic.waiting()) == (1, [])


def test_an_error_of_our_own_loses_nothing(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks in scoring, the review of a form that was read stands in the record."""
    clinic.load(form(RAISED))
    monkeypatch.setattr("fhir_alliance.runs.sync.Record", None)  # a defect
    with pytest.raises(TypeError):
        clinic.sync()
    assert (len(clinic.tasks()), clinic.waiting()) == (1, [])


def test_a_person_who_stops_the_run_loses_nothing(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in the middle, the run writes no file, and the review waits for the next one."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    clinic.load(form(RAISED))
    with monkeypatch.context() as patch:
        patch.setattr("fhir_alliance.runs.sync.Record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clinic.sync()
    assert (clinic.tasks(), len(clinic.waiting())) == ([], 1)
    clinic.sync()
    assert (len(clinic.tasks()), clinic.waiting()) == (1, [])


def test_what_is_done_for_safety_is_told(clinic: Clinic) -> None:
    """The audit trail is told whose Task was written and whose was read, also in runs that only watch."""
    told: list[Access] = []
    clinic.load(form(RAISED), TEAM)
    clinic.sync(tell=told.extend)
    assert (Action.CREATE, "Patient/p1") in [(access.action, access.subject) for access in told]
    (clinic.folder / "QuestionnaireResponse.ndjson").unlink()
    told.clear()
    clinic.sync(now=later(25), tell=told.extend)
    assert [(access.action, access.subject) for access in told] == [
        (Action.QUERY, "Patient/p1"), (Action.CREATE, "Patient/p1"),
    ]  # fmt: skip


@pytest.mark.parametrize(("points", "count"), [(RAISED, 1), ([1] * 8 + [None], 1), (LOW, 0)])
def test_a_form_of_nobody_is_told(clinic: Clinic, points: list[int | None], count: int) -> None:
    """A form that names no client opens nothing, and where it asks for a look the parked reason and a count say so."""
    clinic.load(form(points, subject="Group/g1"))
    done = clinic.sync()
    assert (clinic.tasks(), done.reviews["nameless"]) == ([], count)
    [parked] = done.parked
    assert parked.code == "FA206"
    assert ("clinician's look" in parked.reason) == bool(count)


def test_a_withdrawn_form_without_an_id_ends_no_other(clinic: Clinic) -> None:
    """Where forms have no id, the withdrawal of one leaves the review of another as it is."""
    nameless = form(RAISED, id=None)
    clinic.load(nameless)
    clinic.sync()
    clinic.load(nameless, form(LOW, id=None, status="entered-in-error"))
    clinic.sync()
    assert [task["status"] for task in clinic.tasks()] == ["requested"]
