"""A funnel of therapists or sites without names: each share against how many clients it rests on.

It shows how far chance alone reaches, so that nobody is ranked. Nobody is named, in the drawing or in its table.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Final

import msgspec
from htpy import Element, Fragment, fragment

from fhir_alliance.core.control_limits import THREE_SD, TWO_SD, share_limits
from fhir_alliance.core.cutoffs import plain
from fhir_alliance.views.axes import ticks
from fhir_alliance.views.drawing import Shape, Span, cut, joined, line, point, words
from fhir_alliance.views.picture import Drawn, Picture, Table

_LEFT, _TOP, _BOTTOM, _RIGHT, _WIDTH, _HEIGHT = 64, 34, 340, 590, 760, 396
_PLACES: Final = ("below 99.8 %", "within 99.8 %", "above 99.8 %")
_BANDS: Final = (1, 11, 20, 50, 100, 200)  # clients; ours
_SOURCE: Final = "Spiegelhalter 2005, Stat Med 24(8):1185-1202"


class Group(msgspec.Struct, frozen=True):
    """One therapist's or site's clients: how many, and how many of them reached what is counted."""

    clients: int
    reached: int


class Funnel(msgspec.Struct, frozen=True):
    """What is drawn. what: what is counted, e.g. "reliable improvement".  unit: who is a point.

    centre: 0 to 1, the share of all together, or of a shrunken model's mean.
    """

    title: str
    what: str
    centre: Decimal
    groups: tuple[Group, ...]
    unit: str = "therapists"


def funnel_picture(told: Funnel, name: str = "funnel") -> Picture:
    """Return the funnel with limits of 95 % and 99.8 %."""
    most = max((group.clients for group in told.groups), default=1)
    across = Span(0, float(ticks(0, most)[-1]) if most > 1 else 2, _LEFT, _RIGHT)
    across = across._replace(high=max(across.high, most * 1.05))
    up = Span(0, 1, _BOTTOM, _TOP)
    marks = fragment[
        _axes(told, across, up),
        _limits(told, across, up),
        [_group(told, group, many, across, up) for group, many in Counter(_sorted(told)).items()],
    ]
    return Picture(name, told.title, _said(told), Drawn(_WIDTH, _HEIGHT, marks), _table(told))


def _axes(told: Funnel, across: Span, up: Span) -> Fragment:
    marks: list[Element] = []
    for percent in range(0, 101, 20):
        y = up.at(percent / 100)
        marks += [
            line((across.start, y), (across.end, y), "grid"),
            words((across.start - 8, y + 4), f"{percent} %", "quiet", "end"),
        ]
    for value in ticks(0, Decimal(str(across.high))):
        if value == int(value):
            marks.append(words((across.at(float(value)), _BOTTOM + 18), plain(value), "quiet", "middle"))
    return fragment[
        marks,
        line((across.start, _BOTTOM), (across.end, _BOTTOM), "axis"),
        words((14, 18), cut(told.what, 500, 12), "strong"),
        words(
            ((across.start + across.end) / 2, _BOTTOM + 42), f"clients, for each of the {told.unit}", "strong", "middle"
        ),
        words((across.end + 8, _BOTTOM + 18), "Larger: several alike.", "quiet small"),
    ]


def _limits(told: Funnel, across: Span, up: Span) -> Fragment:
    marks: list[Element] = []
    for deviations, kind, label in ((THREE_SD, "limit", "99.8 %"), (TWO_SD, "guide", "95 %")):
        for side in (0, 1):
            sizes = sorted({max(1, round(across.high * part / 60)) for part in range(61)})
            edge = [
                (across.at(size), up.at(float(share_limits(told.centre, size, deviations)[side]))) for size in sizes
            ]
            marks.append(joined(edge, kind))
            if side:
                marks.append(words((across.end + 8, edge[-1][1] + 4), f"by chance {label}", "quiet small"))
    centre = up.at(float(told.centre))
    return fragment[
        marks,
        line((across.start, centre), (across.end, centre), "line-first"),
        words((across.end + 8, centre + 4), f"together {_percent(told.centre)}", "small"),
    ]


def _group(told: Funnel, group: Group, many: int, across: Span, up: Span) -> Element:
    """Return the shape of all groups that are alike: its area tells how many."""
    inside = _place(told, group) == _WITHIN
    place = (across.at(group.clients), up.at(float(_share(group))))
    return point(
        place, Shape.CIRCLE if inside else Shape.DIAMOND, "dot-first" if inside else "dot-second", 5 * many**0.5
    )


_BELOW, _WITHIN, _ABOVE = _PLACES


def _place(told: Funnel, group: Group) -> str:
    low, high = share_limits(told.centre, group.clients, THREE_SD)
    share = _share(group)
    return _BELOW if share < low else _ABOVE if share > high else _WITHIN


def _share(group: Group) -> Decimal:
    return Decimal(group.reached) / group.clients


def _percent(share: Decimal) -> str:
    return f"{100 * share:.0f} %"


def _sorted(told: Funnel) -> list[Group]:
    """Return the groups in an order that tells nothing of who they are."""
    return sorted(told.groups, key=lambda group: (group.clients, group.reached))


def _said(told: Funnel) -> str:
    outside = sum(_place(told, group) != _WITHIN for group in told.groups)
    return (
        f"{told.what}: {len(told.groups)} {told.unit} around {_percent(told.centre)}, without names. {outside} of them "
        f"outside the limits in which chance alone leaves 99.8 % of equals ({_SOURCE}). This ranks nobody."
    )


def _table(told: Funnel) -> Table:
    """Return how many of each size lie where; a share by caseload would be somebody's, beside a list of names."""
    many = Counter((_band(group.clients), _place(told, group)) for group in told.groups)
    rows = [
        (f"{low} to {high}" if high else f"{low} or more", *(f"{many[low, place]:,}" for place in _PLACES))
        for low, high in zip(_BANDS, [*(low - 1 for low in _BANDS[1:]), 0], strict=True)
        if any(many[low, place] for place in _PLACES)
    ]
    return Table(f"{told.title}: {told.unit} by how many clients they have", ("clients", *_PLACES), tuple(rows))


def _band(clients: int) -> int:
    return max(low for low in _BANDS if low <= clients)
