"""A server on the loopback interface that answers as a test says, and a small FHIR server in memory for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest

from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from tests.servers.loopback import Port, Quiet, read_together

Answer: TypeAlias = tuple[int, Any, dict[str, str]]  # status, body, headers


class Request(NamedTuple):
    """What was asked. path: with the query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Loopback:
    """The server. answer: gets a Request, returns status, body (an object is sent as JSON) and headers.

    The header `X-Cut` closes the connection in the middle of the body.
    """

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        loopback = self

        class Handler(Quiet):
            def handle_all(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, dict(self.headers), body)
                loopback.requests.append(request)
                status, content, headers = answer(request)
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                (self.send_response_only if "Date" in headers else self.send_response)(status)
                for name, value in ({"Content-Type": "application/fhir+json"} | headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if "X-Cut" in headers else content)

            do_GET = do_POST = do_PUT = handle_all  # noqa: N815 - named so by http.server

        self._port = Port(Handler)
        self.base = self._port.base

    def stop(self) -> None:
        """Close the port and end the thread."""
        self._port.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Loopback]]:
    """A function that starts a server, see Loopback; given one answer or several, the last one is repeated."""
    started: list[Loopback] = []

    def serve(*answers: Any) -> Loopback:
        if callable(answers[0]):
            started.append(Loopback(answers[0]))
        else:
            left = list(answers)
            started.append(Loopback(lambda _: left.pop(0) if len(left) > 1 else left[0]))
        return started[-1]

    yield serve
    for server in started:
        server.stop()


TYPES = (
    "QuestionnaireResponse", "Questionnaire", "Observation", "Task", "Consent", "Goal", "CarePlan", "CareTeam",
    "Encounter", "Communication", "Provenance", "ValueSet", "CodeSystem", "ConceptMap", "StructureDefinition",
)  # fmt: skip
SEARCH = ("_id", "_lastUpdated", "identifier", "patient", "url", "authored")


def statement(
    *system: str, without: Collection[str] = (), search: Collection[str] = SEARCH, more: Collection[str] = (),
    **flags: bool,
) -> dict[str, Any]:  # fmt: skip
    """Return a CapabilityStatement.

    system: interactions.  without: of each type.  more: further types.  flags: conditionalCreate, ...
    """
    interactions = [{"code": code} for code in ("read", "search-type", "create", "update") if code not in without]
    held = {"interaction": interactions, "searchParam": [{"name": name} for name in search], **flags}
    rest = {"mode": "server", "interaction": [{"code": code} for code in system]}
    rest["resource"] = [{"type": kind, **held} for kind in (*TYPES, *more)]
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}


class Ehr:
    """A small FHIR server in memory: searches by id, patient and change; transactions with its own ids.

    page: entries on a page.  on_transaction: may answer in place of it, before or after it was done.
    on_create: the same for the creation of one resource.  on_search: the same for a search, by type.
    """

    def __init__(self, *resources: dict[str, Any]) -> None:
        self.resources = list(resources)
        self.page = 500
        self.on_transaction: Callable[[dict[str, Any], Callable[[], Answer]], Answer] = lambda _, commit: commit()
        self.on_create: Callable[[dict[str, Any], Callable[[], Answer]], Answer] = lambda _, commit: commit()
        self.on_search: dict[str, Answer] = {}
        self.transactions: list[dict[str, Any]] = []
        self.statement = statement("transaction", "batch", conditionalCreate=True)

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        url = urlsplit(request.path)
        if url.path == "/fhir/metadata":
            return 200, self.statement, {}
        if request.method == "POST" and not url.path.endswith("/_search"):
            bundle = json.loads(request.body)
            if bundle["resourceType"] != "Bundle":
                return self.on_create(bundle, lambda: self._create(bundle, request.headers["If-None-Exist"]))
            if (read := read_together(bundle)) is not None:
                return read
            self.transactions.append(bundle)
            return self.on_transaction(bundle, lambda: self._transact(bundle))
        asked = {k: v[0] for k, v in parse_qs(url.query + "&" + request.body.decode()).items()}
        kind = url.path.split("/")[2]
        if kind in self.on_search:
            return self.on_search[kind]
        found = [
            resource for resource in self.resources if resource["resourceType"] == kind and matches(resource, asked)
        ]
        start = int(asked.get("_offset", 0))
        entries = [{"resource": r, "search": {"mode": "match"}} for r in found[start : start + self.page]]
        query = urlencode(asked | {"_offset": str(start + self.page)})
        more = [{"relation": "next", "url": f"http://{request.headers['Host']}{url.path}?{query}"}]
        more = [] if start + self.page >= len(found) or "_search" in url.path else more
        return 200, {"resourceType": "Bundle", "type": "searchset", "entry": entries, "link": more}, {}

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the resources of a type."""
        return [resource for resource in self.resources if resource["resourceType"] == kind]

    def _create(self, resource: dict[str, Any], unless: str) -> Answer:
        value = unquote(unless).rpartition("|")[2]
        for stored in self.all(resource["resourceType"]):
            if value in [identifier["value"] for identifier in stored["identifier"]]:
                return 200, stored, {}
        self.resources.append(resource | {"id": f"srv-{len(self.resources)}"})
        return 201, self.resources[-1], {}

    def _transact(self, bundle: dict[str, Any]) -> Answer:
        responses, names = [], {}
        for entry in bundle["entry"]:
            kind, _, name = entry["request"]["url"].partition("/")
            key = re.search(r"identifier=.+\|(.+)", unquote(entry["request"].get("ifNoneExist", "")))
            stored = [r for r in self.all(kind) if r["id"] == name or (key and key[1] == r["identifier"][0]["value"])]
            name = stored[0]["id"] if stored else f"srv-{len(self.resources)}"
            names[entry["fullUrl"]] = f"{kind}/{name}"
            if not stored or not key:
                self.resources = [r for r in self.resources if r not in stored] + [entry["resource"] | {"id": name}]
            status = "200 OK" if stored else "201 Created"
            responses.append({"response": {"status": status, "location": f"{kind}/{name}/_history/1"}})
        text = json.dumps(self.resources)
        for temporary, given in names.items():
            text = text.replace(temporary, given)
        self.resources = json.loads(text)
        return 200, {"resourceType": "Bundle", "type": "transaction-response", "entry": responses}, {}


def matches(resource: dict[str, Any], asked: dict[str, str]) -> bool:
    """Return whether a search by `_id`, `patient` or `_lastUpdated` finds the resource."""
    if "_lastUpdated" in asked:
        updated = datetime.fromisoformat(resource["meta"]["lastUpdated"])
        if updated < datetime.fromisoformat(asked["_lastUpdated"].removeprefix("ge")):
            return False
    subject = (resource.get("subject") or resource.get("for") or {}).get("reference")
    in_ids = "_id" not in asked or resource["id"] in asked["_id"].split(",")
    return in_ids and ("patient" not in asked or subject in asked["patient"].split(","))


@pytest.fixture
def ehr() -> Ehr:
    """An empty server, not started."""
    return Ehr()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal."""
    opened = Journal(tmp_path / "state", "test")
    yield opened
    opened.close()


@pytest.fixture
def store(serve: Callable[..., Loopback], ehr: Ehr) -> Iterator[ServerStore]:
    """The server, started and opened."""
    opened = ServerStore(serve(ehr).base)
    yield opened
    opened.close()
