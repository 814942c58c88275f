"""The example clinic with a canary in every text that people write: it turns up in no message, name or trail."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import responses
from click.testing import Result

from fhir_alliance.runs.catalog import shipped

Run: TypeAlias = Callable[..., Result]
CANARY: Final = "Zilpzalp"
CLIENTS: Final = tuple(f"client-{number}" for number in ("02", "05", "06", "08", "16", "30", "38"))  # all kinds
# where people write: names, numbers, remarks, narrative; all else in these resources is codes, dates and references
WRITTEN: Final = frozenset(
    {
        "text", "display", "div", "description", "family", "given", "prefix", "line", "city", "postalCode", "title",
        "name", "valueString", "note", "comment", "patientInstruction",
    }
)  # fmt: skip
NUMBERED: Final = frozenset({"telecom", "identifier"})
COMMANDS: Final = {
    "publish": ("publish", "--store", "clinic", "--json"),
    "sync": ("sync", "--store", "clinic", "--json"),
    "order": ("order", "--store", "clinic", "--json"),
    "rescore": ("rescore", "--store", "clinic", "--reason", "a test", "--json"),
    "score": ("score", "clinic", "--out", "scores.ndjson", "--parked", "p.ndjson", "--json"),
    "explain": (
        "consent", "explain", "--store", "clinic", "--patient", "Patient/client-05", "--recipient", "Organization/x",
        "--purpose", "HPAYMT",
    ),
    "disclose": (
        "disclose", "--store", "clinic", "--patient", "Patient/client-05", "--recipient", "Organization/x",
        "--purpose", "HPAYMT", "--out", "out",
    ),
    "verify": ("audit", "verify", "--store", "clinic", "--json"),
    "disclosures": ("audit", "disclosures", "--store", "clinic", "--patient", "Patient/client-05"),
    "parked": ("parked", "list", "--store", "clinic", "--json"),
}  # fmt: skip


def planted(value: Any, key: str = "") -> Any:
    """Return a resource with the canary in every text that a person may have written, and as every number of theirs."""
    if isinstance(value, dict):
        if key in NUMBERED and "value" in value:
            value = value | {"value": CANARY}
        return {name: planted(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [planted(inner, key) for inner in value]
    return f"{value} {CANARY}" if isinstance(value, str) and key in WRITTEN else value


def extended(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a planted resource with what an export may add: narrative, contained people, notes of its own."""
    more: dict[str, Any] = {
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{CANARY}</div>'},
        "extension": [{"url": "https://example.org/note", "valueString": CANARY}],
    }
    if resource["resourceType"] == "Patient":
        more |= {"name": [{"family": CANARY, "given": [CANARY]}], "telecom": [{"system": "phone", "value": CANARY}]}
        more |= {"identifier": [{"system": "https://example.org/mrn", "value": CANARY}]}
    return resource | more


@pytest.fixture
def clinic(here: Path) -> Path:
    """The forms, and all that is about some clients of the example clinic, planted."""
    folder = here / "clinic"
    folder.mkdir()
    for source in sorted(shipped("clinic").glob("*.ndjson")):
        lines = []
        for line in source.read_text(encoding="utf-8").splitlines():
            if "client-" not in line or any(name in line for name in CLIENTS):
                lines.append(json.dumps(extended(planted(json.loads(line)))))
        (folder / source.name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """Everything that is logged, however small."""
    with caplog.at_level(logging.DEBUG):
        yield caplog.records


def test_the_example_run(
    run: Run, clinic: Path, tree: Callable[[], dict[str, bytes | None]], records: list[logging.LogRecord]
) -> None:
    """No command tells what people wrote, in stdout, stderr or logs; no file but the inputs holds it."""
    inputs = {name for name in tree() if name.startswith("here/clinic/")}
    assert all(CANARY.encode() in (tree()[name] or b"") for name in inputs)
    for name, words in COMMANDS.items():
        told = run(*words)
        assert told.exit_code in (0, 20, 26), (name, told.stderr)
        assert CANARY not in told.output, name
        assert "Traceback" not in told.output, name
        if name == "sync":
            assert json.loads(told.stdout)["parked"] > 0
    assert not any(CANARY in record.getMessage() for record in records)
    after = tree()
    assert not any(CANARY in name for name in after)
    assert len(after.keys() - inputs) > 5
    assert [name for name in after.keys() - inputs if CANARY.encode() in (after[name] or b"")] == []


def test_show_is_for_the_terminal_and_its_page(run: Run, clinic: Path, here: Path) -> None:
    """What a person asks to see is shown to them; the trail and the messages tell only that they saw it."""
    run("sync", "--store", "clinic")
    told = run("show", "client-05", "--store", "clinic", "--html", "page.html")
    assert told.exit_code == 0
    assert CANARY not in told.stderr
    assert CANARY.encode() not in (clinic / ".fhir-alliance" / "audit.ndjson").read_bytes()


# ------------------------------------------------------------------ what lets us in

TOKEN: Final = "t0ken-Rohrdommel"  # noqa: S105 - invented
EHR: Final = "https://ehr.example/fhir"
ANSWERS: Final = {
    "refused": (401, "login"), "forbidden": (403, "forbidden"), "not found": (404, "not-found"),
    "broken": (500, "exception"), "busy": (503, "transient"), "accepted with nonsense": (200, "informational"),
}  # fmt: skip


@pytest.fixture
def let_in(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a bearer token in a file; nobody waits for a server that is busy."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (here / "token").write_text(TOKEN, encoding="utf-8")
    (here / "token").chmod(0o600)
    (here / "fhir-alliance.toml").write_text(
        f"[store]\nlocation = '{EHR}'\n[auth]\nkind = 'bearer'\ntoken_file = 'token'\n[http]\ntotal_s = 0.2\n",
        encoding="utf-8",
    )
    return here / "token"


def echo(code: str) -> Callable[[Any], tuple[int, dict[str, str], str]]:
    """Return a server that repeats the request with all its headers, in body, header and address, as some do."""

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        said = str(dict(request.headers))
        assert TOKEN in said  # it was sent
        details = {"text": said, "coding": [{"code": TOKEN, "display": TOKEN}]}
        issue = {"severity": "error", "code": code, "diagnostics": said, "details": details}
        issues = [issue, issue | {"code": TOKEN}]
        outcome = {"resourceType": "OperationOutcome", "id": TOKEN, "text": {"div": said}, "issue": issues}
        headers = {"X-Request": TOKEN, "Location": f"{EHR}/Task/{TOKEN}", "Content-Type": "application/fhir+json"}
        return ANSWERS_BY_CODE[code], headers, json.dumps(outcome)

    return answer


ANSWERS_BY_CODE: Final = {code: status for status, code in ANSWERS.values()}


def nothing_told(told: Result, records: list[logging.LogRecord], files: dict[str, bytes | None]) -> None:
    """Assert that the token stands nowhere but where it was put."""
    assert TOKEN not in told.output
    assert not any(TOKEN in f"{record.getMessage()} {vars(record)}" for record in records)
    assert [name for name, content in files.items() if TOKEN in name or TOKEN.encode() in (content or b"")] == [
        "here/token"
    ]


@pytest.mark.parametrize("code", ANSWERS_BY_CODE, ids=list(ANSWERS))
@pytest.mark.parametrize("words", [("sync", "--metrics", "m.prom", "--log", "l.ndjson"), ("doctor", "--json")], ids=str)
def test_a_token_that_a_server_repeats(
    run: Run, let_in: Path, tree: Callable[[], dict[str, bytes | None]], records: list[logging.LogRecord],
    code: str, words: tuple[str, ...],
) -> None:  # fmt: skip
    """A server that sends our token back in every place it has: no message, log, metric, file or name repeats it."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as server:
        for method in (responses.GET, responses.POST, responses.PUT):
            server.add_callback(method, re.compile(f"{EHR}/.*"), callback=echo(code))
        told = run(*words)
        assert len(server.calls) > 0
    assert "Traceback" not in told.output
    nothing_told(told, records, tree())


def test_a_token_in_an_error_that_nobody_thought_of(
    run: Run, let_in: Path, tree: Callable[[], dict[str, bytes | None]], records: list[logging.LogRecord]
) -> None:
    """1: an internal error that carries the token is told by kind and place, in messages, log and metrics alike."""

    def broken(request: Any) -> Any:
        raise RuntimeError(str(dict(request.headers)))

    with responses.RequestsMock(assert_all_requests_are_fired=False) as server:
        server.add_callback(responses.GET, re.compile(f"{EHR}/.*"), callback=broken)
        told = run("sync", "--metrics", "m.prom", "--log", "l.ndjson")
    assert told.exit_code == 1
    assert "RuntimeError at" in told.stderr
    nothing_told(told, records, tree())
