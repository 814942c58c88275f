"""A server as a store: pages to their end, clients out of addresses, and a bookmark that misses nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import pytest

from fhir_alliance.errors import Exit, RetryLater, StopRun, Unreachable
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json

Ehr: TypeAlias = Any  # see conftest.py
Serve: TypeAlias = Callable[..., Any]
Answer: TypeAlias = tuple[int, Any, dict[str, str]]

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))  # not UTC, on purpose


def form(name: str, updated: str = "2026-01-05T10:00:00.000Z", **elements: Any) -> dict[str, Any]:
    """Return a form as a server holds it."""
    return response_json([1] * 9, name=name, meta={"versionId": "1", "lastUpdated": updated}, **elements)


def test_all_pages_are_read(ehr: Ehr, store: ServerStore) -> None:
    """Pages are followed to the last; each has its forms and the latest change among them as its mark."""
    ehr.page = 2
    ehr.resources = [form(f"r{n}", f"2026-01-05T10:00:0{n}.000Z") for n in range(5)]
    pages = list(store.responses("", ()))
    assert [[record.source for record in page.records] for page in pages] == [
        ["QuestionnaireResponse/r0", "QuestionnaireResponse/r1"],
        ["QuestionnaireResponse/r2", "QuestionnaireResponse/r3"],
        ["QuestionnaireResponse/r4"],
    ]
    assert [page.mark[-7:-5] for page in pages] == ["01", "03", "04"]


def test_only_what_changed_is_asked_for(serve: Serve, ehr: Ehr) -> None:
    """A run asks for changes since its mark, less an overlap, oldest first."""
    server = serve(ehr)
    store = ServerStore(server.base)
    list(store.responses("2026-03-29T03:01:00+02:00", ()))
    store.close()
    asked = parse_qs(urlsplit(server.requests[0].path).query)
    assert asked["_sort"] == ["_lastUpdated"]
    [since] = asked["_lastUpdated"]
    assert since[:2] == "ge"
    assert datetime.fromisoformat(since[2:]) == datetime.fromisoformat("2026-03-29T02:59:00+02:00")


def test_parked_forms_are_fetched_again(ehr: Ehr, store: ServerStore) -> None:
    """A parked form that did not change is read by its id, once; one that has gone is left out."""
    ehr.resources = [form("seen"), form("parked", "2026-01-01T10:00:00.000Z")]
    again = {"QuestionnaireResponse/seen", "QuestionnaireResponse/parked", "QuestionnaireResponse/gone"}
    found = [record.source for page in store.responses("2026-01-05T10:00:00Z", again) for record in page.records]
    assert found == ["QuestionnaireResponse/seen", "QuestionnaireResponse/parked"]


def test_what_was_not_asked_for_is_passed_over(serve: Serve) -> None:
    """Outcomes and included resources on a page are neither forms nor errors."""
    entries = [
        {"resource": form("r1"), "search": {"mode": "match"}},
        {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}},
        {"resource": form("other"), "search": {"mode": "include"}},
        {"resource": {"resourceType": "Patient", "id": "p1"}},
        {"fullUrl": "https://example.org/none"},
    ]
    store = ServerStore(serve((200, {"resourceType": "Bundle", "entry": entries}, {})).base)
    told = [record.source for page in store.responses("", ()) for record in page.records]
    assert told == ["QuestionnaireResponse/r1"]
    store.close()


@pytest.mark.parametrize(
    ("second", "error", "code"),
    [
        ((200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": "?page=2"}]}, {}), RetryLater, "FA410"),
        (
            (200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": "http://evil.example/"}]}, {}),
            StopRun,
            "FA401",
        ),
        ((404, {}, {}), RetryLater, "FA454"),
        ((410, {}, {}), RetryLater, "FA454"),
        ((500, {}, {}), Unreachable, "FA409"),
        ((200, [], {}), Unreachable, "FA407"),
        ((200, b"", {}), Unreachable, "FA407"),
        ((200, {"resourceType": "Bundle", "entry": 5}, {}), Unreachable, "FA407"),
    ],
    ids=["circle", "elsewhere", "gone", "expired", "broken", "list", "empty", "misshapen"],
)
def test_pages_that_end_badly(serve: Serve, second: Answer, error: type[Exception], code: str) -> None:
    """A search that cannot be read to its end is an error, never a shorter result."""
    first = (200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": "?page=2"}]}, {})
    store = ServerStore(serve(lambda request: second if "page=2" in request.path else first).base)
    with pytest.raises(error, match=code):
        store.canonicals("Questionnaire", ())
    store.close()


def test_clients_are_looked_up_in_portions_and_never_in_an_address(serve: Serve, ehr: Ehr) -> None:
    """What is about many clients is asked for in portions, by form: no address names a client."""
    ehr.resources = [
        {"resourceType": "Goal", "id": f"g{n}", "subject": {"reference": f"Patient/p{n}"}} for n in range(90)
    ]
    server = serve(ehr)
    store = ServerStore(server.base)
    found = store.about("Goal", [f"Patient/p{n}" for n in range(90)])
    named = store.named("Goal", [f"Goal/g{n}" for n in range(90)])
    store.close()
    assert found == named == ehr.resources
    assert len(server.requests) == 3 + 3
    assert {request.path for request in server.requests} == {"/fhir/Goal/_search"}


@pytest.mark.parametrize("updated", ["2099-01-01T00:00:00Z", "soon", ""])
def test_the_bookmark_stays_within_the_run(ehr: Ehr, store: ServerStore, journal: Journal, updated: str) -> None:
    """A change dated after the start of the run, or not dated, does not move the bookmark: others would be missed."""
    ehr.resources = [form("r1", updated)]
    for _ in range(2):
        assert sync(store, load_catalog(), journal, Policy(), NOW).exit is Exit.DONE
        assert journal.bookmark() == "" or datetime.fromisoformat(journal.bookmark()) <= NOW
