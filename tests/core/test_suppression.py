"""No count of 1 to 10 people is shown or can be worked out, and as little as possible is hidden for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_alliance.core import suppression
from fhir_alliance.core.suppression import LEAST_SPAN, SMALL, Cell, Standing, Total, suppressed
from fhir_alliance.errors import StopRun

MORE = 5  # how far above the true count an attacker tries; beyond it only more would be possible


def possible(cells: Sequence[Cell], totals: Iterable[Total], hidden: Iterable[str]) -> dict[str, set[int]]:
    """Return the values that an attacker cannot rule out for each hidden cell, by trying all of them.

    The attacker sees what is not hidden, knows the sums, and knows that a hidden count is not zero.
    """
    unseen = sorted(hidden)
    shown = {cell.name: cell.count for cell in cells if cell.name not in unseen}
    never = {cell.name for cell in cells if cell.standing is Standing.NEVER_SHOWN}
    found: dict[str, set[int]] = {name: set() for name in unseen}
    true = {cell.name: cell.count for cell in cells}
    for guess in product(*(range(0 if name in never else 1, true[name] + MORE) for name in unseen)):
        known = shown | dict(zip(unseen, guess, strict=True))
        if all(known[total.total] == sum(known[part] for part in total.parts) for total in totals):
            for name, value in zip(unseen, guess, strict=True):
                found[name].add(value)
    return found


def is_protected(cells: Sequence[Cell], totals: Sequence[Total], hidden: Iterable[str]) -> bool:
    """Return whether every small count keeps a span of possible values."""
    values = possible(cells, totals, hidden)
    small = [cell.name for cell in cells if 1 <= cell.count <= SMALL]
    return all(name in values and max(values[name]) - min(values[name]) >= LEAST_SPAN for name in small)


def row(**counts: int) -> tuple[list[Cell], list[Total]]:
    """Return cells and their total."""
    cells = [Cell(name, count) for name, count in counts.items()]
    return [*cells, Cell("all", sum(counts.values()))], [Total("all", tuple(counts))]


def test_a_table_without_small_counts_is_shown_whole() -> None:
    """Where nobody can be told, nothing is hidden; a zero stays."""
    assert suppressed(*row(a=40, b=0, c=11)) == frozenset()


def test_one_small_count_takes_another_with_it() -> None:
    """A single hidden cell follows from the total, so the smallest other one is hidden too."""
    assert suppressed(*row(a=40, b=60, c=5)) == {"a", "c"}


def test_two_ones_are_not_enough() -> None:
    """Two hidden counts of one add up to two, which gives both away: a third is hidden."""
    assert suppressed(*row(a=1, b=1, c=30, d=80)) == {"a", "b", "c"}


def test_a_complement_that_is_never_shown_is_protected() -> None:
    """95 of 100 reached says 5 were not: one of the two is hidden, though nobody asked to see the five."""
    cells = [Cell("eligible", 100), Cell("reached", 95), Cell("not reached", 5, Standing.NEVER_SHOWN)]
    hidden = suppressed(cells, [Total("eligible", ("reached", "not reached"))])
    assert hidden == {"reached", "not reached"}


def test_the_difference_to_an_earlier_report_is_protected() -> None:
    """A quarter already published and the half year now would give the second quarter: the half year is hidden."""
    cells = [
        Cell("first quarter", 50, Standing.SHOWN_BEFORE),
        Cell("half year", 57),
        Cell("second quarter", 7, Standing.NEVER_SHOWN),
    ]
    hidden = suppressed(cells, [Total("half year", ("first quarter", "second quarter"))])
    assert hidden == {"half year", "second quarter"}


def test_what_was_given_away_before_is_said() -> None:
    """Where an earlier report gives a small count away already, nothing more is published."""
    cells = [
        Cell("first quarter", 50, Standing.SHOWN_BEFORE),
        Cell("half year", 57, Standing.SHOWN_BEFORE),
        Cell("second quarter", 7),
    ]
    with pytest.raises(StopRun, match="FA610"):
        suppressed(cells, [Total("half year", ("first quarter", "second quarter"))])
    with pytest.raises(StopRun, match="FA610"):
        suppressed([Cell("a", 3, Standing.SHOWN_BEFORE)])


def test_sums_that_do_not_hold_are_refused() -> None:
    """A table whose parts do not add up is never published."""
    with pytest.raises(StopRun, match="FA611"):
        suppressed([Cell("all", 10), Cell("a", 4), Cell("b", 5)], [Total("all", ("a", "b"))])
    with pytest.raises(StopRun, match="FA611"):
        suppressed([Cell("a", 4), Cell("a", 5)])


COUNTS = st.sampled_from([0, 0, 1, 2, 5, 10, 11, 12])


@given(st.lists(COUNTS, min_size=2, max_size=3))
@settings(max_examples=25)
def test_no_small_count_of_a_row_follows(counts: list[int]) -> None:
    """Trying every value for the hidden cells of a row leaves several for each small count; and fewer do not."""
    cells, totals = row(**dict(zip("abcd", counts, strict=False)))
    hidden = suppressed(cells, totals)
    shown_names = {cell.name for cell in cells if cell.count == 0}
    assert not hidden & shown_names
    assert is_protected(cells, totals, hidden)
    candidates = [cell.name for cell in cells if cell.count]
    for fewer in combinations(candidates, len(hidden) - 1) if hidden else ():
        assert not is_protected(cells, totals, fewer)


@given(st.lists(COUNTS, min_size=4, max_size=4))
@settings(max_examples=40)
def test_no_small_count_of_a_table_follows(counts: list[int]) -> None:
    """The same in two directions: rows and columns with their totals, as strata of two kinds."""
    square: Mapping[str, int] = dict(zip(("aa", "ab", "ba", "bb"), counts, strict=True))
    sums = {
        "a-": square["aa"] + square["ab"],
        "b-": square["ba"] + square["bb"],
        "-a": square["aa"] + square["ba"],
        "-b": square["ab"] + square["bb"],
    }
    cells = [Cell(name, count) for name, count in {**square, **sums, "--": sum(counts)}.items()]
    totals = [
        Total("a-", ("aa", "ab")),
        Total("b-", ("ba", "bb")),
        Total("-a", ("aa", "ba")),
        Total("-b", ("ab", "bb")),
    ]
    totals += [Total("--", ("a-", "b-")), Total("--", ("-a", "-b"))]
    hidden = suppressed(cells, totals)
    small = {cell.name for cell in cells if 1 <= cell.count <= SMALL}
    assert small <= hidden
    reach = spans(cells, totals, hidden)
    assert all(reach[name] >= LEAST_SPAN for name in small)


@given(st.lists(COUNTS, min_size=4, max_size=4), st.booleans())
@settings(max_examples=25)
def test_no_fewer_cells_would_do(counts: list[int], crossed: bool) -> None:
    """Also where a sum runs across rows and columns, no smaller set of cells protects what this one does."""
    names = ("aa", "ab", "ba", "bb")
    square = dict(zip(names, counts, strict=True))
    totals = [Total("a-", ("aa", "ab")), Total("b-", ("ba", "bb")), Total("-a", ("aa", "ba")), Total("--", names)]
    totals += [Total("x", ("aa", "bb"))] if crossed else []
    cells = [Cell(name, count) for name, count in square.items()]
    cells += [Cell(total.total, sum(square[part] for part in total.parts)) for total in totals]
    table = suppression._Table(cells, totals)
    hidden = {table.at[name] for name in suppressed(cells, totals)}
    assert not suppression._exposed(table, hidden)
    others = [at for at, cell in enumerate(cells) if cell.count > SMALL]
    for fewer in combinations(others, max(len(hidden - set(table.small)) - 1, 0)) if hidden else ():
        chosen = {*table.small, *fewer}
        assert len(chosen) == len(hidden) or suppression._exposed(table, chosen)


def spans(cells: Sequence[Cell], totals: Sequence[Total], hidden: Iterable[str]) -> dict[str, int]:
    """Return how far apart two tables with the same sums can lie in each cell, by walking whole-number steps.

    Every step adds and takes one along a loop of hidden cells, as an attacker would look for other tables.
    """
    names = [cell.name for cell in cells]
    true = {cell.name: cell.count for cell in cells}
    unseen = [name for name in names if name in set(hidden)]
    steps = [
        step
        for step in product((-1, 0, 1), repeat=len(unseen))
        if any(step) and all(_holds(total, dict(zip(unseen, step, strict=True))) for total in totals)
    ]
    seen = {tuple(true[name] for name in unseen)}
    edge = list(seen)
    while edge and len(seen) < 3000:
        table = edge.pop(0)
        for step in steps:
            other = tuple(value + change for value, change in zip(table, step, strict=True))
            if other not in seen and min(other) >= 1:
                seen.add(other)
                edge.append(other)
    return {name: max(t[at] for t in seen) - min(t[at] for t in seen) for at, name in enumerate(unseen)}


def _holds(total: Total, change: Mapping[str, int]) -> bool:
    return change.get(total.total, 0) == sum(change.get(part, 0) for part in total.parts)
