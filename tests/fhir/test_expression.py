"""Recognising formulas: every usual spelling comes to one formula, and each shipped form is scored alike both ways."""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from fhir_alliance.core.model import Answer, Formula, NoValue, Scale
from fhir_alliance.core.scoring import Plan, Scorer
from fhir_alliance.fhir.answers import FormReader
from fhir_alliance.fhir.computation import filled_form
from fhir_alliance.fhir.program import FilledForm
from fhir_alliance.fhir.questionnaire import calculated_items
from fhir_alliance.fhir.sdc import NO_RULE, OWN_RULE, site_form
from fhir_alliance.runs.catalog import load_catalog

CATALOG = load_catalog()
SHIPPED = sorted(CATALOG.instruments)
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
ITEM_WEIGHT = "http://hl7.org/fhir/StructureDefinition/itemWeight"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
VARIABLE = "http://hl7.org/fhir/StructureDefinition/variable"
ABC = "linkId in ('a' | 'b' | 'c')"


def expression(text: str, name: str = "") -> dict[str, Any]:
    """Return a FHIRPath Expression."""
    return {"language": "text/fhirpath", "expression": text} | ({"name": name} if name else {})


def variable(name: str, text: str) -> dict[str, Any]:
    """Return the extension that defines a variable."""
    return {"url": VARIABLE, "valueExpression": expression(text, name)}


def total(text: str, link_id: str = "sum", kind: str = "decimal") -> dict[str, Any]:
    """Return a calculated item."""
    calculated = {"url": f"{SDC}calculatedExpression", "valueExpression": expression(text)}
    return {"linkId": link_id, "type": kind, "readOnly": True, "extension": [calculated]}


def choice(link_id: str, points: tuple[float, ...] = (0, 1, 2, 3), **elements: Any) -> dict[str, Any]:
    """Return a question whose answers c0, c1, ... are worth these points."""
    options = [
        {
            "valueCoding": {
                "system": "urn:c",
                "code": f"c{n}",
                "extension": [{"url": ITEM_WEIGHT, "valueDecimal": worth}],
            }
        }
        for n, worth in enumerate(points)
    ]
    return {"linkId": link_id, "type": "choice", "answerOption": options} | elements


def number(link_id: str, kind: str = "integer", low: float = 0, high: float = 10) -> dict[str, Any]:
    """Return a question that is answered by a number."""
    name = "valueInteger" if kind == "integer" else "valueDecimal"
    bounds = [
        {"url": f"http://hl7.org/fhir/StructureDefinition/{bound}", name: value}
        for bound, value in (("minValue", low), ("maxValue", high))
    ]
    return {"linkId": link_id, "type": kind, "extension": bounds}


def form(*totals: Any, items: list[Any] | None = None, variables: list[Any] = []) -> dict[str, Any]:  # noqa: B006
    """Return a Questionnaire: a, b and c in a row, d and e in a group, n and x numbers, and what is calculated."""
    group = {"linkId": "g", "type": "group", "item": [choice("d"), choice("e")]}
    asked = [
        choice("a"),
        choice("b"),
        choice("c"),
        group,
        number("n"),
        number("x", "decimal"),
        {"linkId": "t", "type": "text"},
    ]
    return {
        "resourceType": "Questionnaire",
        "url": "https://site.example/Questionnaire/mood",
        "version": "2",
        "extension": variables,
        "item": [*(asked if items is None else items), *totals],
    }


def scale(text: str, *variables: Any, **elements: Any) -> Scale:
    """Return the scale that an expression becomes."""
    (found,) = site_form(form(total(text), variables=list(variables), **elements)).instrument.scales
    return found


ALL = f"%resource.item.where({ABC})"
ONE = "%resource.item.where(linkId = '{}').answer.value.weight()"
SPELLINGS = [
    f"{ALL}.answer.value.weight().sum()",
    f"{ALL}.answer.value.ordinal().sum()",
    f"{ALL}.answer.weight().sum()",
    f"{ALL}.answer.valueCoding.weight().sum()",
    f"item.where({ABC}).answer.value.weight().sum()",
    f"%context.item.where({ABC}).answer.value.weight().sum()",
    f"QuestionnaireResponse.item.where({ABC}).answer.value.weight().sum()",
    f"{ALL}.answer.value.weight().aggregate($this + $total, 0)",
    f"{ALL}.answer.value.weight().aggregate($total + $this, 0)",
    f"{ALL}.answer.value.weight().aggregate(iif($total.empty(), $this, $this + $total))",
    f"{ALL}.answer.value.extension('{ITEM_WEIGHT}').value.sum()",
    f"{ALL}.answer.value.extension.where(url = '{ITEM_WEIGHT}').value.sum()",
    f"{ALL}.answer.value.extension('{ORDINAL}').valueDecimal.aggregate($this + $total, 0)",
    f"{ALL}.answer.value.select(extension('{ORDINAL}').value).sum()",
    f"{ALL}.select(answer.value.weight()).sum()",
    f"%resource.descendants().where({ABC}).answer.value.weight().sum()",
    f"%resource.repeat(item).where({ABC}).answer.value.weight().sum()",
    f"%resource.repeat(item | answer.item).where({ABC}).answer.value.weight().sum()",
    "%resource.item.where(linkId = 'a' or linkId = 'b' or linkId = 'c').answer.value.weight().sum()",
    "%resource.item.where(('a' | 'b' | 'c') contains linkId).answer.value.weight().sum()",
    "%resource.item.where(linkId != 'n' and linkId != 'x').answer.value.weight().sum()",
    "%resource.item.answer.value.weight().sum()",
    "(%resource.item.where(linkId = 'a') | %resource.item.where(linkId = 'b') | %resource.item.where(linkId = 'c'))"
    ".answer.value.weight().sum()",
    " + ".join(ONE.format(name) for name in "abc"),
    f"{ONE.format('a')}.single() + {ONE.format('b')}.first().toInteger()"
    " + %resource.item.where(linkId = 'c').answer[0].value.weight().toDecimal()",
    "0 + %resource.item.where(linkId.startsWith('a')).answer.value.weight()"
    " + %resource.item.where(linkId in ('b' | 'c')).answer.value.weight().sum() * 1",
    f"iif(%resource.item.where(linkId = 'a').answer.exists(), {ONE.format('a')}, 0)"
    " + %resource.item.where(linkId in ('b' | 'c')).answer.value.weight().sum()",
    f"iif({ALL}.answer.exists(), {ALL}.answer.value.weight().sum(), {{}})",
    f"iif({ALL}.answer.empty(), {{}}, {ALL}.answer.value.weight().sum())",
    f"iif({ALL}.answer.value.weight().count() = 3, {ALL}.answer.value.weight().sum(), {{}})",
    f"iif({ALL}.answer.count() > 2, {ALL}.answer.value.weight().sum())",
    f"iif({ALL}.where(answer.exists()).count() < 3, {{}}, {ALL}.answer.value.weight().sum())",
    f"iif(3 <= {ALL}.answer.count(), {ALL}.answer.value.weight().sum(), {{}})",
    "iif(%resource.item.where(linkId = 'a').answer.exists() and %resource.item.where(linkId = 'b').answer.exists()"
    f" and %resource.item.where(linkId = 'c').answer.exists(), {ALL}.answer.value.weight().sum(), {{}})",
    f"{ALL}.answer.value.select(iif(code = 'c0', 0, iif(code = 'c1', 1, iif(code = 'c2', 2, 3)))).sum()",
    f"{ALL}.answer.value.weight().sum().round(0)",
]  # fmt: skip


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_spelling_of_a_sum_is_one_sum(text: str) -> None:
    """However a sum is spelt, it is the fast sum of its items, in full only: a gap is never a zero."""
    found = scale(text)
    assert (found.formula, found.items, found.reversed) == (Formula.SUM, ("a", "b", "c"), frozenset())
    assert (found.low, found.high) == (0, 9)
    assert found.missing.max_missing == 0
    guarded = " = 3" in text or "> 2" in text or "< 3" in text or "3 <=" in text or " and %" in text
    assert found.missing.source == (OWN_RULE if guarded else NO_RULE)


def by_questionnaire(link_id: str, code: str) -> str:
    """Return the look-up of an item's points in the Questionnaire, as form designers write it."""
    options = f"%questionnaire.item.where(linkId = '{link_id}').answerOption"
    return f"{options}.where(valueCoding.code = {code}).valueCoding.extension.where(url = '{ITEM_WEIGHT}').valueDecimal"


def test_points_looked_up_in_the_questionnaire_are_points() -> None:
    """Points taken from the answer list through variables, with a zero for a gap, are the same sum."""
    looked_up = [
        variable(name, by_questionnaire(name, f"%resource.item.where(linkId = '{name}').answer.value.code"))
        for name in "abc"
    ]
    any_answered = variable("any", " or ".join(f"%{name}.exists()" for name in "abc"))
    text = f"iif(%any, {' + '.join(f'iif(%{name}.exists(), %{name}, 0)' for name in 'abc')}, {{}})"
    found = scale(text, *looked_up, any_answered)
    assert (found.formula, found.items, found.high, found.missing.max_missing) == (Formula.SUM, ("a", "b", "c"), 9, 0)


SUM = f"{ALL}.answer.value.weight().sum()"
COUNT = f"{ALL}.answer.value.weight().count()"
FORMULAS: list[tuple[str, dict[str, Any]]] = [
    (f"{ALL}.answer.value.weight().avg()", {"formula": Formula.MEAN, "low": 0, "high": 3, "missing": 2}),
    (f"({SUM} / {COUNT}).round(2)", {"formula": Formula.MEAN, "decimals": 2, "missing": 2}),
    (f"iif({COUNT} >= 2, ({SUM} / {COUNT}).round(1), {{}})", {"formula": Formula.MEAN, "decimals": 1, "missing": 1}),
    (f"iif({COUNT} < 2, {{}}, ({SUM} / {COUNT}).round(1))", {"formula": Formula.MEAN, "decimals": 1, "missing": 1}),
    (f"iif({COUNT} <= 1, {{}}, ({SUM} / {COUNT}).round(1))", {"formula": Formula.MEAN, "decimals": 1, "missing": 1}),
    (f"iif({COUNT} > 1, {SUM} / {COUNT}, {{}})", {"formula": Formula.MEAN, "decimals": 8, "missing": 1}),
    (f"iif({COUNT} >= 2, {SUM} * 3 / {COUNT}, {{}})", {"formula": Formula.MEAN, "factor": 3, "missing": 1, "high": 9}),
    (f"iif({COUNT} = 3, {SUM} / 3, {{}})", {"formula": Formula.MEAN, "factor": 1, "missing": 0, "high": 3}),
    (f"{SUM} / 3", {"formula": Formula.MEAN, "missing": 0}),
    (f"{SUM} * 4", {"formula": Formula.LINEAR, "high": 36, "missing": 0}),
    (f"{SUM} / 2 + 10", {"formula": Formula.LINEAR, "low": 10, "high": Decimal("14.5"), "constant": 10}),
    (f"9 - {SUM}", {"formula": Formula.SUM, "reversed": frozenset("abc"), "low": 0, "high": 9}),
    (f"{ALL}.answer.value.weight().select(3 - $this).sum()", {"formula": Formula.SUM, "reversed": frozenset("abc")}),
    (f"10 - {SUM}", {"formula": Formula.LINEAR, "low": 1, "high": 10}),
    (
        f"{ONE.format('a')} * 2 - {ONE.format('b')}",
        {"formula": Formula.LINEAR, "coefficients": {"a": 2, "b": -1}, "low": -3, "high": 6},
    ),
    (f"{ALL}.answer.value.weight().where($this >= 2).count()", {"formula": Formula.COUNT, "high": 3, "missing": 0}),
    (f"{ALL}.answer.where(value.code = 'c3').count()", {"formula": Formula.COUNT, "counts": dict.fromkeys("abc", 3)}),
    (
        f"iif({COUNT} >= 2, {ALL}.answer.value.weight().where($this > 0).count(), {{}})",
        {"formula": Formula.COUNT, "missing": 1},
    ),
    (
        "%resource.item.where(linkId = 'g').item.answer.value.weight().sum()",
        {"formula": Formula.SUM, "items": ("d", "e")},
    ),
    ("%resource.item.item.answer.value.weight().sum()", {"formula": Formula.SUM, "items": ("d", "e")}),
    ("%resource.item.where(linkId in ('n' | 'x')).answer.value.sum()", {"formula": Formula.SUM, "low": 0, "high": 20}),
    ("%resource.item.where(linkId = 'n').answer.valueInteger + 1", {"formula": Formula.LINEAR, "low": 1, "high": 11}),
    ("%resource.item.where(linkId = 'x').answer.value * 10", {"formula": Formula.LINEAR, "high": 100}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FORMULAS, ids=[text for text, _ in FORMULAS])
def test_other_formulas_are_recognised(text: str, expected: Mapping[str, Any]) -> None:
    """Means, prorated sums, mirrored and weighted items, counts and constants have their formula and their rule."""
    found = scale(text)
    said = {name: getattr(found, name) for name in expected if name != "missing"}
    assert said | ({"missing": found.missing.max_missing} if "missing" in expected else {}) == expected


OTHERS = "%resource.descendants().where(linkId in ('a' | 'b' | 'd')).answer.count()"
GENERAL = [
    (f"{ALL}.answer.value.weight().max()", NO_RULE),
    (f"{SUM} + {ALL}.answer.value.weight().min()", NO_RULE),
    (f"iif({SUM} > 5, 1, 0)", NO_RULE),
    (f"iif({COUNT} >= 2, {SUM}, {{}})", NO_RULE),
    (f"iif({COUNT} = 3, {SUM}, iif({COUNT} = 2, ({SUM} * 3 / 2).round(0), {{}}))", OWN_RULE),
    (f"{SUM}.power(2)", NO_RULE),
    (f"{SUM} / {OTHERS}", NO_RULE),
    (f"{ALL}.answer.value.weight().where($this = 1).count()", NO_RULE),
    (f"{SUM} * %resource.item.where(linkId = 'a').answer.value.weight()", NO_RULE),
    (f"({ONE.format('a')} | {ONE.format('b')}).sum()", NO_RULE),
    (f"{SUM}.select(iif($this < 5, 40.5, {{}}) | iif($this >= 5, 60.5, {{}}))", NO_RULE),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rule"), GENERAL, ids=[text for text, _ in GENERAL])
def test_anything_else_is_evaluated_form_by_form(text: str, rule: str) -> None:
    """What has no formula keeps its expression; where a gap would lower it, all answers are needed."""
    found = scale(text)
    assert (found.formula, found.missing.source) == (Formula.EXPRESSION, rule)
    assert found.missing.max_missing == (0 if rule == NO_RULE else len(found.items) - 1)


def test_a_total_of_totals_adds_up_what_they_add_up() -> None:
    """A calculated item that asks for others is scored from their expressions, not from what a form carries."""
    first = total("%resource.item.where(linkId in ('a' | 'b')).answer.value.weight().sum()", "first")
    second = total("%resource.item.where(linkId = 'c').answer.value.weight()", "second")
    both = total("%resource.item.where(linkId in ('first' | 'second')).answer.value.sum()", "both")
    scales = {scale.id: scale for scale in site_form(form(both, first, second)).instrument.scales}
    assert (scales["both"].formula, scales["both"].items) == (Formula.SUM, ("a", "b", "c"))


def answers_of(name: str, seed: int) -> dict[str, Answer]:
    """Return seeded answers to a shipped form: complete, extreme, or with gaps."""
    chance = random.Random(f"{name} {seed}")
    answers: dict[str, Answer] = {}
    end, gaps = chance.choice(["low", "high", ""]), chance.choice([0, 0, 0.05, 0.2, 0.6])
    for item in CATALOG.find(name).items:
        if chance.random() < gaps:
            continue
        if item.options:
            weights = [option.weight for option in item.options]
            answers[item.link_id] = {"low": min(weights), "high": max(weights)}.get(end, chance.choice(weights))
        else:
            tenths = chance.randint(0, int((item.high - item.low) * 10))
            drawn = item.low + (Decimal(tenths) / 10 if not item.whole else tenths // 10)
            answers[item.link_id] = {"low": item.low, "high": item.high}.get(end, drawn)
    return answers


def given_by(plan: Plan, answers: Mapping[str, Answer]) -> Any:
    """Return a plan's value, None where it has none."""
    value = plan.evaluate(answers)[0]
    return None if isinstance(value, NoValue) else value


@pytest.mark.parametrize("name", [name for name in SHIPPED if calculated_items(CATALOG.questionnaires[name])])
def test_all_paths_agree_on_every_shipped_form(name: str) -> None:
    """On 200 seeded forms, scoring.toml, the formulas of the Questionnaire and its FHIRPath give exactly the same."""
    instrument, site = CATALOG.find(name), site_form(CATALOG.questionnaires[name])
    program, places = site.computation.program, tuple(site.computation.places.values())
    items = {item.link_id: item for item in instrument.items}
    own = FormReader(instrument, CATALOG.questionnaires[name]).totals
    plans = {plan.scale_id: plan for plan in Scorer(instrument).plans}
    formulas = {plan.scale_id: plan for plan in Scorer(site.instrument).plans}
    for seed in range(200):
        answers = answers_of(name, seed)
        evaluated = program.evaluate(FilledForm(filled_form(places, items, answers), program), site.totals)
        for link_id, scale_id in site.totals.items():
            plan, formula = plans[own[link_id]], formulas[scale_id]
            if not plan.is_of_goals:
                assert given_by(plan, answers) == evaluated[link_id], (seed, link_id)
            if formula.formula is not Formula.EXPRESSION:
                assert given_by(formula, answers) == evaluated[link_id], (seed, link_id)
                assert (formula.scale.low, formula.scale.high) == (plan.scale.low, plan.scale.high)
