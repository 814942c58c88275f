"""FHIRPath evaluated within bounds: what it costs is counted, and what cannot be evaluated is an error, never a zero.

An `Evaluation` is made for one response; expressions were parsed once per Questionnaire. Numbers are `int` or
`Decimal`; an empty sum stays empty. SDC's `weight()` asks the Questionnaire what an answer is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from fhir_alliance.core.model import Number
from fhir_alliance.fhir.fhirpath_functions import TABLE
from fhir_alliance.fhir.fhirpath_tree import (
    Call,
    Faulty,
    Indexed,
    Literal,
    Member,
    Negative,
    Node,
    Operation,
    Special,
    Typed,
    Variable,
)
from fhir_alliance.fhir.fhirpath_values import (
    Collection,
    Scope,
    Unevaluable,
    compute,
    exact,
    number,
    same,
    single,
    tidy,
)
from fhir_alliance.fhir.identifiers import LOINC, UCUM

MAX_STEPS: Final = 200_000  # below a second; a score of twenty items takes about a thousand
MAX_CHARACTERS: Final = 10_000

Weigh: TypeAlias = Callable[[Any], Number | None]

_CONSTANTS: Final = {"ucum": UCUM, "loinc": LOINC, "sct": "http://snomed.info/sct"}
_TYPES: Final = {
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "decimal": lambda v: isinstance(v, Decimal),
    "boolean": lambda v: isinstance(v, bool),
    "string": lambda v: isinstance(v, str),
    "coding": lambda v: isinstance(v, dict) and "value" not in v and ("code" in v or "system" in v),
    "quantity": lambda v: isinstance(v, dict) and "value" in v,
}


class Evaluation:
    """One response under evaluation.

    variables: values, or trees that are evaluated when they are first asked for, each with its focus.
    weigh: what an answer, coding or number is worth in points.
    """

    def __init__(
        self,
        variables: Mapping[str, Collection | tuple[Node, Collection]],
        weigh: Weigh,
        max_steps: int = MAX_STEPS,
    ) -> None:
        self._variables = dict(variables)
        self._asked: list[str] = []
        self._left = max_steps
        self.weigh = weigh

    def run(self, node: Node, scope: Scope) -> Collection:
        """Return what an expression gives; raises Unevaluable."""
        self.charge(1)
        match node:
            case Literal(values):
                return list(values)
            case Member(focus, name):
                return self.members(scope.this if focus is None else self.run(focus, scope), name)
            case Call(focus, name, arguments):
                return self.call(name, scope.this if focus is None else self.run(focus, scope), arguments, scope)
            case Operation(sign, operands):
                return self.operate(sign, operands, scope)
            case Variable(name):
                return self.variable(name)
            case Special(name):
                return {"$this": scope.this, "$index": [scope.place], "$total": scope.total}[name]
            case Indexed(focus, place):
                return self.indexed(self.run(focus, scope), self.run(place, scope))
            case Negative(operand):
                return self.operate("-", (Literal((0,)), operand), scope)
            case Typed(sign, operand, name):
                return self.typed(sign, self.run(operand, scope), name)
            case Faulty(_, what, hint):
                raise Unevaluable(what, hint)
        raise AssertionError(node)

    def children(self, element: Any) -> Collection:
        """Return all of one element's children."""
        inner: Collection = []
        for child in element.values() if isinstance(element, Mapping) else ():
            inner += [exact(one) for one in child] if isinstance(child, list) else [exact(child)]
        return inner

    def evaluate(self, tree: Node, focus: Collection) -> Collection:
        """Return what an expression gives for a focus; raises Unevaluable."""
        try:
            return self.run(tree, Scope(focus))
        except RecursionError:
            raise Unevaluable("the expression and its variables are nested too deep.", "Simplify them.") from None

    def charge(self, steps: int) -> None:
        """Count work; raises Unevaluable where it has become too much."""
        self._left -= steps
        if self._left < 0:
            raise Unevaluable("the expression takes too many steps.", "Simplify it.")

    def members(self, found: Collection, name: str) -> Collection:
        """Return the children of that name; `value` finds value[x], a resource type's name the resource itself."""
        children: Collection = []
        for element in found:
            children += self.member(element, name)
        self.charge(len(found) + len(children))
        return children

    def member(self, element: Any, name: str) -> Collection:
        """Return one element's children of that name."""
        if not isinstance(element, Mapping):
            return []
        child = element.get(name)
        if child is None and name == "value":
            child = next((element[key] for key in element if key.startswith("value") and key[5:6].isupper()), None)
        if child is None:
            return [element] if name[:1].isupper() and element.get("resourceType") == name else []
        if isinstance(child, list):
            return [exact(inner) for inner in child if inner is not None]
        return [exact(child)]

    def indexed(self, found: Collection, index: Collection) -> Collection:
        """Return the element in a place, nothing where there is none."""
        place = self.whole(index)
        return [] if place is None or not 0 <= place < len(found) else [found[place]]

    def variable(self, name: str) -> Collection:
        """Return the value of %name; raises Unevaluable for one that is not known, or rests on itself."""
        value = self._variables.get(name)
        if value is None:
            if name in _CONSTANTS:
                return [_CONSTANTS[name]]
            raise Unevaluable(f"%{name[:40]} is not known.", "Define it as a variable of the Questionnaire.")
        if isinstance(value, list):
            return value
        if name in self._asked:
            raise Unevaluable(f"%{name[:40]} rests on itself.", "Break the circle.")
        self._asked.append(name)
        tree, focus = value
        found = self.run(tree, Scope(focus))
        self._asked.pop()
        self._variables[name] = found
        return found

    def call(self, name: str, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        """Return what a function gives for a collection."""
        self.charge(len(found))
        result = TABLE[name](self, found, arguments, scope)
        self.charge(len(result))
        return result

    def each(self, found: Collection, argument: Node, total: Collection | None = None) -> list[Collection]:
        """Return what an argument gives for every element in turn."""
        return [self.run(argument, Scope([element], place, total or [])) for place, element in enumerate(found)]

    def typed(self, sign: str, found: Collection, name: str) -> Collection:
        """Return the elements of a type, or whether the one element is of it."""
        is_it = _TYPES.get(name.lower())
        if is_it is None:
            raise Unevaluable(f"the type {name[:40]} is not evaluated.")
        if sign == "is":
            return [is_it(single(found))] if found else []
        return [element for element in found if is_it(element)]

    def operate(self, sign: str, operands: Sequence[Node], scope: Scope) -> Collection:
        """Return what an operator gives; all but `|`, `&` and logic are empty where an operand is."""
        if sign in ("and", "or", "xor", "implies"):
            return self.logic(sign, operands, scope)
        sides = [self.run(operand, scope) for operand in operands]
        self.charge(sum(map(len, sides)))
        result = sides[0]
        for side in sides[1:]:
            result = self.binary(sign, result, side)
        return result

    def binary(self, sign: str, left: Collection, right: Collection) -> Collection:
        """Return `left sign right`."""
        if sign == "|":
            return self.distinct([*left, *right])
        if sign == "&":
            return [self.bounded("".join(str(single(side)) for side in (left, right) if side))]
        if sign in ("in", "contains"):
            one, many = (left, right) if sign == "in" else (right, left)
            if not one:
                return []
            value = single(one)
            return [value in many if isinstance(value, str) else any(same(element, value) for element in many)]
        if sign in ("~", "!~"):
            alike = len(left) == len(right) and all(map(_alike, left, right))
            return [alike == (sign == "~")]
        if not left or not right:
            return []
        if sign in ("=", "!="):
            equal = len(left) == len(right) and all(map(same, left, right))
            return [equal == (sign == "=")]
        return compute(sign, single(left), single(right))

    def logic(self, sign: str, operands: Sequence[Node], scope: Scope) -> Collection:
        """Return a three-valued truth; the second operand is looked at only where it matters."""
        result = self.truth(self.run(operands[0], scope))
        for operand in operands[1:]:
            if (sign == "and" and result is False) or (sign == "or" and result is True):
                break
            if sign == "implies" and result is False:
                return [True]
            result = self.combined(sign, result, self.truth(self.run(operand, scope)))
        return [] if result is None else [result]

    @staticmethod
    def combined(sign: str, one: bool | None, other: bool | None) -> bool | None:
        """Return the three-valued truth of two."""
        return _LOGIC[sign](one, other)

    def truth(self, found: Collection) -> bool | None:
        """Return what a collection says where a truth is asked for: None where it is empty; one thing counts as yes."""
        if not found:
            return None
        value = single(found)
        return value if isinstance(value, bool) else True

    def whole(self, found: Collection) -> int | None:
        """Return the one whole number of a collection, None where it is empty."""
        if not found:
            return None
        value = tidy(Decimal(number(single(found))))
        if not isinstance(value, int):
            raise Unevaluable("a whole number is asked for.")
        return value

    def distinct(self, found: Collection) -> Collection:
        """Return the elements without those that stand there already."""
        kept: Collection = []
        seen: set[Any] = set()
        for element in found:
            if isinstance(element, (str, int, Decimal)):
                key = (isinstance(element, bool), isinstance(element, str), element)
                if key not in seen:
                    seen.add(key)
                    kept.append(element)
                continue
            self.charge(len(kept))
            if not any(same(element, other) for other in kept):
                kept.append(element)
        return kept

    def bounded(self, text: str) -> str:
        """Return a text; raises Unevaluable where it has grown too long."""
        self.charge(len(text) // 100)
        if len(text) > MAX_CHARACTERS:
            raise Unevaluable("a text has become too long.")
        return text


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.split() == other.split() or one.lower().split() == other.lower().split()
    return same(one, other)


_LOGIC: Final[Mapping[str, Callable[[bool | None, bool | None], bool | None]]] = {
    "and": lambda a, b: False if False in (a, b) else None if None in (a, b) else True,
    "or": lambda a, b: True if True in (a, b) else None if None in (a, b) else False,
    "xor": lambda a, b: None if a is None or b is None else a != b,
    "implies": lambda a, b: b if a else (True if a is False or b else None),
}
