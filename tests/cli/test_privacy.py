"""Nothing about a patient leaves through messages: canaries planted in a record turn up nowhere but in it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import responses
from click.testing import Result

from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]
Tree: TypeAlias = Callable[[], dict[str, bytes | None]]

CANARY = "Zilpzalp"
EHR = "https://ehr.example/fhir"


def planted(name: str = "r1", **elements: Any) -> dict[str, Any]:
    """Return a PHQ-9 form with a canary in every text of it that may hold a name, a note or an answer."""
    person = {"display": CANARY, "identifier": {"system": "https://example.org/mrn", "value": CANARY}}
    form = response_json([1] * 9, name=name)
    for item in form["item"]:
        item["text"] = CANARY
        item["answer"][0]["valueCoding"]["display"] = CANARY
    return form | {
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{CANARY}</div>'},
        "contained": [{"resourceType": "Patient", "id": "c", "name": [{"text": CANARY, "family": CANARY}]}],
        "extension": [{"url": "https://example.org/note", "valueString": CANARY}],
        "identifier": {"system": "https://example.org/forms", "value": CANARY},
        "subject": person | {"reference": "Patient/p1"},
        "source": person | {"reference": "Patient/p1"},
        "author": person | {"reference": "Practitioner/tom"},
        "encounter": person | {"reference": "Encounter/e1"},
    } | elements  # fmt: skip


def answered(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a form whose first answer is this one."""
    items: list[dict[str, Any]] = copy.deepcopy(planted()["item"])
    items[0]["answer"] = [answer]
    return items


UNREADABLE = {
    "status": {"status": CANARY},
    "authored": {"authored": CANARY},
    "subject in words": {"subject": {"display": CANARY}},
    "subject of another kind": {"subject": {"reference": f"{CANARY}/1"}},
    "unknown form": {"questionnaire": "https://example.org/none", "item": [{"linkId": "x", "text": CANARY}]},
    "code": {"item": answered({"valueCoding": {"system": "http://loinc.org", "code": CANARY, "display": CANARY}})},
    "system": {"item": answered({"valueCoding": {"system": CANARY, "code": "LA6568-5"}})},
    "string": {"item": answered({"valueString": CANARY})},
    "date": {"item": answered({"valueDate": CANARY})},
    "string for a number": {"item": answered({"valueInteger": CANARY})},
    "string for a decimal": {"item": answered({"valueDecimal": CANARY})},
    "unit": {"item": answered({"valueQuantity": {"value": 99, "unit": CANARY}})},
    "unknown element": {"item": answered({CANARY: CANARY})},
    "two answers": {"item": [planted()["item"][0] | {"answer": [{"valueString": CANARY}] * 2}]},
    "free text item": {"item": [*planted()["item"], {"linkId": "note", "answer": [{"valueString": CANARY}]}]},
    "string for an object": {"meta": CANARY},
    "string for a list": {"item": CANARY},
    "modifier": {"modifierExtension": [{"url": "https://example.org/x", "valueString": CANARY}]},
    "id that is none": {"id": f"{CANARY} 1"},
    "rules": {"implicitRules": CANARY},
}


def test_a_good_form(run: Run, clinic: Clinic, tree: Tree) -> None:
    """Names, notes and texts of a form that is scored reach no score, no message and no file name."""
    folder = clinic(planted())
    scored = run("score", folder, "--parked", "parked.ndjson")
    assert scored.exit_code == 0
    synced = run("sync", "--store", folder, "--json")
    assert synced.exit_code == 0
    for told in (scored, synced):
        assert CANARY not in told.output
    assert [name for name, content in tree().items() if CANARY.encode() in (content or b"")] == [
        "here/clinic/QuestionnaireResponse.ndjson"
    ]


@pytest.mark.parametrize("elements", UNREADABLE.values(), ids=list(UNREADABLE))
def test_a_form_that_is_parked(run: Run, clinic: Clinic, tree: Tree, elements: dict[str, Any]) -> None:
    """Whatever is wrong with a form, its reason has a stable code and repeats nothing of what was written there."""
    folder = clinic(planted(**elements))
    done = [run("score", folder, "--parked", "p.ndjson"), run("sync", "--store", folder)]
    for told in done:
        assert told.exit_code == 20, told.stderr
        assert CANARY not in told.output
        assert "Traceback" not in told.output
    after = tree()
    assert [name for name, content in after.items() if CANARY.encode() in (content or b"")] == [
        "here/clinic/QuestionnaireResponse.ndjson"
    ]
    assert not any(CANARY in name for name in after)
    [parked] = [json.loads(line) for line in (folder / "parked.ndjson").read_bytes().splitlines()]
    assert parked["code"][:3] == "FA2"


@pytest.mark.parametrize(
    "line",
    [f'{{"a": "{CANARY}"', f'{{"a": "{CANARY}", "a": "{CANARY}"}}', f'"{CANARY}"', f'["{CANARY}"]', CANARY],
    ids=["cut", "key twice", "string", "list", "no JSON"],
)
def test_a_line_that_is_no_form(run: Run, here: Path, line: str) -> None:
    """A line that is not even JSON is named by file and number only."""
    (here / "r.ndjson").write_text(line, encoding="utf-8")
    done = run("score", "r.ndjson", "--parked", "parked.ndjson")
    assert done.exit_code == 20
    assert CANARY not in done.output
    assert CANARY not in (here / "parked.ndjson").read_text(encoding="utf-8")


def test_an_internal_error_tells_only_its_place(run: Run, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """1: an error that nobody thought of is told by kind and place; a traceback only for those who ask with -v."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    folder = clinic(planted())
    monkeypatch.setattr(Path, "open", broken)
    done = run("score", folder)
    assert done.exit_code == 1
    assert re.fullmatch(r"FA000 internal error \(RuntimeError at \w+\.py:\d+\)\. Please report it\.\n", done.stderr)
    assert CANARY not in done.output
    with pytest.raises(RuntimeError, match=CANARY):
        run("-v", "score", "clinic")


def test_what_a_server_says_is_not_repeated(run: Run) -> None:
    """A server's diagnostics may quote the record; the message has the status and FHIR's issue code only."""
    outcome = {
        "resourceType": "OperationOutcome",
        "text": {"status": "generated", "div": f"<div>{CANARY}</div>"},
        "issue": [{"severity": "error", "code": "forbidden", "diagnostics": CANARY, "details": {"text": CANARY}}],
    }
    with responses.RequestsMock() as server:
        for asked in ("Task", "metadata"):  # what a server takes is asked for where it does not show its Tasks
            server.get(f"{EHR}/{asked}", json=outcome, status=403)
        server.get(f"{EHR}/Questionnaire", json=outcome, status=403)
        done = run("sync", "--store", EHR)
    assert done.exit_code == 11
    assert "HTTP 403 (forbidden)" in done.stderr
    assert CANARY not in done.output
