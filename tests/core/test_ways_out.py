"""Each way out: who gets a pass, for what, and how long it holds."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from fhir_alliance.core import ways_out
from fhir_alliance.core.consent import ConsentRecord, Provision
from fhir_alliance.core.consent_request import Action, DataLevel, Datum, Recipient, Request, Role
from fhir_alliance.core.consent_rules import Actor
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.evaluation import Member, Shown
from fhir_alliance.core.measures.people import Person
from fhir_alliance.core.measures.supervision import assessments, case_row, chain
from fhir_alliance.core.measures.tallying import Tallying
from fhir_alliance.core.measures.therapists import Caseloads
from fhir_alliance.core.model import Code, Family
from fhir_alliance.core.rules.chart import Rulebook
from fhir_alliance.core.ways_out import (
    Grounds,
    Refused,
    to_clinic,
    to_insurer,
    to_quality,
    to_somebody,
    to_supervisor,
)
from fhir_alliance.fhir.measure_report import individual
from fhir_alliance.runs.consent_files import load_table
from fhir_alliance.runs.measures import load_measures
from fhir_alliance.views.report_pictures import scatters

PACKAGE = Path(ways_out.__file__).parents[1]
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TABLE = load_table()
MEASURE = load_measures()["outcome-by-mode"]
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
    (to_clinic, request("Organization/clinic", Role.CUSTODIAN, "TREAT"), ()),
    (to_supervisor, request("Practitioner/lea", Role.SUPERVISING, "TRAIN"), ()),
    (to_quality, request("Practitioner/ida", Role.QUALITY, "HQUALIMP", COUNTS), ()),
    (to_insurer, request("Organization/i", Role.PAYER, "HPAYMT"), (consent(INSURER),)),
    (to_somebody, request("Organization/u", Role.RESEARCH, "HRESCH"), (consent(RESEARCH),)),
    (to_somebody, request("Practitioner/tom", Role.TREATING, "TREAT"), ()),
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
        (to_clinic, request("Practitioner/max", Role.FAMILY, "TREAT")),
        (to_supervisor, request("Practitioner/tom", Role.TREATING, "TREAT")),
        (to_quality, request("Practitioner/ida", Role.QUALITY, "HQUALIMP")),
        (to_quality, request("Practitioner/tom", Role.TREATING, "TREAT", COUNTS)),
        (to_insurer, request("Practitioner/tom", Role.TREATING, "TREAT")),
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


def test_a_pass_lets_nobody_else_out() -> None:
    """A pass made for one client is refused with another's data, by itself and by every writer that asks for one."""
    found = to_supervisor(WAYS[1][1], grounds())
    assert not isinstance(found, Refused)
    found.demand("Patient/anna")
    other = Member("Patient/ben", "rate", {}, {})
    ben = Person("Patient/ben", None)
    period = Days(NOW.date(), NOW.date())
    for bypass in (
        lambda: found.demand("Patient/ben"),
        lambda: Tallying(MEASURE, period).add(found, [other], [], []),
        lambda: Caseloads().add(found, "Practitioner/tom", other),
        lambda: individual(MEASURE, Shown(found, [other]), (NOW.date(), NOW.date()), "", NOW.date()),
        lambda: scatters(MEASURE, [Shown(found, [other])]),
        lambda: case_row(found, ben, Rulebook({}, {}), NOW.date(), 28),
        lambda: chain(found, ben, Rulebook({}, {}), period),
        lambda: assessments(found, ben, Rulebook({}, {}), period),
    ):
        with pytest.raises(ValueError, match="another's"):
            bypass()


# ------------------------------------------------------------------ the code is walked

PASSES = {"Cleared", "ItemsPass", "Pass", "ReportPass", "ViewPass", "QualityPass", "InsurerPass", "DisclosurePass"}
# Nouns that nobody gets without a pass, and the one module that makes each of them.
HOLDERS = {
    "Given": "runs/disclosure.py",  # scores that go to somebody
    "Shown": "runs/report.py",  # one person's place in a measure
    "Tally": "core/measures/tallying.py",  # counts
    "Caseload": "core/measures/therapists.py",
    "CaseRow": "core/measures/supervision.py",
    "Link": "core/measures/supervision.py",
    "Assessment": "core/measures/supervision.py",
    "Sheet": "fhir/score_sheet.py",  # read from Observations, which a Cleared form gave
}
# Resources that carry a client's data out of the forms; whoever builds one asks for a pass, or for what holds one.
GUARDED = {
    "Observation", "Communication", "DocumentReference", "DiagnosticReport", "RiskAssessment", "Bundle",
    "MeasureReport", "List", "QuestionnaireResponse", "ServiceRequest",
}  # fmt: skip
# What builds one without a pass, and why it may.
EXEMPT = {
    "fhir/safety_task.py": "safety comes before consent: an answer about safety is always seen by a clinician",
    "fhir/review_request.py": "says what a review's Task says, which is made of scores that a Cleared form gave",
    "fhir/review_message.py": "says what a review's Task says, which is made of scores that a Cleared form gave",
    "fhir/finding.py": "made of scores that a Cleared form gave",
    "fhir/computation.py": "a form in memory, for its own formulas",
    "fhir/expression.py": "a form in memory, for its own formulas",
    "testing.py": "forms for tests",
}


def bare_writers(source: str) -> list[str]:
    """Return the public functions and the classes of a module that build a guarded resource and ask for no pass.

    What a private function builds, its callers in the module build.
    """
    nodes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    building = {name for name, node in nodes.items() if builds(ast.unparse(node))}
    while True:
        callers = {name for name, node in nodes.items() if names_in(node) & {b for b in building if b[0] == "_"}}
        if callers <= building:
            break
        building |= callers
    called = {name for node in nodes.values() for name in names_in(node) if name != node.name}
    outer = {name for name in building if name[0] != "_" or name not in called}
    return sorted(name for name in outer if not asked_for(nodes[name]) & (PASSES | set(HOLDERS)))


def builds(text: str) -> bool:
    """Return whether code writes one of the guarded resources down."""
    return any(f"'resourceType': '{kind}'" in text or f'"resourceType":"{kind}"' in text for kind in GUARDED)


def names_in(node: ast.AST) -> set[str]:
    """Return every name in a piece of code."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def asked_for(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    """Return the types that a function, or any method of a class, takes."""
    functions = [part for part in ast.walk(node) if isinstance(part, ast.FunctionDef)]
    return {name for function in functions for name in names_in(function.args)}


def modules() -> Iterator[tuple[str, str]]:
    """Yield every module of the package with its text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")


def test_every_writer_takes_a_pass() -> None:
    """No function builds a resource with a client's data in it unless its own parameters are what the gate gives."""
    bare = [
        f"{name}: {writer}"
        for name, source in modules()
        if name not in EXEMPT and not name.startswith("stores/")  # which only send
        for writer in bare_writers(source)
    ]
    assert bare == []


@pytest.mark.parametrize(
    "planted",
    [
        "def f(x: str):\n    return {'resourceType': 'DocumentReference', 'subject': x}",
        'class f:\n    start = b\'{"resourceType":"Observation"\'',
        "def f(x: str):\n    return _made(x)\ndef _made(x):\n    return {'resourceType': 'MeasureReport'}",
        "def f(x: str):\n    y: ViewPass\n    return {'resourceType': 'List', 'subject': x}",
    ],
    ids=["plain", "bytes", "by a private function", "a pass that nobody has to give"],
)
def test_the_walk_bites(planted: str) -> None:
    """A planted writer is found, whichever way it writes."""
    assert bare_writers(planted) == ["f"]
    assert bare_writers(planted.replace("x: str", "x: ViewPass")) == ([] if "x: str" in planted else ["f"])


def made(names: Collection[str]) -> set[tuple[str, str]]:
    """Return which of these are made in which modules."""
    return {
        (called, name)
        for name, source in modules()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and (called := getattr(node.func, "id", getattr(node.func, "attr", ""))) in names
        and name != "fhir/formula_symbols.py"  # its Tally counts symbols
    }


def test_only_the_ways_out_make_passes() -> None:
    """A pass is made in core/ways_out.py and nowhere else, so no code can skip the decision."""
    assert {module for _, module in made(PASSES - {"Cleared", "ReportPass"})} == {"core/ways_out.py"}
    assert made({"Cleared"}) == {("Cleared", "core/consent.py")}


def test_what_holds_a_pass_is_made_in_one_place() -> None:
    """Each noun that stands for a pass in a writer's parameters is made in the one module that asks for the pass."""
    assert made(HOLDERS) - {("Tally", "fhir/formula_arithmetic.py")} == set(HOLDERS.items())


def test_every_kind_of_pass_is_asked_for() -> None:
    """No pass is there for its own sake: some function or noun of the program takes each of them."""
    taken = set[str]()
    for name, source in modules():
        for node in ast.walk(ast.parse(source)) if name != "core/ways_out.py" else ():
            taken |= names_in(node.args) if isinstance(node, ast.FunctionDef) else set()
            taken |= names_in(node.annotation) if isinstance(node, ast.AnnAssign) else set()
    if "ReportPass" in taken:
        taken |= {kind.__name__ for kind in get_args(ways_out.ReportPass)}
    assert taken >= PASSES - {"Pass"}
