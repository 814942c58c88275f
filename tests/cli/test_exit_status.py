"""How a command ends: the exit status is a contract, and every error is one line with a stable code."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import responses
from click.testing import Result

from fhir_alliance.stores.journal import Journal
from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]

EHR = "https://ehr.example/fhir"
HIDDEN = "s3cret-t0ken"
NO_ITEMS = {"item": [], "questionnaire": "https://example.org/Questionnaire/none"}


@pytest.fixture
def ehr(statement: dict[str, Any]) -> Iterator[responses.RequestsMock]:
    """A server with one form and nothing else; tests add what it says to a transaction."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as server:
        kind = "application/fhir+json"
        form = {"resource": response_json([1] * 8 + [0]), "search": {"mode": "match"}}
        for known in ("Task", "Questionnaire"):
            server.get(f"{EHR}/{known}", json={"resourceType": "Bundle"}, content_type=kind)
        server.get(f"{EHR}/QuestionnaireResponse", json={"resourceType": "Bundle", "entry": [form]}, content_type=kind)
        server.get(f"{EHR}/metadata", json=statement, content_type=kind)
        server.post(re.compile(rf"{EHR}/\w+/_search"), json={"resourceType": "Bundle"}, content_type=kind)
        yield server


def code_of(done: Result) -> str:
    """Return the code of the error, which has to stand first in its only line; no traceback, nothing on stdout."""
    found = re.fullmatch(r"(FA\d{3}) \S.+[.?]\n", done.stderr)
    assert found, done.stderr
    assert done.stdout == ""
    return found[1]


def test_done(run: Run, clinic: Clinic) -> None:
    """0: everything was done."""
    assert run("score", clinic()).exit_code == 0


@pytest.mark.parametrize(
    "words",
    ["nonsense", "score", "score --nonsense clinic", "score nowhere.ndjson", "score clinic --json", "instruments show"],
)
def test_usage(run: Run, clinic: Clinic, words: str) -> None:
    """2: the words are wrong; nothing is done."""
    clinic()
    done = run(*words.split())
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Error: " in done.stderr


@pytest.mark.parametrize("command", ["score", "sync"])
def test_parked(run: Run, clinic: Clinic, command: str) -> None:
    """20: done, but a record waits for a person."""
    folder = clinic(response_json([1] * 9, name="good"), response_json([None] * 9, name="bad", **NO_ITEMS))
    done = run("score", folder) if command == "score" else run("sync", "--store", folder)
    assert done.exit_code == 20
    assert "2 forms read" in done.stderr


def test_another_run_holds_the_lease(run: Run, clinic: Clinic) -> None:
    """75: another run holds the lease; nothing is written."""
    folder = clinic()
    journal = Journal(folder / ".fhir-alliance", str(folder.resolve()))
    try:
        for command in ("sync", "publish"):
            done = run(command, "--store", folder)
            assert (done.exit_code, code_of(done)) == (75, "FA501")
    finally:
        journal.close()
    assert list(folder.glob("*.fhir-alliance.ndjson")) == []


def test_unreachable(run: Run) -> None:
    """12: nobody answers at the address; its host is named, and nothing of the search."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and not listening
        port = closed.getsockname()[1]
        done = run("sync", "--store", f"http://127.0.0.1:{port}/fhir")
    assert (done.exit_code, code_of(done)) == (12, "FA402")
    assert f"127.0.0.1:{port} does not answer" in done.stderr


@pytest.mark.parametrize(
    ("status", "ends", "code"),
    [(401, 11, "FA406"), (403, 11, "FA406")],
)
def test_a_server_that_does_not_accept_us(
    run: Run, ehr: responses.RequestsMock, status: int, ends: int, code: str
) -> None:
    """11: who we are is not accepted."""
    ehr.post(EHR + "/", status=status)
    done = run("sync", "--store", EHR)
    assert (done.exit_code, code_of(done)) == (ends, code)


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_that_takes_no_writes(run: Run, ehr: responses.RequestsMock, here: Path, status: int) -> None:
    """22: the server takes nothing of ours, neither together nor one by one; the form waits with that reason."""
    ehr.post(EHR + "/", status=status)
    ehr.post(re.compile(rf"{EHR}/(Task|Observation)$"), status=status)
    done = run("sync", "--store", EHR, "--parked", "parked.ndjson")
    assert done.exit_code == 22, done.stderr
    assert "sent one at a time" in done.stderr
    assert "FA408" in (here / "parked.ndjson").read_text(encoding="utf-8")


def test_unknown_outcome(run: Run, ehr: responses.RequestsMock) -> None:
    """21: the server never said what became of the writes; they are counted as unknown."""
    ehr.post(EHR + "/", status=503, headers={"Retry-After": "0"})
    done = run("sync", "--store", EHR, "--json")
    assert done.exit_code == 21
    assert json.loads(done.stdout)["unknown"] == 2
    assert "outcome is not known" in done.stderr


def test_later(run: Run) -> None:
    """75: a server that only asks for patience ends the run; later it may succeed."""
    with responses.RequestsMock() as busy:
        for kind in ("Task", "metadata", "Questionnaire"):
            busy.get(f"{EHR}/{kind}", status=429, headers={"Retry-After": "0"})
        done = run("sync", "--store", EHR)
    assert (done.exit_code, code_of(done)) == (75, "FA403")


@pytest.mark.parametrize("name", ["Consent.ndjson", "Consent.json", "consents.json"])
@pytest.mark.parametrize("command", ["score", "sync"])
def test_consents_unreadable(run: Run, clinic: Clinic, command: str, name: str) -> None:
    """23: a Consent that cannot be read may say no, so nothing is shared; but a safety answer is raised before that."""
    folder = clinic()
    (folder / name).write_text('{"resourceType": "Consent", "status": "active", "provision"\n', encoding="utf-8")
    done = run("score", folder) if command == "score" else run("sync", "--store", folder)
    assert (done.exit_code, code_of(done)) == (23, "FA301")
    assert {path.name for path in folder.glob("*.fhir-alliance.ndjson")} <= {"Task.fhir-alliance.ndjson"}
    if command == "sync":
        [task] = map(json.loads, (folder / "Task.fhir-alliance.ndjson").read_text().splitlines())
        assert task["code"]["coding"][0]["code"] == "safety-review"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[stor]\nlocation = 'x'\n", "FA122"),
        ("[store]\nlocaton = 'x'\n", "FA122"),
        (f"[auth]\ntoken = '{HIDDEN}'\n", "FA122"),
        (f"[consent]\ndefault = '{HIDDEN}'\n", "FA122"),
        ("store = 'x'\n", "FA122"),
        ("[rules]\nsd_units = 0\n", "FA122"),
        ("[store\n", "FA121"),
        ("[auth]\nkind = 'bearer'\n", "FA115"),
        ("[auth]\nkind = 'bearer'\ntoken_file = 'nowhere'\n", "FA112"),
        ("[auth]\nkind = 'bearer'\ntoken_file = 'open'\n", "FA113"),
        ("[auth]\nkind = 'bearer'\ntoken_file = 'binary'\n", "FA112"),
        ("[instruments]\nfolders = ['nowhere']\n", "FA102"),
    ],
)
def test_configuration(run: Run, here: Path, text: str, code: str) -> None:
    """10: a configuration that is not understood is an error with its code; values are not repeated."""
    (here / "fhir-alliance.toml").write_text(text, encoding="utf-8")
    (here / "open").write_text(HIDDEN, encoding="utf-8")
    (here / "open").chmod(0o644)
    (here / "binary").write_bytes(b"\xff\xfe\x00")
    (here / "binary").chmod(0o600)
    done = run("publish", "--dry-run", "--store", EHR)
    assert (done.exit_code, code_of(done)) == (10, code)
    assert HIDDEN not in done.stderr


@pytest.mark.parametrize("name", ["FHIR_ALLIANCE_STOR__LOCATION", "FHIR_ALLIANCE_STORE__LOCATON"])
@pytest.mark.parametrize("file", ["", "store = 'x'\n"], ids=["alone", "over a file that is wrong"])
def test_configuration_from_the_environment(run: Run, here: Path, name: str, file: str) -> None:
    """10: unknown keys in the environment are errors too, whatever the file says."""
    (here / "fhir-alliance.toml").write_text(file, encoding="utf-8")
    done = run("instruments", "list", **{name: HIDDEN})
    assert (done.exit_code, code_of(done)) == (10, "FA122")
    assert HIDDEN not in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--config nowhere.toml instruments list", "FA120"),
        ("instruments show nonsense", "FA101"),
        ("sync", "FA114"),
        ("sync --store nowhere", "FA110"),
        ("score clinic --out link", "FA111"),
        ("score clinic --parked link", "FA111"),
        ("score clinic --out nowhere/out.ndjson", "FA124"),
        ("score clinic --out clinic", "FA124"),
        ("sync --store clinic --parked clinic", "FA124"),
        ("init --file nowhere/x.toml", "FA124"),
    ],
)
def test_a_person_has_to_change_something(run: Run, clinic: Clinic, here: Path, words: str, code: str) -> None:
    """10: what was named is not there or may not be written; nothing is written through a link."""
    clinic()
    (here / "target").write_text("mine", encoding="utf-8")
    (here / "link").symlink_to("target")
    done = run(*words.split())
    told = done.stderr[done.stderr.rindex("FA") :] if "FA" in done.stderr else done.stderr
    assert (done.exit_code, told[:5]) == (10, code)
    assert "Traceback" not in done.stderr
    assert (here / "target").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:99999/fhir",
        "http://127.0.0.1:port/fhir",
        "http://[bad/fhir",
        "http://",
        f"http://u:{HIDDEN}@127.0.0.1:1/",
    ],
)
def test_an_address_that_cannot_be_one(run: Run, address: str) -> None:
    """10: an address that no server can have, or that carries a password, is told at once."""
    done = run("publish", "--dry-run", "--store", address)
    code_of(done)
    assert done.exit_code == 10
    assert HIDDEN not in done.stderr


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Goal", "id": "g", "subject": "Patient/p1"},
        {"resourceType": "CareTeam", "id": "t", "subject": {"reference": "Patient/p1"}, "participant": 5},
        {"resourceType": "Task", "id": "t", "for": {"reference": "Patient/p1"}, "identifier": 5},
        {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/p1"}, "identifier": [5]},
        {"resourceType": "Questionnaire", "id": "q", "item": 5},
        {"resourceType": "Questionnaire", "id": "q", "item": [{"linkId": "a", "code": [5]}]},
    ],
    ids=lambda resource: "-".join((resource["resourceType"], list(resource)[-1])),
)
def test_a_misshapen_resource_stops_nothing(run: Run, clinic: Clinic, resource: dict[str, object]) -> None:
    """A resource of another type that is not shaped as FHIR never stops the scoring of good forms."""
    done = run("sync", "--store", clinic(response_json([1] * 9), resource), "--json")
    assert done.exit_code in (0, 20), done.stderr
    assert json.loads(done.stdout)["scored"] == 1


@pytest.mark.parametrize("patient", ["Patient/p1", ["Patient/p1"], 5])
@pytest.mark.parametrize("command", ["score", "sync"])
def test_a_misshapen_consent_shares_nothing(run: Run, clinic: Clinic, command: str, patient: object) -> None:
    """23: a Consent whose patient cannot be told may be anybody's no, so nothing is shared."""
    folder = clinic(response_json([1] * 9), {"resourceType": "Consent", "status": "active", "patient": patient})
    done = run("score", folder) if command == "score" else run("sync", "--store", folder)
    assert done.exit_code == 23, done.stderr
    code_of(done)
