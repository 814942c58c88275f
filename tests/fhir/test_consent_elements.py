"""The element kinds of a provision as R4 writes them: each read to the letter, and closed where it is vague."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_alliance.core.consent import Actor, DataReference, Provision
from fhir_alliance.fhir.consent import read_consent
from fhir_alliance.fhir.identifiers import ACT_CODE, CONFIDENTIALITY, TERMS, V3

BASE = "https://ehr.example.org/fhir"


def read(**elements: Any) -> Provision:
    """Return a rule as it is read, on a server of ours."""
    resource = {"resourceType": "Consent", "id": "c", "status": "active", "provision": {"type": "permit", **elements}}
    record = read_consent(resource, BASE)
    assert record.unreadable == "", elements
    return record.root


def unreadable(**elements: Any) -> bool:
    """Return whether a rule makes the whole Consent unreadable."""
    resource = {"resourceType": "Consent", "id": "c", "status": "active", "provision": {"type": "deny", **elements}}
    return bool(read_consent(resource, BASE).unreadable)


def role(*codings: tuple[str, str]) -> dict[str, Any]:
    """Return the role of an actor."""
    return {"role": {"coding": [{"system": system, "code": code} for system, code in codings]}}


PARTICIPATION = V3 + "ParticipationType"
TOM: dict[str, Any] = {"reference": {"reference": "Practitioner/tom"}}


@pytest.mark.parametrize(
    ("actor", "found"),
    [
        (TOM, Actor("Practitioner/tom")),
        ({"reference": {"reference": f"{BASE}/Practitioner/tom"}}, Actor("Practitioner/tom")),
        ({"reference": {"reference": "https://elsewhere.example/Practitioner/tom"}}, Actor("?")),
        ({"reference": {"reference": "#tom"}}, Actor("?")),
        ({"reference": {"identifier": {"value": "7"}}}, Actor("?")),
        ({"reference": {"type": "Practitioner"}}, Actor("?")),
        ({"reference": {"display": "supervisors"}, **role((TERMS, "supervising"))}, Actor("", "supervising")),
        (role((TERMS, "payer")), Actor("", "payer")),
        (role(("http://example.org", "payer")), Actor("", "http://example.org|payer")),
        (TOM | role((PARTICIPATION, "AUT")), Actor("Practitioner/tom", "AUT")),
        (TOM | role((PARTICIPATION, "AUT"), (PARTICIPATION, "IRCP")), Actor("Practitioner/tom", "IRCP")),
        ({}, Actor("")),
    ],
)  # fmt: skip
def test_an_actor(actor: dict[str, Any], found: Actor) -> None:
    """Whom a rule names: by a reference of this store, by a role without one, or somebody who is not known here."""
    assert read(actor=[actor]).actors == {found}


def test_an_actor_of_an_exception() -> None:
    """An exception names people of this store as its rule does, also by their whole address."""
    inner = {"type": "deny", "actor": [{"reference": {"reference": f"{BASE}/Practitioner/tom"}}]}
    [exception] = read(provision=[inner]).provisions
    assert exception.actors == {Actor("Practitioner/tom")}


@pytest.mark.parametrize(
    ("system", "code", "found"),
    [
        (CONFIDENTIALITY, "R", "R"),
        (ACT_CODE, "PSY", "PSY"),
        (TERMS, "alliance-item", "alliance-item"),
        ("http://example.org", "R", "http://example.org|R"),
    ],
)
def test_a_label(system: str, code: str, found: str) -> None:
    """A label of HL7's systems and of ours is its code; another system's never passes for one of them."""
    assert read(securityLabel=[{"system": system, "code": code}]).labels == {found}


@pytest.mark.parametrize(
    ("system", "found"),
    [
        (V3 + "ActReason", "TREAT"),
        ("http://hl7.org/fhir/v3/ActReason", "TREAT"),
        ("http://x.org", "http://x.org|TREAT"),
    ],
)
def test_a_purpose(system: str, found: str) -> None:
    """A purpose of HL7's, also under its older address, is its code; the same letters of another system are not."""
    assert read(purpose=[{"system": system, "code": "TREAT"}]).purposes == {found}


def test_actions_and_codes_in_words_are_vague() -> None:
    """What an action or code says in words only is kept in mind beside what is coded."""
    rule = read(action=[{"coding": [{"code": "use"}]}, {"text": "look at"}], code=[{"text": "all"}])
    assert (rule.actions, rule.codes, rule.vague) == (frozenset({"use"}), frozenset(), frozenset({"action", "code"}))
    assert read(action=[{"coding": [{"code": "use"}]}]).vague == frozenset()


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("Encounter/e1", "Encounter/e1"),
        (f"{BASE}/Encounter/e1", "Encounter/e1"),
        ("Encounter/e1/_history/3", "Encounter/e1"),
        ("https://elsewhere.example/Encounter/e1", ""),
    ],
)
def test_data(reference: str, found: str) -> None:
    """Data are named by a reference of this store, whatever its version; what is elsewhere is not known here."""
    rule = read(data=[{"meaning": "related", "reference": {"reference": reference}}])
    assert rule.data == {DataReference("related", found)}


def test_a_data_period_covers_whole_days() -> None:
    """The time that data are from reaches from the first moment of its first day to the last of its last."""
    rule = read(dataPeriod={"start": "2026-01-01", "end": "2026-01-31"})
    assert rule.about_starts == datetime(2026, 1, 1, tzinfo=UTC)
    assert rule.about_ends == datetime(2026, 1, 31, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize("name", ["period", "dataPeriod"])
def test_an_end_that_is_not_known_is_no_open_end(name: str) -> None:
    """A period that says why it has no end can forbid and never permit."""
    assert read(**{name: {"start": "2026-01-01", "_end": {"extension": []}}}).unevaluated == (name,)
    assert read(**{name: {"start": "2026-01-01"}}).unevaluated == ()


@pytest.mark.parametrize(
    "elements",
    [
        {"actor": {"reference": {}}},
        {"actor": ["Practitioner/tom"]},
        {"actor": [{"reference": "Practitioner/tom"}]},
        {"actor": [{"role": "IRCP"}]},
        {"action": ["use"]},
        {"action": [{"coding": [{"display": "use"}]}]},
        {"securityLabel": [{"display": "restricted"}]},
        {"securityLabel": "R"},
        {"data": [{"reference": {"reference": "Encounter/e1"}}]},
        {"data": [{"meaning": "related"}]},
        {"data": [{"meaning": "related", "reference": "Encounter/e1"}]},
        {"dataPeriod": "2026"},
        {"dataPeriod": {"start": "soon"}},
    ],
    ids=str,
)
def test_another_shape_is_unreadable(elements: dict[str, Any]) -> None:
    """An element of another shape than R4's makes the Consent unreadable: it is relied on for nothing."""
    assert unreadable(**elements)


@pytest.mark.parametrize(
    ("codes", "base"),
    [
        (["OPTIN"], "permit"), (["OPTOUT"], "deny"), (["OPTOUTE"], "deny"), (["OPTIN", "OPTOUTE"], "deny"),
        (["OPTINR"], ""), ([], ""),
    ],
)  # fmt: skip
def test_the_policys_base(codes: list[str], base: str) -> None:
    """Any dissent denies, assent alone permits, and assent with restrictions that nobody reads permits nothing."""
    rule = {"coding": [{"system": ACT_CODE, "code": code} for code in codes]}
    assert read_consent({"resourceType": "Consent", "id": "c", "policyRule": rule}).base == base
