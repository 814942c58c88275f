"""Facts about vendors' servers, and the plan that follows from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_alliance.config import Config
from fhir_alliance.fhir.outcome import Meaning, meaning_of
from fhir_alliance.runs.carriers import TAKEN_AS
from fhir_alliance.runs.doctor import doctor
from tests.stores.conftest import Loopback
from tests.vendors.vendors import NAMES, PLANS, Vendor, facts, text

CODES = [(name, code, meaning) for name in NAMES for code, meaning in facts(name).get("codes", {}).items()]


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_for_each_vendor(name: str) -> None:
    """The routes that the check-up chooses by itself, and what stands in the way, are those of the golden file."""
    golden = (PLANS / f"{name}.json").read_text(encoding="utf-8")
    assert text(name) == golden, "run, and read the difference: python -m tests.vendors.vendors"


def test_seven_of_each_and_no_plan_left_over() -> None:
    """Seven EHRs and seven platforms are there, each with its plan, and every fact has a source."""
    assert len(NAMES) == 14
    assert sorted(Path(file).stem for file in PLANS.iterdir()) == NAMES
    for name in NAMES:
        known: dict[str, Any] = facts(name)
        assert known["source"]
        assert all(fact["says"] and fact["source"] for fact in known.get("fact", ()))


def test_a_score_has_a_way_where_one_is_taken() -> None:
    """The plan writes scores in the best kind of resource that a vendor takes; where it takes none, it says so."""
    for name in NAMES:
        routes = {r["output"]: r for r in json.loads((PLANS / f"{name}.json").read_text(encoding="utf-8"))["routes"]}
        can = {kind: "C" in facts(name)["types"].get(kind, {"can": ""})["can"] for kind in TAKEN_AS.values()}
        assert routes["scores"]["type"] == next((kind for kind in TAKEN_AS.values() if can[kind]), "Observation")
        assert bool(routes["scores"]["route"]) == any(can.values())
        assert "journal-only" not in routes["scores"]["route"]
        assert routes["scores"]["reason"]


def test_a_request_is_a_way_at_the_one_vendor_that_takes_it_and_no_task(tmp_path: Path) -> None:
    """Where a site allows requests, Epic's server takes reviews as such, and each later reason changes the same one."""
    takes = {name: {k for k, held in facts(name)["types"].items() if "C" in held["can"]} for name in NAMES}
    assert [name for name in NAMES if "ServiceRequest" in takes[name] and "Task" not in takes[name]] == ["epic"]
    server = Loopback(Vendor(facts("epic")))
    said = {"state": {"folder": f"{tmp_path}/state"}, "delivery": {"reviews": ["task", "request", "message"]}}
    try:
        found = doctor(server.base, Config.model_validate(said))
    finally:
        server.stop()
    [way] = [route for route in found.routes if route.output == "reviews"]
    assert (way.route, "takes no changes" in way.reason) == ("ServiceRequest, search-first", False)


@pytest.mark.parametrize("name", ["epic", "oracle"])
def test_a_roster_is_the_way_where_a_client_has_to_be_named(name: str, tmp_path: Path) -> None:
    """With a roster, the check-up of such a vendor's server finds a way to the forms, and says why it is that one."""
    server = Loopback(Vendor(facts(name)))
    said = {"state": {"folder": f"{tmp_path}/state"}, "store": {"roster": "roster"}}
    try:
        found = doctor(server.base, Config.model_validate(said))
    finally:
        server.stop()
    assert "pull" not in [check.name for check in found.checks]
    assert found.as_object()["pull"] == {"way": "roster", "reason": "the server can be searched by patient only"}


@pytest.mark.parametrize(("name", "code", "meaning"), CODES)
def test_what_a_vendors_code_means(name: str, code: str, meaning: str) -> None:
    """A vendor's own code says more than the status that comes with it."""
    body = json.dumps({"issue": [{"code": "processing", "details": {"coding": [{"code": code}]}}]}).encode()
    for status in (400, 403, 500):
        assert meaning_of(status, body) is Meaning(meaning)
