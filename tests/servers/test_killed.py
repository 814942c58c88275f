"""Killed with SIGKILL at every line in the journal and every request, in every way of writing: none lost or doubled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

from fhir_alliance.errors import Exit
from fhir_alliance.stores.capability import save_profile
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.probe import fetch_profile
from fhir_alliance.testing import response_json

Start: TypeAlias = Callable[..., Any]

META = {"versionId": "1", "lastUpdated": "2026-01-12T10:00:00.000Z"}
FORMS = (
    response_json([1] * 8 + [0], name="r1", meta=META),
    response_json([3] * 9, name="r2", meta=META, authored="2026-01-12T10:00:00+01:00"),
)
STANDING = 6  # what they give: panel and total of each, a goal review, a safety review
OTHERS = tuple(form | {"id": f"other-{form['id']}", "subject": {"reference": "Patient/p2"}} for form in FORMS)
AT_ONCE = "transactions, several at once"  # one for each of two clients
WAYS: dict[str, dict[str, Any]] = {
    "transaction": {"system": ("transaction",), "update_create": True, "conditional_create": True},
    AT_ONCE: {"system": ("transaction",), "update_create": True, "conditional_create": True},
    "batch": {"system": ("batch",), "conditional_create": True},
    "(a) client id": {"update_create": True},
    "(b) conditional update": {"conditional_update": True},
    "(c) conditional create": {"conditional_create": True},
    "(d) search first": {},
    "(e) by content": {"search": ("_id", "_lastUpdated", "patient", "url"), "dropped": ("identifier",)},
    "(f) journal only": {"search": ("_id", "_lastUpdated", "url"), "dropped": ("identifier",)},
}


class Ended(NamedTuple):
    """How a run ended: by which signal, with which status, after how many steps."""

    signal: int
    status: int | None
    steps: int


@pytest.fixture(scope="module")
def sync() -> Iterator[Callable[..., Ended]]:
    """A function that runs a sync in a process of its own, killed at a step."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_ALLIANCE_")}
    driver = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean,
    )  # fmt: skip
    assert driver.stdin
    assert driver.stdout

    def sync(base: str, config: Path, kill: int = 0) -> Ended:
        assert driver.stdin
        assert driver.stdout
        words = ["--config", str(config), "sync", "--store", base]
        driver.stdin.write(json.dumps({"words": words, "kill": kill}) + "\n")
        driver.stdin.flush()
        return Ended(**json.loads(driver.stdout.readline()))

    yield sync
    driver.communicate(timeout=30)


def ours(server: Any) -> Counter[Any]:
    """Return how often each thing that we write stands there, told apart without any identifier."""
    return Counter(
        (r["resourceType"], r["code"]["coding"][0]["code"], str(r.get("focus")), r.get("effectiveDateTime"), whose(r))
        for kind in ("Observation", "Task")
        for r in server.all(kind)
    )


def whose(resource: dict[str, Any]) -> str:
    """Return the client that a resource is about."""
    named: dict[str, str] = resource.get("subject") or resource["for"]
    return named["reference"]


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_every_step(way: str, sync: Callable[..., Ended], start_server: Start, tmp_path: Path,
                              kill_points: Counter[str]) -> None:  # fmt: skip
    """Wherever it is killed: run again, all stands once; where nothing can be read back, what is not known is told."""
    config = tmp_path / "fhir-alliance.toml"
    state = tmp_path / "state"
    profile = tmp_path / "profile.json"
    pinned = f'[store]\nprofile = "{profile}"\n' if way == AT_ONCE else ""
    config.write_text(f'[state]\nfolder = "{state}"\n[http]\nrequests_per_s = 1000\n{pinned}', encoding="utf-8")
    standing = STANDING * 2 if way == AT_ONCE else STANDING
    kill = 0
    while True:
        kill += 1
        shutil.rmtree(state, ignore_errors=True)
        server = start_server(**WAYS[way])
        server.load(*FORMS)
        if way == AT_ONCE:
            server.load(*OTHERS)
            save_profile(profile, fetch_profile(Http(server.base)).model_copy(update={"entries": 6}))
        first = sync(server.base, config, kill)
        if first.signal != signal.SIGKILL:
            break
        kill_points[way] += 1
        again = last = sync(server.base, config)
        if again.status != Exit.DONE:  # it asks for another run
            last = sync(server.base, config)
        found = ours(server)
        assert set(found.values()) <= {1}, (kill, found)
        if "(f)" in way:  # theory forbids more: what may have been written is never written again, and told
            told = bool({again.status, last.status} & {Exit.UNKNOWN, Exit.PARKED, Exit.SAFETY_WAITING})
            told = (
                told or server.all("Communication") != []
            )  # a safety review goes as a message, rather twice than never
            assert told or found.total() == standing, (kill, again, last, found)
        else:
            assert (found.total(), last.status) == (standing, Exit.DONE), (kill, again, last, found)
    assert kill > 10
