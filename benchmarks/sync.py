"""Prints how fast a sync writes to a real server, over a bare loader that sends the same resources; and what overlaps.

The bare loader knows every transaction beforehand and only sends them, on four connections: it reads nothing, asks for
no consent, keeps no journal, and looks at nothing but the status of what comes back.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import requests

from fhir_alliance.config import AuditSection
from fhir_alliance.runs.audit import tell_of
from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores import pull
from fhir_alliance.stores.exchange import Limits
from fhir_alliance.stores.http import Http, Reply
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json

CONNECTIONS = 4  # fastest for transactions of a hundred on HAPI with two cores
FORMS_EACH = 4  # of one client
LATENCY_S, PAGE, FORMS_AT_A_DISTANCE = 0.05, 50, 500
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
_NAME = re.compile(rb"[0-9a-f]{64}|urn:uuid:[0-9a-f-]{36}")


class Span(NamedTuple):
    """When a request was under way."""

    begin: float
    end: float


class Recording(Http):
    """A session that keeps what it posts, and when it was paging through the forms, and working on them."""

    def __init__(self, base: str, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        super().__init__(base, limits=limits)
        self.posted: list[bytes] = []
        self.paging: list[Span] = []
        self.working: list[Span] = []

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """Read, and note when, if it is a page of forms."""
        begun = time.monotonic()
        reply = super().get(path, params)
        if "QuestionnaireResponse" in path:
            self.paging.append(Span(begun, time.monotonic()))
        return reply

    def post(self, path: str, body: bytes) -> Reply:
        """Send a transaction, keep it, and note when."""
        begun = time.monotonic()
        reply = super().post(path, body)
        self.working.append(Span(begun, time.monotonic()))
        if reply.ok:
            self.posted.append(body)
        return reply

    def search(self, kind: str, params: Mapping[str, str]) -> Reply:
        """Search for what is on record about clients, and note when."""
        begun = time.monotonic()
        reply = super().search(kind, params)
        self.working.append(Span(begun, time.monotonic()))
        return reply


class Timed(NamedTuple):
    """What was done in how many seconds."""

    resources: int
    seconds: float

    @property
    def rate(self) -> float:
        """Resources a second."""
        return self.resources / self.seconds


def forms(run: int, count: int) -> list[dict[str, Any]]:
    """Return a run's forms, the same ones every time; each client has answered four, in turn with all others."""
    chance = random.Random(run)
    clients = max(1, count // FORMS_EACH)
    found = []
    for number in range(count):
        at = (START + timedelta(weeks=number // clients, minutes=number)).isoformat()
        meta = {"versionId": "1", "lastUpdated": (START + timedelta(weeks=5, seconds=number)).isoformat()}
        points = [chance.randrange(4) for _ in range(8)] + [0]
        client = f"Patient/run{run}-{number % clients}"
        found.append(response_json(points, name=f"run{run}-{number}", subject=client, authored=at, meta=meta))
    return found


def load(base: str, run: int, count: int) -> None:
    """Put a run's clients and forms on the server."""
    answered = forms(run, count)
    clients = dict.fromkeys(form["subject"]["reference"].removeprefix("Patient/") for form in answered)
    send(base, bundles([{"resourceType": "Patient", "id": client} for client in clients]), connections=1)
    send(base, bundles(answered), connections=1)


def bundles(resources: Sequence[dict[str, Any]]) -> list[bytes]:
    """Return transactions of a hundred that put resources under their own ids."""
    entries = [
        {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}
        for resource in resources
    ]
    return [
        json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries[at : at + 100]}).encode()
        for at in range(0, len(entries), 100)
    ]


def send(base: str, bundles: Sequence[bytes], connections: int = CONNECTIONS) -> float:
    """Return the seconds that it took to send transactions."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Content-Type"] = "application/fhir+json"

        def post(bundle: bytes) -> None:
            answer = session.post(base, data=bundle, timeout=300)
            while answer.status_code in (409, 500):  # two that make the same tag, or change the same Task
                answer = session.post(base, data=bundle, timeout=300)
            assert answer.ok, answer.text[:2000]

        begun = time.monotonic()
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(post, bundles))
        return time.monotonic() - begun


def renamed(bundle: bytes, run: int) -> bytes:
    """Return a transaction of the same resources under other names, so that all are new to the server once more."""

    def other(found: re.Match[bytes]) -> bytes:
        digest = sha256(b"%d %s" % (run, found[0])).hexdigest()
        if len(found[0]) == 64:
            return digest.encode()
        return f"urn:uuid:{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}".encode()

    content = json.loads(bundle)
    for entry in content["entry"]:
        entry["request"].pop("ifMatch", None)  # what an update was made of has changed since
    return _NAME.sub(other, json.dumps(content).encode())


def synced(http: Http, state: Path, catalog: Catalog) -> tuple[Summary, float]:
    """Return what a sync did, and the seconds that it took, with its audit trail in a file."""
    store = ServerStore(http.base, http)
    journal = Journal(state, store.name)
    tell = tell_of(store, AuditSection(), state)
    begun = time.monotonic()
    try:
        summary = sync(store, catalog, journal, Policy(), datetime.now(UTC), tell=tell)
        return summary, time.monotonic() - begun
    finally:
        store.close()
        journal.close()


def written(summary: Summary) -> int:
    """Return how many resources a sync wrote; nothing may be left open."""
    assert not summary.unknown, "outcomes are unknown"
    assert not summary.refused, "writes were refused"
    return summary.created.total() + summary.updated.total()


def against_hapi(base: str, count: int, rounds: int, folder: Path) -> Iterator[tuple[Timed, Timed]]:
    """Yield what a sync and a bare loader did in each round; the first warms the server and is no measure."""
    catalog = load_catalog()
    # rounds follow within the overlap: each would read the forms of the one before again, and all on their clients
    pull.OVERLAP_S = -1  # type: ignore[attr-defined]
    for run in range(rounds + 1):
        load(base, run, count)
        http = Recording(base)
        summary, seconds = synced(http, folder / "state", catalog)
        ours = Timed(written(summary), seconds)
        again = [renamed(bundle, run) for bundle in http.posted]
        sent = sum(len(json.loads(bundle)["entry"]) for bundle in again)
        bare = Timed(sent, send(base, again))
        if run:
            yield ours, bare


def against_latency(count: int, folder: Path, connections: int) -> tuple[float, list[Span], list[Span]]:
    """Return the seconds of a sync against a server that answers after 50 ms, and when it was paging and working."""
    from tests.stores.conftest import Ehr, Loopback

    class Distant(Ehr):
        """Takes every transaction, and keeps none: only its distance is measured."""

        def __call__(self, request: Any) -> Any:
            time.sleep(LATENCY_S)
            return super().__call__(request)

        def _transact(self, bundle: dict[str, Any]) -> Any:
            said = [
                {"response": {"status": "201", "location": f"{entry['resource']['resourceType']}/{number}"}}
                for number, entry in enumerate(bundle["entry"])
            ]
            return 200, {"resourceType": "Bundle", "type": "transaction-response", "entry": said}, {}

    ehr = Distant(*forms(0, count))
    ehr.page = PAGE

    server = Loopback(ehr)
    http = Recording(server.base, Limits(connections=connections))
    try:
        summary, seconds = synced(http, folder / f"state-{connections}", load_catalog())
        assert summary.read == count
        assert written(summary) >= 2 * count
    finally:
        server.stop()
    return seconds, http.paging, http.working


def both_s(some: Sequence[Span], others: Sequence[Span]) -> float:
    """Return the seconds in which one of the first and one of the second were under way."""
    moments = sorted({moment for span in (*some, *others) for moment in span})
    return sum(
        end - begin
        for begin, end in pairwise(moments)
        if all(any(span.begin <= begin and end <= span.end for span in spans) for spans in (some, others))
    )


def main(count: int, rounds: int) -> None:
    """Print all ratios."""
    from tests.servers import hapi_server

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with hapi_server.start(validate=False, heap="4g") as server:
            ratios = []
            for ours, bare in against_hapi(server.base, count, rounds, folder):
                ratios.append(ours.rate / bare.rate)
                said = f"sync {ours.rate:.0f}/s, bare loader {bare.rate:.0f}/s, ratio {ratios[-1]:.2f}"
                print(f"{ours.resources} resources: {said}", flush=True)
        print(f"rate of writing, times a bare loader     {statistics.median(ratios):6.2f}   (at least 0.85)")
        alone, _, _ = against_latency(FORMS_AT_A_DISTANCE, folder, 1)
        total, paging, working = against_latency(FORMS_AT_A_DISTANCE, folder, 5)
        spent = [sum(span.end - span.begin for span in spans) for spans in (paging, working)]
        print(f"at 50 ms: {total:.1f} s; paging {spent[0]:.1f} s, reading of clients and writing {spent[1]:.1f} s")
        behind = both_s(paging[1:], working) / sum(span.end - span.begin for span in paging[1:])
        print(f"paging while the page before is worked on {behind:5.2f}   (the first page apart)")
        print(f"time, times the sum of paging and the rest {total / sum(spent):4.2f}   (below 1: they overlap)")
        print(f"time, times that on one connection         {total / alone:4.2f}")


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))  # the tests' servers
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forms", type=int, default=1000, help="answered forms in each round")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    main(chosen.forms, chosen.rounds)
