"""What an expression is worth while nobody has answered: numbers that rest on answers still to come.

A `Mark` is one answer, or something that follows from it alone: what it is for each option in turn. Sums of marks are
a `Total`, counts a `Tally`. With these an expression is evaluated once for all forms, and what remains is its formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from fhir_alliance.core.model import Number
from fhir_alliance.fhir.fhirpath_values import CONTEXT, number, tidy


class NotLinear(Exception):
    """The expression has no formula that is known here; it is evaluated form by form."""


class Line(NamedTuple):
    """`slope * x + start`, where x is a number that somebody will answer."""

    slope: Number
    start: Number

    def at(self, x: Number) -> Number:
        """Return the value for an answer."""
        return _plus(_times(self.slope, x), self.start)


Term: TypeAlias = tuple[Number, ...] | Line


class Here(NamedTuple):
    """Something that is there where an item is answered, and the same whatever the answer."""

    item: str
    value: Any


class Mark(NamedTuple):
    """One item's answer, or what follows from it: a value per option, None where the option gives nothing.

    values: None stands for the answered number itself, where it is not one of a few.
    """

    item: str
    values: tuple[Any, ...] | None


class Opaque(NamedTuple):
    """An answer that is no single choice or number. is_scored: it is worth points all the same."""

    item: str
    is_scored: bool


class Bare(NamedTuple):
    """A coded answer of which the form does not know the points; each answer has to state its own."""

    item: str


class Calculated(NamedTuple):
    """The answer of a calculated item: the value of its own expression."""

    item: str


class Total(NamedTuple):
    """`start` and a term for each item, added up. It holds where every item is answered."""

    start: Number
    terms: Mapping[str, Term]


class Tally(NamedTuple):
    """How many are counted: for each item 0 or 1, by option."""

    terms: Mapping[str, tuple[int, ...]]

    @property
    def is_of_answers(self) -> bool:
        """Return whether every answer counts, whatever it is."""
        return all(all(term) for term in self.terms.values())


class Mean(NamedTuple):
    """The mean of what is answered, times a factor."""

    total: Total
    factor: Number = 1


class Enough(NamedTuple):
    """Whether at least so many items are answered, or (not `holds`) fewer."""

    items: frozenset[str]
    need: int
    holds: bool = True


class Rounded(NamedTuple):
    """A value to so many places."""

    value: Total | Mean
    places: int


class Guarded(NamedTuple):
    """A value where enough items are answered, else nothing."""

    value: Total | Mean | Tally | Rounded
    items: frozenset[str]
    need: int


SYMBOLS = (Here, Mark, Opaque, Bare, Calculated, Total, Tally, Mean, Enough, Rounded, Guarded)


def is_symbol(element: Any) -> bool:
    """Return whether an element rests on an answer."""
    return isinstance(element, SYMBOLS)


def has_symbols(found: Sequence[Any]) -> bool:
    """Return whether anything in a collection rests on an answer."""
    return any(map(is_symbol, found))


def total_of(elements: Sequence[Any]) -> Total:
    """Return marks and totals added up; raises NotLinear where one of them may be worth nothing."""
    terms: dict[str, Term] = {}
    start: Number = 0
    for element in elements:
        if isinstance(element, Total):
            start, terms = _plus(start, element.start), _merged(terms, element.terms)
        elif isinstance(element, Mark):
            terms = _merged(terms, {element.item: _term(element, elements)})
        else:
            raise NotLinear
    return Total(start, terms)


def tally_of(elements: Sequence[Any]) -> Tally:
    """Return how many of the elements there are: of an answer, each option counts where it gives something."""
    terms: dict[str, tuple[int, ...]] = {}
    for element in elements:
        item = _item_of(element)
        values = element.values if isinstance(element, Mark) else None
        term = (1,) if values is None else tuple(int(value is not None) for value in values)
        before = terms.get(item, (0,) * len(term))
        terms[item] = tuple(one + other for one, other in zip(before, term, strict=False))
        if len(before) != len(term) or max(terms[item]) > 1:
            raise NotLinear
    return Tally(terms)


def _item_of(element: Any) -> str:
    """Return the one item that an element rests on."""
    if isinstance(element, Total) and len(element.terms) == 1:
        return next(iter(element.terms))
    if not isinstance(element, (Here, Mark, Bare)):
        raise NotLinear
    return element.item


def single_mark(marks: Sequence[Any]) -> Mark:
    """Return several marks of one item as one, where no option gives two of them; raises NotLinear otherwise."""
    first = marks[0]
    if len(marks) == 1 and isinstance(first, Mark):
        return first
    if not all(isinstance(mark, Mark) and mark.item == first.item and mark.values is not None for mark in marks):
        raise NotLinear
    values = []
    for given in zip(*(mark.values for mark in marks), strict=True):
        present = [value for value in given if value is not None]
        if len(present) > 1:
            raise NotLinear
        values.append(present[0] if present else None)
    return Mark(first.item, tuple(values))


def mapped(element: Here | Mark, function: Callable[[Any], list[Any]]) -> list[Any]:
    """Return what a function gives for what is there, and of an answer for every option in turn."""
    if isinstance(element, Here):
        return [inner if is_symbol(inner) else Here(element.item, inner) for inner in function(element.value)]
    if element.values is None:
        raise NotLinear
    given = [[] if value is None else function(value) for value in element.values]
    longest = max(map(len, given))
    if longest > 1 and any(
        len(f) != longest for f, value in zip(given, element.values, strict=True) if value is not None
    ):
        raise NotLinear
    columns = [tuple(found[place] if found else None for found in given) for place in range(longest)]
    return [column[0] if is_symbol(column[0]) else Mark(element.item, column) for column in columns]


def scaled(total: Total, factor: Number) -> Total:
    """Return a total times a factor."""
    return Total(
        _times(total.start, factor),
        {
            item: Line(*(_times(value, factor) for value in term))
            if isinstance(term, Line)
            else tuple(_times(value, factor) for value in term)
            for item, term in total.terms.items()
        },
    )


def _merged(one: Mapping[str, Term], other: Mapping[str, Term]) -> dict[str, Term]:
    terms = dict(one)
    for item, term in other.items():
        terms[item] = _added(terms[item], term) if item in terms else term
    return terms


def _term(mark: Mark, elements: Sequence[Any]) -> Term:
    if mark.values is None:
        return Line(1, 0)
    if any(value is None for value in mark.values):
        whole = single_mark([other for other in elements if isinstance(other, Mark) and other.item == mark.item])
        if whole.values is None or any(value is None for value in whole.values):
            raise NotLinear
    return tuple(0 if value is None else number(value) for value in mark.values)


def _added(one: Term, other: Term) -> Term:
    if isinstance(one, Line) and isinstance(other, Line):
        return Line(_plus(one.slope, other.slope), _plus(one.start, other.start))
    if isinstance(one, Line) or isinstance(other, Line):
        raise NotLinear
    return tuple(_plus(a, b) for a, b in zip(one, other, strict=True))


def _plus(one: Number, other: Number) -> Number:
    return tidy(CONTEXT.add(Decimal(one), Decimal(other)))


def _times(one: Number, other: Number) -> Number:
    return tidy(CONTEXT.multiply(Decimal(one), Decimal(other)))
