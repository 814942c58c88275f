"""Change for one pair of scores, or for all clients of a table in CSV: read, pair, judge, count."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

import msgspec

from fhir_alliance.core.change import Change, ChangeClass, ChangeNumbers, Pair, change
from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.change_settings import Asked, Published, sample_of, settle
from fhir_alliance.core.cutoffs import Cutoff
from fhir_alliance.core.model import Direction, Instrument, NoValue, Number, Scale
from fhir_alliance.errors import AllianceError, Exit, ParkItem, StopRun

# What spreadsheets and statistics programs write where there is no value.
_NO_VALUE = {"", "na", "n/a", "nan", "null", "none", ".", "-", "#n/a"}
_ABSENT = NoValue("unknown", "its value is missing")
_SHOWN = 20


class Misuse(AllianceError):
    """The command was called with what cannot be meant."""

    exit = Exit.USAGE


class Table(msgspec.Struct, frozen=True):
    """A CSV file with one row per client and time, and which of its columns and times are meant."""

    path: Path
    id: str
    time: str
    value: str
    first: str
    last: str


class Counts(msgspec.Struct, frozen=True):
    """How many clients of a table are in which class.

    n: clients with a row at the first or last time.  used: those with a class.  reasons: why the others have none.
    refused: rows that need a person, by line number; never what stands in them.
    cutoff: absent where none was used.
    """

    n: int
    used: int
    classes: Mapping[ChangeClass, int]
    reasons: Mapping[str, int]
    refused: tuple[str, ...]
    cutoff: Cutoff | None
    words: str

    @property
    def exit(self) -> Exit:
        """Return the exit status: some rows parked, or done."""
        return Exit.PARKED if self.refused else Exit.DONE


class _Row(NamedTuple):
    line: int
    client: str
    is_first: bool
    value: Number | NoValue


def scale_of(instrument: Instrument, name: str) -> Scale:
    """Return a scale by id; without one the total, or the only one. Raises Misuse FA601."""
    ids = [scale.id for scale in instrument.scales]
    wanted = name or ("total" if "total" in ids else ids[0] if len(ids) == 1 else "")
    if wanted not in ids:
        raise Misuse("FA601", f"{instrument.id} has no scale {wanted!r}." if wanted else f"{instrument.id} has several scales.", f"Give --scale: {', '.join(ids)}.")
    return instrument.scales[ids.index(wanted)]
