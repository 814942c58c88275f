"""Bulk Data: what a server exports lands whole and checked in a folder, or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import Result

from fhir_alliance.stores import bulk, bulk_folder, bulk_lines
from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Start: TypeAlias = Callable[..., Any]

FORM = response_json([1] * 9, name="r1")
DENIED = {
    "resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"},
    "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
    "provision": {"type": "deny"},
}  # fmt: skip
FORMS, CONSENTS = "/files/QuestionnaireResponse.ndjson", "/files/Consent.ndjson"


def ndjson(*resources: dict[str, Any]) -> bytes:
    """Return resources as lines."""
    return b"".join(json.dumps(resource).encode() + b"\n" for resource in resources)


def deletion(*urls: str) -> bytes:
    """Return a line that says what was deleted."""
    entries = [{"request": {"method": "DELETE", "url": url}} for url in urls]
    return ndjson({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def lines(here: Path, name: str) -> list[dict[str, Any]]:
    """Return the resources of a file that landed."""
    return [json.loads(line) for line in (here / "out" / name).read_text().splitlines()]


def landed(here: Path) -> list[str]:
    """Return the names of the files that landed."""
    return sorted(path.name for path in (here / "out").glob("*.ndjson"))


def ask(run: Run, server: Any, *words: str) -> Result:
    """Export a group's resources into ./out."""
    return run("export", "--store", server.base, "--out", "out", "--group", "g", *words)


def test_an_export_lands_and_is_synced(run: Run, here: Path, start_bulk: Start) -> None:
    """Kick-off, polling, files and DELETE go by the standard, and sync then scores what landed."""
    server = start_bulk(files={FORMS: ndjson(FORM)}, polls=[(202, {"Retry-After": "0"}), (429, {"Retry-After": "0"})])
    said = ask(run, server, "--sync", "--json")
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["scored"] == 1
    assert lines(here, "QuestionnaireResponse.000.ndjson") == [FORM]
    method, path, headers = server.asked[0]
    assert (method, headers["Prefer"], headers["Accept"]) == ("GET", "respond-async", "application/fhir+json")
    assert path.startswith("/fhir/Group/g/$export?")
    assert "Consent" in path
    assert "QuestionnaireResponse" in path
    assert server.paths("DELETE") == ["/fhir/jobs/1"]
    assert not (here / "out" / ".export" / "running.json").exists()
    assert (here / "out" / "QuestionnaireResponse.000.ndjson").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"output": [{"type": "Patient", "url": "http://127.0.0.2:9/steal"}]}, "FA401"),
        ({"output": [{"type": "Patient", "url": "file:///etc/passwd"}]}, "FA401"),
        ({"output": [{"type": "Patient", "url": "http://127.0.0.2:9/x"}], "requiresAccessToken": False}, "FA401"),
        ({"output": [{"type": "Patient", "url": "file:///etc/passwd"}], "requiresAccessToken": False}, "FA401"),
        ({"output": [{"type": "../../evil", "url": FORMS}]}, "FA440"),
        ({"output": [{"type": "Bundle", "url": FORMS}]}, "FA440"),
        ({"output": [{"type": "Patient", "url": FORMS}] * 10_001}, "FA440"),
        ({"output": "all"}, "FA440"),
        ({"transactionTime": "today"}, "FA440"),
        ({"transactionTime": None}, "FA440"),
        ({"transactionTime": "2026-05-01T10:00:00"}, "FA440"),
        ({"link": [{"relation": "next", "url": "x"}]}, "FA440"),
        ({"output": [{"type": "Patient", "url": FORMS}]}, "FA447"),
        ({"output": [{"type": "QuestionnaireResponse", "url": FORMS, "count": 2}]}, "FA447"),
        ({"output": [{"type": "QuestionnaireResponse", "url": "/nowhere"}]}, "FA446"),
    ],
)
def test_a_hostile_manifest_lands_nothing(
    run: Run, here: Path, start_bulk: Start, quick: None, changes: dict[str, Any], code: str
) -> None:
    """A manifest that leads elsewhere, names no type of FHIR, or lies of its files, puts nothing into the folder."""
    said = ask(run, start_bulk(files={FORMS: ndjson(FORM)}, changes=changes))
    assert code in said.stderr, said.output
    assert landed(here) == []
    assert list(here.rglob("*evil*")) == []


@pytest.mark.parametrize("body", [b'{"resourceType":"Questionn', b"<html>\n<p>\n", ndjson(FORM) + b"[]", b"null\n"])
def test_files_that_are_not_whole_land_nothing(
    run: Run, here: Path, start_bulk: Start, quick: None, body: bytes
) -> None:
    """A file that is cut off, or holds no resource at all, keeps the whole export out of the folder."""
    said = ask(run, start_bulk(files={CONSENTS: ndjson(DENIED), FORMS: body}))
    assert said.exit_code == 12
    assert "FA447" in said.stderr
    assert landed(here) == []


BAD = b'[]\n{"resourceType":"QuestionnaireResponse","id":"anna-smith\n\n{"resourceType":"Patient","id":"anna-smith"}\n'


def test_lines_that_are_no_resources_are_left_out_and_told(run: Run, here: Path, start_bulk: Start) -> None:
    """Single bad lines keep nothing else back: they are told by place, without their text, and asked for again."""
    server = start_bulk(files={CONSENTS: ndjson(DENIED), FORMS: BAD + ndjson(FORM)})
    said = ask(run, server, "--json")
    assert said.exit_code == 20
    assert json.loads(said.stdout)["bad_lines"] == 3
    assert lines(here, "QuestionnaireResponse.000.ndjson") == [FORM]
    told = (here / "out" / ".export" / "bad-lines.ndjson").read_text()
    found = [json.loads(line) for line in told.splitlines()]
    assert [(each["type"], each["file"], each["line"]) for each in found] == [
        ("QuestionnaireResponse", 2, 1), ("QuestionnaireResponse", 2, 2), ("QuestionnaireResponse", 2, 4),
    ]  # fmt: skip
    assert "anna" not in told + said.output
    server.files[FORMS] = ndjson(FORM)
    assert ask(run, server, "--since", "last").exit_code == 0
    assert "_since" not in [p for _, p, _ in server.asked if "$export" in p][1]
    assert not (here / "out" / ".export" / "bad-lines.ndjson").exists()


def test_bad_lines_are_known_after_a_stop(run: Run, here: Path, start_bulk: Start, quick: None) -> None:
    """A run that stops after a file with bad lines, and goes on later, still tells them."""
    server = start_bulk(files={"/files/1/Goal.ndjson": b'[]\n{"resourceType":"Goal"}\n', FORMS: b"{"})
    assert ask(run, server).exit_code == 12
    server.files[FORMS] = ndjson(FORM)
    said = ask(run, server, "--json")
    assert (said.exit_code, json.loads(said.stdout)["bad_lines"]) == (20, 1)


@pytest.mark.parametrize(
    "files",
    [
        {"files": {CONSENTS: b"[]\n" + ndjson(DENIED)}},
        {"files": {"/files/EpisodeOfCare.ndjson": b'[]\n{"resourceType":"EpisodeOfCare"}\n'}},
        {"files": {"/files/Encounter.ndjson": b'[]\n{"resourceType":"Encounter"}\n'}},
        {"files": {FORMS: ndjson(FORM, DENIED, FORM)}},
        {"files": {FORMS: ndjson(FORM)}, "deleted": {"/files/Deleted.ndjson": b"[]\n" + deletion("Consent/c1")}},
    ],
    ids=["Consent", "EpisodeOfCare", "Encounter", "a Consent elsewhere", "deleted"],
)
def test_what_can_forbid_is_whole_or_nothing_lands(
    run: Run, here: Path, start_bulk: Start, quick: None, files: dict[str, Any]
) -> None:
    """Where the line that is lost could be the one that says no, nothing lands: without it, all would be shared."""
    said = ask(run, start_bulk(**files))
    assert said.exit_code == 12
    assert "FA447" in said.stderr
    assert landed(here) == []


def test_too_many_bad_lines_stop(
    run: Run, here: Path, start_bulk: Start, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of which much is bad is no file with a slip in it."""
    monkeypatch.setattr(bulk_lines, "MOST_BAD", 2)
    assert ask(run, start_bulk(files={FORMS: BAD + ndjson(FORM)})).exit_code == 12
    assert landed(here) == []


def test_a_file_larger_than_allowed_stops(
    run: Run, here: Path, start_bulk: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is bounded as it comes, not when it is there."""
    monkeypatch.setattr(bulk, "MAX_FILE", 1000)
    said = ask(run, start_bulk(files={FORMS: ndjson(FORM) * 10}))
    assert said.exit_code == 10
    assert "FA404" in said.stderr
    assert landed(here) == []


def test_a_line_larger_than_allowed_is_left_out(
    run: Run, here: Path, start_bulk: Start, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form too large to be held is left out and told by its place (20); the others land."""
    monkeypatch.setattr(bulk_lines, "MAX_LINE", 10_000)
    large = FORM | {"id": "large", "text": {"status": "additional", "div": "x" * 20_000}}
    said = ask(run, start_bulk(files={FORMS: ndjson(FORM, large, FORM | {"id": "r2"})}))
    assert said.exit_code == 20, said.stderr
    assert lines(here, "QuestionnaireResponse.000.ndjson") == [FORM, FORM | {"id": "r2"}]
    [bad] = lines(here, ".export/bad-lines.ndjson")
    assert (bad["line"], bad["reason"]) == (2, "is longer than 10000 bytes")


def test_a_file_that_breaks_off_is_fetched_again(run: Run, here: Path, start_bulk: Start, quick: None) -> None:
    """A connection that ends in the middle of a file leaves nothing of that attempt."""
    server = start_bulk(files={FORMS: ndjson(FORM)}, cut={FORMS: 2})
    assert ask(run, server).exit_code == 0
    assert lines(here, "QuestionnaireResponse.000.ndjson") == [FORM]
    assert server.paths().count(FORMS) == 3


def test_what_is_fetched_is_not_fetched_again(run: Run, here: Path, start_bulk: Start, quick: None) -> None:
    """A run that stopped between two files goes on with the second, on the same job."""
    server = start_bulk(files={CONSENTS: ndjson(DENIED), FORMS: b"{"})
    assert ask(run, server).exit_code == 12
    server.files[FORMS] = ndjson(FORM)
    assert ask(run, server).exit_code == 0
    assert landed(here) == ["Consent.000.ndjson", "QuestionnaireResponse.000.ndjson"]
    assert server.paths().count(CONSENTS) == 1
    assert server.paths().count("/fhir/Group/g/$export") == 1


def test_not_ready_yet_ends_with_75_and_goes_on(run: Run, here: Path, start_bulk: Start) -> None:
    """A job that is not ready stays on the server, and the same command goes on with it."""
    server = start_bulk(files={FORMS: ndjson(FORM)}, polls=[(202, {"Retry-After": "120"})])
    assert ask(run, server, "--wait", "0").exit_code == 75
    assert ask(run, server, "--wait", "0").exit_code == 0
    assert server.paths().count("/fhir/Group/g/$export") == 1
    assert landed(here) == ["QuestionnaireResponse.000.ndjson"]


def test_a_job_that_is_gone_is_begun_anew(run: Run, here: Path, start_bulk: Start) -> None:
    """A job that the server no longer knows is forgotten here too."""
    server = start_bulk(files={FORMS: ndjson(FORM)}, is_gone=True)
    assert ask(run, server).exit_code == 75
    server.is_gone = False
    assert ask(run, server).exit_code == 0
    assert server.paths().count("/fhir/Group/g/$export") == 2


@pytest.mark.parametrize(
    ("kick_off", "code"),
    [
        ((400, {}), "FA442"),
        ((404, {}), "FA442"),
        ((200, {}), "FA442"),
        ((401, {}), "FA406"),
        ((503, {"Retry-After": "0"}), "FA441"),
        ((202, {"Content-Location": "http://127.0.0.2:9/jobs/1"}), "FA401"),
        ((202, {"Content-Location": "file:///etc/passwd"}), "FA401"),
        ((302, {"Location": "http://127.0.0.2:9/"}), "FA442"),
    ],
)
def test_a_kick_off_that_starts_nothing_leaves_nothing(
    run: Run, here: Path, start_bulk: Start, kick_off: tuple[int, dict[str, str]], code: str
) -> None:
    """Where no job starts, or it is said to be elsewhere, nothing is kept that a later run would wait for."""
    said = ask(run, start_bulk(kick_off=kick_off))
    assert code in said.stderr
    assert not (here / "out" / ".export" / "running.json").exists()


def test_a_failed_job_is_told(run: Run, start_bulk: Start) -> None:
    """A job that fails on the server is no job to wait for: the next run begins another."""
    server = start_bulk(polls=[(500, {})])
    said = ask(run, server)
    assert said.exit_code == 10
    assert "FA444" in said.stderr
    assert ask(run, server).exit_code == 0
    assert server.paths().count("/fhir/Group/g/$export") == 2


def test_changes_replace_and_deletions_remove(run: Run, here: Path, start_bulk: Start) -> None:
    """After an export of changes each resource stands once, in its newest version, and what was deleted is gone."""
    other, third = FORM | {"id": "r2"}, FORM | {"id": "r3"}
    server = start_bulk(files={FORMS: ndjson(FORM, other, third), CONSENTS: ndjson(DENIED | {"status": "draft"})})
    assert ask(run, server).exit_code == 0
    amended = FORM | {"status": "amended"}
    server.files = {FORMS: ndjson(amended), CONSENTS: ndjson(DENIED)}
    server.deleted = {"/files/Deleted.ndjson": deletion("QuestionnaireResponse/r2")}
    said = ask(run, server, "--since", "last", "--json")
    assert said.exit_code == 0
    assert json.loads(said.stdout)["deleted"] == 1
    assert "_since=2026-05-01T10%3A00%3A00%2B00%3A00" in [p for _, p, _ in server.asked if "$export" in p][1]
    assert lines(here, "QuestionnaireResponse.000.ndjson") == [third]
    assert lines(here, "QuestionnaireResponse.001.ndjson") == [amended]
    assert lines(here, "Consent.000.ndjson") == []
    assert lines(here, "Consent.001.ndjson") == [DENIED]


def test_a_whole_export_takes_the_place_of_the_last(run: Run, here: Path, start_bulk: Start) -> None:
    """What a whole export no longer holds is gone from the folder."""
    server = start_bulk(files={FORMS: ndjson(FORM), CONSENTS: ndjson(DENIED)})
    assert ask(run, server).exit_code == 0
    server.files = {FORMS: ndjson(FORM)}
    assert ask(run, server).exit_code == 0
    assert landed(here) == ["QuestionnaireResponse.000.ndjson"]


def test_errors_of_the_server_are_told_and_keep_the_time(run: Run, here: Path, start_bulk: Start) -> None:
    """What the server could not export is told, and the next export of changes does not begin after it."""
    errors = {"/files/Errors.ndjson": ndjson({"resourceType": "OperationOutcome", "issue": []})}
    server = start_bulk(files={FORMS: ndjson(FORM)}, errors=errors)
    assert ask(run, server).exit_code == 20
    server.errors = {}
    assert ask(run, server, "--since", "last").exit_code == 0
    assert "_since" not in [p for _, p, _ in server.asked if "$export" in p][1]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_folder_landed_by_half_is_not_read(
    run: Run, here: Path, start_bulk: Start, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    """Stopped while files come to stand in the folder, no command reads it, and the same export lands it whole."""
    server = start_bulk(files={FORMS: ndjson(FORM), CONSENTS: ndjson(DENIED | {"status": "draft"})})
    if not is_first:
        assert ask(run, server).exit_code == 0
        server.files[CONSENTS] = ndjson(DENIED)
    words = [] if is_first else ["--since", "last"]
    moved = os.replace
    left = [1]

    def stop(source: Any, target: Any) -> None:
        if str(target).endswith(".ndjson") and "staged" in Path(source).name:
            if not left:
                raise KeyboardInterrupt
            left.pop()
        moved(source, target)

    monkeypatch.setattr(bulk_folder.os, "replace", stop)
    assert ask(run, server, *words).exit_code == 1
    assert "FA126" in run("sync", "--store", "out").stderr
    monkeypatch.setattr(bulk_folder.os, "replace", moved)
    assert ask(run, server, *words).exit_code == 0
    assert sum(len(lines(here, name)) for name in landed(here)) == 2
    assert run("sync", "--store", "out").exit_code == 0


def test_an_allowed_origin_is_shown_no_token(run: Run, here: Path, start_bulk: Start) -> None:
    """Files on an allowed origin are fetched as nobody, and only where the server says that they need no token."""
    storage = start_bulk(files={FORMS: ndjson(FORM)})
    root = storage.base.removesuffix("/fhir")
    output = [{"type": "QuestionnaireResponse", "url": root + FORMS}]
    (here / "token").write_text("s3cret")
    (here / "token").chmod(0o600)
    who = '[auth]\nkind = "bearer"\ntoken_file = "token"\n[http]\nheaders = { X-App = "ours" }\n'
    (here / "fhir-alliance.toml").write_text(f'{who}[bulk]\norigins = ["{root}"]\n')
    assert "FA401" in ask(run, start_bulk(changes={"output": output})).stderr
    assert storage.asked == []
    server = start_bulk(changes={"output": output, "requiresAccessToken": False})
    assert "FA452" in ask(run, server).stderr  # the other server's job is still kept in that folder
    assert ask(run, server, "--restart").exit_code == 0
    assert "Authorization" not in storage.asked[0][2]
    assert "X-App" not in storage.asked[0][2]
    assert all(headers["Authorization"] == "Bearer s3cret" for _, _, headers in server.asked)


def test_another_export_is_kept_out_of_the_folder(run: Run, here: Path, start_bulk: Start) -> None:
    """A folder holds one server's export of one kind, and nothing that a person put there."""
    server = start_bulk(files={FORMS: ndjson(FORM)})
    assert ask(run, server).exit_code == 0
    assert "FA448" in run("export", "--store", server.base, "--out", "out", "--patients").stderr
    (here / "mine").mkdir()
    (here / "mine" / "Patient.ndjson").write_text("{}\n")
    assert "FA448" in run("export", "--store", server.base, "--out", "mine", "--patients").stderr


def test_consents_are_always_asked_for(run: Run, start_bulk: Start) -> None:
    """No choice of types leaves the Consents out that forbid."""
    server = start_bulk(files={FORMS: ndjson(FORM)})
    assert ask(run, server, "--type", "QuestionnaireResponse").exit_code == 0
    assert "_type=Consent%2CQuestionnaireResponse" in server.asked[0][1]


def test_what_tells_a_program_is_asked_for(run: Run, start_bulk: Start) -> None:
    """Without a choice of types, the episodes are asked for by which forms of a Part 2 program are labelled."""
    server = start_bulk(files={FORMS: ndjson(FORM)})
    assert ask(run, server).exit_code == 0
    assert "EpisodeOfCare" in server.asked[0][1]


def test_words_that_cannot_be_meant_are_refused(run: Run, here: Path, start_bulk: Start) -> None:
    """One level has to be named, Consents are never filtered, and no change is left out between two exports."""
    server = start_bulk()
    assert run("export", "--store", server.base, "--out", "out").exit_code == 2
    assert run("export", "--store", server.base, "--out", "out", "--group", "../x").exit_code == 2
    assert "FA450" in ask(run, server, "--type-filter", "Consent?status=active").stderr
    assert "FA127" in run("export", "--store", str(here), "--out", "out", "--patients").stderr
    assert server.asked == []
    assert ask(run, server).exit_code == 0
    assert "FA453" in ask(run, server, "--since", "2026-06-01T00:00:00Z").stderr
    assert "FA453" in ask(run, server, "--since", "yesterday").stderr


def test_killed_it_goes_on_with_the_same_job(here: Path, start_bulk: Start) -> None:
    """Killed while it waits for the server, the same command finds its job again and lands everything once."""
    server = start_bulk(files={FORMS: ndjson(FORM)}, polls=[(202, {"Retry-After": "600"})])
    words = ["export", "--store", server.base, "--out", "out", "--system", "--json"]
    start = [sys.executable, "-c", "from fhir_alliance.cli import main; main()", *words]
    child = subprocess.Popen(start, cwd=here, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while "/fhir/jobs/1" not in server.paths() and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = subprocess.run(start, cwd=here, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resources"] == {"QuestionnaireResponse": 1}
    assert server.paths().count("/fhir/$export") == 1
    assert landed(here) == ["QuestionnaireResponse.000.ndjson"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow one another at once."""
    monkeypatch.setattr("fhir_alliance.runs.export.back_off", lambda attempt: 0.0)
