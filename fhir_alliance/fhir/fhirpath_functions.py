"""The functions of FHIRPath that scores are made of; each takes the evaluation, its input, its arguments, the scope.

Source: FHIRPath 2.0.0 (hl7.org/fhirpath/N1), chapter 5; sum, min, max and avg as the later edition has them, but empty
where there is nothing to add up; weight and ordinal: SDC (hl7.org/fhir/uv/sdc), Form Behavior and Calculation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR
from typing import TYPE_CHECKING, Final, TypeAlias

from fhir_alliance.fhir.fhirpath_scalars import (
    extreme,
    of_number,
    of_text,
    raised,
    root,
    rounded_to,
    said,
    substring,
    to_boolean,
    to_integer,
    to_number,
)
from fhir_alliance.fhir.fhirpath_tree import Node
from fhir_alliance.fhir.fhirpath_values import (
    Collection,
    Scope,
    compute,
    number,
    same,
    single,
)
from fhir_alliance.fhir.identifiers import WEIGHT_URLS

if TYPE_CHECKING:
    from fhir_alliance.fhir.fhirpath import Evaluation

Function: TypeAlias = "Callable[[Evaluation, Collection, Sequence[Node], Scope], Collection]"


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
    "toInteger": to_integer,
    "toDecimal": to_number,
    "toString": lambda run, found, arguments, scope: [said(single(found))] if found else [],
    "toBoolean": to_boolean,
    "startsWith": of_text(str.startswith),
    "endsWith": of_text(str.endswith),
    "contains": of_text(str.__contains__),
    "indexOf": of_text(str.find),
    "substring": substring,
    "upper": of_text(lambda text, _: text.upper()),
    "lower": of_text(lambda text, _: text.lower()),
    "length": of_text(lambda text, _: len(text)),
    "abs": of_number(abs),
    "ceiling": of_number(lambda value: value.to_integral_value(ROUND_CEILING)),
    "floor": of_number(lambda value: value.to_integral_value(ROUND_FLOOR)),
    "truncate": of_number(lambda value: value.to_integral_value(ROUND_DOWN)),
    "round": rounded_to,
    "sqrt": root,
    "power": raised,
    "sum": _sum,
    "avg": _avg,
    "min": extreme(min),
    "max": extreme(max),
    "aggregate": _aggregate,
    "children": _children,
    "descendants": _descendants,
    "extension": _extension,
    "weight": _weight,
    "ordinal": _weight,
}
