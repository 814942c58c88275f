"""Whether an item of a form was asked: its enableWhen, or the FHIRPath that stands for it.

Source: FHIR R4, Questionnaire.item.enableWhen (hl7.org/fhir/R4/questionnaire.html).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fhir_alliance.fhir.fhirpath_values import Unevaluable, exact, number, same
from fhir_alliance.fhir.program import FilledForm, Program
from fhir_alliance.fhir.questions import Place, Question

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">": lambda a, b: number(a) > number(b),
    "<": lambda a, b: number(a) < number(b),
    ">=": lambda a, b: number(a) >= number(b),
    "<=": lambda a, b: number(a) <= number(b),
}


def is_asked(place: Place, form: FilledForm, program: Program) -> bool:
    """Return whether a question, and every group around it, was asked; what cannot be told counts as asked."""
    return all(_is_enabled(question, form, program) for question in (*place.within, place.question))


def _is_enabled(question: Question, form: FilledForm, program: Program) -> bool:
    tree = program.enabled.get(question.link_id)
    try:
        if tree is not None and program.run(tree, question.link_id, form) in ([False], []):
            return False
        if not question.enable_when:
            return True
        holds = [_holds(condition, form) for condition in question.enable_when if isinstance(condition, Mapping)]
    except Unevaluable:
        return True
    return any(holds) if question.enable_behavior == "any" else all(holds)


def _holds(condition: Mapping[str, Any], form: FilledForm) -> bool:
    """Return whether any answer of the question meets the condition."""
    nodes = form.nodes.get(str(condition.get("question")), [])
    given = [_value(answer, "value") for node in nodes for answer in node.get("answer", ())]
    expected, sign = _value(condition, "answer"), condition.get("operator")
    if sign == "exists":
        return bool(given) == bool(expected)
    if sign in _COMPARE:
        return any(_COMPARE[str(sign)](value, expected) for value in given)
    if sign == "!=":
        return bool(given) and not any(_is_same(value, expected) for value in given)
    return any(_is_same(value, expected) for value in given)


def _value(element: Mapping[str, Any], prefix: str) -> Any:
    return next(
        (exact(element[key]) for key in element if key.startswith(prefix) and key[len(prefix) :][:1].isupper()), None
    )


def _is_same(value: Any, expected: Any) -> bool:
    """Return whether two answers are the same; codings are, by their codes, where neither system contradicts."""
    if isinstance(value, Mapping) and isinstance(expected, Mapping) and "code" in expected:
        systems = {value.get("system"), expected.get("system")} - {None}
        return value.get("code") == expected.get("code") and len(systems) < 2
    return same(value, expected)
