"""Learning a site's Questionnaires from a server: their ValueSets and CodeSystems are asked for, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import pytest

from fhir_alliance.core.model import Response
from fhir_alliance.fhir.inbound import Parked
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.sync import learn
from fhir_alliance.stores.server import ServerStore

Serve: TypeAlias = Callable[..., Any]
NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression"
WEIGHT = "http://hl7.org/fhir/StructureDefinition/itemWeight"
PROPERTY = [[{"code": "itemWeight", "valueDecimal": n}] for n in range(4)]
HELD: dict[str, dict[str, Any]] = {
    "ValueSet": {"url": "urn:vs", "compose": {"include": [{"system": "urn:c", "concept": [{"code": "c3"}]}]}},
    "CodeSystem": {"url": "urn:c", "concept": [{"code": f"c{n}", "property": PROPERTY[n]} for n in range(4)]},
}


def questionnaire(url: str, **question: Any) -> dict[str, Any]:
    """Return a Questionnaire of one question and its points."""
    path = {"language": "text/fhirpath", "expression": "%resource.item.answer.value.weight().sum()"}
    total = {"linkId": "sum", "type": "decimal", "extension": [{"url": SDC, "valueExpression": path}]}
    return {"resourceType": "Questionnaire", "url": url, "item": [{"linkId": "q", "type": "choice"} | question, total]}


BY_LIST = questionnaire("urn:by-list", answerValueSet="urn:vs")
BY_CODE = questionnaire("urn:by-code", answerOption=[{"valueCoding": {"system": "urn:c", "code": "c3"}}])
IN_PLACE = questionnaire(
    "urn:in-place",
    answerOption=[
        {"valueCoding": {"system": "urn:own", "code": "c3"}, "extension": [{"url": WEIGHT, "valueDecimal": 3}]}
    ],
)
PLAIN = {"resourceType": "Questionnaire", "url": "urn:plain", "item": [{"linkId": "g", "answerValueSet": "urn:x"}]}


def bundle(*resources: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
    """Return a page of a search."""
    return 200, {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in resources]}, {}


def learnt(serve: Serve, refusal: int = 0) -> tuple[Desk, list[str]]:
    """Return a desk that has learnt from a server, and what it asked for by url. refusal: a status for terminology."""

    def answer(request: Any) -> Any:
        kind = urlsplit(request.path).path.rpartition("/")[2]
        if kind == "Questionnaire":
            return bundle(BY_LIST, BY_CODE, IN_PLACE, PLAIN)
        if refusal:
            return refusal, {"resourceType": "OperationOutcome", "issue": []}, {}
        return bundle({"resourceType": kind} | HELD[kind])

    server = serve(answer)
    store = ServerStore(server.base)
    desk = Desk(load_catalog(), Policy())
    learn(desk, store)
    store.close()
    asked = [urlsplit(request.path) for request in server.requests]
    return desk, [f"{a.path.rpartition('/')[2]} {url}" for a in asked for url in parse_qs(a.query).get("url", ())]


def read(desk: Desk, canonical: str, system: str) -> Any:
    """Return what a response with the answer c3 is."""
    coding = {"system": system, "code": "c3"}
    form = {
        "resourceType": "QuestionnaireResponse", "id": "r1", "questionnaire": canonical, "status": "completed",
        "subject": {"reference": "Patient/p1"}, "authored": "2026-05-01T10:00:00Z",
        "item": [{"linkId": "q", "answer": [{"valueCoding": coding}]}],
    }  # fmt: skip
    return desk.forms.read(json.dumps(form).encode(), NOW)


def test_only_what_is_needed_is_asked_for(serve: Serve) -> None:
    """ValueSets and CodeSystems of scored forms are asked for by url, once, and tell what answers are worth."""
    desk, asked = learnt(serve)
    assert asked == ["ValueSet urn:vs", "CodeSystem urn:c"]
    for canonical, system in (("urn:by-list", "urn:c"), ("urn:by-code", "urn:c"), ("urn:in-place", "urn:own")):
        found = read(desk, canonical, system)
        assert isinstance(found, Response), found
        assert found.answers == {"q": 3}


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_server_without_terminology_is_no_fault(serve: Serve, status: int) -> None:
    """A server that gives out no ValueSets ends nothing: the forms that need them are parked with the item's name."""
    desk, _ = learnt(serve, status)
    assert isinstance(read(desk, "urn:in-place", "urn:own"), Response)
    found = read(desk, "urn:by-list", "urn:c")
    assert isinstance(found, Parked)
    assert (found.code, '"q"' in found.reason) == ("FA219", True)
