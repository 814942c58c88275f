"""Which cells of a published table have to be hidden, so that no count of 1 to 10 people is shown or can be derived.

Counts of 1 to 10 are hidden; a zero says nothing about a person and stays (ResDAC node 1506 and the cell size
suppression policy of CMS, 2024: no cell, and no percentage or difference from which one follows). What else has to be
hidden is found by the exact method of Fischetti and Salazar (2001, Management Science 47(7):1008-1027): the fewest
cells, such that for every small count the published sums still allow a span of values.

A table is cells and sums. Whatever a reader could work out belongs in it as a cell, also when it is never shown:
"eligible but not reached", the difference between two periods, what an earlier report said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

import highspy
import msgspec

from fhir_alliance.errors import StopRun

SMALL: Final = 10  # counts of 1 to 10; ResDAC node 1506
LEAST_SPAN: Final = 3  # ours: what follows from the rest leaves at least four values possible

_NEAR: Final = 4 * LEAST_SPAN  # 3 times and less hid more than needed in some random tables, this in none of 650
_ENOUGH: Final = LEAST_SPAN - 1e-6  # for a solver that reckons in floating point


class Standing(StrEnum):
    """What readers know of a cell before this report."""

    NEW = "new"
    NEVER_SHOWN = "never-shown"
    SHOWN_BEFORE = "shown-before"
    HIDDEN_BEFORE = "hidden-before"


class Cell(msgspec.Struct, frozen=True):
    """A count of people, and where it stands. numbers: how many published numbers are this one, hidden with it."""

    name: str
    count: int
    standing: Standing = Standing.NEW
    numbers: int = 1


class Total(msgspec.Struct, frozen=True):
    """A sum that readers know to hold: the total is what its parts add up to."""

    total: str
    parts: tuple[str, ...]


def suppressed(cells: Sequence[Cell], totals: Iterable[Total] = ()) -> frozenset[str]:
    """Return the names of the cells that are not shown: the fewest that protect every count of 1 to 10.

    Those that were never shown, or hidden before, are among them.
    Raises StopRun FA610 where what was published before already gives a small count away; FA611 for a table whose sums
    do not hold.
    """
    table = _Table(cells, tuple(totals))
    if not table.small:
        return frozenset(cell.name for cell in cells if cell.standing in _OUT_OF_SIGHT)
    hidden = _fewest_hidden(table)
    if hidden is None:
        raise StopRun(
            "FA610", "what was published before gives a count of 1 to 10 away, whatever is hidden now.",
            "Do not publish this report; withdraw the earlier one, or report on another period.",
        )  # fmt: skip
    return hidden


_Variables: TypeAlias = Mapping[int, highspy.highs.highs_var]
_OUT_OF_SIGHT = frozenset({Standing.NEVER_SHOWN, Standing.HIDDEN_BEFORE})


class _Table:
    """Cells by name, the sums as rows of +1 and -1, and the small counts to protect."""

    def __init__(self, cells: Sequence[Cell], totals: Sequence[Total]) -> None:
        self.cells = tuple(cells)
        self.at = {cell.name: index for index, cell in enumerate(cells)}
        if len(self.at) != len(self.cells):
            raise StopRun("FA611", "two cells of the table have the same name.", "This is a defect: report it.")
        self.rows = tuple({self.at[total.total]: -1, **{self.at[part]: 1 for part in total.parts}} for total in totals)
        for total, row in zip(totals, self.rows, strict=True):
            if sum(sign * cells[index].count for index, sign in row.items()):
                raise StopRun("FA611", f"the parts of {total.total} do not add up.", "This is a defect: report it.")
        self.small = tuple(index for index, cell in enumerate(cells) if 1 <= cell.count <= SMALL)
        for index in self.small:
            if cells[index].standing is Standing.SHOWN_BEFORE:
                raise StopRun("FA610", "a count of 1 to 10 was published before.", "Withdraw that report first.")

    def room_below(self, index: int) -> int:
        """Return how much lower a hidden count could be: a hidden one is at least 1, one never shown may be 0."""
        cell = self.cells[index]
        return cell.count if cell.standing is Standing.NEVER_SHOWN else max(cell.count - 1, 0)

    def may_hide(self, index: int) -> bool:
        """Return whether hiding a cell is possible, and worth anything: a zero stays, and what was shown is known."""
        return self.cells[index].standing is not Standing.SHOWN_BEFORE and self.cells[index].count != 0

    def room_above(self) -> int:
        """Return how much higher a hidden count could be, for a bound that never binds."""
        return sum(cell.count for cell in self.cells) + LEAST_SPAN


def _fewest_hidden(table: _Table) -> frozenset[str] | None:
    """Return the solution of the exact model, or None where there is none.

    What has to be hidden anyway protects most small counts already, and hiding more never takes protection away: only
    the others are put into the model.
    """
    forced = {i for i, cell in enumerate(table.cells) if cell.standing in _OUT_OF_SIGHT} | set(table.small)
    exposed = _exposed(table, forced)
    if not exposed:
        return frozenset(table.cells[index].name for index in forced)
    # A loop of cells that lets a count move by the span moves none of them much further. With a near bound the model is
    # several times faster; only where no table lies so near is one looked for further away.
    for most in (_NEAR, table.room_above()):
        chosen = _chosen(table, forced, exposed, most)
        if chosen is not None:
            return frozenset(table.cells[index].name for index in (*forced, *chosen))
    return None


def _chosen(table: _Table, forced: Collection[int], exposed: Iterable[int], most: int) -> list[int] | None:
    """Return the fewest cells that protect what is exposed, or None. most: how far a cell may lie from the truth."""
    model = _model()
    model.setOptionValue("mip_rel_gap", 0.0)
    open_cells = [i for i in range(len(table.cells)) if i not in forced and table.may_hide(i)]
    if not open_cells:
        return None
    hides = {index: model.addBinary() for index in open_cells}
    for small in exposed:
        above, below = (_other_table(model, table, forced, hides, most) for _ in range(2))
        model.addConstr(above[small] - below[small] >= LEAST_SPAN)
    # The fewest numbers; among those, the least people: a total is worth more than a part of it.
    people = sum(cell.count for cell in table.cells) + 1
    share = 1 / people / (len(table.cells) + 1)
    cost = {index: table.cells[index].numbers + table.cells[index].count * share for index in open_cells}
    model.minimize(sum(hides[index] * cost[index] for index in open_cells))
    if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return [index for index in open_cells if model.val(hides[index]) > 0.5]


def _model() -> highspy.Highs:
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()
    return model


def _exposed(table: _Table, hidden: Collection[int]) -> list[int]:
    """Return the small counts that have no span where these cells are hidden: a linear programme for each end."""
    model = _model()
    moved = _other_table(model, table, hidden, {}, table.room_above())
    reach = {index: [0.0, 0.0] for index in table.small}  # how far each was seen to lie below and above the truth
    for small in table.small:
        for sign in (1, -1):
            if reach[small][1] - reach[small][0] >= _ENOUGH:
                break
            model.minimize(sign * moved[small])
            for index, ends in reach.items():  # a table that shows one count in doubt often does so for others
                at = model.val(moved[index])
                ends[:] = min(ends[0], at), max(ends[1], at)
    return [index for index, (low, high) in reach.items() if high - low < _ENOUGH]


def _other_table(
    model: highspy.Highs, table: _Table, hidden: Collection[int], hides: _Variables, most: int
) -> _Variables:
    """Return how far each cell lies from the true one in a table that readers cannot tell from it.

    It has the same sums, and is another one only where cells are hidden.
    hides: the cells of which that is still open, with the variable that says it; all others are shown.
    most: how far any of them may lie from the truth.
    """
    least = {index: -min(table.room_below(index), most) for index in (*hidden, *hides)}
    moved = {index: model.addVariable(low, most) for index, low in least.items()}
    for index, hide in hides.items():
        model.addConstr(moved[index] <= most * hide)
        model.addConstr(moved[index] >= least[index] * hide)
    for row in table.rows:
        parts = [sign * moved[index] for index, sign in row.items() if index in moved]
        if parts:
            model.addConstr(sum(parts) == 0)
    return moved
