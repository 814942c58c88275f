"""Recognises the formula in a calculated item: a sum, a mean, a count, and the number of answers that it asks for.

The expression is evaluated once over a form whose answers are still to come (`Blank`), so every way to spell a path
comes to the same. Where no formula comes out, `recognised` returns None and the form's own expression is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from fhir_alliance.core.model import Formula, Item, Number
from fhir_alliance.fhir.answers import YES_NO
from fhir_alliance.fhir.fhirpath_values import Collection, Unevaluable, compute
from fhir_alliance.fhir.formula_arithmetic import scalar
from fhir_alliance.fhir.formula_evaluation import Lifted
from fhir_alliance.fhir.formula_symbols import (
    Bare,
    Calculated,
    Guarded,
    Here,
    Line,
    Mark,
    Mean,
    NotLinear,
    Opaque,
    Rounded,
    Tally,
    Term,
    Total,
)
from fhir_alliance.fhir.program import Program
from fhir_alliance.fhir.questions import Place

PLACES: Final = 8  # kept of a result that is not rounded: what FHIRPath 2.0.0 promises
UNBOUNDED: Final = 10**9  # stands for a number's bound where the form states none

ITEM_WEIGHT: Final = "http://hl7.org/fhir/StructureDefinition/itemWeight"
_GROUPS = frozenset({"group", "display"})


class Found(NamedTuple):
    """The formula of a scale, as far as the expression says it. has_rule: it says how many answers it needs."""

    formula: Formula
    items: tuple[str, ...]
    max_missing: int
    has_rule: bool
    factor: Number = 1
    decimals: int = 2
    reversed: frozenset[str] = frozenset()
    counts: Mapping[str, Number] = {}
    coefficients: Mapping[str, Number] = {}
    constant: Number = 0


class Blank:
    """A form that nobody has answered, as expressions see it: an answer is a mark with a value for each option."""

    def __init__(self, program: Program, places: Sequence[Place], items: Mapping[str, Item]) -> None:
        self._program = program
        self._items = items
        self._codings: dict[int, str] = {}
        self._in_progress: list[str] = []
        self.nodes: dict[str, Collection] = {}
        self.points: dict[str, tuple[Number, ...] | None] = {}
        self.unweighted: set[str] = set()
        self._offering = {p.question.link_id for p in places if p.question.type in ("choice", "open-choice")}
        inner: dict[str, list[Any]] = {}
        for place in reversed(places):  # what stands in an item before the item
            link_id = place.question.link_id
            below = inner.pop(link_id, [])
            home = inner.setdefault(place.within[-1].link_id if place.within else "", [])
            node = self._node(place, below)
            if node is not None:
                home.insert(0, node)
                self.nodes[link_id] = [node]
        self.resource = {"resourceType": "QuestionnaireResponse", "item": inner.get("", [])}

    def value(self, link_id: str) -> Any:
        """Return the formula of a calculated item; raises NotLinear or Unevaluable where there is none."""
        found = self._calculated(link_id)
        if not found:
            raise NotLinear
        return scalar(found)

    def _calculated(self, link_id: str) -> Collection:
        if link_id in self._in_progress:
            return []
        self._in_progress.append(link_id)
        bound = self._program.bindings(link_id, self.resource, self.nodes)
        run = Lifted(bound, self._weigh, self._calculated, lambda item: self._unweighted(item, link_id))
        found = run.evaluate(self._program.calculated[link_id], [self.resource])
        self._in_progress.pop()
        return found

    def _weigh(self, element: Any) -> Number | None:
        coding = element.get("valueCoding", element) if isinstance(element, dict) else None
        return self._program.weight_of(coding, self._codings.get(id(coding), "")) if isinstance(coding, dict) else None

    def _unweighted(self, item: str, link_id: str) -> None:
        if item in self._offering and item in self._program.mentions(link_id):
            self.unweighted.add(item)

    def _node(self, place: Place, below: list[Any]) -> Any:
        question = place.question
        link_id, node = question.link_id, {"linkId": question.link_id}
        if link_id in self._program.calculated:
            return {**node, "answer": [Calculated(link_id)]}
        if question.type in _GROUPS:
            return {**node, "item": below} if below else None
        return Here(link_id, {**node, "answer": [self._answer(place, below)]})

    def _answer(self, place: Place, below: list[Any]) -> Any:
        question, link_id = place.question, place.question.link_id
        item = self._items.get(link_id)
        if item is not None and link_id in self._program.bare:
            self.points[link_id] = None
            return Bare(link_id)
        if item is None or question.repeats or any(q.repeats for q in place.within):
            return Opaque(link_id, item is not None)
        if not item.options and not (item.whole and item.high - item.low <= 100):
            self.points[link_id] = None
            return Mark(link_id, None)
        inner = {"item": below} if below else {}
        values = [self._answered(item, option) for option in range(self._width(item))]
        self.points[link_id] = tuple(points for points, _ in values)
        return Mark(link_id, tuple({**answer, **inner} for _, answer in values))

    @staticmethod
    def _width(item: Item) -> int:
        return len(item.options) or int(item.high - item.low) + 1

    def _answered(self, item: Item, place: int) -> tuple[Number, dict[str, Any]]:
        """Return the points and the answer of one option."""
        if not item.options:
            points = int(item.low) + place
            return points, {"valueInteger": points}
        option = item.options[place]
        answer = answer_of(item, option.weight, option.code.code)
        if "valueCoding" in answer:
            self._codings[id(answer["valueCoding"])] = item.link_id
        return option.weight, answer


def answer_of(item: Item, points: Number, code: str = "", *, is_coded: bool = False) -> dict[str, Any]:
    """Return an answer of a response that is worth so many points.

    code: of which option, where several are.  is_coded: the form offers no points, so the answer states its own.
    """
    if is_coded:
        return {"valueCoding": {"code": "stated", "extension": [{"url": ITEM_WEIGHT, "valueDecimal": points}]}}
    for option in item.options:
        if option.weight == points and code in ("", option.code.code):
            if option.code.system == YES_NO:
                return {"valueBoolean": option.code.code == "Y"}
            if option.code.system:
                return {"valueCoding": {"system": option.code.system, "code": option.code.code}}
            if option.code.code == str(points):
                return {"valueInteger": points}
            return {"valueString": option.code.code}
    return {"valueInteger" if isinstance(points, int) and item.whole else "valueDecimal": points}


def recognised(blank: Blank, link_id: str, items: Mapping[str, Item]) -> Found | None:
    """Return the formula of a calculated item, None where it has none that is known here."""
    try:
        return _found(blank.value(link_id), blank, items)
    except (NotLinear, Unevaluable, RecursionError):
        return None


def _found(value: Any, blank: Blank, items: Mapping[str, Item]) -> Found:
    asked, need = (value.items, value.need) if isinstance(value, Guarded) else (frozenset[str](), 0)
    value = value.value if isinstance(value, Guarded) else value
    decimals = value.places if isinstance(value, Rounded) else PLACES
    value = value.value if isinstance(value, Rounded) else value
    if isinstance(value, Tally):
        return _count(value, blank, items, asked, need)
    total = value.total if isinstance(value, Mean) else value
    if not isinstance(total, Total) or not total.terms:
        raise NotLinear
    scale_items = tuple(item for item in items if item in total.terms)
    slopes, constant = _slopes(total, blank)
    if isinstance(value, Mean):
        if asked and asked != frozenset(scale_items):
            raise NotLinear
        factor, slopes, constant = _shared(value.factor, slopes, constant)
    mirrored = frozenset(item for item, slope in slopes.items() if slope == -1)
    is_mirrored = all(abs(slope) == 1 for slope in slopes.values()) and constant == sum(
        items[item].low + items[item].high for item in mirrored
    )
    if isinstance(value, Mean):
        if not is_mirrored:
            raise NotLinear
        return Found(Formula.MEAN, scale_items, len(scale_items) - max(need, 1), True, factor, decimals, mirrored)
    if need > 1 and (need < len(asked) or not asked <= set(scale_items)):
        raise NotLinear  # the form's own rule for gaps, which fills nothing up
    has_rule = asked == frozenset(scale_items) and need >= len(scale_items)
    is_whole = all(isinstance(number, int) for number in (constant, *slopes.values())) and all(
        items[item].whole for item in scale_items
    )
    if is_mirrored and (decimals == PLACES or is_whole):
        return Found(Formula.SUM, scale_items, 0, has_rule, reversed=mirrored)
    return Found(Formula.LINEAR, scale_items, 0, has_rule, decimals=decimals, coefficients=slopes, constant=constant)


def _count(tally: Tally, blank: Blank, items: Mapping[str, Item], asked: frozenset[str], need: int) -> Found:
    """Return a count of answers from a number of points on; where no rule is stated, all are needed."""
    counts: dict[str, Number] = {}
    for item, term in tally.terms.items():
        points = blank.points.get(item)
        if points is None or len(points) != len(term):
            raise NotLinear
        reached = [point for point, counted in zip(points, term, strict=True) if counted]
        if not reached or any(p >= min(reached) and not t for p, t in zip(points, term, strict=True)):
            raise NotLinear
        counts[item] = min(reached)
    scale_items = tuple(item for item in items if item in counts)
    if asked and asked != frozenset(scale_items):
        raise NotLinear
    missing = len(scale_items) - need if need > 1 else 0
    return Found(Formula.COUNT, scale_items, missing, need > 1 or need == len(scale_items), counts=counts)


def _shared(factor: Number, slopes: dict[str, Number], constant: Number) -> tuple[Number, dict[str, Number], Number]:
    """Return a mean's factor with what all its items are multiplied by drawn into it."""
    common = abs(next(iter(slopes.values())))
    if common in (0, 1):
        return factor, slopes, constant
    [start] = compute("/", constant, common)
    [larger] = compute("*", factor, common)
    return larger, {item: compute("/", slope, common)[0] for item, slope in slopes.items()}, start


def _slopes(total: Total, blank: Blank) -> tuple[dict[str, Number], Number]:
    """Return by what each item's points are multiplied, and what is added; raises NotLinear where it is no line."""
    slopes: dict[str, Number] = {}
    constant: Number = total.start
    for item, term in total.terms.items():
        line = term if isinstance(term, Line) else _line(term, blank.points[item])
        slopes[item] = line.slope
        [constant] = compute("+", constant, line.start)
    return slopes, constant


def _line(term: Term, points: Sequence[Number] | None) -> Line:
    """Return the line through the values of an item's options over their points."""
    if points is None or len(points) != len(term):
        raise NotLinear
    first, *others = zip(points, term, strict=True)
    other = next((pair for pair in others if pair[0] != first[0]), None)
    slope: Number = 1
    if other is not None:
        [slope] = compute("/", *(compute("-", other[k], first[k])[0] for k in (1, 0)))
    [start] = compute("-", first[1], compute("*", slope, first[0])[0])
    if any(
        compute("+", compute("*", slope, point)[0], start)[0] != value
        for point, value in zip(points, term, strict=True)
    ):
        raise NotLinear
    return Line(slope, start)
