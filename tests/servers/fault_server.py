"""A small FHIR server on the loopback interface that can do as much, or as little, as a test says, and fails on cue."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import requests

from tests.servers.loopback import Port, Quiet, read_together

TYPES = (
    "QuestionnaireResponse", "Questionnaire", "Observation", "Task", "Consent", "Goal", "CarePlan", "CareTeam",
    "Encounter", "Communication", "Provenance", "ValueSet", "CodeSystem", "ConceptMap", "StructureDefinition",
)  # fmt: skip


Answer: TypeAlias = tuple[int, Any, dict[str, str]]


class Fault(Enum):
    """What happens to a write."""

    NONE = "none"
    CUT_BEFORE = "cut before"  # the connection breaks, and nothing was done
    CUT_AFTER = "cut after"  # it was done, and the connection breaks
    BUSY_AFTER = "busy after"  # it was done, and a gateway says 503
    THROTTLED = "throttled"  # 429, and nothing was done


@dataclass
class Abilities:
    """What the server can do. dropped: elements that it does not keep.  ignored: search parameters without effect.

    unread: types that it does not let us search (404).
    fixed: types of which nothing that stands is changed (405).
    versions: whether it counts versions and heeds If-Match.  no_ids: its status for an id of ours, if it takes none.
    bad: types of which it takes no content (422).
    lag: searches for which a new resource is not found yet.  refused: types that it takes no writes of (405).
    required: by type, what a search has to name (`a+b`), one of these; else it is refused as by Epic (59108).
    refuses: parameters that it takes in no search.  more: further types that it knows.
    in_part: whether it does a transaction entry by entry, as Medplum's router does.
    promised: abilities that the statement promises and the server does not have.
    """

    system: tuple[str, ...] = ()
    update_create: bool = False
    conditional_create: bool = False
    conditional_update: bool = False
    search: tuple[str, ...] = ("_id", "_lastUpdated", "patient", "identifier", "url")
    dropped: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    promised: tuple[str, ...] = ()
    lag: int = 0
    fixed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    versions: bool = False
    no_ids: int = 405
    bad: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    required: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refuses: tuple[str, ...] = ()
    in_part: bool = False


@dataclass
class FaultServer:
    """The server. faults: what happens to the next writes, in turn.  writes: what was asked, with its path.

    on_write: told the type of each write before it is done.
    """

    can: Abilities = field(default_factory=Abilities)
    faults: list[Fault] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)
    base: str = ""
    on_write: Callable[[str], None] = lambda kind: None
    meddling: Counter[str] = field(default_factory=Counter)  # by type, how often somebody changes it before an update

    def __post_init__(self) -> None:
        self._held: dict[tuple[str, str], dict[str, Any]] = {}
        self._hidden: dict[tuple[str, str], int] = {}
        self._made = 0
        self._lock = Lock()

    def load(self, *resources: dict[str, Any]) -> None:
        """Put resources there as an EHR would."""
        for resource in resources:
            self._held[resource["resourceType"], resource["id"]] = resource

    def drop(self, kind: str, name: str) -> None:
        """Let a resource be gone."""
        del self._held[kind, name]

    def notify(self) -> list[int]:
        """Send a notice for each active Subscription, as a rest-hook without payload; return how they were answered."""
        active = [each for each in self.all("Subscription") if each["status"] == "active"]
        return [_notice(each["channel"]) for each in active]

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the resources of a type."""
        return [resource for (held, _), resource in self._held.items() if held == kind]

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """Return status, body and headers; None to break the connection off."""
        with self._lock:
            url = urlsplit(path)
            place = url.path.removeprefix("/fhir").strip("/")
            if method == "GET" or place.endswith("_search"):
                return self._read(place, url.query if method == "GET" else body.decode())
            sent = json.loads(body) if body else {}
            if not place and (read := read_together(sent, in_part=self.can.in_part)):
                return read if "transaction" in self.can.system else (405, {}, {})
            self.writes.append((method, path))
            self.on_write(place.partition("/")[0])
            fault = self.faults.pop(0) if self.faults else Fault.NONE
            if fault is Fault.CUT_BEFORE:
                return None
            if fault is Fault.THROTTLED:
                return 429, {}, {"Retry-After": "0"}
            done = self._write(method, place, unquote(url.query), headers, sent)
            if fault is Fault.CUT_AFTER:
                return None
            return (503, {}, {"Retry-After": "0"}) if fault is Fault.BUSY_AFTER else done

    def _read(self, place: str, query: str) -> Answer:
        if place == "metadata":
            return 200, self._statement(), {}
        kind, _, name = place.removesuffix("/_search").partition("/")
        if name:
            found = self._held.get((kind, name))
            return (200, found, {}) if found else (404, {}, {})
        if kind in self.can.unread:
            return 404, {}, {}
        asked = {key: value[0] for key, value in parse_qs(query).items()}
        required = self.can.required.get(kind, ())
        is_named = not required or any(asked.keys() >= set(each.split("+")) for each in required)
        if not is_named or not asked.keys().isdisjoint(self.can.refuses):
            code = {"coding": [{"code": "59108"}]}
            return 400, {"resourceType": "OperationOutcome", "issue": [{"code": "required", "details": code}]}, {}
        entries = [{"resource": r} for r in self._found(kind, asked)]
        return 200, {"resourceType": "Bundle", "type": "searchset", "entry": entries}, {}

    def _found(self, kind: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        found = []
        for (held, name), resource in list(self._held.items()):
            if held != kind:
                continue
            if self._hidden.get((held, name), 0) > 0:
                self._hidden[held, name] -= 1
                continue
            subject = (resource.get("subject") or resource.get("for") or {}).get("reference")
            given = [f"{i.get('system')}|{i.get('value')}" for i in named(resource)]
            tests = {
                "_id": lambda value, r=resource: r["id"] in value.split(","),
                "patient": lambda value, s=subject: s in value.split(","),
                "identifier": lambda value, g=given: value in g,
                "url": lambda value, r=resource: _address(r) in value.split(","),
            }
            used = [(key, asked[key]) for key in tests if key in asked and key not in self.can.ignored]
            if all(tests[key](value) for key, value in used):
                found.append(resource)
        return found

    def _write(self, method: str, place: str, query: str, headers: dict[str, str], body: Any) -> Answer:
        if not place:
            if body["type"] not in self.can.system:
                return 405, {}, {}
            is_whole = body["type"] == "transaction" and not self.can.in_part
            refused = [self._refusal(*_asked(entry)) for entry in body["entry"]] if is_whole else []
            return (max(refused), {}, {}) if any(refused) else (200, self._bundle(body), {})
        kind, _, name = place.partition("/")
        if refused := self._refusal(method, kind, name, headers.get("If-Match", "")):
            return refused, {}, {}
        status, name = self._one(method, kind, name, query, unquote(headers.get("If-None-Exist", "")), body)
        location = {"Location": f"{self.base}/{kind}/{name}/_history/1"} if name else {}
        return status, {}, location

    def _bundle(self, bundle: dict[str, Any]) -> dict[str, Any]:
        names: dict[str, str] = {}
        responses = []
        for entry in bundle["entry"]:
            request = entry["request"]
            url = urlsplit(request["url"])
            kind, _, name = url.path.partition("/")
            once = unquote(request.get("ifNoneExist", ""))
            status = self._refusal(*_asked(entry)) if bundle["type"] == "batch" or self.can.in_part else 0
            if not status:
                status, name = self._one(request["method"], kind, name, unquote(url.query), once, entry["resource"])
            names[entry["fullUrl"]] = f"{kind}/{name}"
            responses.append({"response": {"status": f"{status} x", "location": f"{kind}/{name}/_history/1"}})
        if bundle["type"] == "transaction":
            text = json.dumps([*self._held.values()])
            for temporary, given in names.items():
                text = text.replace(temporary, given)
            self._held = {(r["resourceType"], r["id"]): r for r in json.loads(text)}
        return {"resourceType": "Bundle", "type": f"{bundle['type']}-response", "entry": responses}

    def _refusal(self, method: str, kind: str, name: str, match: str) -> int:
        """Return the status with which a write is refused before anything is done, or 0."""
        if kind in self.can.bad:
            return 422
        stands = method == "PUT" and (kind, name) in self._held
        if method == "PUT" and name and not stands and not self.can.update_create and self.can.no_ids != 405:
            return self.can.no_ids
        if not (stands and match and self.can.versions):
            return 0
        if self.meddling[kind] > 0:
            self.meddling[kind] -= 1
            self._keep(kind, name, self._held[kind, name])
        return 0 if match == f'W/"{self._held[kind, name]["meta"]["versionId"]}"' else 412

    def _one(self, method: str, kind: str, name: str, query: str, once: str, body: dict[str, Any]) -> tuple[int, str]:
        if kind in self.can.refused:
            return 405, ""
        if method == "PUT":
            if query:
                if not self.can.conditional_update:
                    return 400, ""
                matching = self._matching(kind, query)
                if len(matching) > 1:
                    return 412, ""
                return (200, self._keep(kind, matching[0], body)) if matching else (201, self._new(kind, body))
            if (kind, name) not in self._held and not self.can.update_create:
                return 405, ""
            status = 200 if (kind, name) in self._held else 201
            if status == 200 and kind in self.can.fixed:
                return 405, ""
            return status, self._keep(kind, name, body)
        if once and self.can.conditional_create:  # a server that knows no conditional creation passes it over
            matching = self._matching(kind, once)
            if matching:
                return (200, matching[0]) if len(matching) == 1 else (412, "")
        return 201, self._new(kind, body)

    def _matching(self, kind: str, query: str) -> list[str]:
        """Return the ids that a condition finds: of an identifier, of a tag, or of an address."""
        if query.startswith("url="):
            return [r["id"] for r in self.all(kind) if _address(r) == query.removeprefix("url=")]
        key = re.fullmatch(r"(identifier|_tag)=(.+)\|(.+)", query)
        assert key is not None, query
        found = []
        for resource in self.all(kind):
            tags = [(tag["system"], tag["code"]) for tag in resource.get("meta", {}).get("tag", ())]
            identifiers = [(i["system"], i["value"]) for i in named(resource)]
            if (key[2], key[3]) in (tags if key[1] == "_tag" else identifiers):
                found.append(resource["id"])
        return found

    def _new(self, kind: str, body: dict[str, Any]) -> str:
        self._made += 1
        name = f"srv-{self._made}"
        self._hidden[kind, name] = self.can.lag
        return self._keep(kind, name, body)

    def _keep(self, kind: str, name: str, body: dict[str, Any]) -> str:
        kept = {key: value for key, value in body.items() if key not in self.can.dropped}
        if body.get("resourceType") == "Subscription" and body["status"] == "requested":
            kept["status"] = "active"
        if self.can.versions:
            before = self._held.get((kind, name), {}).get("meta", {}).get("versionId", "0")
            kept["meta"] = {**kept.get("meta", {}), "versionId": str(int(before) + 1)}
        self._held[kind, name] = kept | {"id": name}
        return name

    def _statement(self) -> dict[str, Any]:
        can = self.can
        held = {
            "interaction": [{"code": code} for code in ("read", "search-type", "create", "update")],
            "searchParam": [{"name": name} for name in can.search],
            "conditionalCreate": can.conditional_create,
            "conditionalUpdate": can.conditional_update,
            "updateCreate": can.update_create,
        } | dict.fromkeys(can.promised, True)
        rest = {
            "mode": "server",
            "interaction": [{"code": code} for code in {*can.system, *(p for p in can.promised if p.islower())}],
            "resource": [{"type": kind, **held} for kind in (*TYPES, *can.more)],
        }
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}


def _asked(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return method, type, id and If-Match of a Bundle's entry; no id where it asks by a condition."""
    request = entry["request"]
    kind, _, name = urlsplit(request["url"]).path.partition("/")
    return request["method"], kind, name, request.get("ifMatch", "")


def named(resource: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the identifiers of a resource: a QuestionnaireResponse has one, others a list."""
    given = resource.get("identifier", [])
    return given if isinstance(given, list) else [given]


def _address(resource: dict[str, Any]) -> Any:
    """Return what a search by url looks at."""
    return resource["channel"]["endpoint"] if resource["resourceType"] == "Subscription" else resource.get("url")


def _notice(channel: dict[str, Any]) -> int:
    headers = dict(header.split(": ", 1) for header in channel["header"])
    with requests.Session() as session:
        session.trust_env = False
        return session.post(channel["endpoint"], headers=headers, timeout=10).status_code


@contextmanager
def started(can: Abilities) -> Iterator[FaultServer]:
    """Yield a running server."""
    server = FaultServer(can)

    class Handler(Quiet):
        def handle_all(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answered = server.answer(self.command, self.path, dict(self.headers), body)
            if answered is None:
                self.close_connection = True
                return
            status, content, headers = answered
            text = json.dumps(content).encode()
            self.send_response(status)
            for name, value in (
                {"Content-Type": "application/fhir+json", "Content-Length": str(len(text))} | headers
            ).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = handle_all  # noqa: N815 - named so by http.server

    port = Port(Handler)
    server.base = port.base
    try:
        yield server
    finally:
        port.stop()
