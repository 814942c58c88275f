"""Whether an instrument and the calculated items of its Questionnaire say the same, tried on generated forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from fhir_alliance.core.conformance import Problem
from fhir_alliance.core.keys import derived
from fhir_alliance.core.model import Answer, Instrument, Item, NoValue
from fhir_alliance.core.scoring import Plan, Scorer
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.answers import FormReader
from fhir_alliance.fhir.computation import filled_form
from fhir_alliance.fhir.fhirpath_values import Unevaluable
from fhir_alliance.fhir.program import FilledForm, Program
from fhir_alliance.fhir.questions import places, read_form
from fhir_alliance.fhir.weights import Terminology

FORMS: Final = 60


def disagreements(instrument: Instrument, questionnaire: Mapping[str, Any], forms: int = FORMS) -> Iterator[Problem]:
    """Yield the scales whose calculated item gives something else, each with the first form that shows it.

    forms: how many are generated: whole, extreme and with gaps; the same ones in every run.
    Scales about the client's own goals are left out: their forms have no fixed number of answers.
    """
    try:
        program, asked = _program(questionnaire)
    except StopRun as fault:
        yield Problem("questionnaire", fault.message)
        return
    scale_of = FormReader(instrument, questionnaire).totals
    plans = {plan.scale_id: plan for plan in Scorer(instrument).plans if not plan.is_of_goals}
    wanted = {i: plans[scale_of[i]] for i in program.calculated if scale_of.get(i) in plans}
    for scale_id in plans.keys() - {plan.scale_id for plan in wanted.values()}:
        yield Problem(f"scale {scale_id}", "has no calculated item in the Questionnaire")
    items = {item.link_id: item for item in instrument.items}
    for number in range(forms):
        answers = generated(instrument, number)
        evaluated = program.evaluate(FilledForm(filled_form(asked, items, answers), program), wanted)
        for link_id in [i for i, plan in wanted.items() if not _agree(plan, answers, evaluated[i])]:
            plan = wanted.pop(link_id)
            ours, theirs = _said(plan.evaluate(answers)[0]), _said(evaluated[link_id])
            given = ", ".join(f"{answers.get(item, 'none')}" for item in plan.scale.items)
            what = f"gives {ours} for the answers {given}; its calculated item {link_id} gives {theirs}"
            yield Problem(f"scale {plan.scale_id}", what)


def generated(instrument: Instrument, number: int) -> dict[str, Answer]:
    """Return the answers of a generated form, in points: 0 is all lowest, 1 all highest, every third one has gaps."""
    answers: dict[str, Answer] = {}
    for item in instrument.items:
        drawn = int(derived(instrument.id, str(number), item.link_id)[:12], 16)
        if number > 1 and number % 3 == 0 and drawn % (2 + number % 9) == 0:
            continue
        answers[item.link_id] = {0: item.low, 1: item.high}.get(number, _drawn(item, drawn // 64))
    return answers


def _drawn(item: Item, drawn: int) -> Answer:
    if item.options:
        return item.options[drawn % len(item.options)].weight
    steps = int((item.high - item.low) * (1 if item.whole else 10))
    step = drawn % (steps + 1)
    return item.low + (step if item.whole else Decimal(step) / 10)


def _program(questionnaire: Mapping[str, Any]) -> tuple[Program, Any]:
    form = read_form(questionnaire)
    asked, terminology = places(form), Terminology(form)
    choices = {place.question.link_id: terminology.choices(place.question) for place in asked}
    return Program(form, asked, {i: offered for i, offered in choices.items() if offered}, questionnaire), asked


def _agree(plan: Plan, answers: Mapping[str, Answer], theirs: Any) -> bool:
    ours = plan.evaluate(answers)[0]
    return theirs is None if isinstance(ours, NoValue) else ours == theirs


def _said(value: Any) -> str:
    if isinstance(value, Unevaluable):
        return f"an error ({value.message.rstrip('.')})"
    return str(value) if isinstance(value, (int, Decimal)) else "no value"
