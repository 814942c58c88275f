"""The flow of a measure's populations: from everybody who came in to the numerator, and who was left out on the way."""

from __future__ import annotations

from typing import Final

import msgspec
from htpy import Element, Fragment, fragment

from fhir_alliance.core.model import Count
from fhir_alliance.views.drawing import box, cut, element, line, words
from fhir_alliance.views.picture import Drawn, Picture, Table, counted, explained

_WIDTH: Final = 720
_BOX: Final = (344, 64)
_SIDE: Final = (300, 46)
_BOLD: Final = 13.0
_LEFT, _SIDE_LEFT, _TOP, _GAP = 20, 400, 16, 34


class LeftOut(msgspec.Struct, frozen=True):
    """People who leave the flow after a stage, and why. reason: e.g. "Exclusion: hospice"."""

    reason: str
    count: Count


class Stage(msgspec.Struct, frozen=True):
    """A population of the measure, and who leaves between it and the next. note: a second line, e.g. a rate."""

    title: str
    count: Count
    left_out: tuple[LeftOut, ...] = ()
    note: str = ""


class Flow(msgspec.Struct, frozen=True):
    """A measure's populations from the widest to the numerator. title: of the measure; unit: who is counted."""

    title: str
    stages: tuple[Stage, ...]
    unit: str = "clients"


def population_flow(flow: Flow, name: str = "populations") -> Picture:
    """Return the flow as boxes with arrows; boxes are equally large, so that a hidden count shows in no size."""
    marks: list[Element | Fragment] = []
    y = float(_TOP)
    for place, stage in enumerate(flow.stages):
        is_last = place == len(flow.stages) - 1
        marks.append(_stage(stage, y, is_last=is_last))
        below = y + _BOX[1]
        y = below + (_GAP if not stage.left_out else 20 + len(stage.left_out) * (_SIDE[1] + 10) + 10)
        marks += [_left_out(entry, below + 20 + row * (_SIDE[1] + 10)) for row, entry in enumerate(stage.left_out)]
        if not is_last:
            marks.append(_arrow((_LEFT + _BOX[0] / 2, below), (_LEFT + _BOX[0] / 2, y)))
        elif stage.left_out:
            end = y - 10 - _SIDE[1] / 2 - 10
            marks.append(line((_LEFT + _BOX[0] / 2, below), (_LEFT + _BOX[0] / 2, end), "axis"))
    last_bottom = y - (_GAP if not flow.stages[-1].left_out else 0) if flow.stages else y
    return Picture(
        name,
        flow.title,
        _told(flow),
        Drawn(_WIDTH, round(last_bottom + _TOP), fragment[marks]),
        _table(flow),
    )


def _stage(stage: Stage, y: float, *, is_last: bool) -> Fragment:
    note = f"  {stage.note}" if stage.note else ""
    return fragment[
        box((_LEFT, y), _BOX, "frame-first" if is_last else "frame", 6),
        words((_LEFT + 14, y + 24), cut(stage.title, _BOX[0] - 28, _BOLD), "strong"),
        words((_LEFT + 14, y + 50), counted(stage.count), "large"),
        words((_LEFT + _BOX[0] - 14, y + 50), cut(note.strip(), 190), "quiet", "end") if note else None,
    ]


def _left_out(entry: LeftOut, y: float) -> Fragment:
    middle = y + _SIDE[1] / 2
    return fragment[
        _arrow((_LEFT + _BOX[0] / 2, middle), (_SIDE_LEFT, middle)),
        box((_SIDE_LEFT, y), _SIDE, "frame", 6),
        words((_SIDE_LEFT + 12, y + 19), cut(entry.reason, _SIDE[0] - 24)),
        words((_SIDE_LEFT + 12, y + 37), counted(entry.count), "strong"),
    ]


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> Fragment:
    """Return a line with a head that points down or to the right."""
    x, y = end
    wings = [(x - 4, y - 7), (x, y), (x + 4, y - 7)] if start[0] == x else [(x - 7, y - 4), (x, y), (x - 7, y + 4)]
    head = " ".join(f"{wx:g},{wy:g}" for wx, wy in wings)
    return fragment[line(start, end, "axis"), element("polyline", "edge", points=head)]


def _told(flow: Flow) -> str:
    parts = []
    for stage in flow.stages:
        parts.append(f"{stage.title}: {counted(stage.count)} {flow.unit}{f' ({stage.note})' if stage.note else ''}.")
        parts += [f"Left out after it: {entry.reason}, {counted(entry.count)}." for entry in stage.left_out]
    return " ".join(parts)


def _table(flow: Flow) -> Table:
    rows = []
    for stage in flow.stages:
        rows.append((stage.title, explained(stage.count), stage.note))
        rows += [(f"left out: {entry.reason}", explained(entry.count), "") for entry in stage.left_out]
    return Table(flow.title, ("population", flow.unit, "note"), tuple(rows))
