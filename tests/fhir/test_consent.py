"""Consents as they come in R4 JSON: read to the letter, and closed where they cannot be understood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.consent import (
    CUSTODIAN,
    Action,
    Actor,
    ConsentPolicy,
    ConsentRecord,
    Datum,
    Provision,
    Request,
    Verdict,
    gate,
    judge,
)
from fhir_alliance.core.model import Cleared, Code
from fhir_alliance.fhir.consent import read_consent
from fhir_alliance.fhir.identifiers import SCORE_PROFILE
from fhir_alliance.testing import make_form

NOW = datetime(2026, 3, 3, 3, 30, tzinfo=UTC)
TICK = timedelta(microseconds=1)
CLIENT = "Patient/p1"
LOINC = "http://loinc.org"
V3 = "http://terminology.hl7.org/CodeSystem/v3-"
OPT_IN = ConsentPolicy(default_permit=False)
DATUM = Datum.of([Code(LOINC, "44249-1")])
UNDECIDED = Verdict.UNDECIDED


def consent_json(**elements: Any) -> dict[str, Any]:
    """Return an active R4 privacy Consent. elements: further or other elements; a value of None removes one."""
    resource: dict[str, Any] = {
        "resourceType": "Consent",
        "id": "c1",
        "meta": {"versionId": "3"},
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}],
        "patient": {"reference": CLIENT},
        "dateTime": "2026-01-05",
    }
    return {name: value for name, value in (resource | elements).items() if value is not None}


def verdict(when: datetime = NOW, **elements: Any) -> Verdict:
    """Return what a Consent with these elements says at a moment about scoring the client's form."""
    request = Request(CLIENT, Action.USE, CUSTODIAN, "TREAT", DATUM)
    return judge(read_consent(consent_json(**elements)), request, when).verdict


def root(**elements: Any) -> Provision:
    """Return the root provision as read."""
    return read_consent(consent_json(provision=elements)).root


def policy_rule(code: str) -> dict[str, Any]:
    """Return a policyRule of one v3-ActCode."""
    return {"coding": [{"system": V3 + "ActCode", "code": code}]}


def test_a_whole_consent_is_read() -> None:
    """Every element that a decision needs comes over, in the gate's own words."""
    record = read_consent(
        consent_json(
            provision={
                "id": "x",
                "type": "permit",
                "period": {"start": "2026-01-05T09:00:00+01:00", "end": "2026-12-31T23:59:59-05:00"},
                "purpose": [{"system": V3 + "ActReason", "code": "TREAT"}],
                "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}],
                "code": [{"coding": [{"system": LOINC, "code": "44249-1"}, {"system": LOINC, "code": "69737-5"}]}],
                "provision": [{"type": "deny", "actor": [{"reference": {"reference": "Organization/o"}}]}],
            }
        )
    )
    assert record == ConsentRecord(
        "Consent/c1/_history/3", CLIENT, "active", "patient-privacy", datetime(2026, 1, 5, tzinfo=UTC), "",
        Provision(
            "permit",
            datetime(2026, 1, 5, 8, tzinfo=UTC),
            datetime(2027, 1, 1, 4, 59, 59, tzinfo=UTC),
            frozenset({"TREAT"}),
            frozenset({"Observation"}),
            frozenset({(LOINC, "44249-1"), (LOINC, "69737-5")}),
            (),
            (Provision("deny", actors=frozenset({Actor("Organization/o")})),),
        ),
    )  # fmt: skip


def test_a_bare_consent_says_nothing() -> None:
    """A Consent without provision and policyRule is readable and silent, and the site's default decides."""
    record = read_consent(consent_json(meta=None, dateTime=None))
    assert record == ConsentRecord("Consent/c1", CLIENT, "active", "patient-privacy", None, "", Provision(""))
    assert verdict() is Verdict.SILENT


# --------------------------------------------------------------------- periods


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        pytest.param("2026", "2026-01-01T00:00:00+00:00", "2026-12-31T23:59:59.999999+00:00", id="year"),
        pytest.param("2026-03-01", "2026-03-01T00:00:00+00:00", "2026-03-01T23:59:59.999999+00:00", id="day"),
        pytest.param("2028-02-29", "2028-02-29T00:00:00+00:00", "2028-02-29T23:59:59.999999+00:00", id="leap day"),
        pytest.param(
            "2026-03-01T22:30:00-05:00", "2026-03-02T03:30:00+00:00", "2026-03-02T03:30:00+00:00", id="moment west"
        ),
        pytest.param(
            "2026-03-01T09:00:00+13:00", "2026-02-28T20:00:00+00:00", "2026-02-28T20:00:00+00:00", id="moment east"
        ),
        pytest.param("2026-03-01T09:00:00Z", "2026-03-01T09:00:00+00:00", "2026-03-01T09:00:00+00:00", id="in UTC"),
        pytest.param(
            "2026-03-01T09:00:00.250Z", "2026-03-01T09:00:00.250+00:00", "2026-03-01T09:00:00.250+00:00", id="fraction"
        ),
        pytest.param("9999", "9999-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00", id="for ever"),
    ],
)
def test_a_period_of_any_precision(text: str, first: str, last: str) -> None:
    """A start means the first moment that its text covers, an end the last one, in UTC."""
    period = root(type="permit", period={"start": text, "end": text})
    assert (period.starts, period.ends) == (datetime.fromisoformat(first), datetime.fromisoformat(last))


@pytest.mark.parametrize(
    ("month", "first", "last"),
    [
        ("2026-02", "2026-02-01", "2026-02-28"),
        ("2028-02", "2028-02-01", "2028-02-29"),
        ("2026-04", "2026-04-01", "2026-04-30"),
        ("2026-11", "2026-11-01", "2026-11-30"),
        ("2026-12", "2026-12-01", "2026-12-31"),
    ],
)
def test_a_month_covers_its_first_and_last_day(month: str, first: str, last: str) -> None:
    """A period of one month begins with its first day, and its end lies on its last one, December included."""
    period = root(type="permit", period={"start": month, "end": month})
    assert period.starts == datetime.fromisoformat(f"{first}T00:00:00+00:00")
    assert period.ends is not None
    assert period.ends >= datetime.fromisoformat(f"{last}T23:59:59+00:00")
    assert period.ends.date().isoformat() == last


def test_a_month_ends_with_its_last_day() -> None:
    """A period to a month ends when a period to that month's last day ends."""
    assert root(type="deny", period={"end": "2026-02"}).ends == root(type="deny", period={"end": "2026-02-28"}).ends


@pytest.mark.parametrize("kind", ["permit", "deny"])
def test_a_bare_day_counts_whole_at_both_ends(kind: str) -> None:
    """A rule from one day to another is in force from the first moment of the one to the last of the other."""
    rule = {"type": kind, "period": {"start": "2026-03-01", "end": "2026-03-02"}}
    first, after = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    assert verdict(first - TICK, provision=rule) is Verdict.SILENT
    assert verdict(first, provision=rule) is Verdict(kind)
    assert verdict(after - TICK, provision=rule) is Verdict(kind)
    assert verdict(after, provision=rule) is Verdict.SILENT


@pytest.mark.parametrize("period", [None, {}, {"start": "2026-01-01"}, {"end": "2026-12-31"}], ids=str)
def test_an_open_end_is_open(period: dict[str, str] | None) -> None:
    """A period without a start has always been in force, one without an end stays so."""
    rule: dict[str, Any] = {"type": "deny"} | ({} if period is None else {"period": period})
    assert verdict(provision=rule) is Verdict.DENY


@pytest.mark.parametrize(
    ("given", "counts"),
    [("2026-03-03", True), ("2026-03-04", False), ("2026-03-03T03:30:00Z", True), ("2026-03-03T03:30:01Z", False)],
)
def test_a_consent_counts_from_the_day_it_was_given(given: str, counts: bool) -> None:
    """A Consent counts from the first moment of its dateTime on."""
    said = verdict(dateTime=given, provision={"type": "deny"})
    assert said is (Verdict.DENY if counts else Verdict.SILENT)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T09:00:00", "2026-02-30", "26-03-01", "03/01/2026", "yesterday", "", "20260301",
        "2026-03-01T25:00:00Z", "2026-03-01T09:00:00+99:00", 20260301, None, True, ["2026-03-01"], {"value": "2026"},
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("end", ["start", "end"])
def test_a_date_that_is_none_is_undecided(text: Any, end: str) -> None:
    """A period or dateTime that is no FHIR dateTime, or a time without a zone, is never guessed at."""
    assert verdict(provision={"type": "permit", "period": {end: text}}) is UNDECIDED
    assert verdict(provision={"type": "permit", "provision": [{"type": "deny", "period": {end: text}}]}) is UNDECIDED
    assert read_consent(consent_json() | {"dateTime": text}).unreadable


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "2026/03", "2_26-03"])
def test_a_month_that_is_none_is_undecided(text: str) -> None:
    """A period to a month that does not exist, or is not written as one, is never guessed at."""
    assert verdict(provision={"type": "permit", "period": {"end": text}}) is UNDECIDED


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00"])
def test_moments_at_the_edge_of_time_are_read(text: str) -> None:
    """The last and first moments that can be written, in zones where UTC has no such day, do not stop a run."""
    read_consent(consent_json(provision={"type": "deny", "period": {"start": text, "end": text}}))


# ----------------------------------------------------------- base, scope, patient


@pytest.mark.parametrize(("code", "base"), [("OPTIN", "permit"), ("OPTOUT", "deny")])
def test_a_policy_rule_is_the_base(code: str, base: str) -> None:
    """OPTIN is the client's assent and permits, OPTOUT the client's dissent and denies (HL7 v3-ActCode)."""
    assert read_consent(consent_json(policyRule=policy_rule(code))).base == base


@pytest.mark.parametrize(
    "rule",
    [policy_rule("HIPAA-Auth"), {"text": "as signed"}, {"coding": []}, {"coding": [{"display": "opt out"}]}, None],
    ids=["another policy", "text only", "no coding", "no code", "absent"],
)
def test_an_unknown_policy_is_no_base(rule: Any) -> None:
    """A policy that is not known decides nothing: no base is guessed."""
    assert read_consent(consent_json(policyRule=rule)).base == ""


def test_the_root_type_goes_before_the_policy() -> None:
    """Where the root states the decision, as IHE has it, the policy rule does not change it."""
    for code in ("OPTIN", "OPTOUT"):
        assert verdict(policyRule=policy_rule(code), provision={"type": "deny"}) is Verdict.DENY
        assert verdict(policyRule=policy_rule(code), provision={"type": "permit"}) is Verdict.PERMIT


@pytest.mark.parametrize("code", ["research", "treatment", "adr"])
def test_a_consent_of_another_scope_is_silent(code: str) -> None:
    """A Consent to research, treatment or care in advance says nothing about privacy."""
    assert verdict(scope={"coding": [{"code": code}]}, provision={"type": "deny"}) is Verdict.SILENT


def test_any_coding_of_the_scope_counts() -> None:
    """A privacy refusal that names a code of the site's own first is a refusal all the same."""
    scope = {"coding": [{"system": "http://example.org", "code": "hie"}, {"code": "patient-privacy"}]}
    assert verdict(scope=scope, provision={"type": "deny"}) is Verdict.DENY


@pytest.mark.parametrize(
    ("reference", "subject"),
    [
        ("Patient/p1", CLIENT),
        ("Patient/p1/_history/2", CLIENT),
        ("https://ehr.example.org/fhir/Patient/p1", CLIENT),
        ("https://other.example.org/fhir/Patient/p1", ""),
        ("urn:uuid:0b1c2d3e-0000-4000-8000-000000000000", ""),
        ("#p1", ""),
    ],
    ids=["relative", "with a version", "on this server", "on another server", "a urn", "contained"],
)
def test_whose_consent_it_is(reference: str, subject: str) -> None:
    """A patient of this store is named by type and id; of anybody else it is never taken for this client's."""
    record = read_consent(consent_json(patient={"reference": reference}), "https://ehr.example.org/fhir")
    assert record.subject == subject


def test_a_consent_of_nobody_is_undecided() -> None:
    """A Consent that names no patient by reference cannot be relied on."""
    for patient in (None, {}, {"identifier": {"value": "7"}}, {"display": "someone"}):
        assert verdict(patient=patient, provision={"type": "permit"}) is UNDECIDED


# ------------------------------------------------------- what is not understood


@pytest.mark.parametrize(
    "modifier",
    [{"implicitRules": "http://example.org/rules"}, {"modifierExtension": [{"url": "http://example.org/not"}]}],
    ids=["implicitRules", "modifierExtension"],
)
@pytest.mark.parametrize("kind", ["permit", "deny"])
def test_a_modifier_makes_it_undecided(modifier: dict[str, Any], kind: str) -> None:
    """A Consent whose meaning something unknown changes is relied on for nothing."""
    assert verdict(**modifier, provision={"type": kind}) is UNDECIDED


@pytest.mark.parametrize(
    "element",
    ["modifierExtension", "_type", "_purpose", "somethingNew"],
)
def test_what_is_not_read_can_forbid_and_never_permit(element: str) -> None:
    """An element kind of a provision that the gate does not know makes a permit silent, and leaves a deny."""
    kind = {element: [{"code": "x"}]}
    assert root(type="permit", **kind).unevaluated == (element,)
    assert verdict(provision={"type": "permit", **kind}) is Verdict.SILENT
    assert verdict(provision={"type": "deny", **kind}) is Verdict.DENY
    assert verdict(provision={"type": "permit", "provision": [{"type": "deny", **kind}]}) is Verdict.DENY
    assert verdict(provision={"type": "deny", "provision": [{"type": "permit", **kind}]}) is Verdict.DENY


def test_an_extension_changes_no_meaning() -> None:
    """An id or a plain extension on a provision is no condition: R4 lets readers pass over both."""
    assert root(type="permit", id="1", extension=[{"url": "http://example.org/note"}]) == Provision("permit")


@pytest.mark.parametrize("kind", [{}, {"type": ""}, {"type": "Deny"}, {"type": None}], ids=str)
def test_a_nested_rule_needs_its_type(kind: dict[str, Any]) -> None:
    """A nested rule without one of R4's two types leaves the whole Consent undecided."""
    assert verdict(provision={"type": "permit", "provision": [kind]}) is UNDECIDED


def test_a_permit_for_something_named_in_words_is_no_permit_for_all() -> None:
    """A permit whose code is text only cannot be evaluated: it permits nothing, also not inside a deny."""
    words = [{"text": "blood pressure"}]
    assert verdict(provision={"type": "permit", "code": words}) is Verdict.SILENT
    assert verdict(provision={"type": "deny", "provision": [{"type": "permit", "code": words}]}) is Verdict.DENY


def test_provisions_too_deep_are_undecided() -> None:
    """Exceptions of exceptions without end are not followed, and not passed over."""
    rule: dict[str, Any] = {"type": "permit"}
    for _ in range(5000):
        rule = {"type": "permit", "provision": [rule]}
    assert verdict(provision=rule) is UNDECIDED


GARBAGE: dict[str, Any] = {
    "a string": "deny",
    "a list": [{"type": "deny"}],
    "a number": 7,
    "period is a number": {"type": "permit", "period": 2026},
    "purpose is one object": {"type": "permit", "purpose": {"code": "TREAT"}},
    "purpose is a list of strings": {"type": "permit", "purpose": ["TREAT"]},
    "purpose without a code": {"type": "permit", "purpose": [{"display": "treatment"}]},
    "purpose is null": {"type": "permit", "purpose": None},
    "class is a string": {"type": "permit", "class": "Observation"},
    "class without a code": {"type": "permit", "class": [{"system": "http://hl7.org/fhir/resource-types"}]},
    "code is one object": {"type": "permit", "code": {"coding": []}},
    "code is a list of strings": {"type": "permit", "code": ["44249-1"]},
    "coding is null": {"type": "permit", "code": [{"coding": None}]},
    "coding without a code": {"type": "permit", "code": [{"coding": [{"system": LOINC}]}]},
    "provision is one object": {"type": "permit", "provision": {"type": "deny"}},
    "provision is a list of strings": {"type": "permit", "provision": ["deny"]},
    "provision is a list of nulls": {"type": "permit", "provision": [None]},
}


@pytest.mark.parametrize("shape", GARBAGE)
def test_garbage_is_undecided(shape: str) -> None:
    """A provision of another shape than R4's is not passed over and stops nothing: the form is withheld."""
    record = read_consent(consent_json(provision=GARBAGE[shape]))
    assert record.unreadable == "cannot be read"
    assert not isinstance(gate(make_form({}), [record], ConsentPolicy(), DATUM, NOW), Cleared)


@pytest.mark.parametrize(
    "elements",
    [
        {"patient": "Patient/p1"},
        {"patient": [{"reference": CLIENT}]},
        {"meta": ["3"]},
        {"scope": "patient-privacy"},
        {"scope": {"coding": [None]}},
        {"policyRule": "OPTOUT"},
        {"policyRule": {"coding": [{"code": ["OPTOUT"]}]}},
    ],
    ids=str,
)
def test_garbage_elsewhere_is_undecided(elements: dict[str, Any]) -> None:
    """Any other element of another shape than R4's makes the Consent undecided too; the run goes on."""
    assert verdict(**elements, provision={"type": "permit"}) is UNDECIDED


@pytest.mark.parametrize("period", ["2025", ["2025"], ""], ids=repr)
def test_a_period_that_is_none_is_undecided(period: Any) -> None:
    """A period that is no object does not make a permit hold for ever."""
    assert verdict(provision={"type": "permit", "period": period}) is UNDECIDED


@pytest.mark.parametrize(
    "about",
    [
        {"code": [{"coding": [{"code": "44249-1"}]}]},
        {"class": [{"system": "urn:ietf:rfc:3986", "code": SCORE_PROFILE}]},
    ],
    ids=["a code without its system", "the profile of our scores"],
)
def test_what_a_deny_is_about_and_cannot_be_looked_up_forbids(about: dict[str, Any]) -> None:
    """A refusal about a code of no system, or about the profile of what is written, is not passed over."""
    assert verdict(provision={"type": "deny", **about}) is Verdict.DENY


def test_a_deny_for_something_named_in_words_forbids_beside_a_code() -> None:
    """A refusal that names one thing by code and another in words cannot be evaluated for the latter: it forbids."""
    about = [{"text": "all questionnaires"}, {"coding": [{"system": LOINC, "code": "85354-9"}]}]
    assert verdict(provision={"type": "deny", "code": about}) is Verdict.DENY


@pytest.mark.parametrize("codes", [["OPTIN", "OPTOUT"], ["OPTOUTE"]], ids="+".join)
def test_any_dissent_in_the_policy_is_the_base(codes: list[str]) -> None:
    """A dissent, also one with exceptions (OPTOUTE) or beside an assent, is never read as assent or as silence."""
    rule = {"coding": [{"system": V3 + "ActCode", "code": code} for code in codes]}
    assert read_consent(consent_json(policyRule=rule)).base == "deny"


NAMES = st.sampled_from(["type", "period", "start", "end", "purpose", "class", "code", "coding", "provision", "actor"])
WORDS = st.sampled_from(["permit", "deny", "2026-03-01", "2026-13-01", "TREAT", "Observation", ""])
SCALARS = st.none() | st.booleans() | st.integers(-1, 9999) | WORDS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@given(JSON, st.sampled_from(["active", "inactive"]))
def test_no_provision_stops_a_run(provision: Any, status: str) -> None:
    """Whatever stands in a provision, it is read or called unreadable, and then decided; nothing is raised."""
    record = read_consent(consent_json(status=status) | {"provision": provision})
    outcome = gate(make_form({}), [record], OPT_IN, DATUM, NOW)
    assert not (record.unreadable and isinstance(outcome, Cleared))
    if isinstance(outcome, Cleared):
        assert outcome.consents == ("Consent/c1/_history/3",)
