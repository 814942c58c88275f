"""Faults of servers, each named by its number in the list of faults (docs/reference/faults.md)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pytest

from fhir_alliance.config import Config
from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.errors import Exit, RetryLater, StopRun, Unreachable
from fhir_alliance.fhir.difference import Change, ChangeKind, Known
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores import auth, exchange, paging
from fhir_alliance.stores import http as http_module
from fhir_alliance.stores.exchange import Limits
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Intent, Journal
from fhir_alliance.stores.keys import Algorithm, new_keys
from fhir_alliance.stores.opening import open_http
from fhir_alliance.stores.scopes import Needs, of
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.stores.store import Written
from fhir_alliance.testing import response_json

Ehr: TypeAlias = Any  # see conftest.py
Serve: TypeAlias = Callable[..., Any]
Run: TypeAlias = Callable[[], Summary]

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
SYSTEM = "https://example.org/key"
EMPTY = {"resourceType": "Bundle", "type": "searchset"}


def form(name: str, points: Sequence[int] = (1,) * 9, **elements: Any) -> dict[str, Any]:
    """Return a form as a server holds it."""
    meta = {"versionId": "1", "lastUpdated": "2026-01-05T10:00:00.000Z"}
    return response_json(points, name=name, meta=meta, **elements)


def write(key: str, kind: str = "Observation", **elements: Any) -> Change:
    """Return the creation of a resource."""
    body = {"resourceType": kind, "id": key, "identifier": [{"system": SYSTEM, "value": key}], **elements}
    return Change(Write(kind, SYSTEM, key, WriteMode.KEEP_CURRENT, orjson.dumps(body), key), ChangeKind.CREATE)


def update(key: str) -> Change:
    """Return an update of a resource that stands there."""
    return Change(write(key).write, ChangeKind.UPDATE, "srv-7", "3")


def outcome(code: str, status: int) -> tuple[int, Any, dict[str, str]]:
    """Return an answer with a vendor's own code."""
    coding = [{"system": "urn:oid:1.2.840.114350.1.13.0.1.7.2.657369", "code": code}]
    return status, {"issue": [{"code": "processing", "details": {"coding": coding}, "diagnostics": "Zilpzalp"}]}, {}


def without_bundles(ehr: Ehr, **flags: bool) -> None:
    """Let the server take one write at a time."""
    ehr.statement["rest"][0]["interaction"] = []
    for held in ehr.statement["rest"][0]["resource"]:
        held |= {"conditionalCreate": False} | flags


@pytest.fixture
def put(store: ServerStore, journal: Journal) -> Callable[..., Written]:
    """A function that writes changes to a store that holds nothing of ours; nobody waits."""
    store._http.sleep = lambda _: None
    return lambda *changes: store.put(changes, Known([]), journal)


@pytest.fixture
def run(store: ServerStore, journal: Journal) -> Run:
    """A function that runs a sync."""
    return lambda: sync(store, load_catalog(), journal, Policy(), NOW)


def test_row_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 2: a host that DNS does not know is asked for four times, then named; a write was surely not done."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    waits: list[float] = []
    http = Http("http://ehr.example/fhir", sleep=waits.append)
    with pytest.raises(Unreachable, match=r"FA402 ehr\.example"):
        http.write("POST", "Observation", b"{}", once=True)
    assert len(waits) == 3
    http.close()


def test_row_7() -> None:
    """Row 7: where connecting hangs, the time to connect ends it; a write was surely not done, and is tried again."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        port = listening.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]  # fill the queue, so that the next one gets no answer
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        waits: list[float] = []
        http = Http(f"http://127.0.0.1:{port}/fhir", sleep=waits.append, limits=Limits(connect_s=0.1, read_s=5))
        with pytest.raises(Unreachable, match=r"FA402 .*ConnectTimeout"):
            http.write("POST", "Observation", b"{}", once=True)
        assert len(waits) == 3
        http.close()
        for each in waiting:
            each.close()


def test_row_15(ehr: Ehr, put: Callable[..., Written], journal: Journal) -> None:
    """Row 15: of what was created without a body, Location tells the id, by which others then refer to it."""
    without_bundles(ehr, conditionalCreate=True)
    given: list[dict[str, Any]] = []

    def create(body: dict[str, Any], commit: Any) -> Any:
        given.append(body)
        return 201, b"", {"Location": f"Observation/oracle-{len(given)}/_history/1"}

    ehr.on_create = create
    written = put(write("a" * 64), write("b" * 64, hasMember=[{"reference": f"Observation/{'a' * 64}"}]))
    assert (written.created, written.unknown) == ({"Observation": 2}, [])
    assert given[1]["hasMember"] == [{"reference": "Observation/oracle-1"}]
    assert journal.unsettled() == []


def test_row_16(ehr: Ehr, put: Callable[..., Written], journal: Journal) -> None:
    """Row 16: what was created under an id that the server does not tell is unknown, until a search shows it."""
    without_bundles(ehr)
    ehr.on_create = lambda body, commit: (201, b"", {})
    written = put(write("a"))
    assert (written.created, [each.value for each in written.unknown]) == ({}, ["a"])
    assert [intent.key for intent in journal.unsettled()] == ["a"]
    ehr.resources.append(json.loads(write("a").write.body))
    assert put(write("a")).unchanged == {"Observation": 1}
    assert journal.unsettled() == []


def test_row_17(serve: Serve, ehr: Ehr, journal: Journal) -> None:
    """Row 17: an update that is answered without content is done."""
    without_bundles(ehr)
    server = serve(lambda request: (204, b"", {}) if request.method == "PUT" else ehr(request))
    store = ServerStore(server.base)
    written = store.put([update("a")], Known([]), journal)
    assert (written.updated, written.unknown, journal.unsettled()) == ({"Observation": 1}, [], [])
    store.close()


@pytest.mark.parametrize("way", ["transaction", "entry", "conditional create", "search first"])
def test_row_18(ehr: Ehr, put: Callable[..., Written], journal: Journal, way: str) -> None:
    """Row 18: what a server says it does later is not done yet: unknown, and in the journal."""
    later = (202, {}, {})
    entry = {"response": {"status": "202 Accepted", "location": "Observation/1/_history/1"}}
    ehr.on_transaction = lambda *_: (200, {"entry": [entry]}, {}) if way == "entry" else later
    ehr.on_create = lambda *_: later
    if way in ("conditional create", "search first"):
        without_bundles(ehr, conditionalCreate=way == "conditional create")
    written = put(write("a"))
    assert (written.created, written.unchanged, written.refused) == ({}, {}, [])
    assert [each.value for each in written.unknown] == [intent.key for intent in journal.unsettled()] == ["a"]


@pytest.mark.parametrize("code", ["4130", "4131"])
def test_row_22(ehr: Ehr, run: Run, code: str) -> None:
    """Row 22: where one client's record is closed to us, their form waits with that reason, and others' are written."""
    ehr.resources = [form("open"), form("closed", subject="Patient/p2")]
    ehr.on_transaction = lambda bundle, commit: outcome(code, 403) if "Patient/p2" in str(bundle) else commit()
    done = run()
    assert done.exit is Exit.PARKED
    assert [(parked.reference, parked.code) for parked in done.parked] == [("QuestionnaireResponse/closed", "FA435")]
    assert "Zilpzalp" not in done.parked[0].reason
    assert {o["subject"]["reference"] for o in ehr.all("Observation")} == {"Patient/p1"}


@pytest.mark.parametrize("status", [403, 404])
def test_row_25(ehr: Ehr, run: Run, status: int) -> None:
    """Row 25: where nothing is told of the Patient, the form is scored for whom it names, by that record's consents."""
    denial = {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "patient": {"reference": "Patient/p2"},
        "subject": {"reference": "Patient/p2"},  # by which this small server searches
        "provision": {"type": "deny"},
    }
    ehr.resources = [form("r1"), form("r2", subject="Patient/p2"), denial]
    ehr.on_search["Patient"] = (status, {}, {})
    done = run()
    assert (done.exit, done.scored, done.withheld) == (Exit.DONE, 1, 1)
    assert {o["subject"]["reference"] for o in ehr.all("Observation")} == {"Patient/p1"}


def test_row_31(ehr: Ehr, put: Callable[..., Written]) -> None:
    """Row 31: where a condition matches several, the write waits for a person."""
    without_bundles(ehr, conditionalCreate=True)
    ehr.on_create = lambda *_: (412, {"issue": [{"code": "multiple-matches"}]}, {})
    [refused] = put(write("a")).refused
    assert refused.code == "FA417"


def test_row_48(serve: Serve, ehr: Ehr, journal: Journal) -> None:
    """Row 48: a form whose text is no UTF-8 is parked by itself; the forms beside it are scored."""
    bad = json.dumps(form("bad")).encode().replace(b'"bad"', b'"bad", "language": "\xff\xfe"')
    entries = b",".join(b'{"resource": ' + each + b"}" for each in (json.dumps(form("good")).encode(), bad))
    page = b'{"resourceType": "Bundle", "entry": [' + entries + b"]}"
    server = serve(lambda request: (200, page, {}) if request.path.startswith("/fhir/QuestionnaireR") else ehr(request))
    store = ServerStore(server.base)
    done = sync(store, load_catalog(), journal, Policy(), NOW)
    store.close()
    assert (done.exit, done.scored, [parked.code for parked in done.parked]) == (Exit.PARKED, 1, ["FA201"])


def test_row_49(serve: Serve) -> None:
    """Row 49: a byte order mark before an answer is passed over."""
    body = b"\xef\xbb\xbf" + json.dumps(EMPTY | {"entry": [{"resource": form("r1")}]}).encode()
    store = ServerStore(serve((200, body, {})).base)
    [page] = store.responses("", ())
    assert len(page.records) == 1
    store.close()


def linked(to: str) -> tuple[int, Any, dict[str, str]]:
    """Return a page that leads to another."""
    return 200, EMPTY | {"link": [{"relation": "next", "url": to}]}, {}


def test_row_56(serve: Serve) -> None:
    """Row 56: pages that lead in a circle of three end the search with a fault that later may be gone."""
    server = serve(linked("?page=2"), linked("?page=3"), linked("?page=1"), linked("?page=2"))
    store = ServerStore(server.base)
    with pytest.raises(RetryLater, match="FA410") as told:
        list(store.responses("", ()))
    assert (told.value.exit, len(server.requests)) == (Exit.LATER, 4)
    store.close()


def test_row_57(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 57: pages without end are left at the limit; the run ends as one to repeat."""
    monkeypatch.setattr(paging, "MAX_PAGES", 5)
    numbers = iter(range(1000))
    server = serve(lambda _: linked(f"?page={next(numbers)}"))
    store = ServerStore(server.base)
    with pytest.raises(RetryLater, match="FA411") as told:
        list(store.responses("", ()))
    assert (told.value.exit, len(server.requests)) == (Exit.LATER, 6)
    store.close()


@pytest.mark.parametrize("total", [0, 7, -1, "many", None])
def test_row_58(serve: Serve, total: Any) -> None:
    """Row 58: whatever number of results a server states, what stands on its pages is read."""
    store = ServerStore(serve((200, EMPTY | {"total": total, "entry": [{"resource": form("r1")}]}, {})).base)
    assert [len(page.records) for page in store.responses("", ())] == [1]
    store.close()


def test_row_59(ehr: Ehr, store: ServerStore) -> None:
    """Row 59: a page that holds more than was asked for is read whole."""
    ehr.page = 10_000
    ehr.resources = [form(f"r{number}") for number in range(1200)]
    assert [len(page.records) for page in store.responses("", ())] == [1200]


def test_row_60(serve: Serve, ehr: Ehr, journal: Journal) -> None:
    """Row 60: a form that stands on two pages has its scores once."""
    first = EMPTY | {"entry": [{"resource": form("r1")}], "link": [{"relation": "next", "url": "?page=2"}]}
    second = EMPTY | {"entry": [{"resource": form("r1")}, {"resource": form("r2")}]}

    def answer(request: Any) -> Any:
        if request.path.startswith("/fhir/QuestionnaireR"):
            return 200, first, {}
        return (200, second, {}) if "page=2" in request.path else ehr(request)

    store = ServerStore(serve(answer).base)
    done = sync(store, load_catalog(), journal, Policy(), NOW)
    store.close()
    assert done.exit is Exit.DONE
    keys = [observation["identifier"][0]["value"] for observation in ehr.all("Observation")]
    assert len(keys) == len(set(keys)) == 4


def test_row_71(serve: Serve) -> None:
    """Row 71: a paging session that keeps expiring is for later, never a shorter result."""
    store = ServerStore(
        serve(linked("?page=2"), *[outcome("4113", 400), linked("?page=2")] * 5, outcome("4113", 400)).base
    )
    with pytest.raises(RetryLater, match="FA454") as told:
        list(store.responses("", ()))
    assert told.value.exit is Exit.LATER
    store.close()


def test_row_74(ehr: Ehr, run: Run) -> None:
    """Row 74: where a server shows no forms any more, nothing of what was written is taken back."""
    ehr.resources = [form("r1")]
    run()
    before = [resource for resource in ehr.resources if resource["resourceType"] != "QuestionnaireResponse"]
    assert before
    ehr.resources = list(before)
    done = run()
    assert (done.exit, done.created, done.updated) == (Exit.DONE, {}, {})
    assert ehr.resources == before


def test_row_76(ehr: Ehr, put: Callable[..., Written], journal: Journal) -> None:
    """Row 76: of a batch, each entry is what its own status says."""
    ehr.statement["rest"][0]["interaction"] = [{"code": "batch"}]
    statuses = ["201 Created", "422 Unprocessable", "500 Internal Server Error", "200 OK"]
    said = [{"response": {"status": s, "location": f"Observation/{n}/_history/1"}} for n, s in enumerate(statuses)]
    ehr.on_transaction = lambda *_: (200, {"type": "batch-response", "entry": said}, {})
    written = put(*(write(key) for key in "abcd"))
    assert (written.created, written.unchanged) == ({"Observation": 1}, {"Observation": 1})
    assert [(refused.group, refused.code) for refused in written.refused] == [("b", "FA413")]
    assert [each.value for each in written.unknown] == [intent.key for intent in journal.unsettled()] == ["c"]


def test_row_78(ehr: Ehr, put: Callable[..., Written]) -> None:
    """Row 78: an answer whose entries are of other types than what was sent is matched with nothing."""
    said = [{"response": {"status": "201 Created", "location": f"{kind}/1"}} for kind in ("Task", "Observation")]
    ehr.on_transaction = lambda *_: (200, {"entry": said}, {})
    written = put(write("a"), write("b", "Task"))
    assert (written.created, {each.value for each in written.unknown}) == ({}, {"a", "b"})


@pytest.mark.parametrize("way", ["conditional create", "search first", "search first, no body"])
def test_row_82(ehr: Ehr, put: Callable[..., Written], way: str) -> None:
    """Row 82: where the server files a score under another client, nothing more is written, in this run or the next."""
    without_bundles(ehr, conditionalCreate=way == "conditional create")
    sent: list[Any] = []

    def create(body: dict[str, Any], commit: Any) -> Any:
        sent.append(body)
        stored = body | {"id": "srv-1", "subject": {"reference": "https://ehr.example/fhir/Patient/p2"}}
        ehr.resources.append(stored)
        return 201, b"" if "no body" in way else stored, {"Location": "Observation/srv-1"}

    ehr.on_create = create
    for _ in range(2):
        with pytest.raises(StopRun, match="FA436") as told:
            put(*(write(key, subject={"reference": "Patient/p1"}) for key in "ab"))
        assert "p2" not in str(told.value)
        ehr.on_create = lambda body, commit: (200, ehr.resources[0], {})
    assert len(sent) == 1


@pytest.mark.parametrize("reference", ["https://inside.example/r4/Patient/p1", "Patient/p1/_history/3"])
def test_row_82_the_same_client(ehr: Ehr, put: Callable[..., Written], reference: str) -> None:
    """Row 82: the same client under another spelling is no other client."""
    without_bundles(ehr, conditionalCreate=True)
    ehr.on_create = lambda body, commit: (201, body | {"id": "srv-1", "subject": {"reference": reference}}, {})
    assert put(write("a", subject={"reference": "Patient/p1"})).created == {"Observation": 1}


@pytest.mark.parametrize("code", ["59187", "59188", "59189"])
def test_row_83(ehr: Ehr, run: Run, code: str) -> None:
    """Row 83: what the site has not set up is told as its affair, without the server's own text."""
    ehr.resources = [form("r1")]
    ehr.on_transaction = lambda *_: outcome(code, 400)
    done = run()
    [parked] = done.parked
    assert (done.exit, parked.code) == (Exit.PARKED, "FA433")
    assert "the site has to set something up" in parked.reason
    assert "Zilpzalp" not in parked.reason


def test_row_84(ehr: Ehr, put: Callable[..., Written]) -> None:
    """Row 84: what the server calls a duplicate is sent no second time, and waits for a person."""
    without_bundles(ehr, conditionalCreate=True)
    sent: list[Any] = []
    ehr.on_create = lambda body, commit: (sent.append(body), outcome("59141", 400))[1]
    [refused] = put(write("a")).refused
    assert (refused.code, len(sent)) == ("FA417", 1)


def test_row_89(ehr: Ehr, store: ServerStore, journal: Journal) -> None:
    """Row 89: where the journal has no room, the run stops before anything is sent."""
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StopRun, match="FA508"):
        journal.intend(Intent(f"{number}" * 20, "Observation", SYSTEM) for number in range(3000))
    assert journal.unsettled() == []
    ehr.resources = [form(f"r{number}", [1] * 8 + [0]) for number in range(60)]  # none of them about safety
    with pytest.raises(StopRun, match="FA508") as told:
        sync(store, load_catalog(), journal, Policy(), NOW)
    assert told.value.exit is Exit.CONFIGURATION
    assert ehr.transactions == []


def test_row_98() -> None:
    """Row 98: no time limit of an exchange asks the clock of the day, which may be set back."""
    sources = [Path(module.__file__ or "").read_text(encoding="utf-8") for module in (exchange, http_module, auth)]
    assert all("monotonic()" in source for source in sources)
    assert not any("time.time()" in source for source in sources[:2])


@pytest.mark.parametrize("kind", ["client-secret", "smart-backend"])
def test_row_156(serve: Serve, tmp_path: Path, kind: str) -> None:
    """Row 156: no proof of who we are goes to a token address without TLS."""
    secret, keys = tmp_path / "secret", tmp_path / "keys.json"
    new_keys(Algorithm.ES384).write(keys)
    secret.touch(mode=0o600)
    secret.write_text("x", encoding="utf-8")
    said = {"kind": kind, "client_id": "c", "secret_file": secret, "key_file": keys}
    config = Config.model_validate({"auth": said | {"token_url": "http://login.example/token"}})
    http = open_http(serve((200, {}, {})).base, config, Needs(of("Task")))
    with pytest.raises(StopRun, match="FA422"):
        http.get("Task")
    http.close()
