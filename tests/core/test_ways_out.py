"""Each way out: who gets a pass, for what, and how long it holds."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhir_alliance.core import ways_out
from fhir_alliance.core.consent import ConsentRecord, Provision
from fhir_alliance.core.consent_request import Action, DataLevel, Datum, Recipient, Request, Role
from fhir_alliance.core.consent_rules import Actor
from fhir_alliance.core.model import Code, Family
from fhir_alliance.core.ways_out import (
    HOLDS_FOR,
    Grounds,
    Refused,
    is_old,
    minimum,
    still_holds,
    to_document,
    to_insurer,
    to_message,
    to_quality,
    to_research,
    to_somebody,
    to_supervisor,
    to_treating,
)
from fhir_alliance.runs.consent_files import load_table
from fhir_alliance.testing import make_score

PACKAGE = Path(ways_out.__file__).parents[1]
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TABLE = load_table()
DATUM = Datum.of([Code("http://loinc.org", "44249-1")])
COUNTS = msgspec.structs.replace(DATUM, level=DataLevel.AGGREGATE, people=40)
ALLIANCE = Datum.of([], family=Family.ALLIANCE)


def consent(root: Provision, version: int = 1) -> ConsentRecord:
    """Return an active privacy Consent."""
    return ConsentRecord(f"Consent/c/_history/{version}", "Patient/anna", "active", "patient-privacy", None, "", root)


def grounds(*consents: ConsentRecord, now: datetime = NOW) -> Grounds:
    """Return what is decided on."""
    return Grounds(consents, TABLE, now)


def request(who: str, role: Role, purpose: str, datum: Datum = DATUM) -> Request:
    """Return a request."""
    recipient = Recipient(frozenset({who}), frozenset(), frozenset({role}), is_known=True)
    return Request("Patient/anna", Action.DISCLOSE, recipient, purpose, datum)


INSURER = Provision(
    "permit", ends=NOW + timedelta(days=9), purposes=frozenset({"HPAYMT"}), actors=frozenset({Actor("Organization/i")})
)
RESEARCH = Provision("permit", purposes=frozenset({"HRESCH"}))
WAYS: list[tuple[Callable[..., Any], Request, tuple[ConsentRecord, ...]]] = [
    (to_treating, request("Practitioner/tom", Role.TREATING, "TREAT"), ()),
    (to_supervisor, request("Practitioner/lea", Role.SUPERVISING, "TRAIN"), ()),
    (to_quality, request("Practitioner/ida", Role.QUALITY, "HQUALIMP", COUNTS), ()),
    (to_insurer, request("Organization/i", Role.PAYER, "HPAYMT"), (consent(INSURER),)),
    (to_research, request("Organization/u", Role.RESEARCH, "HRESCH"), (consent(RESEARCH),)),
    (to_somebody, request("Practitioner/tom", Role.TREATING, "TREAT"), ()),
    (to_message, request("Practitioner/tom", Role.TREATING, "TREAT"), ()),
    (to_document, request("Practitioner/tom", Role.TREATING, "TREAT"), ()),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[0].__name__)
def test_a_way_out_opens_by_consent_and_shuts_by_a_denial(way: Any) -> None:
    """Each way gives a pass of its own where consent permits, with the decision in it, and none where it denies."""
    ask, wanted, consents = way
    found = ask(wanted, grounds(*consents))
    assert not isinstance(found, Refused)
    assert found.decision.permitted
    assert found.request == wanted
    refused = ask(wanted, grounds(*consents, consent(Provision("deny"))))
    assert isinstance(refused, Refused)
    assert refused.decision.reasons == ("Consent/c/_history/1 forbids it.",)


@pytest.mark.parametrize(
    ("ask", "wanted"),
    [
        (to_treating, request("Practitioner/max", Role.FAMILY, "TREAT")),
        (to_supervisor, request("Practitioner/tom", Role.TREATING, "TREAT")),
        (to_quality, request("Practitioner/ida", Role.QUALITY, "HQUALIMP")),
        (to_quality, request("Practitioner/tom", Role.TREATING, "TREAT", COUNTS)),
        (to_insurer, request("Practitioner/tom", Role.TREATING, "TREAT")),
        (to_research, request("Practitioner/tom", Role.TREATING, "TREAT")),
        (to_somebody, request("Practitioner/tom", Role.TREATING, "TREAT", DATUM.at(DataLevel.ITEM))),
    ],
)
def test_no_way_out_is_taken_for_another(ask: Callable[..., Any], wanted: Request) -> None:
    """A request of another kind gets no pass on this way, even where consent would permit it."""
    everything = consent(Provision("permit", purposes=frozenset({wanted.purpose}), actors=frozenset({Actor("?")})))
    found = ask(wanted, grounds(everything))
    assert isinstance(found, Refused)
    assert found.decision.reasons == ("This way out is not for this recipient, purpose or kind of data.",)


def test_alliance_data_get_no_pass_to_an_insurer() -> None:
    """No Consent gives a pass for alliance data to an insurer."""
    found = to_insurer(request("Organization/i", Role.PAYER, "HPAYMT", ALLIANCE), grounds(consent(INSURER)))
    assert isinstance(found, Refused)


def test_a_pass_holds_while_nothing_changes() -> None:
    """Within five minutes and with the same versions of the consents, a pass is what it was."""
    wanted, own = WAYS[3][1], consent(INSURER)
    old = to_insurer(wanted, grounds(own))
    assert not isinstance(old, Refused)
    assert still_holds(old, grounds(own, now=NOW + HOLDS_FOR)) is old
    assert not is_old(old, NOW + HOLDS_FOR)


def test_a_pass_is_decided_again_when_it_is_old_or_a_consent_has_changed() -> None:
    """After five minutes, or with another version of a consent, a pass is decided anew, for better or worse."""
    wanted, own = WAYS[3][1], consent(INSURER)
    old = to_insurer(wanted, grounds(own))
    assert not isinstance(old, Refused)
    later = NOW + HOLDS_FOR + timedelta(seconds=1)
    assert is_old(old, later)
    anew = still_holds(old, grounds(own, now=later))
    assert not isinstance(anew, Refused)
    assert anew.at == later
    assert isinstance(still_holds(old, grounds(consent(Provision("deny"), 2))), Refused)
    assert isinstance(still_holds(old, grounds()), Refused)
    assert isinstance(still_holds(old, grounds(own, now=NOW + timedelta(days=10))), Refused)


def test_the_minimum_of_a_score_holds_no_more_than_it_must() -> None:
    """What leaves care of a score is what, when and how much: no encounter, no language, nobody's name."""
    score = make_score(7, 1)
    assert minimum(score) == ways_out.Minimum(score.instrument, score.scale, score.when, 7, score.band)
    assert ways_out.Minimum.__struct_fields__ == ("instrument", "scale", "when", "value", "band")


# ------------------------------------------------------------------ the code is walked

PASSES = {
    "Cleared", "ItemsPass", "ViewPass", "QualityPass", "InsurerPass", "ResearchPass", "DisclosurePass",
    "CommunicationPass", "DocumentPass",
}  # fmt: skip
# Resources that carry a client's data out of the forms; whoever builds one takes a pass.
GUARDED = {"Observation", "Communication", "DocumentReference", "DiagnosticReport", "RiskAssessment", "Bundle"}
# What builds one without a pass, and why it may.
EXEMPT = {
    "fhir/safety_task.py": "safety comes before consent: an answer about safety is always seen by a clinician",
    "fhir/finding.py": "made of scores that a Cleared form gave",
    "fhir/score_document.py": "holds Observations that are let out already: another way to deliver them, nothing more",
}


def built(source: str) -> Iterator[tuple[str, str]]:
    """Yield each function or class at the top of a module that builds a guarded resource, and its whole text."""
    for node in ast.parse(source).body:
        text = ast.unparse(node)
        for kind in GUARDED:
            if f"'resourceType': '{kind}'" in text or f'"resourceType":"{kind}"' in text:
                yield getattr(node, "name", "module"), text


def test_every_writer_takes_a_pass() -> None:
    """No module builds a resource with a client's data in it unless it asks for what the gate alone gives."""
    bare = [
        f"{path.relative_to(PACKAGE).as_posix()}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).as_posix() not in EXEMPT and path.parent.name != "stores"  # which only send
        for source in [path.read_text(encoding="utf-8")]
        for name, _ in built(source)
        if not PASSES & {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    ]
    assert bare == []


def test_the_walk_bites() -> None:
    """A planted writer is found, whichever way it writes JSON."""
    assert list(built("def f(x):\n    return {'resourceType': 'DocumentReference', 'subject': x}"))
    assert list(built('class A:\n    start = b\'{"resourceType":"Observation"\''))


def test_only_the_ways_out_make_passes() -> None:
    """A pass is made in core/ways_out.py and nowhere else, so no code can skip the decision."""
    makers = {
        path.name
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in PASSES - {"Cleared"}
    }
    assert makers == {"ways_out.py"}
