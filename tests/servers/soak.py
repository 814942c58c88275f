"""A long sync over a way that fails, by a program that is killed again and again, and what stands then."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from fhir_alliance.errors import Exit
from fhir_alliance.testing import response_json
from tests.servers import fault_proxy
from tests.servers.hapi_server import FhirClient

AGAIN = {Exit.UNREACHABLE, Exit.UNKNOWN, Exit.CONSENT_UNREACHABLE, Exit.SAFETY_WAITING, Exit.LATER}  # another run helps
CLIENTS = 5_000  # at most, who answer in turn: of 100,000 forms each gives twenty, as in a course of weekly sessions


class Plan(NamedTuple):
    """How it is made hard. rate: of requests that meet a fault.  page: forms on a page.  kills: how often, at most.

    between: requests from one start of the program to its being killed, at least and at most.
    """

    forms: int
    seed: int = 1
    rate: float = 0.05
    page: int = 500
    kills: int = 3
    between: tuple[int, int] = (10, 60)


class Soaked(NamedTuple):
    """What happened. faults: by kind.  peaks: the memory of each run in MiB.  last: what a run after all of it says.

    held: MiB that the longest run held, at each of its requests.
    """

    runs: int
    killed: int
    faults: Counter[str]
    peaks: list[float]
    held: list[float]
    last: Mapping[str, Any]


def load(fhir: FhirClient, plan: Plan, at_once: int = 200) -> None:
    """Put the plan's clients and forms on the server, unless they are there: the load of a database can be kept."""
    if fhir.get("QuestionnaireResponse", _summary="count")["total"] == plan.forms:
        return
    chance = random.Random(plan.seed)
    clients = min(CLIENTS, plan.forms // 4)
    resources: list[dict[str, Any]] = [{"resourceType": "Patient", "id": f"soak{n}"} for n in range(clients)]
    for number in range(plan.forms):
        points = [chance.randrange(4) for _ in range(8)] + [0]
        client, at = f"Patient/soak{number % clients}", _day(number // clients)
        resources.append(response_json(points, name=f"soak-r{number}", subject=client, authored=at))
    for start in range(0, len(resources), at_once):
        entries = [
            {"fullUrl": f"{fhir.base}/{place}", "resource": resource, "request": {"method": "PUT", "url": place}}
            for resource in resources[start : start + at_once]
            for place in [f"{resource['resourceType']}/{resource['id']}"]
        ]
        fhir.post({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _day(number: int) -> str:
    return (datetime(2025, 1, 6, 10, tzinfo=UTC) + timedelta(days=number)).isoformat()


def soak(base: str, folder: Path, plan: Plan) -> Soaked:
    """Sync until a run says that all is done, then once more over a sound way."""
    chance = random.Random(plan.seed)
    config = folder / "soak.toml"
    config.write_text(f'[state]\nfolder = "{folder / "state"}"\n', encoding="utf-8")
    killed, peaks = 0, []
    held: list[float] = []
    with fault_proxy.started(base, seed=plan.seed, rate=plan.rate, page=plan.page) as proxy:
        while True:
            at = proxy.count + chance.randint(*plan.between) if killed < plan.kills else 0
            ended = _run(config, proxy, at)
            peaks.append(ended.peak)
            held = max(held, ended.held, key=len)
            killed += ended.signal == signal.SIGKILL
            if ended.signal != signal.SIGKILL and ended.status not in AGAIN:
                break
        assert ended.status == Exit.DONE, ended
        faults = Counter({name: count for name, count in proxy.met.items() if name})
        proxy.rate = 0.0
        last = _run(config, proxy, 0)
    return Soaked(len(peaks) + 1, killed, faults, [*peaks, last.peak], held, json.loads(last.said))


class _Ended(NamedTuple):
    signal: int
    status: int | None
    peak: float
    held: list[float]
    said: bytes


def _run(config: Path, proxy: fault_proxy.FaultProxy, kill_at: int) -> _Ended:
    """Return how a run of the command ended. kill_at: the request at which it is killed, 0 for none."""
    words = [sys.executable, "-m", "fhir_alliance", "--config", str(config), "sync", "--store", proxy.base, "--json"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_ALLIANCE_")}
    said, told = config.with_name("said"), config.with_name("told")
    held: list[float] = []
    with (
        said.open("wb") as out,
        told.open("wb") as err,
        subprocess.Popen(words, stdout=out, stderr=err, env=clean) as child,
    ):

        def watch(count: int) -> None:
            held.append(_resident(child.pid))
            if count == kill_at:
                child.send_signal(signal.SIGKILL)

        proxy.on_request = watch
        _, ended, used = os.wait4(child.pid, 0)
        proxy.on_request = lambda count: None
        child.returncode = os.waitstatus_to_exitcode(ended)
    status = os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else None
    by = os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else 0
    return _Ended(by, status, used.ru_maxrss / 1024, held, said.read_bytes())


def _resident(process: int) -> float:
    """Return MiB that a process holds, 0 where the system does not say it or the process has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def standing(fhir: FhirClient) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """Return how often each score stands there, by form and code, and the versions that they stand in."""
    found: Counter[tuple[str, str]] = Counter()
    versions: Counter[str] = Counter()
    for observation in _all(fhir, "Observation"):
        source = observation["derivedFrom"][0]["reference"].partition("/_history")[0]
        found[source, observation["code"]["coding"][0]["code"]] += 1
        versions[observation["meta"]["versionId"]] += 1
    return found, versions


def _all(fhir: FhirClient, kind: str) -> Iterator[dict[str, Any]]:
    page = fhir.get(kind, _count="500", _elements="derivedFrom,code")
    while True:
        yield from (entry["resource"] for entry in page.get("entry", ()))
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        if not following:
            return
        page = fhir.get(following[0].removeprefix(f"{fhir.base}/").removeprefix(fhir.base))
