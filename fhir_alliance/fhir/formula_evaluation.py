"""An evaluation of FHIRPath over a form that nobody has answered: its answers are marks, its results are formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fhir_alliance.fhir.fhirpath import Evaluation, Weigh
from fhir_alliance.fhir.fhirpath_tree import Call, Node, Special
from fhir_alliance.fhir.fhirpath_values import Collection, Scope, single
from fhir_alliance.fhir.formula_arithmetic import both, computed, guarded, is_whole, rounded, scalar
from fhir_alliance.fhir.formula_symbols import (
    Bare,
    Calculated,
    Enough,
    Here,
    Mark,
    Mean,
    NotLinear,
    Opaque,
    Tally,
    Total,
    has_symbols,
    is_symbol,
    mapped,
    single_mark,
    tally_of,
    total_of,
)

_AS_ALWAYS: Final = frozenset({"select", "combine", "repeat", "children", "descendants"})
_OF_ANSWERS: Final = frozenset({"extension", "code", "system", "display", "item"})
_OF_EACH: Final = frozenset({"weight", "ordinal", "extension"})
_OF_ONE: Final = frozenset(
    {
        "toInteger", "toDecimal", "toString", "toBoolean", "abs", "ceiling", "floor", "truncate", "round", "sqrt",
        "power", "startsWith", "endsWith", "contains", "upper", "lower", "length", "substring", "indexOf", "not",
    }
)  # fmt: skip


class Lifted(Evaluation):
    """An evaluation in which answers are marks.

    calculated: what the expression of a calculated item is worth.
    unweighted: told of an item without points whose points are asked for.
    """

    def __init__(
        self,
        variables: Mapping[str, Collection | tuple[Node, Collection]],
        weigh: Weigh,
        calculated: Callable[[str], Collection],
        unweighted: Callable[[str], None],
    ) -> None:
        super().__init__(variables, weigh)
        self._calculated = calculated
        self._unweighted = unweighted

    def member(self, element: Any, name: str) -> Collection:
        """Return one element's children of that name; of an answer, what each option has."""
        if not is_symbol(element):
            return super().member(element, name)
        if isinstance(element, (Opaque, Bare)):
            return [element] if name in _OF_ANSWERS or name.startswith("value") else []
        if isinstance(element, Calculated):
            return self._calculated(element.item) if name.startswith("value") else []
        if isinstance(element, Mark) and element.values is None:
            return [element] if name.startswith("value") else []
        plain = super().member
        return mapped(_simple(element), lambda value: plain(value, name))

    def children(self, element: Any) -> Collection:
        """Return all of one element's children; of an answer, what each option has."""
        if not is_symbol(element):
            return super().children(element)
        if isinstance(element, (Opaque, Bare, Calculated)) or (isinstance(element, Mark) and element.values is None):
            return []
        return mapped(_simple(element), super().children)

    def call(self, name: str, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        """Return what a function gives, also for answers to come; raises NotLinear where that is no formula."""
        if name == "iif":
            return self._iif(arguments, scope._replace(this=found))
        if name == "where":
            return self._where(found, arguments[0])
        if name == "aggregate":
            return self._aggregate(found, arguments, scope)
        if name == "exists" and arguments:
            return self.call("exists", self._where(found, arguments[0]), (), scope)
        if name in ("count", "exists", "empty"):
            return self._counted(name, found)
        if name in _AS_ALWAYS or not has_symbols(found):
            return super().call(name, found, arguments, scope)
        if name in _OF_EACH:
            return self._of_each(name, found, arguments, scope)
        return self._of_all(name, found, arguments, scope)

    def truth(self, found: Collection) -> bool | None:
        """Return what a collection says; raises NotLinear where it rests on an answer."""
        if has_symbols(found):
            raise NotLinear
        return super().truth(found)

    def indexed(self, found: Collection, index: Collection) -> Collection:
        """Return the element in a place; of answers, only the first of the only one."""
        if not has_symbols(found):
            return super().indexed(found, index)
        if index != [0]:
            raise NotLinear
        return [_one(found)]

    def typed(self, sign: str, found: Collection, name: str) -> Collection:
        """Return the elements of a type; raises NotLinear for answers."""
        if has_symbols(found):
            raise NotLinear
        return super().typed(sign, found, name)

    def logic(self, sign: str, operands: Sequence[Node], scope: Scope) -> Collection:
        """Return a truth; of conditions on answers, the condition that they come to together."""
        sides = [self.run(operand, scope) for operand in operands]
        if not any(map(has_symbols, sides)):
            return super().logic(sign, operands, scope)
        if sign in ("and", "or"):
            sides = _undecided(sides, decided=sign == "or")
            if len(sides) == 1:
                return sides[0]
        marks = [side[0] for side in sides if side and isinstance(side[0], (Mark, Here))]
        if marks:
            return self._logic_of_one(sign, sides, marks)
        result = single(sides[0])
        for side in sides[1:]:
            result = both(sign, result, single(side))
        return [result]

    def binary(self, sign: str, left: Collection, right: Collection) -> Collection:
        """Return what an operator gives, also for answers."""
        if not has_symbols(left) and not has_symbols(right):
            return super().binary(sign, left, right)
        if sign == "|":
            return _united(left, right)
        if not left or not right:
            raise NotLinear
        if has_symbols(left) and has_symbols(right):
            return [computed(sign, scalar(left), scalar(right))]
        symbols, plain = (left, right) if has_symbols(left) else (right, left)
        by_option = all(isinstance(s, Here) or (isinstance(s, Mark) and s.values is not None) for s in symbols)
        if not by_option:
            return [computed(sign, scalar(left), scalar(right))]
        operate = super().binary
        if symbols is left:
            return mapped(_one(symbols), lambda value: operate(sign, [value], plain))
        return mapped(_one(symbols), lambda value: operate(sign, plain, [value]))

    def _logic_of_one(self, sign: str, sides: Sequence[Collection], marks: Sequence[Any]) -> Collection:
        """Return a truth that rests on one item's answer, option by option."""
        item = marks[0].item
        width = max(len(mark.values or ()) if isinstance(mark, Mark) else 1 for mark in marks)
        result: Sequence[bool | None] = ()
        for side in sides:
            if side and is_symbol(side[0]) and getattr(side[0], "item", "") != item:
                raise NotLinear
            truths = _spread(side, width)
            result = [self.combined(sign, a, b) for a, b in zip(result, truths, strict=True)] if result else truths
        return [Mark(item, tuple(result))] if width > 1 else [] if result[0] is None else [Here(item, result[0])]

    def _where(self, found: Collection, condition: Node) -> Collection:
        kept: Collection = []
        for element, said in zip(found, self.each(found, condition), strict=True):
            truth = single(said) if has_symbols(said) else super().truth(said)
            if isinstance(truth, Here):
                truth = truth.value
            if truth is True:
                kept.append(element)
            elif isinstance(truth, Enough) and getattr(element, "item", None) in truth.items and truth.need == 1:
                kept += [element] if truth.holds and len(truth.items) == 1 else []
                if len(truth.items) > 1:
                    raise NotLinear
            elif isinstance(truth, Mark):
                kept.append(_filtered(element, truth))
            elif truth not in (False, None):
                raise NotLinear
        return kept

    def _iif(self, arguments: Sequence[Node], scope: Scope) -> Collection:
        said = self.run(arguments[0], scope)
        truth = _one(said) if has_symbols(said) else super().truth(said)
        truth = truth.value if isinstance(truth, Here) else truth
        if not is_symbol(truth):
            return self._branch(arguments, scope, 1 if truth is True else 2)
        then, otherwise = (self._branch(arguments, scope, place) for place in (1, 2))
        if not isinstance(truth, Mark):
            return [guarded(truth, then, otherwise)]
        width = len(truth.values or ())
        pairs = zip(truth.values or (), _spread(then, width), _spread(otherwise, width), strict=True)
        if any(mark.item != truth.item for mark in (*then, *otherwise) if isinstance(mark, (Mark, Here))):
            raise NotLinear
        return [Mark(truth.item, tuple(one if holds is True else other for holds, one, other in pairs))]

    def _branch(self, arguments: Sequence[Node], scope: Scope, place: int) -> Collection:
        return self.run(arguments[place], scope) if place < len(arguments) else []

    def _aggregate(self, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        """Return a fold; a first step that only asks whether there is a total yet is no condition on answers."""
        total = self.run(arguments[1], scope) if len(arguments) > 1 else []
        first = rest = arguments[0]
        match arguments[0]:
            case Call(None, "iif", (Call(Special("$total"), "empty", ()), start, step)):
                first, rest = start, step
            case Call(None, "iif", (Call(Special("$total"), "exists", ()), step, start)):
                first, rest = start, step
        for place, element in enumerate(found):
            total = self.run(rest if total else first, Scope([element], place, total))
        return total

    def _counted(self, name: str, found: Collection) -> Collection:
        if not has_symbols(found):
            if any(isinstance(element, dict) and "linkId" in element for element in found):
                raise NotLinear  # groups: whether they are there is not known
            return super().call(name, found, (), Scope([]))
        if name == "empty" or name == "exists":
            if all(isinstance(element, (Total, Tally)) for element in found):
                return self._of_total(name, single(found))
            tally = tally_of(found)
            if not tally.is_of_answers:
                raise NotLinear
            return [Enough(frozenset(tally.terms), 1, name == "exists")]
        return [tally_of(found)]

    @staticmethod
    def _of_total(name: str, value: Total | Tally) -> Collection:
        """Return whether a sum is there: where all that it adds up is answered, or for one item, where that is."""
        if isinstance(value, Tally) or not value.terms:
            raise NotLinear
        return [Enough(frozenset(value.terms), len(value.terms), name == "exists")]

    def _of_each(self, name: str, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        plain = super().call
        given: Collection = []
        for element in found:
            if isinstance(element, Opaque):
                if element.is_scored:
                    raise NotLinear
                self._unweighted(element.item)
            elif isinstance(element, Bare):
                given.append(Mark(element.item, None))
            elif isinstance(element, Here) or (isinstance(element, Mark) and element.values is not None):
                given += mapped(element, lambda value: plain(name, [value], arguments, scope))
            elif not is_symbol(element):
                given += plain(name, [element], arguments, scope)
            # else a number, which has no points of its own
        return given

    def _of_all(self, name: str, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        if name == "sum":
            return [total_of(found)]
        if name == "avg":
            return [Mean(total_of(found))]
        first = found[0]
        if name in ("first", "last", "single"):
            return [_one(found)]
        if isinstance(first, Enough) and name == "not":
            return [first._replace(holds=not first.holds)]
        if isinstance(first, (Here, Mark)) and name in _OF_ONE:
            plain = super().call
            return mapped(_one(found), lambda value: plain(name, [value], arguments, scope))
        if name == "round":
            return [rounded(single(found), (self.whole(self.run(arguments[0], scope)) or 0) if arguments else 0)]
        if name == "toDecimal" or (name == "toInteger" and is_whole(single(found))):
            return found
        raise NotLinear


def _one(found: Collection) -> Any:
    return found[0] if len(found) == 1 else single_mark(found)


def _simple(element: Any) -> Here | Mark:
    if not isinstance(element, (Here, Mark)):
        raise NotLinear
    return element


def _undecided(sides: Sequence[Collection], *, decided: bool) -> list[Collection]:
    """Return the sides that matter: the one that decides, or those that are not known before somebody answers."""
    known = [(side[0].value if isinstance(side[0], Here) else side[0]) if side else None for side in sides]
    for side, value in zip(sides, known, strict=True):
        if value is decided:
            return [side]
    open_ones = [side for side, value in zip(sides, known, strict=True) if value is not (not decided)]
    return open_ones or [sides[0]]


def _spread(side: Collection, width: int) -> tuple[Any, ...]:
    """Return a value for each option, None where there is none."""
    value = _one(side) if side else None
    if isinstance(value, Mark) and value.values is not None:
        return value.values
    value = value.value if isinstance(value, Here) else value
    if is_symbol(value):
        raise NotLinear
    return (value,) * width


def _filtered(element: Any, truth: Mark) -> Mark:
    """Return an element as it is there for those options only for which the condition holds."""
    if truth.values is None or any(value not in (True, False, None) for value in truth.values):
        raise NotLinear
    values: tuple[Any, ...] = (element,) * len(truth.values)
    if is_symbol(element):
        if not isinstance(element, (Here, Mark)) or element.item != truth.item:
            raise NotLinear
        values = (element.value,) * len(values) if isinstance(element, Here) else element.values or ()
    return Mark(truth.item, tuple(v if t else None for v, t in zip(values, truth.values, strict=True)))


def _united(left: Collection, right: Collection) -> Collection:
    """Return a union of items; raises NotLinear for one of points, which would drop equal ones."""
    for element in (*left, *right):
        node = element.value if isinstance(element, Here) else element
        if not isinstance(node, dict) or "linkId" not in node:
            if not left or not right:
                return left or right
            raise NotLinear
    return [*left, *(element for element in right if not any(element is known for known in left))]
