"""Scores land on a server that takes no Observation: as a document or a file, once, and never with more in it."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pytest

from fhir_alliance.config import Config, DeliverySection
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.errors import Exit, StopRun
from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores import singles
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json

Start: TypeAlias = Callable[..., Any]

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
META = {"versionId": "1", "lastUpdated": "2026-01-12T10:00:00.000Z"}
LATER = {"versionId": "2", "lastUpdated": "2026-02-12T10:00:00.000Z"}
FORM = response_json([1] * 8 + [0], name="r1", meta=META)
AMENDED = response_json([2] * 8 + [0], name="r1", meta=LATER, status="amended")
VOID = response_json([1] * 8 + [0], name="r1", meta=LATER, status="entered-in-error")
WORSE = response_json([3] * 8 + [0], name="r2", meta=LATER, authored="2026-01-19T10:00:00+01:00")
PATIENT = {
    "resourceType": "Patient", "id": "p1", "name": [{"family": "Zilpzalp"}], "birthDate": "1980-02-03",
    "identifier": [{"system": "urn:mrn", "value": "4711"}],
}  # fmt: skip
REFUSING = {"refused": ("Observation",), "more": ("DocumentReference", "Patient"), "conditional_create": True}
FILES = ["hl7v2", "csv"]


class Clinic(NamedTuple):
    """A server that takes no Observation, a function that syncs it, and where files are left."""

    server: Any
    run: Callable[..., Summary]
    journal: Journal
    drop: Path

    def files(self) -> list[str]:
        """Return what was left, oldest first."""
        found = sorted(self.drop.iterdir(), key=lambda f: f.stat().st_mtime_ns) if self.drop.exists() else []
        return [file.read_bytes().decode() for file in found]

    def receipts(self) -> list[dict[str, str]]:
        """Return the receipts."""
        path = self.journal.receipts.path
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped instruments."""
    return load_catalog()


@pytest.fixture
def clinic(start_server: Start, tmp_path: Path, catalog: Catalog) -> Iterator[Callable[..., Clinic]]:
    """A function that opens a clinic whose scores may take these ways."""
    opened: list[Journal] = []

    def clinic(*scores: str, can: dict[str, Any] = REFUSING, **said: Any) -> Clinic:
        server = start_server(**can)
        server.load(FORM, PATIENT)
        journal = Journal(tmp_path / "state", server.base)
        opened.append(journal)
        drop = tmp_path / "drop"
        delivery = DeliverySection.model_validate({"scores": scores, "folder": drop, **said})

        def run(rules: RuleSettings = RuleSettings(), **how: Any) -> Summary:  # noqa: B008 - frozen
            store = ServerStore(server.base, Http(server.base, sleep=lambda _: None))
            try:
                policy = msgspec.structs.replace(Policy(), delivery=delivery, with_items=True, rules=rules)
                return sync(store, catalog, journal, policy, NOW, **how)
            finally:
                store.close()

        return Clinic(server, run, journal, drop)

    yield clinic
    for journal in opened:
        journal.close()


@pytest.fixture
def long_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are so far apart that every search shows what was written before."""
    monkeypatch.setattr(singles, "SETTLE_S", 0.0)


def carried(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the Observations in a document."""
    [data] = [c["attachment"]["data"] for c in document["content"] if "fhir+json" in c["attachment"]["contentType"]]
    return [entry["resource"] for entry in json.loads(b64decode(data))["entry"]]


def value(document: dict[str, Any]) -> float:
    """Return the one score in a document."""
    [score] = [o["valueQuantity"]["value"] for o in carried(document) if "valueQuantity" in o]
    return float(score)


def test_a_document_where_no_observation_is_taken(clinic: Callable[..., Clinic]) -> None:
    """The score stands in one document, the summary says so, a receipt names it; a second run writes nothing."""
    at = clinic("observation", "document")
    first = at.run()
    assert (first.exit, first.created["DocumentReference"]) == (Exit.DONE, 1)
    assert any("documents" in way for way in first.lower)
    [document] = at.server.all("DocumentReference")
    assert value(document) == 8
    [receipt] = at.receipts()
    assert (receipt["rung"], receipt["where"], receipt["key"]) == (
        "document", document["id"], document["identifier"][0]["value"],
    )  # fmt: skip
    asked = len(at.server.writes)
    second = at.run()
    assert (second.exit, second.created.total(), second.updated.total()) == (Exit.DONE, 0, 0)
    assert any("documents" in way for way in second.lower)
    assert len(at.server.writes) == asked


def test_a_document_says_no_more_than_the_score(clinic: Callable[..., Clinic]) -> None:
    """Answers one by one, which the site has as Observations, are in no document, and the summary says so."""
    at = clinic("observation", "document")
    done = at.run()
    [document] = at.server.all("DocumentReference")
    assert len(carried(document)) == 2
    [text] = [b64decode(c["attachment"]["data"]).decode() for c in document["content"][:1]]
    assert text.splitlines()[3:] == ["PHQ-9 total: 8 - mild"]
    assert any("single answers" in way for way in done.lower)


@pytest.mark.parametrize("way", ["batch", "singles"])
def test_an_amended_form_changes_its_document(clinic: Callable[..., Clinic], way: str) -> None:
    """The document of an amended form is updated under its identifier; the one of a void form is marked so."""
    at = clinic("observation", "document", can=REFUSING | {"system": ("batch",) if way == "batch" else ()})
    at.run()
    [before] = at.server.all("DocumentReference")
    at.server.load(AMENDED)
    assert at.run().updated["DocumentReference"] == 1
    [after] = at.server.all("DocumentReference")
    assert (value(after), after["docStatus"], after["identifier"]) == (16, "amended", before["identifier"])
    at.server.load(VOID)
    assert at.run().exit is Exit.DONE
    [void] = at.server.all("DocumentReference")
    assert (void["status"], void["docStatus"]) == ("entered-in-error", "entered-in-error")
    assert at.run().updated.total() == 0


def test_rules_see_scores_in_documents(clinic: Callable[..., Clinic]) -> None:
    """A score that an earlier run left in a document counts in the judgement of the next one."""
    at = clinic("observation", "document")
    at.run()
    assert at.server.all("Task") == []
    at.server.load(WORSE)
    done = at.run()
    assert done.findings.total() > 0
    tasks = [t for t in at.server.all("Task") if t["code"]["coding"][0]["code"] == "goal-review"]
    assert len(tasks) == 1
    assert "Observation/" not in json.dumps(tasks)  # no reference leads nowhere


@pytest.mark.usefixtures("long_after")
@pytest.mark.parametrize("fault", ["CUT_BEFORE", "CUT_AFTER", "BUSY_AFTER", "THROTTLED"])
def test_a_fault_at_a_document(clinic: Callable[..., Clinic], start_server: Any, fault: str) -> None:
    """Whatever happens to the answers, after one more run the document stands, once."""
    at = clinic("document")
    at.server.faults = [start_server.faults[fault]] * 4
    at.run()
    at.server.faults.clear()
    assert at.run().exit is Exit.DONE
    assert len(at.server.all("DocumentReference")) == 1


def test_a_server_that_drops_identifiers(clinic: Callable[..., Clinic]) -> None:
    """Where identifiers are dropped, a document is known by what it carries, and updated, not doubled."""
    at = clinic("observation", "document", can=REFUSING | {"dropped": ("identifier",)})
    at.run()
    at.server.load(AMENDED)
    at.run()
    [document] = at.server.all("DocumentReference")
    assert value(document) == 16


def test_a_lost_journal_finds_its_documents(clinic: Callable[..., Clinic]) -> None:
    """A run that knows of no document, on a server that refuses only when asked, updates the one that stands there."""
    at = clinic("observation", "document")
    at.run()
    for table in ("refusal", "delivered", "bookmark"):
        at.journal._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
    at.server.load(AMENDED)
    at.run()
    [document] = at.server.all("DocumentReference")
    assert value(document) == 16


def test_another_document_of_the_client_is_left_alone(clinic: Callable[..., Clinic]) -> None:
    """A letter of somebody else's about the same client is neither taken for ours nor touched."""
    letter = {"resourceType": "DocumentReference", "id": "letter", "status": "current", "subject": FORM["subject"]}
    by_content = {"conditional_create": False, "search": ("_id", "_lastUpdated", "patient", "url")}
    at = clinic("observation", "document", can=REFUSING | by_content)
    at.server.load(letter)
    at.run()
    at.server.load(AMENDED)
    at.run()
    assert letter in at.server.all("DocumentReference")
    assert len(at.server.all("DocumentReference")) == 2


@pytest.mark.parametrize("way", ["document", *FILES])
def test_what_stands_is_not_sent_again(clinic: Callable[..., Clinic], way: str) -> None:
    """A server that comes to take Observations gets the new ones; what was delivered stays, in its form."""
    at = clinic("observation", way)
    at.run()
    at.server.can.refused = ()
    at.journal._db.execute("DELETE FROM refusal")  # as a day does
    at.server.load(FORM | {"meta": LATER}, WORSE)
    done = at.run()
    panels = [o for o in at.server.all("Observation") if "hasMember" in o]
    assert (done.exit, len(panels)) == (Exit.DONE, 1)
    assert panels[0]["effectiveDateTime"] == WORSE["authored"]
    assert len(at.server.all("DocumentReference")) + len(at.files()) == 1
    assert {receipt["rung"] for receipt in at.receipts()} == {"observation", way}


@pytest.mark.parametrize("way", FILES)
def test_files_are_left_once(clinic: Callable[..., Clinic], way: str) -> None:
    """One file to a form; a second run leaves none, an amended form a correction, a void one takes back."""
    at = clinic(way, patient_identifier="urn:mrn", patient_authority="CLINIC")
    assert (at.run().created[way], len(at.files())) == (1, 1)
    assert (at.run().created.total(), len(at.files())) == (0, 1)
    at.server.load(AMENDED)
    assert (at.run().updated[way], len(at.files())) == (1, 2)
    at.server.load(VOID)
    assert (at.run().updated[way], len(at.files())) == (1, 3)
    assert (at.run().updated.total(), len(at.files())) == (0, 3)
    first, second, third = at.files()
    if way == "hl7v2":
        status = [text.partition("OBR|")[2].partition("\r")[0].split("|")[24] for text in (first, second, third)]
        assert status == ["F", "C", "X"]
        assert "|8|" in first
        assert "|16|" in second
        assert "|NM|" not in third
    else:
        assert [text.splitlines()[1].split(",")[3] for text in (first, second, third)] == [
            "final", "amended", "entered-in-error",
        ]  # fmt: skip
    assert all("4711" in text for text in at.files())
    assert not any(secret in text for text in at.files() for secret in ("Zilpzalp", "1980", "44250-9"))


@pytest.mark.parametrize("way", FILES)
def test_a_client_whom_the_receiver_does_not_know(clinic: Callable[..., Clinic], way: str) -> None:
    """Without the identifier by which the receiver knows clients nothing is left, and the form is parked."""
    at = clinic(way, patient_identifier="urn:other")
    done = at.run()
    assert (done.exit, [parked.code for parked in done.parked], at.files()) == (Exit.PARKED, ["FA441"], [])


@pytest.mark.parametrize("way", FILES)
def test_a_label_that_a_file_would_lose(clinic: Callable[..., Clinic], way: str) -> None:
    """What is labelled so that somebody must not see it is left in no file, for files lose labels."""
    at = clinic(way)
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "42CFRPart2"}
    at.server.load(FORM | {"meta": META | {"security": [label]}})
    done = at.run()
    assert ([parked.code for parked in done.parked], at.files()) == (["FA442"], [])


P1 = {"reference": "Patient/p1"}
CARE = {"resourceType": "CarePlan", "id": "c1", "status": "active", "intent": "plan", "subject": P1}
SESSION = {
    "resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}, "subject": P1,
    "period": {"start": "2025-12-10T10:00:00+01:00"},
}  # fmt: skip


@pytest.mark.parametrize("way", ["document", *FILES])
def test_nobody_is_called_silent_whose_forms_were_delivered(clinic: Callable[..., Clinic], way: str) -> None:
    """A client whose scores stand in documents or files is not said to have sent none since the last session."""
    at = clinic("observation", way)
    at.server.load(CARE, SESSION)
    rules = RuleSettings(silent_days=160)  # the session was 173 days ago, the form is 147 days old
    assert at.run(rules=rules).findings.total() == 0
    at.server._held.pop(("QuestionnaireResponse", "r1"))  # so that nothing comes from the client in the next run
    assert at.run(rules=rules).findings.total() == 0


def test_one_way_alone_is_pinned(clinic: Callable[..., Clinic]) -> None:
    """A site that allows Observations only gets status 22 and nothing lower."""
    at = clinic("observation")
    done = at.run()
    assert (done.exit, at.files(), at.server.all("DocumentReference")) == (Exit.REFUSED, [], [])


@pytest.mark.parametrize("way", ["document", *FILES])
def test_a_dry_run_leaves_nothing(clinic: Callable[..., Clinic], way: str) -> None:
    """A dry run plans the lower way and leaves neither document, file nor receipt."""
    at = clinic(way)
    done = at.run(dry_run=True)
    assert done.created.total() == 1
    assert (at.files(), at.server.all("DocumentReference"), at.receipts()) == ([], [], [])


@pytest.mark.parametrize("way", ["document", *FILES])
def test_receipts_hold_no_data(clinic: Callable[..., Clinic], way: str) -> None:
    """A receipt says output, key, rung, place and time, and only its owner can read the file."""
    at = clinic("observation", way)
    at.run()
    [receipt] = at.receipts()
    assert set(receipt) == {"output", "key", "rung", "where", "time"}
    assert at.journal.receipts.path.stat().st_mode & 0o777 == 0o600
    assert "p1" not in json.dumps(receipt)


@pytest.mark.parametrize("scores", [[], ["csv"], ["fax"]])
def test_ways_that_cannot_be(scores: list[str]) -> None:
    """No way at all, files without a folder, and a way that nobody knows are refused when the configuration is read."""
    with pytest.raises(ValueError, match="delivery"):
        Config.model_validate({"delivery": {"scores": scores}})


NO_TASK = REFUSING | {"refused": ("Task",)}


def listed(at: Clinic) -> list[dict[str, Any]]:
    """Return the Tasks in the work-list."""
    return [entry["resource"] for entry in json.loads((at.drop / "worklist.json").read_bytes())["entry"]]


def rows(at: Clinic) -> list[str]:
    """Return the rows of the work-list's table."""
    return (at.drop / "worklist.csv").read_text().splitlines()[1:]


@pytest.mark.parametrize("refused", [("Task",), ("Task", "Observation")])
@pytest.mark.parametrize("system", [(), ("batch",)])
def test_a_review_where_no_task_is_taken(
    clinic: Callable[..., Clinic], refused: tuple[str, ...], system: tuple[str, ...]
) -> None:
    """A goal review stands in the work-list once, with a receipt; its form's scores are neither lost nor changed."""
    can = NO_TASK | {"refused": refused, "system": system}
    at = clinic("observation", "document", can=can, reviews=["task", "worklist"])
    at.server.load(WORSE)
    first = at.run()
    assert (first.exit, first.created["worklist"], first.updated.total()) == (Exit.DONE, 1, 0)
    [task] = listed(at)
    assert task["code"]["coding"][0]["code"] == "goal-review"
    assert [(r["output"], r["where"]) for r in at.receipts() if r["rung"] == "worklist"] == [
        ("reviews", "worklist.json")
    ]
    assert len(rows(at)) == 1
    assert any("work-list" in way for way in first.lower)
    assert at.server.all("Task") == []
    second = at.run()
    assert (second.exit, second.created.total(), second.updated.total()) == (Exit.DONE, 0, 0)
    assert listed(at) == [task]


def test_what_people_say_in_the_list_is_respected(clinic: Callable[..., Clinic]) -> None:
    """A review that somebody completed in the list is not opened again; one that lost its ground is cancelled."""
    at = clinic("observation", can=NO_TASK, reviews=["task", "worklist"])
    at.server.load(WORSE)
    at.run()
    [task] = listed(at)
    done = task | {"status": "completed", "lastModified": "2026-05-30T08:00:00Z"}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": done}]}
    (at.drop / "worklist.json").write_text(json.dumps(bundle))
    at.server.load(WORSE | {"id": "r3", "authored": "2026-01-26T10:00:00+01:00"})
    at.run()
    assert listed(at) == [done]
    bundle["entry"] = [{"resource": task}]
    (at.drop / "worklist.json").write_text(json.dumps(bundle))
    for name in ("r2", "r3"):
        at.server.load(WORSE | {"id": name, "status": "entered-in-error"})
    at.run()
    assert [t["status"] for t in listed(at)] == ["cancelled"]
    assert rows(at) == []


def test_a_damaged_list_stops_the_run(clinic: Callable[..., Clinic]) -> None:
    """A work-list that cannot be read stops the run before anything is written: its reviews would be opened again."""
    at = clinic("observation", can=NO_TASK, reviews=["worklist"])
    at.drop.mkdir()
    (at.drop / "worklist.json").write_text("{")
    with pytest.raises(StopRun, match="FA443"):
        at.run()
    assert at.server.writes == []
