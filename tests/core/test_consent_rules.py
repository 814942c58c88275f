"""How single elements of a provision fit, where the page of decisions has no row for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.consent import Actor, ConsentRecord, DataReference, Provision, Verdict, judge
from fhir_alliance.core.consent_request import Action, Datum, Recipient, Request, Role
from fhir_alliance.core.model import Code

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DATUM = msgspec.structs.replace(Datum.of([Code("http://loinc.org", "44249-1")]), authors=frozenset({"Patient/anna"}))
TOM = Recipient(frozenset({"Practitioner/tom"}), frozenset({"Organization/c"}), frozenset({Role.TREATING}), True)
PERMIT, DENY, UNDECIDED, SILENT = Verdict


def said(root: Provision, purpose: str = "TREAT", **datum: Any) -> Verdict:
    """Return what a Consent with this root says to Tom."""
    record = ConsentRecord("Consent/c", "Patient/anna", "active", "patient-privacy", None, "", root)
    about = msgspec.structs.replace(DATUM, **datum)
    return judge(record, Request("Patient/anna", Action.ACCESS, TOM, purpose, about), NOW).verdict


def both(**kinds: Any) -> tuple[Verdict, Verdict]:
    """Return what a permit and a deny with these elements say."""
    return said(Provision("permit", **kinds)), said(Provision("deny", **kinds))


@pytest.mark.parametrize(
    ("kinds", "fits"),
    [
        ({"actors": {Actor("Practitioner/tom")}}, True),
        ({"actors": {Actor("Practitioner/tom", "IRCP")}}, True),
        ({"actors": {Actor("Practitioner/tom", "PRCP")}}, True),
        ({"actors": {Actor("Practitioner/tom", "GRANTEE")}}, True),
        ({"actors": {Actor("Practitioner/tom", "AUT")}}, None),
        ({"actors": {Actor("Practitioner/max")}}, False),
        ({"actors": {Actor("Practitioner/max"), Actor("Practitioner/tom")}}, True),
        ({"actors": {Actor("", "treating")}}, True),
        ({"actors": {Actor("", "payer")}}, None),
        ({"actors": {Actor("?")}}, None),
        ({"labels": {"R"}}, True),
        ({"labels": {"PSY"}}, True),
        ({"labels": {"ETH"}}, False),
        ({"labels": {"PSYTHPN"}}, None),
        ({"labels": {"http://example.org|x"}}, None),
        ({"purposes": {"http://example.org|x"}}, None),
        ({"purposes": {"NOSUCH"}}, None),
        ({"purposes": {"NOSUCH", "TREAT"}}, True),
        ({"actions": {"access"}}, True),
        ({"actions": {"collect", "copy"}}, None),
        ({"vague": {"action"}}, None),
        ({"actions": {"access"}, "vague": {"action"}}, True),
        ({"actions": {"collect"}, "vague": {"action"}}, None),
        ({"data": {DataReference("instance", "")}}, None),
        ({"data": {DataReference("authoredby", "Organization/c")}}, None),
        ({"data": {DataReference("authoredby", "Practitioner/max")}}, False),
        ({"data": {DataReference("somehow", "Patient/anna")}}, None),
    ],
)  # fmt: skip
def test_an_element_fits_or_not_or_cannot_be_told(kinds: dict[str, set[Any]], fits: bool | None) -> None:
    """What fits counts for permit and deny, what does not for neither, and what cannot be told for the deny alone."""
    found = both(**{name: frozenset(values) for name, values in kinds.items()})
    assert found == {True: (PERMIT, DENY), False: (SILENT, SILENT), None: (SILENT, DENY)}[fits]


@pytest.mark.parametrize(("label", "rank"), [(label, rank) for rank, label in enumerate("ULMNRV")])
def test_confidentiality_is_an_order(label: str, rank: int) -> None:
    """A permit for a label reaches restricted data from R up, a deny from R down; R itself is reached by both."""
    permits, denies = both(labels=frozenset({label}))
    assert (permits is PERMIT) == (rank >= 4)
    assert (denies is DENY) == (rank <= 4)


@pytest.mark.parametrize(
    ("rule", "labels", "fits"),
    [
        ("ETH", {"R", "ETHUD"}, True),
        ("ETH", {"R", "SUD"}, True),
        ("OPIOIDUD", {"R", "ETH"}, None),
        ("PSY", {"R", "PSYTHPN"}, True),
        ("PSY", {"V", "PSY"}, None),
        ("V", {"V", "PSY"}, True),
        ("PSY", {"PSY"}, None),
    ],
)
def test_sensitivity_has_parts(rule: str, labels: set[str], fits: bool | None) -> None:
    """A label covers what is part of it; the narrower may be meant by the wider; very restricted has to be named."""
    named = frozenset({rule})
    found = tuple(said(Provision(kind, labels=named), labels=frozenset(labels)) for kind in ("permit", "deny"))
    assert found == {True: (PERMIT, DENY), None: (SILENT, DENY)}[fits]


def test_an_exception_does_not_outlive_its_rule() -> None:
    """A permit inside a permit that has ended, or has not begun, permits nothing, whatever its own period says."""
    now = Provision("permit", starts=NOW - timedelta(days=1), ends=NOW + timedelta(days=1))
    past = Provision("permit", ends=NOW - timedelta(days=1), provisions=(now,))
    assert said(Provision("", provisions=(past,))) is SILENT
    assert said(Provision("", provisions=(now,))) is PERMIT


def test_an_exception_takes_over_what_it_does_not_restate() -> None:
    """A permit inside a permit inherits the elements that it does not state itself, and restates the others."""
    inner = Provision("permit", labels=frozenset({"R"}))
    normal = Provision("permit", labels=frozenset({"N"}), purposes=frozenset({"TREAT"}), provisions=(inner,))
    assert said(normal) is PERMIT
    assert said(normal, "HRESCH") is SILENT
    deny = msgspec.structs.replace(normal, provisions=(Provision("deny", labels=frozenset({"R"})),))
    assert said(deny) is DENY
    assert said(deny, "HRESCH") is SILENT


def test_a_permit_lifts_a_deny_only_where_the_whole_deny_fits() -> None:
    """Inside a deny about somebody else a permit says nothing; inside one that may be about Tom it only lifts it."""
    inner = Provision("permit", purposes=frozenset({"TREAT"}))
    for actor, verdict in (("Practitioner/tom", PERMIT), ("Practitioner/max", SILENT), ("Group/g", SILENT)):
        deny = Provision("deny", actors=frozenset({Actor(actor)}), provisions=(inner,))
        assert said(deny) is verdict
        if actor != "Practitioner/max":
            assert said(deny, "HRESCH") is DENY


def test_a_purpose_that_nobody_knows() -> None:
    """A request for a purpose outside HL7's may be part of any that a Consent denies, and of none that it permits."""
    for kinds in ({"purposes": frozenset({"TREAT"})}, {"purposes": frozenset({"PurposeOfUse"})}):
        assert said(Provision("permit", **kinds), "http://example.org|x") is SILENT
        assert said(Provision("deny", **kinds), "http://example.org|x") is DENY


def test_data_of_an_unknown_time_or_author() -> None:
    """Where it is not known when data are from or who wrote them, a deny about it stands and a permit does not."""
    period: dict[str, Any] = {"about_starts": NOW, "about_ends": NOW}
    assert (said(Provision("permit", **period)), said(Provision("deny", **period))) == (SILENT, DENY)
    by = {"data": frozenset({DataReference("authoredby", "Practitioner/max")})}
    assert said(Provision("deny", **by), authors=frozenset()) is DENY
    assert said(Provision("permit", **by), authors=frozenset()) is SILENT


def test_data_named_by_a_relation_that_nobody_knows() -> None:
    """What a rule says of data by a relation that FHIR does not have is not taken for one that it has."""
    session = frozenset({"Encounter/e1"})
    for meaning, verdict in (("related", PERMIT), ("dependents", PERMIT), ("somehow", SILENT)):
        named = frozenset({DataReference(meaning, "Encounter/e1")})
        assert said(Provision("permit", data=named), related=session) is verdict
