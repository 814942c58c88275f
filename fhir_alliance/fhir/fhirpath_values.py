"""What FHIRPath is made of: collections, numbers without binary fractions, equality, and operators on two values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException
from typing import Any, Final, NamedTuple, TypeAlias

from fhir_alliance.core.model import Number
from fhir_alliance.errors import ParkItem

MAX_NUMBER: Final = 10**15
CONTEXT: Final = Context(prec=28)  # FHIRPath 2.0.0, 2.1.5: 28 digits

_LAST_PLACE: Final = Decimal("1e-8")  # the same: 8 places after the point

Collection: TypeAlias = list[Any]


class Scope(NamedTuple):
    """What an expression looks at: its focus, and inside a function's argument the element, its place, a total."""

    this: Collection
    place: int = 0
    total: Collection = []  # noqa: RUF012 - never changed


class Unevaluable(ParkItem):
    """An expression that gives nothing one could rely on. The message names no answer."""

    def __init__(self, what: str, hint: str = "Correct the expression.") -> None:
        super().__init__("FA221", what, hint)


def exact(value: Any) -> Any:
    """Return a value with no binary fraction in it."""
    return Decimal(str(value)) if isinstance(value, float) else value


def single(found: Collection) -> Any:
    """Return the one element; raises Unevaluable where there are several."""
    if len(found) != 1:
        raise Unevaluable("one value is asked for and there are several.")
    return found[0]


def scored(found: Collection) -> Number | None:
    """Return the number that an expression has given, None where it gave nothing; raises Unevaluable otherwise."""
    if not found:
        return None
    value = Decimal(tidy(Decimal(number(single(found)))))
    return tidy(value if value == (short := value.quantize(_LAST_PLACE, ROUND_HALF_UP)) else short)


def same(one: Any, other: Any) -> bool:
    """Return whether two elements are equal; a truth is never a number."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one is not other:
        return one.keys() == other.keys() and all(same(exact(one[key]), exact(other[key])) for key in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def number(value: Any) -> Number:
    """Return a number as it is, a Quantity's value; raises Unevaluable for anything else."""
    if isinstance(value, Mapping) and "value" in value:
        value = exact(value["value"])
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Unevaluable("a number is asked for and there is something else.")
    return value


def compute(sign: str, left: Any, right: Any) -> Collection:
    """Return the one value of an arithmetic or ordering operator; nothing for a division by zero."""
    if isinstance(left, str) and isinstance(right, str) and sign in _ORDER:
        return [_ORDER[sign](left, right)]
    if isinstance(left, str) and isinstance(right, str) and sign == "+":
        raise Unevaluable("texts are joined by &.")
    left, right = number(left), number(right)
    if sign in _ORDER:
        return [_ORDER[sign](left, right)]
    if sign in ("/", "div", "mod") and right == 0:
        return []
    try:
        return [tidy(_ARITHMETIC[sign](Decimal(left), Decimal(right)))]
    except DecimalException:
        raise Unevaluable("a number has become too large.") from None


def tidy(value: Decimal) -> Number:
    """Return a whole number as int; raises Unevaluable where it is too large to be a score."""
    if not value.is_finite() or not -MAX_NUMBER <= value <= MAX_NUMBER:  # abs() may overflow
        raise Unevaluable("a number has become too large.")
    return int(value) if value == value.to_integral_value() else value


_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}
_ARITHMETIC: Final[Mapping[str, Callable[[Decimal, Decimal], Decimal]]] = {
    "+": CONTEXT.add,
    "-": CONTEXT.subtract,
    "*": CONTEXT.multiply,
    "/": CONTEXT.divide,
    "div": CONTEXT.divide_int,
    "mod": CONTEXT.remainder,
}
