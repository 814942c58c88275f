"""Evaluates a site's own expressions for a form that is being read: a value for each scale, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import jiter

from fhir_alliance.core.model import Answer, Item, NoValue, Number
from fhir_alliance.fhir.enabling import is_asked
from fhir_alliance.fhir.expression import answer_of
from fhir_alliance.fhir.fhirpath_values import Unevaluable
from fhir_alliance.fhir.program import FilledForm, Program
from fhir_alliance.fhir.questions import Place


class Rule(NamedTuple):
    """How a scale is evaluated: by which calculated item, from which answers, and whether it needs all of them."""

    scale: str
    link_id: str
    items: tuple[str, ...]
    needs_all: bool


class Computation:
    """The expressions of a form that no formula stands for."""

    def __init__(self, program: Program, rules: Iterable[Rule], places: Mapping[str, Place]) -> None:
        self.program = program
        self.rules = tuple(rules)
        self.places = places

    def values(
        self, line: bytes, points: Mapping[str, Answer], names: Mapping[str, str]
    ) -> dict[str, Number | NoValue]:
        """Return the value of each scale, or why it has none.

        line: the response, found good before.  points: what was read of it, by linkId.
        names: other spellings of linkIds in responses, to the form's own.
        """
        return self.of(FilledForm(jiter.from_json(line, float_mode="decimal"), self.program, names), points)

    def of(self, form: FilledForm, points: Mapping[str, Answer]) -> dict[str, Number | NoValue]:
        """Return the same for a form that is ready to be evaluated."""
        gaps = {rule.scale: self._gap(rule, form, points) for rule in self.rules}
        wanted = [rule.link_id for rule in self.rules if gaps[rule.scale] is None]
        found = self.program.evaluate(form, wanted)
        return {rule.scale: gaps[rule.scale] or _said(found[rule.link_id], rule, points) for rule in self.rules}

    def _gap(self, rule: Rule, form: FilledForm, points: Mapping[str, Answer]) -> NoValue | None:
        """Return why a scale that needs all its answers has no value; an item that is not asked is no gap."""
        if not rule.needs_all:
            return None
        asked = [i for i in rule.items if _is_number(points.get(i)) or is_asked(self.places[i], form, self.program)]
        answered = sum(_is_number(points.get(item)) for item in asked)
        if answered == len(asked):
            return None
        return NoValue("not-performed", f"{answered} of {len(asked)} answered; rule needs {len(asked)}")


def filled_form(places: Sequence[Place], items: Mapping[str, Item], answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return a response with these answers, in points by linkId, each item where the form has it."""
    inner: dict[str, list[dict[str, Any]]] = {}
    for place in reversed(places):
        link_id = place.question.link_id
        below = inner.pop(link_id, [])
        node: dict[str, Any] = {"linkId": link_id}
        points = answers.get(link_id)
        if isinstance(points, (int, Decimal)):
            item = items[link_id]
            several = [o.weight for o in item.options if o.weight > 0] if item.repeats and points == item.high else []
            is_coded = not item.options and place.question.type in ("choice", "open-choice")
            node["answer"] = [answer_of(item, weight, is_coded=is_coded) for weight in several or [points]]
        if below:
            home = node["answer"][0] if "answer" in node else node  # what stands in a question stands under its answer
            home["item"] = below
        if len(node) > 1:
            inner.setdefault(place.within[-1].link_id if place.within else "", []).insert(0, node)
    return {"resourceType": "QuestionnaireResponse", "status": "completed", "item": inner.get("", [])}


def _said(value: Any, rule: Rule, points: Mapping[str, Answer]) -> Number | NoValue:
    if isinstance(value, Unevaluable):
        return NoValue("error", f"the form's expression cannot be evaluated: {value.message.rstrip('.')}")
    if value is not None:
        return value  # type: ignore[no-any-return]
    answered = sum(_is_number(points.get(item)) for item in rule.items)
    note = f"{answered} of {len(rule.items)} answered; the form's expression gives no value"
    return NoValue("error" if answered == len(rule.items) else "not-performed", note)


def _is_number(answer: Answer | None) -> bool:
    return isinstance(answer, (int, Decimal))
