"""Receipts: which output was delivered in which way, when, and what the server calls it. One line of JSON for each.

A receipt holds keys and names of resources, and nothing that was said of a client.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from fhir_alliance.stores.files import file_to_add

FILE: Final = "receipts.ndjson"


class Receipt(NamedTuple):
    """One delivery. key: the output's identifier, the same in every way.  where: the server's id of it, or a file."""

    output: str
    key: str
    rung: str
    where: str


class Receipts:
    """The receipts of one state folder; who holds its lease may add to them."""

    def __init__(self, folder: Path, *, frozen: bool = False) -> None:
        """frozen: nothing is ever written, as in a dry run."""
        self.path = folder / FILE
        self._frozen = frozen

    def add(self, receipts: Iterable[Receipt]) -> None:
        """Add receipts, on disk when this returns; raises StopRun FA111 or FA124 where the file cannot be written."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        lines = b"".join(orjson.dumps({**r._asdict(), "time": now}) + b"\n" for r in receipts)
        if not lines or self._frozen:
            return
        with file_to_add(self.path) as out:
            out.write(lines)
            out.flush()
            os.fsync(out.fileno())
