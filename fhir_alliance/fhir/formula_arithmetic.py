"""Arithmetic and conditions on formulas: what `+`, `/`, `>=`, `iif` and `round` make of sums, means and counts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from fhir_alliance.core.model import Number
from fhir_alliance.fhir.fhirpath_values import CONTEXT, Collection, number, single, tidy
from fhir_alliance.fhir.formula_symbols import (
    Enough,
    Guarded,
    Here,
    Line,
    Mark,
    Mean,
    NotLinear,
    Rounded,
    Tally,
    Total,
    is_symbol,
    scaled,
    total_of,
)

_TURNED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}


def scalar(found: Collection) -> Any:
    """Return the one value of a collection: a symbol or a number; of one item's answer, its points."""
    if isinstance(found[0], Mark):
        if len({element.item for element in found if isinstance(element, Mark)}) > 1:
            raise NotLinear
        return total_of(found)
    value = single(found)
    if isinstance(value, Here):
        raise NotLinear
    return value if is_symbol(value) else number(value)


def computed(sign: str, left: Any, right: Any) -> Any:
    """Return what an operator gives for two scalars, at least one of them a symbol; raises NotLinear."""
    if sign in _TURNED:
        if isinstance(left, Tally) and isinstance(right, (int, Decimal)):
            return _enough(sign, left, right)
        if isinstance(right, Tally) and isinstance(left, (int, Decimal)):
            return _enough(_TURNED[sign], right, left)
    elif sign == "+" and isinstance(left, Tally) and isinstance(right, Tally):
        if not set(left.terms) & set(right.terms):
            return Tally({**left.terms, **right.terms})
    elif sign in ("+", "-"):
        first, second = _total(left), _total(right)
        return total_of([first, scaled(second, -1) if sign == "-" else second])
    elif sign == "*":
        symbol, factor = (left, right) if is_symbol(left) else (right, left)
        if not is_symbol(factor):
            return _times(symbol, factor)
    elif sign == "/" and isinstance(right, Tally) and isinstance(left, Total):
        if right.is_of_answers and set(right.terms) == set(left.terms) and not left.start:
            return Mean(left)
    elif sign == "/" and not is_symbol(right) and right != 0:
        return _over(left, right)
    raise NotLinear


def both(sign: str, one: Any, other: Any) -> Enough:
    """Return one condition for two joined by `and` or `or`; raises NotLinear where there is none."""
    if isinstance(one, Enough) and isinstance(other, Enough) and one.holds and other.holds:
        items = one.items | other.items
        if sign == "or" and one.need == other.need == 1:
            return Enough(items, 1)
        if sign == "and" and one.need == len(one.items) and other.need == len(other.items):
            return Enough(items, len(items))
    raise NotLinear


def guarded(condition: Any, then: Collection, otherwise: Collection) -> Any:
    """Return what `iif` gives where its condition asks how many are answered; raises NotLinear otherwise."""
    if not isinstance(condition, Enough):
        raise NotLinear
    if not condition.holds:
        then, otherwise = otherwise, then
    if not then or len(otherwise) > 1 or any(map(is_symbol, otherwise)):
        raise NotLinear
    value = scalar(then)
    if otherwise == [0] and isinstance(value, Total) and condition.items <= set(value.terms):
        return value  # a gap that is filled with a zero is a gap all the same
    if isinstance(value, Guarded) and not otherwise and value.items == condition.items:
        return value._replace(need=max(value.need, condition.need))
    if otherwise or not isinstance(value, (Total, Mean, Tally, Rounded)):
        raise NotLinear
    return Guarded(value, condition.items, condition.need)


def rounded(value: Any, places: int) -> Any:
    """Return a formula whose value is rounded."""
    if isinstance(value, Guarded):
        return value._replace(value=rounded(value.value, places))
    if not isinstance(value, (Total, Mean)) or places < 0:
        raise NotLinear
    return Rounded(value, places)


def is_whole(value: Any) -> bool:
    """Return whether a formula can only give whole numbers."""
    if not isinstance(value, Total):
        return isinstance(value, Tally)
    numbers: list[Any] = [value.start]
    for term in value.terms.values():
        numbers += [Decimal("0.5")] if isinstance(term, Line) else term
    return all(isinstance(one, int) for one in numbers)


def _total(value: Any) -> Total:
    if isinstance(value, Total):
        return value
    if isinstance(value, (int, Decimal)):
        return Total(value, {})
    raise NotLinear


def _times(symbol: Any, factor: Number) -> Any:
    if isinstance(symbol, Guarded):
        return symbol._replace(value=_times(symbol.value, factor))
    if isinstance(symbol, Mean):
        return symbol._replace(factor=tidy(CONTEXT.multiply(Decimal(symbol.factor), Decimal(factor))))
    if isinstance(symbol, Total):
        return scaled(symbol, factor)
    raise NotLinear


def _over(symbol: Any, divisor: Number) -> Any:
    """Return a formula divided by a number. A sum over a number of items that divides it is their mean."""
    exact = _share(1, divisor)
    if exact is not None:
        return _times(symbol, exact)
    if isinstance(symbol, Guarded):
        inner = _over(symbol.value, divisor)
        if isinstance(inner, Guarded):
            if symbol.items != inner.items:
                raise NotLinear
            return inner
        return symbol._replace(value=inner)
    if isinstance(symbol, Mean):
        factor = _share(symbol.factor, divisor)
        if factor is not None:
            return symbol._replace(factor=factor)
    if isinstance(symbol, Total) and not symbol.start and symbol.terms:
        factor = _share(len(symbol.terms), divisor)
        if factor is not None:
            return Guarded(Mean(symbol, factor), frozenset(symbol.terms), len(symbol.terms))
    raise NotLinear


def _share(value: Number, divisor: Number) -> Number | None:
    """Return the quotient where it has an end."""
    share = CONTEXT.divide(Decimal(value), Decimal(divisor))
    return None if len(share.as_tuple().digits) > CONTEXT.prec - 4 else tidy(share)


def _enough(sign: str, tally: Tally, bound: Number) -> Enough:
    """Return the condition on how many are answered that `count sign bound` is."""
    if not tally.is_of_answers:
        raise NotLinear
    items, asked = frozenset(tally.terms), len(tally.terms)
    least = int(bound) if bound == int(bound) else int(bound) + 1  # a count is whole
    more = int(bound) + 1
    found = {
        ">=": Enough(items, least),
        ">": Enough(items, more),
        "<": Enough(items, least, False),
        "<=": Enough(items, more, False),
    }.get(sign)
    if found is None and bound == asked:
        found = Enough(items, asked, sign == "=")
    if found is None and bound == 0:
        found = Enough(items, 1, sign == "!=")
    if found is None:
        raise NotLinear
    return found
