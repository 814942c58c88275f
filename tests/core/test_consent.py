"""The consent gate: a truth table, and what no combination of Consents can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fhir_alliance.core.consent import (
    ConsentPolicy,
    ConsentRecord,
    Datum,
    Provision,
    Verdict,
    gate,
    judge,
)
from fhir_alliance.core.model import Cleared, Code, Withheld
from fhir_alliance.testing import make_form

PROPERTY = settings(deadline=None)
NOW = datetime(2026, 3, 2, 22, 30, tzinfo=timezone(timedelta(hours=-5)))  # the next day in UTC
TICK = timedelta(microseconds=1)
OURS, OTHER = ("http://loinc.org", "44249-1"), ("http://loinc.org", "85354-9")
DATUM = Datum.of([Code(*OURS)])
FORM = make_form({"q1": 1})
OPEN, OPT_IN = ConsentPolicy(default_permit=True), ConsentPolicy(default_permit=False)
PERMIT, DENY, UNDECIDED, SILENT = Verdict


def permit(*exceptions: Provision, **kinds: Any) -> Provision:
    """Return a rule that permits, with its exceptions."""
    return Provision("permit", provisions=exceptions, **kinds)


def deny(*exceptions: Provision, **kinds: Any) -> Provision:
    """Return a rule that denies, with its exceptions."""
    return Provision("deny", provisions=exceptions, **kinds)


def consent(root: Provision, name: str = "c1", **elements: Any) -> ConsentRecord:
    """Return an active privacy Consent of the form's client."""
    record = ConsentRecord(f"Consent/{name}", FORM.subject, "active", "patient-privacy", None, "", root)
    return msgspec.structs.replace(record, **elements)


def nested(depth: int, innermost: Provision) -> Provision:
    """Return a rule so many levels below a root that permits, each level permitting."""
    rule = innermost
    for _ in range(depth):
        rule = permit(rule)
    return rule


def purposes(*codes: str) -> dict[str, Any]:
    """Return the element kind of purposes."""
    return {"purposes": frozenset(codes)}


def classes(*codes: str) -> dict[str, Any]:
    """Return the element kind of resource types."""
    return {"classes": frozenset(codes)}


def codes(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return the element kind of content codes."""
    return {"codes": frozenset(pairs)}


# What v3-ActReason has below TREAT in FHIR R4.
NARROWER = ("BTG", "CLINTRL", "COC", "ERTREAT", "ETREAT", "POPHLTH")
ACTOR = {"unevaluated": ("actor",)}

TABLE: dict[str, tuple[ConsentRecord, Verdict]] = {
    # the base decision
    "root permits": (consent(permit()), PERMIT),
    "root denies": (consent(deny()), DENY),
    "base permits": (consent(Provision(""), base="permit"), PERMIT),
    "base denies": (consent(Provision(""), base="deny"), DENY),
    "root permits against the base": (consent(permit(), base="deny"), PERMIT),
    "root denies against the base": (consent(deny(), base="permit"), DENY),
    "no base at all": (consent(Provision("")), SILENT),
    "no base, a nested permit": (consent(Provision("", provisions=(permit(),))), PERMIT),
    "no base, a nested deny": (consent(Provision("", provisions=(deny(),))), DENY),
    # what does not count
    **{
        f"{status} {rule.type}": (consent(rule, status=status), SILENT)
        for status in ("draft", "proposed", "rejected", "inactive", "entered-in-error")
        for rule in (permit(), deny())
    },
    **{
        f"scope {scope}": (consent(deny(), scope=scope), SILENT)
        for scope in ("research", "treatment", "adr")
    },
    "given this moment": (consent(deny(), given=NOW), DENY),
    "given in the next moment": (consent(deny(), given=NOW + TICK), SILENT),
    # what cannot be relied on
    "another patient's permit": (consent(permit(), subject="Patient/p2"), UNDECIDED),
    "another patient's deny": (consent(deny(), subject="Patient/p2"), UNDECIDED),
    "nobody's permit": (consent(permit(), subject=""), UNDECIDED),
    "unreadable": (consent(permit(), unreadable="cannot be read"), UNDECIDED),
    "unreadable and inactive": (consent(permit(), unreadable="cannot be read", status="inactive"), UNDECIDED),
    "nested rule without a type": (consent(permit(Provision(""))), UNDECIDED),
    "nested rule of an unknown type": (consent(permit(Provision("maybe"))), UNDECIDED),
    "a deny beside a rule without a type": (consent(permit(Provision(""), deny())), DENY),
    "a permit beside a rule without a type": (consent(deny(Provision(""), permit())), UNDECIDED),
    # periods
    **{
        f"{rule.type} {name}": (consent(msgspec.structs.replace(rule, **period)), rule_says if applies else SILENT)
        for rule, rule_says in ((permit(), PERMIT), (deny(), DENY))
        for name, period, applies in (
            ("from this moment", {"starts": NOW}, True),
            ("from the next moment", {"starts": NOW + TICK}, False),
            ("to this moment", {"ends": NOW}, True),
            ("to the moment before", {"ends": NOW - TICK}, False),
            ("in a period around now", {"starts": NOW - TICK, "ends": NOW + TICK}, True),
        )
    },
    "an expired exception": (consent(permit(deny(ends=NOW - TICK))), PERMIT),
    "an exception still to come": (consent(deny(permit(starts=NOW + TICK))), DENY),
    "an exception in an expired consent": (consent(permit(deny(), ends=NOW - TICK)), SILENT),
    # nesting
    "deny in permit": (consent(permit(deny())), DENY),
    "permit in deny": (consent(deny(permit())), PERMIT),
    "permit in deny in permit": (consent(permit(deny(permit()))), PERMIT),
    "deny in permit in deny": (consent(deny(permit(deny()))), DENY),
    "permit and deny side by side": (consent(permit(permit(), deny())), DENY),
    "deny and permit side by side": (consent(deny(deny(), permit())), DENY),
    "an exception about something else": (consent(permit(deny(**codes(OTHER)))), PERMIT),
    "an exception inside one about something else": (consent(permit(deny(permit(), **codes(OTHER)))), PERMIT),
    "the deepest level that is read": (consent(nested(16, deny())), DENY),
    "one level deeper": (consent(nested(17, deny())), UNDECIDED),
    "one level deeper, a permit": (consent(nested(17, permit())), UNDECIDED),
    # purposes: a permit has to cover the request, a deny only to touch it
    "permit for treatment": (consent(permit(**purposes("TREAT"))), PERMIT),
    "permit for every purpose": (consent(permit(**purposes("PurposeOfUse"))), PERMIT),
    "deny for every purpose": (consent(deny(**purposes("PurposeOfUse"))), DENY),
    **{f"permit for {code} only": (consent(permit(**purposes(code))), SILENT) for code in NARROWER},
    **{f"deny for {code} only": (consent(deny(**purposes(code))), DENY) for code in NARROWER},
    "permit for payment": (consent(permit(**purposes("HPAYMT"))), SILENT),
    "deny for payment": (consent(deny(**purposes("HPAYMT"))), SILENT),
    "permit for payment or treatment": (consent(permit(**purposes("HPAYMT", "TREAT"))), PERMIT),
    "deny for payment or emergency": (consent(deny(**purposes("HPAYMT", "ETREAT"))), DENY),
    "emergency permitted in deny": (consent(deny(permit(**purposes("ETREAT")))), DENY),
    "emergency denied in permit": (consent(permit(deny(**purposes("ETREAT")))), DENY),
    # what it is about
    "permit for responses": (consent(permit(**classes("QuestionnaireResponse"))), PERMIT),
    "permit for observations": (consent(permit(**classes("Observation"))), PERMIT),
    "deny for observations": (consent(deny(**classes("Observation"))), DENY),
    "permit for medication": (consent(permit(**classes("MedicationRequest"))), SILENT),
    "deny for medication": (consent(deny(**classes("MedicationRequest"))), SILENT),
    "deny for medication or observations": (consent(deny(**classes("MedicationRequest", "Observation"))), DENY),
    "permit for this form": (consent(permit(**codes(OURS))), PERMIT),
    "deny for this form": (consent(deny(**codes(OURS))), DENY),
    "permit for another form": (consent(permit(**codes(OTHER))), SILENT),
    "deny for another form": (consent(deny(**codes(OTHER))), SILENT),
    "deny for this code of another system": (consent(deny(**codes(("http://example.org", OURS[1])))), SILENT),
    "deny for one of two forms": (consent(deny(**codes(OTHER, OURS))), DENY),
    "all kinds fit": (consent(deny(**codes(OURS), **classes("Observation"), **purposes("TREAT"))), DENY),
    "all kinds but the code fit": (consent(deny(**codes(OTHER), **classes("Observation"))), SILENT),
    "all kinds but the class fit": (consent(deny(**codes(OURS), **classes("Patient"))), SILENT),
    "all kinds but the purpose fit": (consent(deny(**codes(OURS), **purposes("HPAYMT"))), SILENT),
    # element kinds that are not read can forbid, and never permit
    "permit with an actor": (consent(permit(**ACTOR)), SILENT),
    "deny with an actor": (consent(deny(**ACTOR)), DENY),
    "permit with an actor in deny": (consent(deny(permit(**ACTOR))), DENY),
    "deny with an actor in permit": (consent(permit(deny(**ACTOR))), DENY),
    "deny with an actor about something else": (consent(deny(**ACTOR, **codes(OTHER))), SILENT),
    "base permits, root with an actor": (consent(Provision("", **ACTOR), base="permit"), SILENT),
    "base denies, root with an actor": (consent(Provision("", **ACTOR), base="deny"), DENY),
    "permit nested in a permit with an actor": (consent(permit(permit(), **ACTOR)), SILENT),
    "permit nested in a deny with an actor": (consent(deny(permit(), **ACTOR)), SILENT),
    "deny nested in a permit with an actor": (consent(permit(deny(), **ACTOR)), DENY),
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
def test_what_one_consent_says(row: str) -> None:
    """Each row of the truth table gives its verdict, and under both defaults of a site what follows from it."""
    record, verdict = TABLE[row]
    assert judge(record, FORM.subject, "TREAT", DATUM, NOW) is verdict
    passes = {policy: isinstance(gate(FORM, [record], policy, DATUM, NOW), Cleared) for policy in (OPEN, OPT_IN)}
    assert passes == {OPEN: verdict in (PERMIT, SILENT), OPT_IN: verdict is PERMIT}


@pytest.mark.parametrize("word", ["Deny", "refuse", "None"])
def test_a_root_of_an_unknown_type_is_undecided(word: str) -> None:
    """A decision that cannot be understood is never passed over in favour of a site's open default."""
    assert judge(consent(Provision(word)), FORM.subject, "TREAT", DATUM, NOW) is UNDECIDED


@pytest.mark.parametrize("elements", [{"status": ""}, {"status": "Active"}, {"scope": ""}], ids=str)
def test_a_refusal_without_its_required_elements_is_undecided(elements: dict[str, str]) -> None:
    """A Consent whose status or scope is missing or is no code of FHIR's cannot be evaluated: it is not ignored."""
    assert judge(consent(deny(), **elements), FORM.subject, "TREAT", DATUM, NOW) is UNDECIDED


# ---------------------------------------------------------------- one and several


def test_without_any_consent_the_default_decides() -> None:
    """A client without a Consent is cleared where the site's default permits, and withheld with a reason where not."""
    assert gate(FORM, (), OPEN, DATUM, NOW) == Cleared(FORM, "TREAT", ())
    withheld = gate(FORM, (), OPT_IN, DATUM, NOW)
    assert isinstance(withheld, Withheld)
    assert withheld.reasons == ("no consent is on record, and the site asks for one",)


@pytest.mark.parametrize(
    ("rules", "open_passes", "opt_in_passes"),
    [
        pytest.param([permit(), deny()], False, False, id="permit and deny"),
        pytest.param([permit(), permit(Provision(""))], False, False, id="permit and undecidable"),
        pytest.param([permit(), deny(ends=NOW - TICK)], True, True, id="permit and expired deny"),
        pytest.param([deny(), permit(starts=NOW)], False, False, id="older deny, newer permit"),
        pytest.param([permit(**codes(OTHER)), deny(**codes(OTHER))], True, False, id="both about something else"),
        pytest.param([permit(**ACTOR), permit()], True, True, id="one with an actor, one without"),
    ],
)  # fmt: skip
def test_several_consents(rules: list[Provision], open_passes: bool, opt_in_passes: bool) -> None:
    """Any deny wins, then anything undecidable, then a permit, and then the default, whichever was given last."""
    records = [consent(rule, f"c{n}") for n, rule in enumerate(rules)]
    assert isinstance(gate(FORM, records, OPEN, DATUM, NOW), Cleared) == open_passes
    assert isinstance(gate(FORM, records, OPT_IN, DATUM, NOW), Cleared) == opt_in_passes


def test_cleared_names_what_it_rests_on() -> None:
    """A cleared form carries the purpose and exactly the Consents that permit it."""
    records = [consent(permit(), "yes"), consent(permit(**codes(OTHER)), "other"), consent(permit(), "also")]
    outcome = gate(FORM, records, OPT_IN, DATUM, NOW)
    assert outcome == Cleared(FORM, "TREAT", ("Consent/yes", "Consent/also"))


@pytest.mark.parametrize(
    ("records", "reasons"),
    [
        ([consent(permit(), "yes"), consent(deny(), "no")], ("Consent/no forbids it",)),
        ([consent(deny(), "a"), consent(deny(), "b")], ("Consent/a forbids it", "Consent/b forbids it")),
        ([consent(permit(), "odd", unreadable="x")], ("Consent/odd cannot be evaluated",)),
        ([consent(permit(ends=NOW - TICK))], ("no consent on record speaks to it, and the site asks for one",)),
    ],
    ids=["one denies", "two deny", "one is unreadable", "none applies"],
)
def test_withheld_says_why(records: list[ConsentRecord], reasons: tuple[str, ...]) -> None:
    """A withheld form names the Consents that keep it back, and nothing of what the client answered."""
    assert gate(FORM, records, OPT_IN, DATUM, NOW) == Withheld(FORM, reasons)


# -------------------------------------------------------------------- properties

KINDS: dict[str, st.SearchStrategy[Any]] = {
    "starts": st.sampled_from([None, NOW, NOW + TICK]),
    "ends": st.sampled_from([None, NOW, NOW - TICK]),
    "purposes": st.sets(st.sampled_from(["TREAT", "ETREAT", "PurposeOfUse", "HPAYMT"]), max_size=1).map(frozenset),
    "classes": st.sampled_from([frozenset(), frozenset({"Observation"}), frozenset({"Patient"})]),
    "codes": st.sampled_from([frozenset(), frozenset({OURS}), frozenset({OTHER})]),
    "unevaluated": st.sampled_from([(), (), ("actor",)]),
}  # fmt: skip
LEAVES = st.builds(Provision, st.sampled_from(["permit", "deny", ""]), **KINDS)
RULES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        Provision, st.sampled_from(["permit", "deny"]), provisions=st.lists(inner, max_size=3).map(tuple), **KINDS
    ),
    max_leaves=6,
)
RECORDS = st.builds(
    consent,
    RULES,
    st.sampled_from(["a", "b", "c"]),
    base=st.sampled_from(["", "permit", "deny"]),
    status=st.sampled_from(["active", "active", "inactive"]),
    unreadable=st.sampled_from(["", "", "", "cannot be read"]),
)
CONSENTS = st.lists(RECORDS, max_size=3)
POLICIES = st.sampled_from([OPEN, OPT_IN])


def opens(records: Sequence[ConsentRecord], policy: ConsentPolicy) -> bool:
    """Return whether the form is cleared."""
    return isinstance(gate(FORM, records, policy, DATUM, NOW), Cleared)


def grown(rule: Provision, more: Provision) -> Iterator[Provision]:
    """Yield the rule with a further exception, once for each place in it where one can stand."""
    yield msgspec.structs.replace(rule, provisions=(*rule.provisions, more))
    for place, child in enumerate(rule.provisions):
        for other in grown(child, more):
            yield msgspec.structs.replace(rule, provisions=_with(rule.provisions, place, (other,)))


def pruned(rule: Provision) -> Iterator[Provision]:
    """Yield the rule without one of its nested permits, once for each; only permits without exceptions are taken."""
    for place, child in enumerate(rule.provisions):
        if child.type == "permit" and not child.provisions:
            yield msgspec.structs.replace(rule, provisions=_with(rule.provisions, place, ()))
        for other in pruned(child):
            yield msgspec.structs.replace(rule, provisions=_with(rule.provisions, place, (other,)))


def reordered(rule: Provision) -> Provision:
    """Return the same rule with the exceptions of every level backwards."""
    return msgspec.structs.replace(rule, provisions=tuple(reordered(child) for child in reversed(rule.provisions)))


def _with(rules: tuple[Provision, ...], place: int, others: tuple[Provision, ...]) -> tuple[Provision, ...]:
    return (*rules[:place], *others, *rules[place + 1 :])


@PROPERTY
@given(CONSENTS, POLICIES, st.builds(Provision, st.just("deny"), **KINDS))
def test_a_further_deny_never_opens(records: list[ConsentRecord], policy: ConsentPolicy, more: Provision) -> None:
    """A deny added to any Consent, at any place in it, or as a Consent of its own, never clears a withheld form."""
    assume(not opens(records, policy))
    assert not opens([*records, consent(more)], policy)
    for place, record in enumerate(records):
        for root in grown(record.root, more):
            changed = [*records]
            changed[place] = msgspec.structs.replace(record, root=root)
            assert not opens(changed, policy)


@PROPERTY
@given(CONSENTS, POLICIES)
def test_a_permit_taken_away_never_opens(records: list[ConsentRecord], policy: ConsentPolicy) -> None:
    """A permit removed from any place in a Consent, or with the Consent, never clears a withheld form."""
    assume(not opens(records, policy))
    for place, record in enumerate(records):
        others = [*records[:place], *records[place + 1 :]]
        for root in pruned(record.root):
            assert not opens([*others, msgspec.structs.replace(record, root=root)], policy)
        if record.root.type == "permit" and not record.root.provisions and not record.unreadable:
            assert not opens(others, policy)


@PROPERTY
@given(CONSENTS, POLICIES)
def test_order_is_irrelevant(records: list[ConsentRecord], policy: ConsentPolicy) -> None:
    """The same Consents, and the same rules in them, decide alike in every order, and on the same ground."""
    outcome = gate(FORM, records, policy, DATUM, NOW)
    turned = [msgspec.structs.replace(record, root=reordered(record.root)) for record in records]
    for order in permutations(turned):
        other = gate(FORM, order, policy, DATUM, NOW)
        assert type(other) is type(outcome)
        if isinstance(outcome, Cleared) and isinstance(other, Cleared):
            assert sorted(other.consents) == sorted(outcome.consents)
        elif isinstance(outcome, Withheld) and isinstance(other, Withheld):
            assert sorted(other.reasons) == sorted(outcome.reasons)


@PROPERTY
@given(CONSENTS)
def test_opt_in_clears_only_what_somebody_permitted(records: list[ConsentRecord]) -> None:
    """A site that asks for consent clears nothing without a permit, and nothing that an open site would withhold."""
    outcome = gate(FORM, records, OPT_IN, DATUM, NOW)
    if isinstance(outcome, Cleared):
        assert outcome.consents
        assert opens(records, OPEN)


@PROPERTY
@given(RECORDS)
def test_what_cannot_be_relied_on_closes(record: ConsentRecord) -> None:
    """A Consent that cannot be read, or is of somebody else, withholds the form whatever else it says."""
    for bad in ({"unreadable": "cannot be read"}, {"subject": "Patient/p2"}):
        assert not opens([msgspec.structs.replace(record, **bad), consent(permit())], OPEN)
