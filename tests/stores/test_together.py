"""Whether a server keeps transactions together is found by reads, before anything is sent that has to stand as one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson
import pytest

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.difference import Change, ChangeKind, Known
from fhir_alliance.stores.bundles import waves_of
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.stores.together import Together, kept_together

Serve: TypeAlias = Callable[..., Any]  # see conftest.py
Answer: TypeAlias = tuple[int, Any, dict[str, str]]


def answered(*statuses: str) -> Answer:
    """Return an answer to a transaction, by its entries' statuses."""
    entries = [{"response": {"status": status}} for status in statuses]
    return 200, {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}, {}


ONE, LOGIN = answered("200 OK"), (200, b"<html/>", {"Content-Type": "text/html"})


@pytest.mark.parametrize(
    ("both", "alone", "found"),
    [
        ((404, {}, {}), ONE, Together.WHOLE),
        ((400, {}, {}), ONE, Together.WHOLE),
        ((500, {}, {}), ONE, Together.WHOLE),
        (answered("200", "404"), ONE, Together.IN_PART),
        (answered("404 Not Found", "200 OK"), ONE, Together.NOT_KNOWN),
        (answered("200", "200"), ONE, Together.NOT_KNOWN),
        (answered("400", "404"), answered("400"), Together.NOT_KNOWN),
        (answered("200", "500"), ONE, Together.NOT_KNOWN),
        (answered("200"), ONE, Together.NOT_KNOWN),
        ((200, [], {}), ONE, Together.NOT_KNOWN),
        ((400, {}, {}), (400, {}, {}), Together.NOT_KNOWN),
        ((400, {}, {}), answered("403"), Together.NOT_KNOWN),
        ((400, {}, {}), LOGIN, Together.NOT_KNOWN),
        ((403, {}, {}), ONE, Together.NOT_KNOWN),
        ((202, {}, {}), ONE, Together.NOT_KNOWN),
        (LOGIN, ONE, Together.NOT_KNOWN),
        ((404, {}, {}), (404, {}, {}), Together.NOT_KNOWN),
        ((405, {}, {}), (405, {}, {}), Together.NOT_KNOWN),
        ((501, {}, {}), (501, {}, {}), Together.NOT_KNOWN),
    ],
)
def test_what_a_transaction_of_reads_shows(serve: Serve, both: Answer, alone: Answer, found: Together) -> None:
    """Only reads that are served and fail as they should tell; whatever else a server answers is "not known"."""
    server = serve(lambda request: both if len(json.loads(request.body)["entry"]) == 2 else alone)
    assert kept_together(Http(server.base)) is found
    asked = [entry["request"] for request in server.requests for entry in json.loads(request.body)["entry"]]
    assert {request["method"] for request in asked} == {"GET"}


def test_nobody_answers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer has shown nothing."""
    monkeypatch.setattr("fhir_alliance.stores.http.back_off", lambda attempt: 0.0)
    server = serve(ONE)
    server.stop()
    assert kept_together(Http(server.base)) is Together.NOT_KNOWN


def change(name: str, *refers_to: str, kind: str = "Observation", stands_as: str = "", group: str = "form") -> Change:
    """Return the creation of a resource, or its update where it stands already."""
    body = {"resourceType": kind, "id": name, "focus": [{"reference": reference} for reference in refers_to]}
    body |= {"identifier": [{"system": ids.SCORE, "value": name}]}
    mode = WriteMode.ACCOMPANY if kind == "Provenance" else WriteMode.KEEP_CURRENT
    write = Write(kind, ids.SCORE, name, mode, orjson.dumps(body), group)
    return Change(write, ChangeKind.UPDATE if stands_as else ChangeKind.CREATE, stands_as)


@pytest.mark.parametrize("system", [("batch",), ("transaction", "batch"), ()])
@pytest.mark.parametrize("bad", [("Goal",), ("Goal", "Communication")])
def test_nothing_is_noted_of_what_was_refused(
    start_server: Any, journal: Journal, system: Sequence[str], bad: Sequence[str]
) -> None:
    """Where nothing is kept together, neither note nor Provenance is left of a change that the server refused."""
    server = start_server(system=system, in_part=True, conditional_create=True, bad=bad)
    server.load({"resourceType": "Goal", "id": "sleep"}, {"resourceType": "Task", "id": "t"})
    done = change("review", "Goal/sleep", kind="Task", stands_as="t")
    goal = change("goal", kind="Goal", stands_as="sleep")
    proof = change("proof", "Goal/sleep", kind="Provenance")
    other = change("other", kind="Communication", group="other")
    store = ServerStore(server.base)
    written = store.put([done, goal, proof, other], Known([]), journal)
    store.close()
    assert server.all("Task") == [{"resourceType": "Task", "id": "t"}]
    assert server.all("Provenance") == []
    assert [refusal.group for refusal in written.refused] == ["form", "other"][: len(bad)]
    assert written.created["Communication"] == (len(bad) == 1)


def test_what_refers_to_others_goes_after_them() -> None:
    """A review goes after the scores and the Goal that it names, new or not; what only tells of others goes last."""
    score, panel = change("a" * 64, stands_as="s1"), change("panel", f"Observation/{'a' * 64}")
    review, goal = change("review", "Observation/s1", "Goal/g", kind="Task"), change("g", kind="Goal", stands_as="g")
    proof, lonely = change("proof", kind="Provenance"), change("self", "Observation/s2", stands_as="s2")
    waves = list(waves_of([proof, review, panel, goal, score, lonely]))
    assert waves[0] == [goal, score, lonely]
    assert review in waves[1]
    assert waves[-1] == [proof]
    ring = [change("a", "Goal/b", kind="Goal", stands_as="a"), change("b", "Goal/a", kind="Goal", stands_as="b")]
    assert list(waves_of(ring)) == [ring]


def bundles(server: Any) -> list[tuple[str, str]]:
    """Return type and first method of each Bundle that a server was sent."""
    sent = [json.loads(request.body) for request in server.requests if request.path.strip("/") == "fhir"]
    return [(bundle["type"], bundle["entry"][0]["request"]["method"]) for bundle in sent]


LOOK, WHOLE, BATCH = ("transaction", "GET"), ("transaction", "POST"), ("batch", "POST")


@pytest.mark.parametrize("in_part", [True, False])
@pytest.mark.parametrize("pinned", [None, True, False])
def test_a_run_looks_before_its_first_transaction(
    serve: Serve, ehr: Any, journal: Journal, in_part: bool, pinned: bool | None
) -> None:
    """Once in a run, unless a person has said it, and remembered for a day where the server does things in part."""

    def answer(request: Any) -> Answer:
        is_look = request.path.strip("/") == "fhir" and b'"GET"' in request.body
        found: Answer = answered("200", "404") if in_part and is_look else ehr(request)
        return found

    server = serve(answer)

    def run(*names: str) -> None:
        store = ServerStore(server.base)
        if pinned is not None:
            store = ServerStore(server.base, profile=store.profile.model_copy(update={"keeps_together": pinned}))
        for name in names:
            store.put([change(name, group=name)], Known([]), journal)
        store.put([], Known([]), journal)
        store.close()

    run()
    assert bundles(server) == []  # what writes nothing need not know
    run("a" * 64, "b" * 64)
    run("c" * 64)
    if pinned is None:
        assert bundles(server) == ([LOOK, BATCH, BATCH, BATCH] if in_part else [LOOK, WHOLE, WHOLE, LOOK, WHOLE])
        assert ("transaction" in journal.refusals(datetime.now(UTC))) == in_part
    else:
        assert bundles(server) == [WHOLE if pinned else BATCH] * 3
    assert len(ehr.all("Observation")) == 3


@pytest.mark.parametrize(
    ("answer", "is_kept"),
    [
        (answered("201", "201"), True),
        (answered("201", "422"), False),
        (answered("201"), False),
        ((200, {}, {}), False),
        ((422, {}, {}), False),
    ],
)
def test_a_trail_that_is_kept_in_part_is_not_kept(serve: Serve, answer: Answer, is_kept: bool) -> None:
    """AuditEvents count as taken only where the server confirms each of them: what cannot be kept is not done."""
    store = ServerStore(serve(answer).base)
    assert store.log([b'{"resourceType":"AuditEvent"}'] * 2) is is_kept
    store.close()
