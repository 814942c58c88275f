"""The functions of FHIRPath that scores are made of; each takes the evaluation, its input, its arguments, the scope.

Source: FHIRPath 2.0.0 (hl7.org/fhirpath/N1), chapter 5; sum, min, max and avg as the later edition has them, but empty
where there is nothing to add up; weight and ordinal: SDC (hl7.org/fhir/uv/sdc), Form Behavior and Calculation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fhir_alliance.core.model import Number
from fhir_alliance.fhir.fhirpath_syntax import Node
from fhir_alliance.fhir.fhirpath_values import (
    CONTEXT,
    Collection,
    Scope,
    Unevaluable,
    compute,
    number,
    same,
    single,
    tidy,
)
from fhir_alliance.fhir.identifiers import WEIGHT_URLS

if TYPE_CHECKING:
    from fhir_alliance.fhir.fhirpath import Evaluation

Function: TypeAlias = "Callable[[Evaluation, Collection, Sequence[Node], Scope], Collection]"
_MAX_PLACES = 20
_TRUTHS = {"true": True, "false": False}


def _where(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    said = run.each(found, arguments[0])
    return [element for element, truth in zip(found, said, strict=True) if run.truth(truth)]


def _select(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return [inner for projected in run.each(found, arguments[0]) for inner in projected]


def _repeat(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    reached: Collection = []
    waiting = list(found)
    while waiting:
        fresh = [inner for projected in run.each(waiting, arguments[0]) for inner in projected]
        run.charge(len(fresh))
        waiting = [element for element in fresh if not any(element is known for known in reached)]
        run.charge(len(fresh) * len(reached) // 50)
        reached += waiting
    return reached


def _exists(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return [bool(_where(run, found, arguments, scope) if arguments else found)]


def _all(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return [all(run.truth(said) for said in run.each(found, arguments[0]))]


def _iif(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    inner = scope._replace(this=found)
    if run.truth(run.run(arguments[0], inner)):
        return run.run(arguments[1], inner)
    return run.run(arguments[2], inner) if len(arguments) > 2 else []


def _aggregate(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    total = run.run(arguments[1], scope) if len(arguments) > 1 else []
    for place, element in enumerate(found):
        total = run.run(arguments[0], Scope([element], place, total))
    return total


def _sum(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return the sum; nothing, not zero, where there is nothing to add up."""
    total: Collection = found[:1] and [number(found[0])]
    for element in found[1:]:
        total = compute("+", total[0], element)
    return total


def _avg(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return compute("/", _sum(run, found, arguments, scope)[0], len(found)) if found else []


def _extension(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return the extensions with a url. One that says the points is answered for a coding that only names its code."""
    url = single(run.run(arguments[0], scope))
    extensions: Collection = []
    for element in found:
        own = [inner for inner in run.member(element, "extension") if inner.get("url") == url]
        if not own and url in WEIGHT_URLS and isinstance(element, Mapping) and "code" in element:
            points = run.weigh(element)
            own = [] if points is None else [{"url": url, "valueDecimal": points}]
        extensions += own
    return extensions


def _weight(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return [points for element in found if (points := run.weigh(element)) is not None]


def _children(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    inner = [child for element in found for child in run.children(element)]
    run.charge(len(inner))
    return inner


def _descendants(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    reached: Collection = []
    waiting = found
    while waiting:
        waiting = _children(run, waiting, arguments, scope)
        reached += waiting
    return reached


def _combined(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return [*found, *run.run(arguments[0], scope)]


def _union(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return run.distinct(_combined(run, found, arguments, scope))


def _kept(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope, *, present: bool) -> Collection:
    others = run.run(arguments[0], scope)
    run.charge(len(found) * len(others))
    return [element for element in found if any(same(element, other) for other in others) == present]


def _truths(every: bool, wanted: bool) -> Function:
    def function(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        return [(all if every else any)(element is wanted for element in found)]

    return function


def _skip(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return found[max(0, run.whole(run.run(arguments[0], scope)) or 0) :]


def _take(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return found[: max(0, run.whole(run.run(arguments[0], scope)) or 0)]


def _of_number(compute_it: Callable[[Decimal], Decimal]) -> Function:
    def function(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        return [tidy(compute_it(Decimal(number(single(found)))))] if found else []

    return function


def _round(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return a number to so many places, a half away from zero."""
    places = (run.whole(run.run(arguments[0], scope)) or 0) if arguments else 0
    if not 0 <= places <= _MAX_PLACES:
        raise Unevaluable("a number is rounded to too many places.")
    if not found:
        return []
    value = Decimal(number(single(found)))
    return [tidy(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))]


def _sqrt(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    if not found or (value := number(single(found))) < 0:
        return []
    return [tidy(CONTEXT.sqrt(Decimal(value)))]


def _power(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    exponent = run.whole(run.run(arguments[0], scope))
    if exponent is None or not found:
        return []
    if not 0 <= exponent <= _MAX_PLACES:
        raise Unevaluable("a number is raised too high.")
    result: Number = 1
    for _ in range(exponent):
        [result] = compute("*", result, single(found))
    return [result]


def _extreme(choose: Callable[[Sequence[Number]], Number]) -> Function:
    def function(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        return [choose([number(element) for element in found])] if found else []

    return function


def _to_number(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return the one number or text as a number; nothing where it is none."""
    if not found:
        return []
    value = single(found)
    if isinstance(value, bool):
        return [int(value)]
    if isinstance(value, str):
        plain = value.strip().lstrip("+-")
        if len(plain) > _MAX_PLACES or not plain.replace(".", "", 1).isdecimal() or not plain.isascii():
            return []
        value = tidy(Decimal(value.strip()))
    return [value] if isinstance(value, (int, Decimal)) else []


def _to_integer(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return [value for value in _to_number(run, found, arguments, scope) if isinstance(tidy(Decimal(value)), int)]


def _to_boolean(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    if not found:
        return []
    said = _TRUTHS.get(_said(single(found)).lower())
    return [] if said is None else [said]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    return f"{number(value):f}"


def _of_text(compute_it: Callable[[str, str], Any]) -> Function:
    def function(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        others = [run.run(argument, scope) for argument in arguments]
        if not found or not all(others):
            return []
        text, other = single(found), single(others[0]) if others else ""
        if not isinstance(text, str) or not isinstance(other, str):
            raise Unevaluable("a text is asked for and there is something else.")
        return [compute_it(run.bounded(text), run.bounded(other))]

    return function


def _substring(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    numbers = [run.whole(run.run(argument, scope)) for argument in arguments]
    if not found or numbers[0] is None:
        return []
    text, start = single(found), numbers[0]
    if not isinstance(text, str):
        raise Unevaluable("a text is asked for and there is something else.")
    if not 0 <= start < len(text):
        return []
    end = start + max(0, numbers[1]) if len(numbers) > 1 and numbers[1] is not None else len(text)
    return [text[start:end]]


def _single(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    return [single(found)] if found else []


def _not(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    truth = run.truth(found)
    return [] if truth is None else [not truth]


TABLE: Final[Mapping[str, Function]] = {
    "empty": lambda run, found, arguments, scope: [not found],
    "exists": _exists,
    "all": _all,
    "allTrue": _truths(True, True),
    "anyTrue": _truths(False, True),
    "allFalse": _truths(True, False),
    "anyFalse": _truths(False, False),
    "count": lambda run, found, arguments, scope: [len(found)],
    "distinct": lambda run, found, arguments, scope: run.distinct(found),
    "isDistinct": lambda run, found, arguments, scope: [len(run.distinct(found)) == len(found)],
    "not": _not,
    "hasValue": lambda run, found, arguments, scope: [len(found) == 1 and not isinstance(found[0], Mapping)],
    "where": _where,
    "select": _select,
    "repeat": _repeat,
    "single": _single,
    "first": lambda run, found, arguments, scope: found[:1],
    "last": lambda run, found, arguments, scope: found[-1:],
    "tail": lambda run, found, arguments, scope: found[1:],
    "skip": _skip,
    "take": _take,
    "intersect": lambda run, found, arguments, scope: run.distinct(_kept(run, found, arguments, scope, present=True)),
    "exclude": lambda run, found, arguments, scope: _kept(run, found, arguments, scope, present=False),
    "union": _union,
    "combine": _combined,
    "iif": _iif,
    "toInteger": _to_integer,
    "toDecimal": _to_number,
    "toString": lambda run, found, arguments, scope: [_said(single(found))] if found else [],
    "toBoolean": _to_boolean,
    "startsWith": _of_text(str.startswith),
    "endsWith": _of_text(str.endswith),
    "contains": _of_text(str.__contains__),
    "indexOf": _of_text(str.find),
    "substring": _substring,
    "upper": _of_text(lambda text, _: text.upper()),
    "lower": _of_text(lambda text, _: text.lower()),
    "length": _of_text(lambda text, _: len(text)),
    "abs": _of_number(abs),
    "ceiling": _of_number(lambda value: value.to_integral_value(ROUND_CEILING)),
    "floor": _of_number(lambda value: value.to_integral_value(ROUND_FLOOR)),
    "truncate": _of_number(lambda value: value.to_integral_value(ROUND_DOWN)),
    "round": _round,
    "sqrt": _sqrt,
    "power": _power,
    "sum": _sum,
    "avg": _avg,
    "min": _extreme(min),
    "max": _extreme(max),
    "aggregate": _aggregate,
    "children": _children,
    "descendants": _descendants,
    "extension": _extension,
    "weight": _weight,
    "ordinal": _weight,
}
