"""Whatever happens in a clinic, in whatever portions it is read: the promises of reviews hold.

The claim on portions: between two acts of people (a review done or rejected, a goal changed) it does not matter in how
many runs the forms are read. People act on what stands open, so a run comes before each of their acts. The state that
is compared: every score that is not void; every open goal review by client, goal and episode with the reasons that it
stands on; every review that a person ended. Not claimed: keys and times, which tell when a run was; reviews that we
ended ourselves, which a run over everything never opens; rules that look at the calendar, which are off here; and how
urgent a review is after a correction, because priority never falls.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fhir_alliance.core.model import Review, ReviewKind, ReviewStatus
from fhir_alliance.core.reviews import live
from fhir_alliance.fhir.task import read_review
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.folder import FolderStore, response_records
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Page
from fhir_alliance.testing import response_json

CATALOG: Final = load_catalog()
ZONE: Final = timezone(timedelta(hours=-8))
START: Final = date(2026, 1, 5)
TERMS: Final = "https://fhir-alliance.org/fhir/CodeSystem/terms"
OURS: Final = "https://fhir-alliance.org/fhir/Questionnaire"
ANSWERS: Final = "https://fhir-alliance.org/fhir/CodeSystem/answers"
CLIENTS: Final = ("Patient/anna", "Patient/ben")
CHECKIN: Final = [item.link_id for item in CATALOG.find("alliance-checkin").items if item.options]
POLICY: Final = Policy()

Resource: TypeAlias = dict[str, Any]


class Event(NamedTuple):
    """Something that happens on a day. by_people: a run has to come before it."""

    day: date
    happen: Callable[[Clinic], None]
    by_people: bool = False


class Unread(FolderStore):
    """A folder that gives each version of a form once, as a server does by its bookmark."""

    def __init__(self, folder: Path, seen: set[bytes]) -> None:
        super().__init__(folder)
        self._seen = seen

    def responses(self, since: str, again: Any, seen: Any = None) -> Iterator[Page]:
        records = [record for record in response_records([self.folder]) if record.body not in self._seen]
        self._seen.update(record.body for record in records)
        yield Page(records, "")


class Clinic:
    """A folder in which things happen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: dict[str, dict[str, Resource]] = {}
        self._seen: set[bytes] = set()
        for client in CLIENTS:
            name = client.partition("/")[2]
            self.put({"resourceType": "Patient", "id": name})
            self.put(goal(f"{name}-first", client, "active", "2026-01-01"))

    def put(self, resource: Resource) -> None:
        """Put a resource there as an EHR would: the same id again is a new version."""
        held = self.held.setdefault(resource["resourceType"], {})
        before = int(held.get(resource["id"], {}).get("meta", {}).get("versionId", "0"))
        held[resource["id"]] = resource | {"meta": {"versionId": str(before + 1)}}

    def run(self, day: date, *, whole: bool = False) -> Mapping[str, int]:
        """Sync on the evening of a day; `whole` reads every form again. Returns what was created and updated."""
        for kind, held in self.held.items():
            (self.folder / f"{kind}.ndjson").write_text("".join(json.dumps(r) + "\n" for r in held.values()))
        store = FolderStore(self.folder) if whole else Unread(self.folder, self._seen)
        journal = Journal(self.folder / ".state", store.name)
        try:
            done = sync(store, CATALOG, journal, POLICY, datetime.combine(day, time(20), ZONE))
        finally:
            store.close()
            journal.close()
        assert not done.parked
        return done.created + done.updated

    def derived(self, kind: str) -> list[Resource]:
        """Return what the program has written of a type."""
        file = self.folder / f"{kind}.fhir-alliance.ndjson"
        return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []

    def reviews(self, kind: ReviewKind = ReviewKind.GOAL) -> list[Review]:
        """Return the reviews of a kind, as they stand."""
        reviews = [read_review(task) for task in self.derived("Task")]
        return [review for review in reviews if review is not None and review.kind is kind]

    def end_review(self, client: str, focus: str, said: Sequence[str], day: date) -> None:
        """End a client's open review of a goal as a person would: status, decision, and perhaps who confirms it."""
        status, decision, *confirming = said
        concept = {"coding": [{"system": TERMS, "code": decision}]}
        output = {"type": {"coding": [{"system": TERMS, "code": "decision"}]}, "valueCodeableConcept": concept}
        tasks = self.derived("Task")
        [key] = [r.key for r in self.reviews() if (r.subject, r.focus, r.status) == (client, focus, ReviewStatus.OPEN)]
        for task in tasks:
            if task["identifier"][0]["value"] == key:
                period = {"end": f"{day.isoformat()}T18:00:00-08:00"}
                more = [
                    {
                        "type": {"coding": [{"system": TERMS, "code": "confirmed-by"}]},
                        "valueReference": {"reference": by},
                    }
                    for by in confirming
                ]
                task |= {"status": status, "output": [output, *more], "executionPeriod": period}
        file = self.folder / "Task.fhir-alliance.ndjson"
        file.write_text("".join(json.dumps(task) + "\n" for task in tasks))

    def state(self) -> dict[str, Any]:
        """Return the part of the state that does not tell in which portions it came about."""
        scores = [o for o in self.derived("Observation") if o["status"] != "entered-in-error" and "hasMember" not in o]
        done = [review for review in self.reviews() if review.status is ReviewStatus.CLOSED]
        return {
            "scores": {o["id"]: o.get("valueQuantity", {}).get("value") for o in scores},
            "open": {
                (r.subject, r.focus, r.episode): {reason.sentence for reason in live(r.evidence)}
                for r in self.reviews()
                if r.status is ReviewStatus.OPEN
            },
            "goals": sorted((g["id"], g["lifecycleStatus"]) for g in self.derived("Goal")),
            "ended": sorted((r.subject, r.focus, r.stage.value, str(r.closed_on)) for r in done),
        }


def goal(name: str, client: str, status: str, started: str) -> Resource:
    """Return a goal in the client's own words."""
    return {
        "resourceType": "Goal", "id": name, "lifecycleStatus": status, "startDate": started,
        "description": {"text": "I want to sleep through the night"}, "subject": {"reference": client},
        "expressedBy": {"reference": client},
    }  # fmt: skip


def phq(name: str, client: str, points: Sequence[int], day: date, status: str = "completed") -> Resource:
    """Return a PHQ-9 form."""
    return response_json(points, name=name, subject=client, authored=f"{day.isoformat()}T10:00:00-08:00", status=status)


def checkin(name: str, client: str, points: int, day: date, status: str = "completed", **who: Any) -> Resource:
    """Return an alliance check-in with the same answer to every item (held-back mirrored)."""
    rated = {link: 6 - points if link == "held-back" else points for link in CHECKIN}
    items = [
        {"linkId": link, "answer": [{"valueCoding": {"system": ANSWERS, "code": f"checkin-{n}"}}]}
        for link, n in rated.items()
    ]
    own = {"questionnaire": f"{OURS}/alliance-checkin|1.0.0", "item": items, "status": status}
    authored = f"{day.isoformat()}T11:00:00-08:00"
    return response_json([None] * 9, name=name, subject=client, authored=authored, **(own | who))


def replayed(events: Sequence[Event], size: int) -> tuple[Clinic, date]:
    """Return a clinic in which all of it happened, read in portions of so many events, and its last day."""
    clinic, waiting, day = Clinic(Path(tempfile.mkdtemp())), 0, START
    for event in events:
        if event.by_people or waiting >= size:
            clinic.run(day)
            waiting = 0
        day = event.day
        event.happen(clinic)
        waiting += 1
    clinic.run(day)
    return clinic, day


POINTS = st.sampled_from([[0] * 9, [1] * 9, [1] * 8 + [0], [2] * 8 + [0], [3] * 9, [2] * 8 + [1]])
CLIENT = st.sampled_from(CLIENTS)
ENDINGS: Final = (
    ("completed", "goal-kept"), ("completed", "goal-kept", "Patient/anna"), ("completed", "goal-changed"),
    ("rejected", "client-declined", "Patient/anna"), ("failed", "goal-kept"),
)  # fmt: skip


class Practice(RuleBasedStateMachine):
    """Everything that can happen, one run after each; at the end it is replayed in other portions."""

    def __init__(self) -> None:
        super().__init__()
        self.clinic = Clinic(Path(tempfile.mkdtemp()))
        self.day = START
        self.events: list[Event] = []
        self.forms: dict[str, tuple[str, date, str]] = {}
        self.count = 0
        self.confirmed: set[str] = set()
        self.mode = "AMB"

    def happens(self, happen: Callable[[Clinic], None], *, by_people: bool = False) -> None:
        """Let something happen here, and note it for the replay."""
        self.events.append(Event(self.day, happen, by_people))
        happen(self.clinic)
        self.clinic.run(self.day)

    def loads(self, *resources: Resource) -> None:
        """Let resources arrive."""
        self.happens(lambda clinic: [clinic.put(resource) for resource in resources] and None)

    def meets(self, client: str) -> Resource:
        """Return today's session with a client, in the mode of these days."""
        name = f"{client.partition('/')[2]}-{self.day.isoformat()}"
        act = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
        return {
            "resourceType": "Encounter", "id": name, "status": "finished", "class": {"system": act, "code": self.mode},
            "subject": {"reference": client}, "period": {"start": f"{self.day.isoformat()}T09:00:00-08:00"},
            "participant": [{"individual": {"reference": "Practitioner/tom"}}],
        }  # fmt: skip

    def next_name(self) -> str:
        """Return a name that no form has had."""
        self.count += 1
        return f"f{self.count}"

    def held(self, form: Resource, client: str, kind: str) -> None:
        """Let a form of today's session arrive."""
        self.forms[form["id"]] = (client, self.day, kind)
        session = self.meets(client)
        self.loads(session, form | {"encounter": {"reference": f"Encounter/{session['id']}"}})

    @initialize(points=st.sampled_from([[0] * 9, [3] * 8 + [0]]))
    def begins(self, points: list[int]) -> None:
        """Begin with a run over a clinic without forms; then each client's second form calls for a review."""
        self.clinic.run(self.day)
        for client in CLIENTS:
            self.held(
                phq(self.next_name(), client, [2] * 8 + [0] if points[0] == 0 else [0] * 9, self.day), client, "phq"
            )
        self.day += timedelta(days=7)
        for client in CLIENTS:
            self.held(phq(self.next_name(), client, points, self.day), client, "phq")

    @rule(client=CLIENT, points=POINTS)
    def new_form(self, client: str, points: list[int]) -> None:
        self.held(phq(self.next_name(), client, points, self.day), client, "phq")

    @rule(client=CLIENT, points=st.sampled_from([5, 5, 4, 1]))
    def rates_the_alliance(self, client: str, points: int) -> None:
        self.held(checkin(self.next_name(), client, points, self.day), client, "checkin")

    @rule(client=CLIENT, points=st.integers(2, 5))
    def therapist_form(self, client: str, points: int) -> None:
        by = {"source": {"reference": "Practitioner/tom"}, "author": {"reference": "Practitioner/tom"}}
        own = {"questionnaire": f"{OURS}/alliance-checkin-therapist|1.0.0", **by}
        self.held(checkin(self.next_name(), client, points, self.day, **own), client, "therapist")

    @precondition(lambda self: any(kind == "phq" for _, _, kind in self.forms.values()))
    @rule(data=st.data(), points=POINTS)
    def amend(self, data: st.DataObject, points: list[int]) -> None:
        name = data.draw(st.sampled_from([name for name, (_, _, kind) in self.forms.items() if kind == "phq"]))
        client, day, _ = self.forms[name]
        self.loads(phq(name, client, points, day, "amended"))

    @precondition(lambda self: self.forms)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.forms)))
        del self.forms[name]
        self.loads(self.clinic.held["QuestionnaireResponse"][name] | {"status": "entered-in-error"})

    @precondition(lambda self: any(r.status is ReviewStatus.OPEN for r in self.clinic.reviews()))
    @rule(data=st.data(), said=st.sampled_from(ENDINGS))
    def review_done(self, data: st.DataObject, said: Sequence[str]) -> None:
        self.ends(data, said)

    @precondition(lambda self: any(r.status is ReviewStatus.OPEN for r in self.clinic.reviews()))
    @rule(data=st.data(), by=st.sampled_from([(), ("Practitioner/tom",)]))
    def goal_reached(self, data: st.DataObject, by: tuple[str, ...]) -> None:
        self.ends(data, ("completed", "goal-reached", *by))

    def ends(self, data: st.DataObject, said: Sequence[str]) -> None:
        """Let a person end one of the open reviews."""
        stand = sorted({(r.subject, r.focus) for r in self.clinic.reviews() if r.status is ReviewStatus.OPEN})
        client, focus = data.draw(st.sampled_from(stand))
        if said[0] == "completed" and len(said) > 2:
            self.confirmed.add(focus)
        day = self.day
        self.happens(lambda clinic: clinic.end_review(client, focus, said, day), by_people=True)

    @rule(client=CLIENT, status=st.sampled_from(["active", "completed"]), ordinal=st.sampled_from(["first", "second"]))
    def goal_changed(self, client: str, status: str, ordinal: str) -> None:
        name = f"{client.partition('/')[2]}-{ordinal}"
        made = goal(name, client, status, "2026-01-01" if ordinal == "first" else "2026-01-02")
        self.happens(lambda clinic: clinic.put(made), by_people=True)

    @rule(mode=st.sampled_from(["AMB", "VR"]))
    def mode_changed(self, mode: str) -> None:
        self.mode = mode

    @rule(days=st.sampled_from([1, 7, 29]))
    def day_passes(self, days: int) -> None:
        self.day += timedelta(days=days)

    @invariant()
    def one_open_review(self) -> None:
        """Never two open reviews for one client, goal and episode."""
        stand = [(r.subject, r.focus, r.episode) for r in self.clinic.reviews() if r.status is ReviewStatus.OPEN]
        assert len(stand) == len(set(stand))

    @invariant()
    def safety_has_its_task(self) -> None:
        """Every form with an answer about safety above zero has an urgent Task that names it."""
        named = {review.focus for review in self.clinic.reviews(ReviewKind.SAFETY)}
        for name, form in self.clinic.held.get("QuestionnaireResponse", {}).items():
            item = form["item"][8] if len(form["item"]) > 8 and form["item"][8]["linkId"] == "/44260-8" else None
            if form["status"] != "entered-in-error" and item and item["answer"][0]["valueCoding"]["code"] != "LA6568-5":
                assert f"QuestionnaireResponse/{name}" in named

    @invariant()
    def goals_are_the_clients(self) -> None:
        """No Goal changes that nobody has confirmed in a completed review."""
        assert {f"Goal/{changed['id']}" for changed in self.clinic.derived("Goal")} <= self.confirmed

    def teardown(self) -> None:
        """Replay all of it in other portions: the same end. A run that reads every form again then writes nothing."""
        try:
            for size in (2, 5, len(self.events) + 1):
                other, day = replayed(self.events, size)
                assert other.state() == self.clinic.state(), f"portions of {size}"
                assert not other.run(day, whole=True)
                shutil.rmtree(other.folder)
            assert not self.clinic.run(self.day, whole=True)
        finally:
            shutil.rmtree(self.clinic.folder)


TestPractice = Practice.TestCase
TestPractice.settings = settings(
    max_examples=20,
    stateful_step_count=12,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
