"""Change for one pair of scores, or for all clients of a table: settle by what, judge, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from fhir_alliance.core.change import Change, ChangeClass, How, Pair, change
from fhir_alliance.core.change_methods import Method, NotComputable
from fhir_alliance.core.change_settings import GIVEN, Asked, Published, sample_of, settle
from fhir_alliance.core.cutoffs import CutoffKind
from fhir_alliance.core.model import Direction, Instrument, Norm, Scale
from fhir_alliance.errors import Exit
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.change_table import Misuse, Table, in_range, read_pairs


class Counts(msgspec.Struct, frozen=True):
    """How many clients of a table are in which class.

    n: clients with a row for the first or the last time.  used: those with a class.  reasons: why others have none.
    refused: rows that need a person.  how: by what was judged, or what was lacking.
    """

    n: int
    used: int
    classes: Mapping[ChangeClass, int]
    reasons: Mapping[str, int]
    refused: tuple[str, ...]
    how: How | NotComputable

    @property
    def exit(self) -> Exit:
        """Return the exit status: done, or done with some rows parked."""
        return Exit.PARKED if self.refused else Exit.DONE


class Question(msgspec.Struct, frozen=True):
    """What a call of the command asks: by what, of which scale, and what stands with that scale."""

    asked: Asked
    published: Published
    scale: Scale | None = None


def question_of(flags: Mapping[str, Any], catalog: Catalog | None = None) -> Question:
    """Return what the flags of the command ask for; raises Misuse FA601 where they cannot be meant.

    catalog: where `instrument` is looked up, if it is given.
    """
    scale = scale_of(catalog.find(flags["instrument"]), flags["scale"]) if catalog else None
    return Question(_asked(flags), _published(scale, flags["higher_is"]), scale)


def scale_of(instrument: Instrument, name: str | None = None) -> Scale:
    """Return a scale by its id, or else the total, or else the only one; raises Misuse FA601."""
    by_id = {scale.id: scale for scale in instrument.scales}
    wanted = name or (next(iter(by_id)) if len(by_id) == 1 else "total")
    if wanted not in by_id:
        raise Misuse("FA601", f"{instrument.id} has no scale {wanted!r}.", f"Give --scale {' or '.join(by_id)}.")
    return by_id[wanted]


def change_of_pair(before: Decimal, after: Decimal, question: Question) -> Change | NotComputable:
    """Return what became of one client, or why that cannot be said."""
    how = settle(question.asked, question.published)
    pair = Pair(in_range(before, question.scale), in_range(after, question.scale))
    return how if isinstance(how, NotComputable) else change(pair, how)


def change_of_table(table: Table, question: Question) -> Counts:
    """Return how many clients of a table are in which class; raises Misuse FA602-FA605."""
    pairs = read_pairs(table, question.scale)
    how = settle(question.asked, question.published, sample_of(pairs.complete()))
    classes, reasons = Counter[ChangeClass](), Counter[str]()
    for pair in pairs.by_client.values():
        result = how if isinstance(how, NotComputable) else change(pair, how)
        if isinstance(result, NotComputable):
            reasons[result.reason] += 1
        else:
            classes[result.kind] += 1
    return Counts(len(pairs.by_client), classes.total(), classes, reasons, pairs.refused, how)


def _asked(flags: Mapping[str, Any]) -> Asked:
    method, cutoff = Method(flags["method"]), flags["cutoff"]
    for name, its in (("minimal_change", Method.ANCHOR), ("percent", Method.PERCENTAGE)):
        if flags[name] is not None and method is not its:
            raise Misuse("FA601", f"--{name.replace('_', '-')} is for another method.", f"Add --method {its.value}.")
    if flags["percent"] is not None and 0 < flags["percent"] < 1:
        raise Misuse("FA601", "--percent is below 1.", "Half of the first score is --percent 50.")
    return Asked(
        method,
        flags["sd"],
        flags["reliability"],
        flags["reliability_after"],
        _norm(flags, "functional"),
        _norm(flags, "clinical"),
        CutoffKind(cutoff) if isinstance(cutoff, str) else cutoff,
        flags["minimal_change"],
        flags["percent"],
    )


def _norm(flags: Mapping[str, Any], name: str) -> Norm | None:
    mean, sd = flags[f"{name}_mean"], flags[f"{name}_sd"]
    if (mean is None) != (sd is None):
        raise Misuse("FA601", f"Of --{name}-mean and --{name}-sd only one is given.", "Give both or neither.")
    return None if mean is None else Norm(mean, sd, GIVEN)


def _published(scale: Scale | None, higher_is: str | None) -> Published:
    if scale is None:
        if higher_is is None:
            raise Misuse("FA601", "It is not said what a higher score means.", "Give --higher-is or --instrument.")
        return Published(Direction(higher_is))
    if higher_is not in (None, scale.higher_is):
        raise Misuse("FA601", f"A higher {scale.title} is {scale.higher_is}.", "Leave --higher-is out.")
    return Published(scale.higher_is, scale.caseness, scale.change)
