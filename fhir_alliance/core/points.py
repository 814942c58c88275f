"""Points as numbers: whole ones are int, others Decimal, never a binary fraction."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from fhir_alliance.core.model import Number


def rounded(value: Decimal, decimals: int) -> Number:
    """Return a value kept to so many decimal places, half up; a whole number as int."""
    exact = value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return int(exact) if exact == int(exact) else exact.normalize()


def whole(value: Decimal) -> Number:
    """Return a decimal as an int where it is a whole number."""
    if value.is_finite() and -1_000_000 < value < 1_000_000 and value == value.to_integral_value():
        return int(value)
    return value
