"""`listen` as a command: a signal ends it after the page in hand, and its secret is told to the server alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import Result

from fhir_alliance.config import Config
from fhir_alliance.errors import Exit
from fhir_alliance.stores.journal import lease
from fhir_alliance.stores.opening import state_folder_of
from fhir_alliance.testing import response_json
from fhir_alliance.views import listen

Run: TypeAlias = Callable[..., Result]
Start: TypeAlias = Callable[..., Any]

META = {"versionId": "1", "lastUpdated": "2026-01-12T10:00:00.000Z"}
ABLE = {"system": ("transaction",), "conditional_create": True, "more": ("Subscription",)}


@pytest.fixture
def server(start_server: Start) -> Any:
    """A server with one form."""
    server = start_server(**ABLE)
    server.load(response_json([1] * 9, name="r1", meta=META))
    return server


def ask_at_scores(kind: str) -> None:
    """Ask the program once to stop, while it writes scores in a transaction; a second signal would end all at once."""
    if kind == "" and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_ends_it_with_the_write_in_hand(run: Run, server: Any, here: Path) -> None:
    """SIGTERM while scores are written: they stand, the Subscription is off, and the status says it was stopped."""
    server.on_write = ask_at_scores
    done = run("listen", "--store", server.base, "--port", "0", "--json", "--log", "log", "--metrics", "metrics")
    assert done.exit_code == Exit.LATER
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in told] == ["armed", "sync", "off"]
    assert (told[1]["scored"], told[1]["exit"]) == (1, 75)
    assert len(server.all("Observation")) == 2
    assert [hook["status"] for hook in server.all("Subscription")] == ["off"]
    assert '"scored":1' in (here / "log").read_text()


def test_the_secret_is_nowhere_but_on_the_server(run: Run, server: Any, here: Path) -> None:
    """What lets a notice in stands in no output, log, metric or state, whatever is printed."""
    secrets: list[str] = []

    def ask(kind: str) -> None:
        if kind == "":
            (hook,) = server.all("Subscription")
            secrets.append(hook["channel"]["header"][0].partition(": ")[2])
        ask_at_scores(kind)

    server.on_write = ask
    done = run("listen", "--store", server.base, "--port", "0", "--json", "--log", "log", "--metrics", "metrics")
    assert len(secrets[0]) >= 43
    written = b"".join(path.read_bytes() for path in here.parent.rglob("*") if path.is_file())
    assert secrets[0].encode() not in written + done.output.encode()


def test_another_run_is_waited_for(run: Run, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another run holds the lease, the sync waits for it and is then made."""
    held = lease(state_folder_of(server.base, Config()))
    words_for = listen.event_text

    def text(event: str, told: dict[str, Any]) -> str:
        if event == "later":
            held.release()
        return words_for(event, told)

    monkeypatch.setattr(listen, "event_text", text)
    server.on_write = ask_at_scores
    done = run("listen", "--store", server.base, "--port", "0", "--json", "--heartbeat", "0.001")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["event"], line.get("code")) for line in told] == [
        ("armed", None), ("later", "FA501"), ("sync", None), ("off", None),
    ]  # fmt: skip
    assert told[2]["scored"] == 1


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("--store", "clinic"), Exit.CONFIGURATION, "FA128"),
        (("--store", "http://127.0.0.1:1/fhir", "--address", "http://10.0.0.1:8461/"), Exit.CONFIGURATION, "FA458"),
        (("--store", "http://127.0.0.1:1/fhir", "--host", "256.0.0.1"), Exit.CONFIGURATION, "FA457"),
    ],
)
def test_what_cannot_be_listened_to(run: Run, words: tuple[str, ...], status: Exit, code: str) -> None:
    """A folder, an address that others can read, and a port that is not ours are refused before anything is asked."""
    done = run("listen", "--port", "0", *words)
    assert (done.exit_code, code in done.stderr) == (status, True), done.stderr
