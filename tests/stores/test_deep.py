"""One record that is nested without end harms only itself: the others on its page are read, and it is parked."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.errors import ConsentUnreachable, Exit
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.deep import id_of, resources_in, without_entries
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json

Serve: TypeAlias = Callable[..., Any]  # see conftest.py
Ehr: TypeAlias = Any

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
DEPTH = 100_000


def deep(kind: str, name: str) -> bytes:
    """Return a resource with a hundred thousand levels in it."""
    head = f'{{"resourceType": "{kind}", "note": "\\"entry\\": [{{", "id": "{name}", "extension": '
    return head.encode() + b"[" * DEPTH + b"]" * DEPTH + b"}"


def page(*resources: bytes) -> bytes:
    """Return a page with these resources."""
    entries = b",".join(b'{"search": {"mode": "match"}, "resource": ' + each + b"}" for each in resources)
    return b'{"resourceType": "Bundle", "link": [], "entry": [' + entries + b"]}"


@pytest.fixture
def answering(ehr: Ehr, serve: Serve) -> Callable[[str, bytes], ServerStore]:
    """A function that opens a server whose searches of a type give this page."""

    def answering(kind: str, content: bytes) -> ServerStore:
        def answer(request: Any) -> Any:
            asked = request.path.partition("?")[0].split("/")[2]
            return (200, content, {}) if asked == kind else ehr(request)

        return ServerStore(serve(answer).base)

    return answering


def test_the_others_are_scored(answering: Callable[[str, bytes], ServerStore], ehr: Ehr, journal: Journal) -> None:
    """Row 105: a form that is nested without end is parked by its name; the forms beside it are scored."""
    good = [json.dumps(response_json([1] * 9, name=name)).encode() for name in ("r1", "r2")]
    store = answering("QuestionnaireResponse", page(good[0], deep("QuestionnaireResponse", "bad"), good[1]))
    done = sync(store, load_catalog(), journal, Policy(), NOW)
    store.close()
    assert (done.exit, done.read, done.scored) == (Exit.PARKED, 3, 2)
    assert [(parked.reference, parked.code) for parked in done.parked] == [("QuestionnaireResponse/bad", "FA216")]


def test_a_deep_consent_shares_nothing(
    answering: Callable[[str, bytes], ServerStore], ehr: Ehr, journal: Journal
) -> None:
    """Row 184: a Consent that cannot be read may say no."""
    ehr.resources = [response_json([1] * 9, name="r1", meta={"versionId": "1", "lastUpdated": "2026-01-05T10:00:00Z"})]
    store = answering("Consent", page(deep("Consent", "c1")))
    with pytest.raises(ConsentUnreachable):
        sync(store, load_catalog(), journal, Policy(), NOW)
    store.close()
    assert ehr.all("Observation") == []


values = st.recursive(
    st.text() | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
resources = st.dictionaries(st.text() | st.just("resource") | st.just("entry"), values)


@given(st.lists(resources), st.booleans())
def test_taken_apart_as_decoded(held: list[dict[str, Any]], is_escaped: bool) -> None:
    """For every page that can be decoded, taking it apart gives the same resources, and keeps the rest."""
    bundle = {"type": "searchset", "entry": [{"fullUrl": "a", "resource": each} for each in held], "total": 3}
    text = json.dumps(bundle, ensure_ascii=is_escaped).encode("utf-8", "surrogatepass")
    assert [json.loads(each) for each in resources_in(text)] == held
    assert json.loads(without_entries(text)) == bundle | {"entry": []}


@given(resources, st.from_regex(r"[A-Za-z0-9\-.]{1,64}", fullmatch=True))
def test_the_id_is_the_resources_own(inner: dict[str, Any], name: str) -> None:
    """The id that is told is that of the resource and of nothing in it."""
    text = json.dumps({"contained": [inner | {"id": "other"}], "note": '"id": "x"', "id": name}).encode()
    assert id_of(text) == name
