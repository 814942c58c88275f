"""What the state folder of a store holds: how far it has been read, and what waits for whom."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec

from fhir_alliance.stores.journal import Journal, Waiting


class State(msgspec.Struct, frozen=True):
    """The journal in numbers.

    bookmark: server time up to which all is done.  unsettled: writes whose outcome is not known.
    parked: records that wait for a person.  safety: answers in the outbox that no clinician was asked about yet.
    """

    folder: str
    bookmark: str
    unsettled: int
    parked: int
    safety: int


def state_of(folder: Path) -> State:
    """Return what a state folder holds, read without its lease; raises StopRun FA502 or FA510 where it is damaged."""
    with closing(Journal.rehearsal(folder)) as journal:
        waits = (len(journal.unsettled()), len(journal.parked()), len(journal.outbox.waiting()))
        return State(str(folder), journal.bookmark(), *waits)


def parked_of(folder: Path) -> list[Waiting]:
    """Return the records that wait for a person, read without the lease."""
    with closing(Journal.rehearsal(folder)) as journal:
        return journal.parked()
