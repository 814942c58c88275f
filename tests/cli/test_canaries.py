"""The example clinic with a canary in every text that people write: it turns up in no message, name or trail."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
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
