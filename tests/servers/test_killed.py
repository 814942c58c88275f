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
from fhir_alliance.stores.capability import Once, save_profile
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
CALM = (FORMS[0], response_json([3] * 8 + [0], name="r2", meta=META, authored="2026-01-12T10:00:00+01:00"))
CARRIED = 3  # what these give where no Observation and no Task is taken: the scores of each, carried, and a goal review
OTHERS = tuple(form | {"id": f"other-{form['id']}", "subject": {"reference": "Patient/p2"}} for form in FORMS)
AT_ONCE = "transactions, several at once"  # one for each of two clients


class Way(NamedTuple):
    """One way of writing. can: what the server does.  forms: what it holds.  standing: how much they give.

    site: further configuration.
    """

    can: dict[str, Any]
    forms: tuple[dict[str, Any], ...] = FORMS
    standing: int = STANDING
    site: str = ""


LOWER: dict[str, Any] = {"refused": ("Observation", "Task"), "more": ("DocumentReference", "ServiceRequest")}
BY_CONTENT: dict[str, Any] = {"search": ("_id", "_lastUpdated", "patient", "url"), "dropped": ("identifier",)}
TRANSACTIONS: dict[str, Any] = {"system": ("transaction",), "update_create": True, "conditional_create": True}
WAYS: dict[str, Way] = {
    "transaction": Way(TRANSACTIONS),
    AT_ONCE: Way(TRANSACTIONS, (*FORMS, *OTHERS), STANDING * 2),
    "batch": Way({"system": ("batch",), "conditional_create": True}),
    "(a) client id": Way({"update_create": True}),
    "(b) conditional update": Way({"conditional_update": True}),
    "(c) conditional create": Way({"conditional_create": True}),
    "(d) search first": Way({}),
    "(e) by content": Way(BY_CONTENT),
    "(f) journal only": Way({"search": ("_id", "_lastUpdated", "url"), "dropped": ("identifier",)}),
    "score form, message": Way(LOWER | {"conditional_create": True}, CALM, CARRIED),
    "document, request": Way(
        LOWER, CALM, CARRIED, '[delivery]\nscores = ["observation", "document"]\nreviews = ["task", "request"]\n'
    ),
}
KINDS = ("Observation", "Task", "Communication", "ServiceRequest", "DocumentReference")


class Ended(NamedTuple):
    """How a run ended: by which signal, with which status, after how many steps."""

    signal: int
    status: int | None
    steps: int


@pytest.fixture(scope="module")
def call() -> Iterator[Callable[..., Ended]]:
    """A function that runs the program in a process of its own, killed at a step."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_ALLIANCE_")}
    driver = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean,
    )  # fmt: skip
    assert driver.stdin
    assert driver.stdout

    def call(*words: object, kill: int = 0, files: bool = False) -> Ended:
        assert driver.stdin
        assert driver.stdout
        asked = {"words": [str(word) for word in words], "kill": kill, "files": files}
        driver.stdin.write(json.dumps(asked) + "\n")
        driver.stdin.flush()
        return Ended(**json.loads(driver.stdout.readline()))

    yield call
    driver.communicate(timeout=30)


@pytest.fixture(scope="module")
def sync(call: Callable[..., Ended]) -> Callable[..., Ended]:
    """A function that runs a sync, killed at a step."""
    return lambda base, config, kill=0: call("--config", config, "sync", "--store", base, kill=kill)


def is_told(*runs: Ended) -> bool:
    """Return whether one of these runs has told that something is not known, or waits for a person."""
    return bool({run.status for run in runs} & {Exit.UNKNOWN, Exit.PARKED, Exit.REFUSED, Exit.SAFETY_WAITING})


def ours(server: Any) -> Counter[Any]:
    """Return how often each thing that we write stands there."""
    found = [resource for kind in KINDS for resource in server.all(kind)]
    forms = [form for form in server.all("QuestionnaireResponse") if "score-sheet" in form["questionnaire"]]
    return counted(found + forms)


def counted(resources: list[dict[str, Any]]) -> Counter[Any]:
    """Return how often each thing is among these, told apart without any identifier."""
    return Counter((r["resourceType"], what(r), str(r.get("focus")), when(r), whose(r)) for r in resources)


def what(resource: dict[str, Any]) -> str:
    """Return what a resource says that it is."""
    if resource["resourceType"] == "QuestionnaireResponse":
        return str(resource["questionnaire"])
    concept = next(resource[name] for name in ("code", "topic", "type") if name in resource)
    return str(concept["coding"][0]["code"])


def when(resource: dict[str, Any]) -> Any:
    """Return when the scores in a resource were given; None of a review."""
    return next((resource[name] for name in ("effectiveDateTime", "date", "authored") if name in resource), None)


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
    can, forms, standing, site = WAYS[way]
    site += f'[store]\nprofile = "{profile}"\n' if way == AT_ONCE else ""
    config.write_text(f'[state]\nfolder = "{state}"\n[http]\nrequests_per_s = 1000\n{site}', encoding="utf-8")
    kill = 0
    while True:
        kill += 1
        shutil.rmtree(state, ignore_errors=True)
        server = start_server(**can)
        server.load(*forms)
        if way == AT_ONCE:
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
            # a safety review goes as a message, rather twice than never
            told = is_told(again, last) or server.all("Communication") != []
            assert told or found.total() == standing, (kill, again, last, found)
        else:
            assert (found.total(), last.status) == (standing, Exit.DONE), (kill, again, last, found)
    assert kill > 10


OLD, NEW = ({"resourceType": "QuestionnaireResponse", "status": status} for status in ("completed", "amended"))
PLACE = "/files/{}/QuestionnaireResponse.ndjson"


def lines(*resources: dict[str, Any]) -> bytes:
    """Return resources as NDJSON."""
    return b"".join(json.dumps(resource).encode() + b"\n" for resource in resources)


def held(folder: Path) -> Counter[str]:
    """Return how often each resource stands in a folder that is read as a store."""
    return Counter(line for path in folder.glob("*.ndjson") for line in path.read_text().splitlines())


@pytest.mark.parametrize("since", [(), ("--since", "last")], ids=["whole", "what changed"])
def test_an_export_killed_at_every_step(
    since: tuple[str, ...], call: Callable[..., Ended], start_bulk: Start, tmp_path: Path, kill_points: Counter[str]
) -> None:
    """Wherever an export is killed, nobody reads half of it; run again, the folder holds all of it, each once."""
    server = start_bulk(files={PLACE.format(1): lines(OLD | {"id": "a"}, OLD | {"id": "b"}, OLD | {"id": "c"})})
    config, out, before = (tmp_path / name for name in ("fhir-alliance.toml", "out", "before"))
    config.write_text("", encoding="utf-8")
    words = ("--config", config, "export", "--store", server.base, "--out", out, "--patients")
    assert call(*words).status == Exit.DONE
    out.rename(before)
    server.files = {
        PLACE.format(1): lines(NEW | {"id": "a"}),
        PLACE.format(2): lines(NEW | {"id": "d"}, NEW | {"id": "e"}),
    }
    gone = {"resourceType": "Bundle", "entry": [{"request": {"method": "DELETE", "url": "QuestionnaireResponse/b"}}]}
    server.deleted = {"/files/Deleted.ndjson": lines(gone)} if since else {}
    old = held(before)
    new = Counter(json.dumps(NEW | {"id": name}) for name in "ade") + Counter(
        [json.dumps(OLD | {"id": "c"})] * bool(since)
    )
    kill = 0
    while True:
        kill += 1
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(before, out)
        server.polls = [(202, {"Retry-After": "0"})]
        if call(*words, *since, kill=kill, files=True).signal != signal.SIGKILL:
            break
        kill_points["export"] += 1
        if not (out / ".export" / "landing").exists():
            assert held(out) in (old, new), kill
        assert call(*words, *since).status == Exit.DONE, kill
        assert held(out) == new, kill
        left = sorted(path.name for path in (*out.iterdir(), *(out / ".export").iterdir()) if path.is_file())
        assert left == [*sorted(path.name for path in out.glob("*.ndjson")), "manifest.json"], kill
    assert kill > 15


AT_HAPI: dict[str, tuple[dict[str, bool], Once | None]] = {
    "HAPI, transaction": ({}, None),
    "HAPI, batch": ({"transaction": False}, None),
    "HAPI, client id": ({"transaction": False, "batch": False}, Once.CLIENT_ID),
    "HAPI, conditional update": ({"transaction": False, "batch": False}, Once.CONDITIONAL_UPDATE),
    "HAPI, conditional create": ({"transaction": False, "batch": False}, Once.CONDITIONAL_CREATE),
    "HAPI, search first": ({"transaction": False, "batch": False}, Once.SEARCH_FIRST),
    "HAPI, by content": ({"transaction": False, "batch": False}, Once.BY_CONTENT),
    "HAPI, journal only": ({"transaction": False, "batch": False}, Once.JOURNAL_ONLY),
}
PARTS = (0.55, 0.8)  # of a whole run's steps, where it is killed: among the writes


@pytest.mark.parametrize("way", AT_HAPI)
def test_killed_against_a_real_server(way: str, sync: Callable[..., Ended], fhir: Any, tmp_path: Path,
                                      kill_points: Counter[str]) -> None:  # fmt: skip
    """Against HAPI too: killed among its writes and run again, a sync leaves all there once, or tells what not."""
    flags, once = AT_HAPI[way]
    profile, roster, config = tmp_path / "profile.json", tmp_path / "roster", tmp_path / "fhir-alliance.toml"
    stated = fetch_profile(Http(fhir.base))
    types = {kind: held.model_copy(update={"once": once}) for kind, held in stated.types.items()}
    save_profile(profile, stated.model_copy(update={**flags, "types": types}))

    def clinic(name: str) -> Path:
        """Return the configuration for a new client of its own; the server is shared with all other tests."""
        fhir.put({"resourceType": "Patient", "id": name})
        for form in FORMS:
            whom = {"reference": f"Patient/{name}"}
            fhir.put({**form, "id": f"{name}-{form['id']}", "subject": whom, "source": whom})
        roster.write_text(f"Patient/{name}\n", encoding="utf-8")
        config.write_text(
            f'[state]\nfolder = "{tmp_path / name}"\n'
            f'[store]\nprofile = "{profile}"\npull = "roster"\nroster = "{roster}"\n',
            encoding="utf-8",
        )
        return config

    client = f"killed-{list(AT_HAPI).index(way)}"
    whole = sync(fhir.base, clinic(client))
    assert (whole.status, written_about(fhir, client)) == (Exit.DONE, (STANDING, {1}))
    for number, part in enumerate(PARTS):
        name = f"{client}-{number}"
        killed = sync(fhir.base, clinic(name), int(whole.steps * part))
        assert killed.signal == signal.SIGKILL
        kill_points[way] += 1
        again = last = sync(fhir.base, config)
        if again.status != Exit.DONE:  # it asks for another run
            last = sync(fhir.base, config)
        standing, times = written_about(fhir, name)
        assert times == {1}, part
        if once is Once.JOURNAL_ONLY:  # what may have been sent is never sent again
            assert standing == STANDING or is_told(again, last), (part, again, last)
        else:
            assert (standing, last.status) == (STANDING, Exit.DONE), (part, again, last)


def written_about(fhir: Any, client: str) -> tuple[int, set[int]]:
    """Return how many things of ours stand about a client, and how often each."""
    found = [
        entry["resource"]
        for kind in ("Observation", "Task")
        for entry in fhir.get(kind, patient=f"Patient/{client}", _count="100").get("entry", ())
    ]
    counts = counted(found)
    return counts.total(), set(counts.values())
