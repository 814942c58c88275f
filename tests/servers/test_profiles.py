"""The profiles say what this project writes, and a real validator refuses whatever differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

PROFILES = Path(__file__).parents[2] / "profiles"
OURS = "https://fhir-alliance.org/fhir"
TERMS = f"{OURS}/CodeSystem/terms"
PANEL, SCORE, SUBSCALE = "alliance-panel", "alliance-score", "alliance-subscale"
GOAL, SAFETY = "alliance-goal-review-task", "alliance-safety-review-task"
MESSAGE = "alliance-safety-message"
FINDING = "alliance-finding"
OBSERVATIONS, SCORES, TASKS = (PANEL, SCORE, SUBSCALE), (SCORE, SUBSCALE), (GOAL, SAFETY)

Resource = dict[str, Any]
Change = Callable[[Resource], None]
Step = str | int

pytestmark = [pytest.mark.hapi, pytest.mark.usefixtures("targets")]


# ---------------------------------------------------------------- changes


def without(*path: Step) -> Change:
    """Return a change that takes one element away."""

    def apply(resource: Resource) -> None:
        _parent(resource, path).pop(path[-1])

    return apply


def with_(value: Any, *path: Step) -> Change:
    """Return a change that sets one element."""

    def apply(resource: Resource) -> None:
        _parent(resource, path)[path[-1]] = deepcopy(value)

    return apply


def also(value: Any, *path: Step) -> Change:
    """Return a change that adds one more to a list, which may not be there yet."""

    def apply(resource: Resource) -> None:
        _parent(resource, path).setdefault(path[-1], []).append(deepcopy(value))

    return apply


def both(*changes: Change) -> Change:
    """Return a change made of several."""

    def apply(resource: Resource) -> None:
        for change in changes:
            change(resource)

    return apply


def _parent(resource: Any, path: tuple[Step, ...]) -> Any:
    for step in path[:-1]:
        resource = resource[step]
    return resource


def input_of(kind: str, **value: Any) -> Resource:
    """Return a Task input of one of our kinds; the same shape serves for an output."""
    return {"type": {"coding": [{"system": TERMS, "code": kind}]}, **value}


def without_input(kind: str) -> Change:
    """Return a change that takes all inputs of a kind away."""

    def apply(task: Resource) -> None:
        task["input"] = [entry for entry in task["input"] if entry["type"]["coding"][0]["code"] != kind]

    return apply


def evidence(**changed: Any) -> Change:
    """Return a change that adds evidence, right but for what is `changed`."""
    right = {"identifier": {"system": f"{OURS}/sid/finding", "value": "f"}, "display": "A sentence."}
    value = {name: part for name, part in {**right, **changed}.items() if part is not None}
    return also(input_of("evidence", valueReference=value), "input")


def answered(**value: Any) -> Resource:
    """Return the component that counts answered items."""
    return {"code": {"coding": [{"system": TERMS, "code": "items-answered"}]}, **value}


def decided(code: str) -> Resource:
    """Return a Task output with a decision."""
    return input_of("decision", valueCodeableConcept={"coding": [{"system": TERMS, "code": code}]})


# ------------------------------------------------------------------ rules

ALLIANCE = {"coding": [{"system": TERMS, "code": "therapeutic-alliance"}]}
HEALTH = {"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "code": "cognitive-status"}]}
POINTS = {"value": 3, "unit": "score", "system": "http://unitsofmeasure.org", "code": "{score}"}
ABSENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "not-performed"}]}
VALUED = both(with_(POINTS, "valueQuantity"), lambda resource: resource.pop("dataAbsentReason", None))
PROXY = {"coding": [{"system": TERMS, "code": "proxy-rated"}]}

INSIDE = {"system": TERMS, "code": "alliance-restricted"}
RUPTURE = both(
    with_("probable-rupture", "code", "coding", 0, "code"),
    without("code", "coding", 0, "display"),
    without("valueCodeableConcept"),
    without("component"),
    with_(True, "valueBoolean"),
    also(ALLIANCE, "category"),
    also(INSIDE, "meta", "security"),
)

# What these point to must stand on the server: the validator asks it for the type of a reference's target.
TARGETS: list[Resource] = [
    {"resourceType": "Group", "id": "profiles", "type": "person", "actual": True},
    {"resourceType": "Patient", "id": "profiles"},
    {"resourceType": "QuestionnaireResponse", "id": "profiles", "status": "completed"},
    {"resourceType": "Observation", "id": "profiles", "status": "final", "code": {"text": "mood"}},
    {
        "resourceType": "Goal",
        "id": "profiles",
        "lifecycleStatus": "active",
        "description": {"text": "Sleep through the night"},
        "subject": {"reference": "Patient/profiles"},
    },
]
GROUP, FORM = {"reference": "Group/profiles"}, {"reference": "QuestionnaireResponse/profiles"}
OTHER_SCORE, A_GOAL = {"reference": "Observation/profiles"}, {"reference": "Goal/profiles"}

# what is done to the example, to which profiles' examples, and what an error must say
BROKEN: list[tuple[str, tuple[str, ...], Change, str]] = [
    ("no security label", OBSERVATIONS, without("meta", "security"), "Observation.meta.security"),
    ("no rater", OBSERVATIONS, without("category", 2), "fa-rater"),
    ("an unknown rater", OBSERVATIONS, with_("observer-rated", "category", 2, "coding", 0, "code"), "fa-rater"),
    ("two raters", OBSERVATIONS, also(PROXY, "category"), "fa-rater"),
    ("no identifier", OBSERVATIONS, without("identifier"), "Observation.identifier"),
    ("only a foreign identifier", OBSERVATIONS, with_("urn:x", "identifier", 0, "system"), "identifier:score"),
    ("an empty identifier", OBSERVATIONS, without("identifier", 0, "value"), "identifier:score.value"),
    ("two identifiers", OBSERVATIONS, also({"system": f"{OURS}/sid/score", "value": "2"}, "identifier"), "score"),
    ("a preliminary score", OBSERVATIONS, with_("preliminary", "status"), "ValueSet/score-status"),
    ("not a survey", OBSERVATIONS, without("category", 0), "Observation.category:survey"),
    ("neither health nor alliance", OBSERVATIONS, without("category", 1), "fa-family"),
    ("health and alliance at once", OBSERVATIONS, both(also(ALLIANCE, "category"), also(HEALTH, "category")), "family"),
    ("no code of ours", OBSERVATIONS, with_([{"system": "urn:x", "code": "x"}], "code", "coding"), "code.coding:own"),
    (
        "an empty code of ours",
        OBSERVATIONS,
        with_([{"system": f"{OURS}/CodeSystem/scores", "display": "x"}], "code", "coding"),
        "code.coding:own.code",
    ),
    ("no subject", OBSERVATIONS, without("subject"), "Observation.subject"),
    ("a group as subject", OBSERVATIONS, with_(GROUP, "subject"), "Observation.subject"),
    ("no date", OBSERVATIONS, without("effectiveDateTime"), "Observation.effective[x]"),
    ("a date to the month", OBSERVATIONS, with_("2026-03", "effectiveDateTime"), "fa-day"),
    (
        "a period",
        OBSERVATIONS,
        both(without("effectiveDateTime"), with_({"start": "2026-03-02"}, "effectivePeriod")),
        "Observation.effective",
    ),
    ("no source", OBSERVATIONS, without("derivedFrom"), "Observation.derivedFrom"),
    ("another score as source", OBSERVATIONS, with_([OTHER_SCORE], "derivedFrom"), "derivedFrom"),
    ("a panel with a value", (PANEL,), with_(POINTS, "valueQuantity"), "Observation.value[x]"),
    ("a panel that misses a value", (PANEL,), with_(ABSENT, "dataAbsentReason"), "Observation.dataAbsentReason"),
    ("a panel without scores", (PANEL,), without("hasMember"), "Observation.hasMember"),
    ("a panel of forms", (PANEL,), with_([FORM], "hasMember"), "hasMember"),
    ("a value and none", SCORES, both(with_(POINTS, "valueQuantity"), with_(ABSENT, "dataAbsentReason")), "fa-value"),
    ("neither value nor reason", SCORES, both(VALUED, without("valueQuantity")), "fa-value"),
    (
        "a value in words",
        SCORES,
        both(VALUED, without("valueQuantity"), with_("3", "valueString")),
        "Observation.value",
    ),
    ("a unit without points", SCORES, both(VALUED, without("valueQuantity", "value")), "Observation.value[x].value"),
    ("a foreign unit system", SCORES, both(VALUED, with_("urn:x", "valueQuantity", "system")), ".system"),
    ("no unit system", SCORES, both(VALUED, without("valueQuantity", "system")), "Observation.value[x].system"),
    ("another unit", SCORES, both(VALUED, with_("kg", "valueQuantity", "code")), "{score}"),
    ("no unit", SCORES, both(VALUED, without("valueQuantity", "code")), "Observation.value[x].code"),
    ("less than a number", SCORES, both(VALUED, with_("<", "valueQuantity", "comparator")), "comparator"),
    ("no method", SCORES, without("method"), "Observation.method"),
    ("a method in words", SCORES, with_({"text": "sum"}, "method"), "Observation.method.coding"),
    ("a method of no system", SCORES, without("method", "coding", 0, "system"), "method.coding.system"),
    ("a method of no version", SCORES, without("method", "coding", 0, "version"), "method.coding.version"),
    ("a method of no code", SCORES, without("method", "coding", 0, "code"), "method.coding.code"),
    ("a score with members", SCORES, with_([OTHER_SCORE], "hasMember"), "Observation.hasMember"),
    ("items in words", SCORES, with_([answered(valueString="8")], "component"), "component"),
    ("items without a number", SCORES, with_([answered()], "component"), "component:itemsAnswered.value[x]"),
    ("items twice", SCORES, with_([answered(valueInteger=1)] * 2, "component"), "component:itemsAnswered"),
    (
        "a total as subscale",
        (SUBSCALE,),
        with_([{"system": f"{OURS}/CodeSystem/scores", "code": "phq9-total"}], "code", "coding"),
        "fa-subscale",
    ),
    ("a finding of no identifier", (FINDING,), without("identifier"), "Observation.identifier"),
    ("a finding of another kind", (FINDING,), with_("agenda", "code", "coding", 0, "code"), "fa-finding"),
    ("a finding that is no finding", (FINDING,), without("category", 1), "Observation.category:finding"),
    ("a change of no class", (FINDING,), with_("unchanged", "valueCodeableConcept", "coding", 0, "code"), "fa-change"),
    ("a change from nothing", (FINDING,), without("derivedFrom", 0), "fa-change"),
    ("a finding on a form", (FINDING,), with_([FORM, FORM], "derivedFrom"), "Observation.derivedFrom"),
    ("a finding by no rule", (FINDING,), without("method"), "Observation.method"),
    ("a finding without a sentence", (FINDING,), without("note"), "Observation.note"),
    ("a finding without labels", (FINDING,), without("meta", "security"), "Observation.meta.security"),
    ("a finding on the relationship that may leave", (FINDING,), also(ALLIANCE, "category"), "fa-inside"),
    ("a rupture that is none", (FINDING,), both(RUPTURE, with_(False, "valueBoolean")), "fa-rupture"),
    ("a rupture of an outcome", (FINDING,), both(RUPTURE, without("category", 2)), "fa-rupture"),
    ("no identifier", TASKS, without("identifier"), "Task.identifier"),
    ("only a foreign identifier", TASKS, with_("urn:x", "identifier", 0, "system"), "identifier:review"),
    ("an empty identifier", TASKS, without("identifier", 0, "value"), "identifier:review.value"),
    ("two identifiers", TASKS, also({"system": f"{OURS}/sid/review", "value": "2"}, "identifier"), "review"),
    ("only a plan", TASKS, with_("plan", "intent"), "Task.intent"),
    ("no priority", TASKS, without("priority"), "Task.priority"),
    ("no code", TASKS, without("code"), "Task.code"),
    ("another task's code", TASKS, with_("agenda", "code", "coding", 0, "code"), "Task.code"),
    ("no description", TASKS, without("description"), "Task.description"),
    ("nobody it is for", TASKS, without("for"), "Task.for"),
    ("for a group", TASKS, with_(GROUP, "for"), "Task.for"),
    ("no day of writing", TASKS, without("authoredOn"), "Task.authoredOn"),
    ("no requester", TASKS, without("requester"), "Task.requester"),
    ("a person as requester", TASKS, with_("Practitioner", "requester", "type"), "Task.requester"),
    ("a requester of no type", TASKS, without("requester", "type"), "Task.requester.type"),
    ("a requester of no name", TASKS, without("requester", "identifier"), "Task.requester.identifier"),
    ("a requester of another register", TASKS, with_("urn:x", "requester", "identifier", "system"), "sid/software"),
    ("a requester of no register", TASKS, without("requester", "identifier", "system"), "identifier.system"),
    ("a requester of an empty name", TASKS, without("requester", "identifier", "value"), "identifier.value"),
    ("another software as requester", TASKS, with_("other", "requester", "identifier", "value"), "fhir_alliance"),
    ("never due", TASKS, without("restriction"), "Task.restriction"),
    ("limited but never due", TASKS, with_({"repetitions": 1}, "restriction"), "Task.restriction.period"),
    ("begun but never due", TASKS, with_({"start": "2026-03-02"}, "restriction", "period"), "period.end"),
    ("no input", TASKS, without("input"), "Task.input"),
    ("no evidence", TASKS, both(also(input_of("agenda", valueString="?"), "input"), without_input("evidence")), "evid"),
    ("evidence in words", TASKS, also(input_of("evidence", valueString="x"), "input"), "Task.input"),
    ("evidence of no finding", TASKS, evidence(identifier=None), "identifier"),
    ("evidence of a foreign finding", TASKS, evidence(identifier={"system": "urn:x", "value": "1"}), "sid/finding"),
    ("evidence of no register", TASKS, evidence(identifier={"value": "1"}), "identifier.system"),
    ("evidence of an empty finding", TASKS, evidence(identifier={"system": f"{OURS}/sid/finding"}), "identifier.value"),
    ("evidence without a sentence", TASKS, evidence(display=None), "display"),
    ("an agenda by address", TASKS, also(input_of("agenda", valueUri="urn:x"), "input"), "Task.input"),
    ("a rule in words", TASKS, also(input_of("rule", valueString="x"), "input"), "Task.input"),
    ("a form as goal", (GOAL,), with_(FORM, "focus"), "Task.focus"),
    ("a decision of no kind", (GOAL,), with_([decided("agenda")], "output"), "ValueSet/goal-decisions"),
    ("a decision in words", (GOAL,), with_([input_of("decision", valueString="x")], "output"), "Task.output"),
    ("two decisions", (GOAL,), with_([decided("goal-kept")] * 2, "output"), "output:decision"),
    ("a routine safety review", (SAFETY,), with_("routine", "priority"), "ValueSet/safety-priority"),
    ("a safety review of nothing", (SAFETY,), without("focus"), "Task.focus"),
    ("a safety review of a goal", (SAFETY,), with_(A_GOAL, "focus"), "Task.focus"),
    ("a message of no identifier", (MESSAGE,), without("identifier"), "Communication.identifier"),
    ("a message that is no alert", (MESSAGE,), without("category"), "Communication.category"),
    ("a routine message", (MESSAGE,), with_("routine", "priority"), "ValueSet/safety-priority"),
    ("a message about nobody", (MESSAGE,), without("subject"), "Communication.subject"),
    ("a message about no form", (MESSAGE,), without("about"), "Communication.about"),
    ("a message of another topic", (MESSAGE,), with_("agenda", "topic", "coding", 0, "code"), "Communication.topic"),
    ("a message that was never sent", (MESSAGE,), without("sent"), "Communication.sent"),
    ("a person's message", (MESSAGE,), with_("Practitioner", "sender", "type"), "Communication.sender"),
    ("a message that says nothing", (MESSAGE,), without("payload"), "Communication.payload"),
    (
        "a message that encloses the form",
        (MESSAGE,),
        with_([{"contentReference": FORM}], "payload"),
        "Communication.payload",
    ),
]

# what may differ from the example
ALLOWED: list[tuple[str, tuple[str, ...], Change]] = [
    ("amended", OBSERVATIONS, with_("amended", "status")),
    ("withdrawn, as it was", OBSERVATIONS, with_("entered-in-error", "status")),
    ("a bare day", OBSERVATIONS, both(with_("2026-03-02", "effectiveDateTime"), without("issued"))),
    ("nobody known to have answered", OBSERVATIONS, without("performer")),
    ("no session", OBSERVATIONS, without("encounter")),
    ("a form without versions", OBSERVATIONS, with_([{"reference": "QuestionnaireResponse/1"}], "derivedFrom")),
    (
        "a form known by its name only",
        OBSERVATIONS,
        with_(
            [{"type": "QuestionnaireResponse", "identifier": {"system": f"{OURS}/sid/response", "value": "1"}}],
            "derivedFrom",
        ),
    ),
    ("a site's identifier beside ours", OBSERVATIONS, also({"system": "urn:x", "value": "1"}, "identifier")),
    ("withdrawn without a value", SCORES, both(VALUED, without("valueQuantity"), with_("entered-in-error", "status"))),
    ("all items answered", SCORES, without("component")),
    ("a decimal", SCORES, both(VALUED, with_(13.5, "valueQuantity", "value"))),
    ("a range", SCORES, with_([{"low": {"value": 0}, "high": {"value": 4}, "text": "minimal"}], "referenceRange")),
    ("a rupture", (FINDING,), RUPTURE),
    ("a finding withdrawn", (FINDING,), with_("entered-in-error", "status")),
    ("nobody's", TASKS, without("owner")),
    ("no score behind it", TASKS, without("reasonReference")),
    ("more evidence", TASKS, evidence()),
    ("a rule", TASKS, also(input_of("rule", valueUri="urn:x"), "input")),
    ("a person's input", TASKS, also({"type": {"text": "letter"}, "valueString": "x"}, "input")),
    ("a person's output", TASKS, also({"type": {"text": "letter"}, "valueString": "x"}, "output")),
    ("cancelled", TASKS, both(with_("cancelled", "status"), with_({"text": "Evidence withdrawn."}, "statusReason"))),
    ("at once", TASKS, with_("stat", "priority")),
    ("no goal", (GOAL,), without("focus")),
    ("the care plan", (GOAL,), with_({"reference": "CarePlan/1"}, "focus")),
    ("no agenda", (GOAL,), without_input("agenda")),
    ("decided", (GOAL,), both(with_("completed", "status"), with_([decided("goal-changed")], "output"))),
    ("nobody on call", (MESSAGE,), without("recipient")),
    ("read", (MESSAGE,), both(with_("completed", "status"), with_("2026-03-02T09:00:00Z", "received"))),
    ("the supervisor's", (SAFETY,), with_([{"reference": "Task/1"}], "partOf")),
    (
        "taken by somebody",
        (SAFETY,),
        both(
            with_("accepted", "status"),
            with_([input_of("acknowledged", valueReference={"reference": "Practitioner/1"})], "output"),
        ),
    ),
]


@pytest.fixture(scope="module")
def targets(fhir: Any) -> None:
    """What references point to, once for all tests of this file."""
    for resource in TARGETS:
        fhir.put(resource)


def example(profile: str) -> Resource:
    """Return a fresh copy of a profile's example."""
    return json.loads((PROFILES / f"{profile}.example.json").read_text())


def _each(table: list[Any]) -> list[Any]:
    return [
        pytest.param(profile, *rest, id=f"{profile}: {claim}")
        for claim, profiles, *rest in table
        for profile in profiles
    ]


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.example.json")), ids=lambda path: path.name)
def test_the_example_is_valid(fhir: Any, path: Path) -> None:
    """Every example keeps the core rules and the profile that it claims."""
    assert fhir.errors(json.loads(path.read_text())) == []


@pytest.mark.parametrize(("profile", "change", "says"), _each(BROKEN))
def test_the_profile_bites(fhir: Any, profile: str, change: Change, says: str) -> None:
    """A resource that breaks one rule is refused, and for that rule's sake."""
    resource = example(profile)
    change(resource)
    errors = fhir.errors(resource)
    assert any(says in error for error in errors), errors


@pytest.mark.parametrize(("profile", "change"), _each(ALLOWED))
def test_the_profile_leaves_room(fhir: Any, profile: str, change: Change) -> None:
    """What may differ from form to form, or is a person's to write, is accepted."""
    resource = example(profile)
    change(resource)
    assert fhir.errors(resource) == []


def test_the_profile_is_what_bites(fhir: Any) -> None:
    """A panel with a value breaks our rule only: without the profile it is a valid Observation."""
    panel = example(PANEL)
    panel["valueQuantity"] = POINTS
    assert fhir.errors(panel)
    del panel["meta"]["profile"]
    assert fhir.errors(panel) == []
