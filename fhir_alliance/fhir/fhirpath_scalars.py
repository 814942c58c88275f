"""Functions of FHIRPath on one number or one text, for the table in `fhirpath_functions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

from fhir_alliance.core.model import Number
from fhir_alliance.fhir.fhirpath_tree import Node
from fhir_alliance.fhir.fhirpath_values import CONTEXT, Collection, Scope, Unevaluable, compute, number, single, tidy

if TYPE_CHECKING:
    from fhir_alliance.fhir.fhirpath import Evaluation
    from fhir_alliance.fhir.fhirpath_functions import Function

_MAX_PLACES: Final = 12  # with fifteen digits before the point, within the 28 that are kept
_TRUTHS: Final = {"true": True, "false": False}


def of_number(compute_it: Callable[[Decimal], Decimal]) -> Function:
    """Return a function of one number; of nothing it gives nothing."""

    def function(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        return [tidy(compute_it(Decimal(tidy(Decimal(number(single(found)))))))] if found else []

    return function


def rounded_to(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return a number to so many places, a half away from zero."""
    places = (run.whole(run.run(arguments[0], scope)) or 0) if arguments else 0
    if not 0 <= places <= _MAX_PLACES:
        raise Unevaluable("a number is rounded to too many places.")
    if not found:
        return []
    value = Decimal(tidy(Decimal(number(single(found)))))
    return [tidy(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))]


def root(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return the square root, nothing for a negative number."""
    if not found or (value := number(single(found))) < 0:
        return []
    return [tidy(CONTEXT.sqrt(Decimal(tidy(Decimal(value)))))]


def raised(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return a number to a whole power from 0 to 12; raises Unevaluable for any other."""
    exponent = run.whole(run.run(arguments[0], scope))
    if exponent is None or not found:
        return []
    if not 0 <= exponent <= _MAX_PLACES:
        raise Unevaluable("a number is raised too high.")
    result: Number = 1
    for _ in range(exponent):
        [result] = compute("*", result, single(found))
    return [result]


def extreme(choose: Callable[[Sequence[Number]], Number]) -> Function:
    """Return a function that chooses one of several numbers."""

    def function(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        return [choose([number(element) for element in found])] if found else []

    return function


def to_number(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
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


def to_integer(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return the one number or text as a whole number; nothing where it is none."""
    return [value for value in to_number(run, found, arguments, scope) if isinstance(tidy(Decimal(value)), int)]


def to_boolean(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return the truth that a value says; nothing where it says none."""
    if not found:
        return []
    truth = _TRUTHS.get(said(single(found)).lower())
    return [] if truth is None else [truth]


def said(value: Any) -> str:
    """Return a value as a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    return f"{tidy(Decimal(number(value))):f}"


def of_text(compute_it: Callable[[str, str], Any]) -> Function:
    """Return a function of one text and, for some, another; raises Unevaluable for anything but texts."""

    def function(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
        others = [run.run(argument, scope) for argument in arguments]
        if not found or not all(others):
            return []
        text, other = single(found), single(others[0]) if others else ""
        if not isinstance(text, str) or not isinstance(other, str):
            raise Unevaluable("a text is asked for and there is something else.")
        return [compute_it(run.bounded(text), run.bounded(other))]

    return function


def substring(run: Evaluation, found: Collection, arguments: Sequence[Node], scope: Scope) -> Collection:
    """Return a part of a text, nothing where it begins outside."""
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
