"""The consent gate: a truth table, and what no combination of Consents can do."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.consent import (
    CUSTODIAN,
    Action,
    ConsentPolicy,
    ConsentRecord,
    Datum,
    Provision,
    Request,
    Verdict,
    gate,
    judge,
)
from fhir_alliance.core.model import Cleared, Code, Withheld
from fhir_alliance.testing import make_form

NOW = datetime(2026, 3, 2, 22, 30, tzinfo=timezone(timedelta(hours=-5)))  # the next day in UTC
TICK = timedelta(microseconds=1)
OURS, OTHER = ("http://loinc.org", "44249-1"), ("http://loinc.org", "85354-9")
DATUM = Datum.of([Code(*OURS)])
FORM = make_form({"q1": 1})
REQUEST = Request(FORM.subject, Action.USE, CUSTODIAN, "TREAT", DATUM.about(FORM))
OPEN, OPT_IN = ConsentPolicy(default_permit=True), ConsentPolicy(default_permit=False)
OPT_IN_SAYS = "No consent on record speaks to it, and the site asks for one."
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
    assert judge(record, REQUEST, NOW).verdict is verdict
    passes = {policy: isinstance(gate(FORM, [record], policy, DATUM, NOW), Cleared) for policy in (OPEN, OPT_IN)}
    assert passes == {OPEN: verdict in (PERMIT, SILENT), OPT_IN: verdict is PERMIT}


@pytest.mark.parametrize("word", ["Deny", "refuse", "None"])
def test_a_root_of_an_unknown_type_is_undecided(word: str) -> None:
    """A decision that cannot be understood is never passed over in favour of a site's open default."""
    assert judge(consent(Provision(word)), REQUEST, NOW).verdict is UNDECIDED


@pytest.mark.parametrize("elements", [{"status": ""}, {"status": "Active"}, {"scope": ""}], ids=str)
def test_a_refusal_without_its_required_elements_is_undecided(elements: dict[str, str]) -> None:
    """A Consent whose status or scope is missing or is no code of FHIR's cannot be evaluated: it is not ignored."""
    assert judge(consent(deny(), **elements), REQUEST, NOW).verdict is UNDECIDED


# ---------------------------------------------------------------- one and several


def test_without_any_consent_the_default_decides() -> None:
    """A client without a Consent is cleared where the site's default permits, and withheld with a reason where not."""
    assert gate(FORM, (), OPEN, DATUM, NOW) == Cleared(FORM, "TREAT", (), "1")
    withheld = gate(FORM, (), OPT_IN, DATUM, NOW)
    assert isinstance(withheld, Withheld)
    assert withheld.reasons == ("No consent is on record, and the site asks for one.",)


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
    assert outcome == Cleared(FORM, "TREAT", ("Consent/yes", "Consent/also"), "1+opt-in")


@pytest.mark.parametrize(
    ("records", "reasons"),
    [
        ([consent(permit(), "yes"), consent(deny(), "no")], ("Consent/no forbids it.",)),
        ([consent(deny(), "a"), consent(deny(), "b")], ("Consent/a forbids it.", "Consent/b forbids it.")),
        ([consent(permit(), "odd", unreadable="x")], ("Consent/odd cannot be evaluated.",)),
        (
            [consent(permit(ends=NOW - TICK))],
            (
                "No consent on record speaks to it, and the site asks for one.",
                "Consent/c1 is not in force at this time.",
            ),
        ),
    ],
    ids=["one denies", "two deny", "one is unreadable", "none applies"],
)
def test_withheld_says_why(records: list[ConsentRecord], reasons: tuple[str, ...]) -> None:
    """A withheld form names the Consents that keep it back, and nothing of what the client answered."""
    assert gate(FORM, records, OPT_IN, DATUM, NOW) == Withheld(FORM, reasons)
