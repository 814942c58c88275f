"""AuditEvents by IHE's Basic Audit Log Patterns, and what can be read back from them."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.audit import Access, Action, Ground
from fhir_alliance.core.keys import derived
from fhir_alliance.fhir.audit_event import Scene, audit_event, read_access

NOW = datetime(2026, 2, 2, 18, 0, tzinfo=timezone(timedelta(hours=9, minutes=30)))
SCENE = Scene("https://ehr.example/fhir", "scorer-1", "alliance")
KEY = derived("x")
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit"
# by action: profile, action, who is the source (110153) and who the destination (110152), the user's role
PATTERNS = {
    Action.QUERY: ("PatientQuery", "E", "fhir_alliance", SCENE.store, "IRCP"),
    Action.READ: ("PatientRead", "R", SCENE.store, "fhir_alliance", "IRCP"),
    Action.CREATE: ("PatientCreate", "C", "fhir_alliance", SCENE.store, "AUT"),
    Action.UPDATE: ("PatientUpdate", "U", "fhir_alliance", SCENE.store, "AUT"),
    Action.DISCLOSE: ("PrivacyDisclosure.Source", "R", "fhir_alliance", "Organization/payer", "AUT"),
}


def event(action: Action, **elements: Any) -> Any:
    """Return the AuditEvent of an access to Anna's data."""
    given = {"what": (f"Observation/{KEY}", "Task/7"), "recipient": "Organization/payer"} | elements
    return json.loads(audit_event(Access(action, "Patient/anna", NOW, **given), SCENE))


def agents(event: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the agents by the code of their type."""
    return {agent["type"]["coding"][0]["code"]: agent for agent in event["agent"]}


def name(agent: dict[str, Any]) -> str:
    """Return what an agent is called."""
    return str(agent["who"].get("display") or agent["who"]["reference"])


@pytest.mark.parametrize("action", list(Action))
def test_the_pattern_of_each_action(action: Action) -> None:
    """Profile, action letter, source, destination, user and entities are those that IHE's pattern asks for."""
    told = event(action)
    profile, letter, source, destination, user = PATTERNS[action]
    assert told["meta"]["profile"] == [f"{BALP}.{profile}"]
    assert (told["action"], told["outcome"], told["recorded"]) == (letter, "0", "2026-02-02T08:30:00Z")
    parts = agents(told)
    assert (name(parts["110153"]), name(parts["110152"])) == (source, destination)
    assert all(parts[code]["network"]["address"] and not parts[code]["requestor"] for code in ("110153", "110152"))
    assert parts[user]["requestor"] is True
    assert "network" not in parts[user]
    types = [entity["type"]["code"] for entity in told["entity"]]
    assert types == ["1", "2"]  # one person and one object: the pattern allows no second
    patient, data = told["entity"]
    assert (patient["what"], patient["role"]["code"]) == ({"reference": "Patient/anna"}, "1")
    assert data["role"]["code"] == ("24" if action is Action.QUERY else "4")
    assert ("what" in data, "query" in data) == (action is not Action.QUERY, action is Action.QUERY)
    get_fhir_model_class("AuditEvent").model_validate(told)


def test_a_disclosure_says_so() -> None:
    """A disclosure is an export with the life-cycle event disclose; its source is who observed it."""
    told = event(Action.DISCLOSE)
    assert told["type"]["code"] == "110106"
    assert [subtype["code"] for subtype in told["subtype"]] == ["disclose"]
    assert agents(told)["110153"]["who"] == told["source"]["observer"]


def test_a_query_names_types_and_client() -> None:
    """What was searched for stands in the event; a query has no place for more."""
    [_, query] = event(Action.QUERY, what=("Observation", "Task"))["entity"]
    assert base64.b64decode(query["query"]) == b"Observation,Task?patient=Patient/anna"


def test_about_nobody() -> None:
    """Without a client, the pattern is the one without a patient."""
    told = json.loads(audit_event(Access(Action.CREATE, "", NOW, ("Questionnaire/phq-9",)), SCENE))
    assert told["meta"]["profile"] == [f"{BALP}.Create"]
    assert [entity["type"]["code"] for entity in told["entity"]] == ["2"]


def test_the_decision_is_an_entity() -> None:
    """Each Consent stands there in its version, with decision, table and reasons; without one, the default table."""
    ground = Ground(False, ("Consent/c/_history/2", "Consent/d"), "1", ("Consent/c/_history/2 forbids it",))
    told = event(Action.DISCLOSE, ground=ground)
    assert told["outcome"] == "8"
    decisions = [entity for entity in told["entity"] if entity["type"]["code"] == "Consent"]
    assert [entity["what"]["reference"] for entity in decisions] == ["Consent/c/_history/2", "Consent/d"]
    assert [detail["valueString"] for detail in decisions[0]["detail"]] == ["deny", "1", *ground.reasons]
    [default] = [e for e in event(Action.CREATE, ground=Ground(policy="1"))["entity"] if e["type"]["code"] == "Consent"]
    assert "reference" not in default["what"]


def rules(event: dict[str, Any], action: Action) -> list[bool]:
    """Return what IHE's profile of an action asks for (BALP 1.1.5, Disclose and Patient*), rule by rule."""
    kinds = [entity["type"]["code"] for entity in event["entity"]]
    parts = agents(event)
    common = [
        "modifierExtension" not in event,
        kinds.count("1") == (1 if "Patient" in event["meta"]["profile"][0] or action is Action.DISCLOSE else 0),
        all("who" in parts[code] and "network" in parts[code] for code in ("110153", "110152")),
    ]
    if action is Action.DISCLOSE:
        return [*common, event["action"] == "R", len(kinds) >= 2, "disclose" in {s["code"] for s in event["subtype"]}]
    data = [entity for entity in event["entity"] if entity["type"]["code"] == "2"]
    return [*common, event["outcome"] == "0", len(data) == 1, ("what" in data[0]) == (action is not Action.QUERY)]


@given(
    st.sampled_from(list(Action)), st.sampled_from(["Patient/anna", ""]),
    st.sampled_from([(), ("Observation/1",), ("Observation/1", "Task/2")]),
    st.builds(Ground, st.booleans(), st.sampled_from([(), ("Consent/a",)]), st.sampled_from(["", "1"])),
)  # fmt: skip
def test_a_profile_is_claimed_where_all_its_rules_are_kept(
    action: Action, subject: str, what: tuple[str, ...], ground: Ground
) -> None:
    """Whatever is told, an event that names a profile of IHE's keeps each of its rules; the plain cases name one."""
    told = json.loads(audit_event(Access(action, subject, NOW, what, recipient="Organization/p", ground=ground), SCENE))
    if "profile" in told["meta"]:
        assert all(rules(told, action))
    else:
        assert not (subject and what and ground.permitted)


def test_a_search_that_consent_then_shuts_was_done() -> None:
    """A search is told as done and its decision as a denial, and both come back; nobody was shown anything."""
    told = event(Action.QUERY, recipient="", ground=Ground(False, ("Consent/c",), "1", ("Consent/c forbids it.",)))
    assert told["outcome"] == "0"
    read = read_access(told)
    assert read is not None
    assert (read.ground.permitted, read.ground.consents) == (False, ("Consent/c",))


TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), max_size=8)
NAMES = st.sampled_from(["Observation/1", f"Observation/{KEY}", f"Task/{KEY}", "Goal/g", "DocumentReference/d"])
GROUNDS = st.builds(
    Ground, st.booleans(), st.lists(st.sampled_from(["Consent/a", "Consent/b/_history/3"]), unique=True).map(tuple),
    TEXT.filter(bool), st.lists(TEXT, max_size=2).map(tuple),
)  # fmt: skip


@given(
    st.sampled_from([Action.READ, Action.DISCLOSE]), st.lists(NAMES, min_size=1, max_size=4).map(tuple),
    st.sampled_from(["TREAT", "HPAYMT"]), st.sampled_from(["Organization/p", "Practitioner/s"]), TEXT, GROUNDS,
)  # fmt: skip
def test_what_was_shown_can_be_read_back(
    action: Action, what: tuple[str, ...], purpose: str, recipient: str, role: str, ground: Ground
) -> None:
    """An accounting made from AuditEvents says what was kept, nothing lost and nothing added."""
    access = Access(action, "Patient/anna", NOW, what, purpose, recipient, role, ground)
    assert read_access(json.loads(audit_event(access, SCENE))) == access


@pytest.mark.parametrize("action", [Action.QUERY, Action.CREATE, Action.UPDATE])
def test_what_the_program_does_has_no_recipient(action: Action) -> None:
    """Its own reading and writing comes back as such: nobody was shown anything."""
    read = read_access(event(action, recipient="", what=("Observation/1",)))
    assert read is not None
    assert (read.action, read.recipient, read.what) == (action, "", ("Observation/1",))


def test_the_account_is_no_recipient() -> None:
    """The account under which the program ran is not taken for a person who was shown something."""
    read = read_access(event(Action.READ, recipient=""))
    assert read is not None
    assert read.recipient == ""


def test_events_of_others_are_passed_over() -> None:
    """What another system audited is none of ours; nor is an action that we do not know."""
    ours = event(Action.READ)
    assert read_access(ours | {"source": {"observer": {"reference": "Device/ehr"}}}) is None
    assert read_access(ours | {"subtype": [{"code": "login"}]}) is None
