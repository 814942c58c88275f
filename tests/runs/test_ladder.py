"""Scores land on a server that takes no Observation: carried or as a file, once, and never with more in it."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pytest

from fhir_alliance.config import Config, DeliverySection
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.errors import Exit, StopRun
from fhir_alliance.fhir.identifiers import CONFIDENTIALITY
from fhir_alliance.runs import score_paper
from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores import singles
from fhir_alliance.stores.capability import Once, ServerProfile
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.probe import fetch_profile
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json
from fhir_alliance.views.report_pdf import report_pdf

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
REFUSING = {
    "refused": ("Observation",),
    "more": ("DocumentReference", "Patient", "ServiceRequest"),
    "conditional_create": True,
}
FILES = ["hl7v2", "csv"]
CARRIED = {"score-form": "QuestionnaireResponse", "document": "DocumentReference"}


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

        def run(
            rules: RuleSettings = RuleSettings(),  # noqa: B008 - frozen
            profile: ServerProfile | None = None,
            now: datetime = NOW,
            **how: Any,
        ) -> Summary:
            store = ServerStore(server.base, Http(server.base, sleep=lambda _: None), profile)
            try:
                policy = msgspec.structs.replace(Policy(), delivery=delivery, with_items=True, rules=rules)
                return sync(store, catalog, journal, policy, now, **how)
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


def ours(at: Clinic, way: str) -> list[dict[str, Any]]:
    """Return the resources that carry scores: documents, or answers to the score sheet."""
    found = at.server.all(CARRIED[way])
    return [r for r in found if way == "document" or "score-sheet" in r["questionnaire"]]


def carried(held: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the Observations in a document or a score form."""
    attachments = [content["attachment"] for content in held.get("content", ())]
    answers = [item["answer"][0] for item in held.get("item", ()) if "answer" in item]
    attachments += [answer["valueAttachment"] for answer in answers if "valueAttachment" in answer]
    [data] = [each["data"] for each in attachments if "fhir+json" in each["contentType"]]
    return [entry["resource"] for entry in json.loads(b64decode(data))["entry"]]


def value(held: dict[str, Any]) -> float:
    """Return the one score in a document or a score form."""
    [score] = [o["valueQuantity"]["value"] for o in carried(held) if "valueQuantity" in o]
    return float(score)


def key_of(held: dict[str, Any]) -> str:
    """Return the identifier of a resource that carries scores."""
    named = held["identifier"]
    return str((named[0] if isinstance(named, list) else named)["value"])


@pytest.mark.parametrize("way", CARRIED)
def test_a_carrier_where_no_observation_is_taken(clinic: Callable[..., Clinic], way: str) -> None:
    """The score stands in one resource, the summary says so, a receipt names it; a second run writes nothing."""
    at = clinic("observation", way)
    first = at.run()
    assert (first.exit, first.read, first.created[CARRIED[way]]) == (Exit.DONE, 1, 1)
    assert any("takes no Observation" in told for told in first.lower)
    [held] = ours(at, way)
    assert value(held) == 8
    [receipt] = at.receipts()
    assert (receipt["rung"], receipt["where"], receipt["key"]) == (way, held["id"], key_of(held))
    asked = len(at.server.writes)
    second = at.run()
    assert (second.exit, second.read, second.created.total(), second.updated.total()) == (Exit.DONE, 1, 0, 0)
    assert any("takes no Observation" in told for told in second.lower)
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


def test_a_document_on_paper(clinic: Callable[..., Clinic], monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents may be PDF: the words of the text, the same bytes each time, and plain where a letter fails."""
    drawn: list[Any] = []
    monkeypatch.setattr(score_paper, "report_pdf", lambda *said: drawn.append(said) or report_pdf(*said))
    at = clinic("document", documents="pdf")
    at.run()
    [document] = at.server.all("DocumentReference")
    first = document["content"][0]["attachment"]
    assert (first["contentType"], value(document)) == ("application/pdf", 8)
    assert b64decode(first["data"]).startswith(b"%PDF")
    [((block,), day)] = drawn
    assert block.text.splitlines()[2:] == ["PHQ-9 total: 8 - mild"]
    assert b64decode(first["data"]) == report_pdf((block,), day)
    monkeypatch.setattr(score_paper, "text_of", lambda sheet: "\u0434")
    at.server.load(AMENDED)
    at.run()
    [document] = at.server.all("DocumentReference")
    assert document["content"][0]["attachment"]["contentType"].startswith("text/plain")


def test_a_score_form_says_no_more_than_the_score(clinic: Callable[..., Clinic]) -> None:
    """A score form holds title, score and band in words, the labels of the scores, and no answer of the client's."""
    at = clinic("observation", "score-form")
    done = at.run()
    [form] = ours(at, "score-form")
    assert len(carried(form)) == 2
    [score] = [{i["linkId"]: i["answer"][0] for i in item["item"]} for item in form["item"] if "item" in item]
    del score["score-code"]
    said = {"score-name": {"valueString": "PHQ-9 total"}, "score-value": {"valueDecimal": 8}}
    assert score == said | {"score-band": {"valueString": "mild"}}
    assert {label["code"] for label in form["meta"]["security"]} == {"R", "PSY"}
    assert "44250-9" not in json.dumps(form)  # the code of an item
    assert any("single answers" in way for way in done.lower)


def test_a_score_form_is_found_by_its_one_identifier(clinic: Callable[..., Clinic]) -> None:
    """A response has one identifier and no list; a search for it finds it, so that no lower way is learnt."""
    at = clinic("score-form", can=REFUSING | {"conditional_create": False})
    assert at.run().exit is Exit.DONE
    assert at.journal.refusals(datetime.now(UTC)) == frozenset()


@pytest.mark.parametrize("changed", [{}, {"questionnaire": "urn:the-servers-own"}, {"identifier": {}}])
def test_our_own_form_is_nobodys_answers(clinic: Callable[..., Clinic], changed: dict[str, Any]) -> None:
    """A score form is not read as a client's: not scored, parked, counted, withdrawn, whatever was dropped of it."""
    at = clinic("score-form")
    at.run()
    [form] = ours(at, "score-form")
    for status in ("completed", "in-progress", "entered-in-error"):
        at.server.load(form | {"status": status, "meta": LATER} | changed)
        done = at.run()
        assert (done.exit, done.read, done.withdrawn, done.unfinished, done.parked) == (Exit.DONE, 1, 0, 0, [])


@pytest.mark.parametrize("carrier", CARRIED)
@pytest.mark.parametrize("way", ["batch", "singles"])
def test_an_amended_form_changes_its_carrier(clinic: Callable[..., Clinic], way: str, carrier: str) -> None:
    """What carries an amended form's scores is updated under its identifier; for a void form it is marked so."""
    at = clinic("observation", carrier, can=REFUSING | {"system": ("batch",) if way == "batch" else ()})
    at.run()
    [before] = ours(at, carrier)
    at.server.load(AMENDED)
    assert at.run().updated[CARRIED[carrier]] == 1
    [after] = ours(at, carrier)
    status = "docStatus" if carrier == "document" else "status"
    assert (value(after), after[status], after["identifier"]) == (16, "amended", before["identifier"])
    at.server.load(VOID)
    assert at.run().exit is Exit.DONE
    [void] = ours(at, carrier)
    assert (void["status"], void[status]) == ("entered-in-error", "entered-in-error")
    assert at.run().updated.total() == 0


@pytest.mark.parametrize("way", CARRIED)
def test_rules_see_scores_that_are_carried(clinic: Callable[..., Clinic], way: str) -> None:
    """A score that an earlier run left in another resource counts in the judgement of the next one."""
    at = clinic("observation", way)
    at.run()
    assert at.server.all("Task") == []
    at.server.load(WORSE)
    done = at.run()
    assert done.findings.total() > 0
    tasks = [t for t in at.server.all("Task") if t["code"]["coding"][0]["code"] == "goal-review"]
    assert len(tasks) == 1
    assert "Observation/" not in json.dumps(tasks)  # no reference leads nowhere


@pytest.mark.usefixtures("long_after")
@pytest.mark.parametrize("way", CARRIED)
@pytest.mark.parametrize("fault", ["CUT_BEFORE", "CUT_AFTER", "BUSY_AFTER", "THROTTLED"])
@pytest.mark.parametrize("conditional", [True, False])
def test_a_fault_at_a_carrier(
    clinic: Callable[..., Clinic], start_server: Any, fault: str, way: str, conditional: bool
) -> None:
    """Whatever happens to the answers, after one more run the scores stand, once."""
    at = clinic(way, can=REFUSING | {"conditional_create": conditional})
    at.server.faults = [start_server.faults[fault]] * 4
    at.run()
    at.server.faults.clear()
    assert at.run().exit is Exit.DONE
    assert len(ours(at, way)) == 1


@pytest.mark.parametrize("way", CARRIED)
def test_a_server_that_drops_identifiers(clinic: Callable[..., Clinic], way: str) -> None:
    """Where identifiers are dropped, a resource is known by what it carries, and updated, not doubled."""
    at = clinic("observation", way, can=REFUSING | {"dropped": ("identifier",)})
    at.run()
    at.server.load(AMENDED)
    at.run()
    [held] = ours(at, way)
    assert value(held) == 16


@pytest.mark.usefixtures("long_after")
@pytest.mark.parametrize("way", CARRIED)
def test_a_lost_answer_where_nothing_is_searched_by_identifier(
    clinic: Callable[..., Clinic], start_server: Any, way: str
) -> None:
    """What was written while its answer was lost is known again by its content, and not written twice."""
    by_content = {"conditional_create": False, "search": ("_id", "_lastUpdated", "patient", "url")}
    at = clinic(way, can=REFUSING | by_content | {"dropped": ("identifier",)})
    at.server.faults = [start_server.faults["CUT_AFTER"]]
    at.run()
    at.run()
    assert len(ours(at, way)) == 1


@pytest.mark.parametrize("way", CARRIED)
def test_a_lost_journal_finds_what_carries(clinic: Callable[..., Clinic], way: str) -> None:
    """A run that knows of none, on a server that refuses only when asked, updates the one that stands there."""
    at = clinic("observation", way)
    at.run()
    for table in ("refusal", "delivered", "bookmark"):
        at.journal._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
    at.server.load(AMENDED)
    at.run()
    [held] = ours(at, way)
    assert value(held) == 16


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


@pytest.mark.parametrize("way", [*CARRIED, *FILES])
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
    assert sum(len(ours(at, carrier)) for carrier in CARRIED) + len(at.files()) == 1
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
    assert (done.exit, [parked.code for parked in done.parked], at.files()) == (Exit.PARKED, ["FA437"], [])


@pytest.mark.parametrize("way", FILES)
def test_a_label_that_a_file_would_lose(clinic: Callable[..., Clinic], way: str) -> None:
    """What is labelled so that somebody must not see it is left in no file, for files lose labels."""
    at = clinic(way)
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "42CFRPart2"}
    at.server.load(FORM | {"meta": META | {"security": [label]}})
    done = at.run()
    assert ([parked.code for parked in done.parked], at.files()) == (["FA438"], [])


P1 = {"reference": "Patient/p1"}
CARE = {"resourceType": "CarePlan", "id": "c1", "status": "active", "intent": "plan", "subject": P1}
SESSION = {
    "resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}, "subject": P1,
    "period": {"start": "2025-12-10T10:00:00+01:00"},
}  # fmt: skip


@pytest.mark.parametrize("way", [*CARRIED, *FILES])
def test_nobody_is_called_silent_whose_forms_were_delivered(clinic: Callable[..., Clinic], way: str) -> None:
    """A client whose scores stand in documents or files is not said to have sent none since the last session.

    Of files, which nobody can read back, it is told that nobody was looked for.
    """
    at = clinic("observation", way)
    at.server.load(CARE, SESSION)
    rules = RuleSettings(silent_days=160)  # the session was 173 days ago, the form is 147 days old
    first = at.run(rules=rules)
    assert first.findings.total() == 0
    assert ["not looked at" in note for note in first.notes] == [True] * (way in FILES)
    assert first.as_object().get("notes", []) == first.notes
    at.server._held.pop(("QuestionnaireResponse", "r1"))  # so that nothing comes from the client in the next run
    assert at.run(rules=rules).findings.total() == 0


def test_one_way_alone_is_pinned(clinic: Callable[..., Clinic]) -> None:
    """A site that allows Observations only gets status 22 and nothing lower."""
    at = clinic("observation")
    done = at.run()
    assert (done.exit, at.files(), at.server.all("DocumentReference")) == (Exit.REFUSED, [], [])


@pytest.mark.parametrize("way", [*CARRIED, *FILES])
def test_a_dry_run_leaves_nothing(clinic: Callable[..., Clinic], way: str) -> None:
    """A dry run plans the lower way and leaves neither document, file nor receipt."""
    at = clinic(way)
    done = at.run(dry_run=True)
    assert done.created.total() == 1
    assert (at.files(), [ours(at, carrier) for carrier in CARRIED], at.receipts()) == ([], [[], []], [])


@pytest.mark.parametrize("way", [*CARRIED, *FILES])
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
    return (at.drop / "worklist.csv").read_text(encoding="utf-8-sig").splitlines()[1:]


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
    with pytest.raises(StopRun, match="FA439"):
        at.run()
    assert at.server.writes == []


REVIEWS = {"message": "Communication", "request": "ServiceRequest"}
ENDED = {"message": "stopped", "request": "revoked"}
OPEN = {"message": "in-progress", "request": "active"}
BY_PEOPLE = {"message": ("completed", "not-done", "stopped"), "request": ("completed", "revoked")}


def letters(at: Clinic, way: str) -> list[dict[str, Any]]:
    """Return the goal reviews that stand as messages or requests, oldest first."""
    found = [r for r in at.server.all(REVIEWS[way]) if "goal-review" in json.dumps(r.get("topic") or r["code"])]
    return sorted(found, key=lambda each: "inResponseTo" in each or "replaces" in each)


def review_in(letter: dict[str, Any]) -> dict[str, Any]:
    """Return the Task in a message or a request."""
    if letter["resourceType"] == "ServiceRequest":
        [task] = letter["contained"]
        return task
    return json.loads(b64decode(letter["payload"][1]["contentAttachment"]["data"]))


def said(letter: dict[str, Any]) -> str:
    """Return what people read in a message or a request."""
    return letter["payload"][0]["contentString"] if "payload" in letter else letter["note"][0]["text"]


MORE = response_json([2] * 8 + [0], name="r3", meta=LATER, authored="2026-01-26T10:00:00+01:00")
GONE = [WORSE | {"id": name, "status": "entered-in-error"} for name in ("r2", "r3")]


@pytest.mark.parametrize("way", REVIEWS)
@pytest.mark.parametrize("refused", [("Task",), ("Task", "Observation")])
@pytest.mark.parametrize("system", [(), ("batch",)])
def test_a_review_carried(
    clinic: Callable[..., Clinic], refused: tuple[str, ...], system: tuple[str, ...], way: str
) -> None:
    """Where no Task is taken, a review is one open message or request, told and receipted; a second run writes none."""
    can = NO_TASK | {"refused": refused, "system": system}
    at = clinic("observation", "score-form", can=can, reviews=["task", way])
    at.server.load(WORSE)
    first = at.run()
    assert first.exit is Exit.DONE
    [letter] = letters(at, way)
    assert (letter["status"], letter["subject"]) == (OPEN[way], {"reference": "Patient/p1"})
    assert {label["code"] for label in letter["meta"]["security"]} == {"R", "PSY"}
    assert "PHQ-9 total" in said(letter)
    named = [e["valueReference"].get("reference") for e in review_in(letter)["input"] if "valueReference" in e]
    named += [reason.get("reference") for reason in letter.get("reasonReference", ())]
    standing = {f"Observation/{o['id']}" for o in at.server.all("Observation")}
    assert {reference for reference in named if reference} <= standing
    assert [(r["output"], r["where"]) for r in at.receipts() if r["rung"] == way] == [("reviews", letter["id"])]
    assert any(f"{way}s" in told for told in first.lower)
    second = at.run()
    assert (second.exit, second.created.total(), second.updated.total()) == (Exit.DONE, 0, 0)


def test_a_request_is_no_order(clinic: Callable[..., Clinic]) -> None:
    """A request is a proposal by us with the review's priority, time and reasons, and has no label inside itself."""
    at = clinic("observation", can=NO_TASK, reviews=["task", "request", "message"])
    at.server.load(WORSE)
    at.run()
    [request] = letters(at, "request")
    task = review_in(request)
    assert [request["intent"], task["intent"]] == ["proposal"] * 2
    assert request["requester"] == task["requester"]
    assert (request["priority"], request["occurrencePeriod"]) == (task["priority"], task["restriction"]["period"])
    assert request["reasonReference"] == [{"reference": task["reasonReference"]["reference"]}]
    assert request["supportingInfo"][-1] == {"reference": f"#{task['id']}"}
    assert "meta" not in task
    assert letters(at, "message") == []


def test_no_request_where_the_site_allows_none(clinic: Callable[..., Clinic]) -> None:
    """What the configuration says by itself makes no request: some EHRs show each in a queue of orders."""
    at = clinic("observation", can=NO_TASK)
    at.server.load(WORSE)
    at.run()
    assert (at.server.all("ServiceRequest"), len(letters(at, "message"))) == ([], 1)


@pytest.mark.parametrize("way", REVIEWS)
def test_what_carries_follows_its_review(clinic: Callable[..., Clinic], way: str) -> None:
    """Evidence joins the one that stands; when the review has lost its ground, it is ended and says why."""
    at = clinic("observation", can=NO_TASK, reviews=[way])
    at.server.load(WORSE)
    at.run()
    [before] = letters(at, way)
    at.server.load(MORE)
    assert at.run().updated[REVIEWS[way]] == 1
    [after] = letters(at, way)
    assert len(review_in(after)["input"]) > len(review_in(before)["input"])
    assert after["status"] == OPEN[way]
    kept = (
        ("identifier", "sent", "priority") if way == "message" else ("identifier", "authoredOn", "priority", "intent")
    )
    assert all(after[name] == before[name] for name in kept)
    at.server.load(*GONE)
    at.run()
    [ended] = letters(at, way)
    assert (ended["status"], review_in(ended)["statusReason"]["coding"][0]["code"]) == (ENDED[way], "ground-lost")
    why = review_in(ended)["statusReason"]["text"]
    assert why == (ended["statusReason"]["text"] if way == "message" else ended["note"][1]["text"])
    done = at.run()
    assert (done.created.total(), done.updated.total()) == (0, 0)
    at.server.load(WORSE)
    at.run()
    [again] = letters(at, way)
    assert (again["status"], "statusReason" in again, "statusReason" in review_in(again)) == (OPEN[way], False, False)
    assert len(again.get("note", [0])) == 1


@pytest.mark.parametrize(("way", "status"), [(way, status) for way, ends in BY_PEOPLE.items() for status in ends])
def test_what_people_ended_is_respected(clinic: Callable[..., Clinic], way: str, status: str) -> None:
    """A message or request that somebody has ended is not opened again, and the quiet time runs from then on."""
    at = clinic("observation", can=NO_TASK, reviews=[way])
    at.server.load(WORSE)
    at.run()
    [letter] = letters(at, way)
    meta = letter["meta"] | {"lastUpdated": "2026-02-01T10:00:00Z"}
    at.server.load(letter | {"status": status, "meta": meta}, MORE)
    done = at.run()
    assert (done.exit, [each["status"] for each in letters(at, way)]) == (Exit.DONE, [status])


@pytest.mark.parametrize("way", REVIEWS)
def test_what_people_added_stays(clinic: Callable[..., Clinic], way: str) -> None:
    """A note, another person in charge, a higher label and priority that people set outlive what joins the review."""
    at = clinic("observation", can=NO_TASK, reviews=[way])
    at.server.load(WORSE)
    at.run()
    [letter] = letters(at, way)
    note, label = {"authorString": "Lea", "text": "Asked her."}, {"system": CONFIDENTIALITY, "code": "V"}
    whom = {"recipient" if way == "message" else "performer": [{"reference": "Practitioner/other"}]}
    meta = {"security": [label, *letter["meta"]["security"][1:]]}
    at.server.load(letter | {"note": [note, *letter.get("note", ())], "priority": "asap", "meta": meta} | whom, MORE)
    assert at.run().updated[REVIEWS[way]] == 1
    [after] = letters(at, way)
    assert note in after["note"]
    assert (after["priority"], {name: after[name] for name in whom}) == ("asap", whom)
    assert {each["code"] for each in after["meta"]["security"]} == {"V", "PSY"}
    assert len(review_in(after)["input"]) > len(review_in(letter)["input"])


@pytest.mark.parametrize("way", REVIEWS)
def test_what_carries_cannot_be_changed(clinic: Callable[..., Clinic], way: str) -> None:
    """Where it is not updated, what joins a review comes as one that follows; that the review ended is told."""
    at = clinic("observation", can=NO_TASK | {"fixed": (REVIEWS[way],)}, reviews=["task", way])
    at.server.load(WORSE)
    at.run()
    [first] = letters(at, way)
    at.server.load(MORE)
    at.run()
    at.run()
    [_, second] = letters(at, way)
    follows = second["inResponseTo" if way == "message" else "replaces"]
    assert follows == [{"reference": f"{REVIEWS[way]}/{first['id']}"}]
    assert len(review_in(second)["input"]) > len(review_in(first)["input"])
    assert at.run().created.total() == 0
    at.server.load(*GONE)
    done = at.run()
    assert any("tell whoever got it" in told for told in done.lower)
    assert [each["status"] for each in letters(at, way)] == [OPEN[way]] * 2
    at.server.can.fixed = ()
    at.journal._db.execute("DELETE FROM refusal")  # as a day does
    at.run()
    [_, last] = letters(at, way)
    assert (last["status"], last["identifier"]) == (ENDED[way], second["identifier"])


@pytest.mark.parametrize("way", REVIEWS)
@pytest.mark.parametrize("once", ["conditional-create", "journal-only"])
def test_what_carries_cannot_be_read(clinic: Callable[..., Clinic], once: str, way: str) -> None:
    """Where nobody sees which reviews stand, the same reasons are told once, and new ones are told."""
    kind = REVIEWS[way]
    at = clinic("observation", can=NO_TASK | {"unread": (kind,)}, reviews=[way])
    profile = fetch_profile(Http(at.server.base))
    held = profile.of(kind).model_copy(update={"once": Once(once)})
    profile = profile.model_copy(update={"types": {**profile.types, kind: held}})
    at.server.load(WORSE)
    for expected, form in ((1, WORSE), (1, WORSE), (2, MORE), (2, MORE)):
        at.server.load(form)
        done = at.run(profile=profile, now=NOW + timedelta(hours=len(at.server.writes)))
        assert (done.exit, len(letters(at, way)), done.updated[kind]) == (Exit.DONE, expected, 0)


@pytest.mark.usefixtures("long_after")
@pytest.mark.parametrize("way", REVIEWS)
@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("fault", ["CUT_BEFORE", "CUT_AFTER", "BUSY_AFTER", "THROTTLED"])
def test_a_fault_at_a_carried_review(
    clinic: Callable[..., Clinic], start_server: Any, fault: str, conditional: bool, way: str
) -> None:
    """Whatever happens to the answers, after one more run the review stands in one message or request."""
    can = NO_TASK | {"refused": ("Task", "Observation"), "conditional_create": conditional}
    at = clinic("document", can=can, reviews=[way])
    at.server.load(WORSE)
    at.server.faults = [start_server.faults["NONE"]] * 2 + [start_server.faults[fault]] * 4
    at.run()
    at.server.faults.clear()
    at.run()
    assert len(letters(at, way)) == 1


@pytest.mark.usefixtures("long_after")
@pytest.mark.parametrize("way", REVIEWS)
def test_what_is_somebody_elses_is_not_taken_for_ours(clinic: Callable[..., Clinic], way: str) -> None:
    """Where nothing is searched by identifier, a stranger's message or order stands for no review, and stays."""
    by_content = {"conditional_create": False, "search": ("_id", "_lastUpdated", "patient", "url")}
    at = clinic("observation", can=NO_TASK | by_content | {"dropped": ("identifier",)}, reviews=[way])
    order = {"contained": ["?"], "code": {"text": "blood count"}, "intent": "order", "meta": {"security": "?"}}
    letter = {"resourceType": REVIEWS[way], "id": "letter", "status": OPEN[way], "subject": P1} | order
    at.server.load(letter, WORSE, response_json([1] * 9, name="r9", meta=META))
    at.run()
    at.run()
    assert at.server.all(REVIEWS[way])[0] == letter
    ours = [r for r in at.server.all("Communication") + at.server.all("ServiceRequest") if r is not letter]
    told = [(r.get("topic") or r["code"])["coding"][0]["code"] for r in ours]
    assert sorted(told) == ["goal-review", "safety-review"]


def test_a_form_without_an_id_waits_where_it_stands(catalog: Catalog, tmp_path: Path) -> None:
    """A form without an id that cannot be left is parked by file and line, not by a key that nobody can look up."""
    folder = tmp_path / "export"
    folder.mkdir()
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "42CFRPart2"}
    bare = {name: value for name, value in FORM.items() if name != "id"} | {"meta": {"security": [label]}}
    (folder / "QuestionnaireResponse.ndjson").write_text(json.dumps(bare) + "\n")
    journal, store = Journal(tmp_path / "state", str(folder)), FolderStore(folder)
    delivery = DeliverySection.model_validate({"scores": ["hl7v2"], "folder": tmp_path / "drop"})
    done = sync(store, catalog, journal, msgspec.structs.replace(Policy(), delivery=delivery), NOW)
    told = [(parked.code, parked.reference) for parked in done.parked]
    assert (told, journal.parked()) == ([("FA438", "QuestionnaireResponse.ndjson:1")], [])
    store.close()
    journal.close()
