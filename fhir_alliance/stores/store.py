"""The few verbs that a store has. A server and a folder both speak them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec

from fhir_alliance.core.model import Write
from fhir_alliance.fhir.difference import Change, Known
from fhir_alliance.fhir.inbound import Place
from fhir_alliance.stores.journal import Journal


class Record(msgspec.Struct, frozen=True, gc=False):
    """One resource as JSON, and where it stands: a file, line and entry, or a server's reference."""

    source: str
    body: bytes
    line: int = 0
    entry: int = 0

    @property
    def place(self) -> Place:
        """Where it stands, made only where somebody is told: a large file has a million lines."""
        return Place(self.source, self.line, self.entry)


class Page(NamedTuple):
    """Some QuestionnaireResponses. mark: server time up to which all have been read, empty where unknown.

    digests: of those that are found again by what they say, by reference; kept when all they gave is confirmed.
    """

    records: list[Record]
    mark: str
    digests: Mapping[str, str] = {}


Seen: TypeAlias = Callable[[str], str]  # the digest that a response had when it was read, or ""


def unseen(reference: str) -> str:
    """Return that nothing was read before."""
    return ""


class PersonRecord(NamedTuple):
    """A Patient, and the resources about them.

    adopted: how many of these name a subject that is not there, but came in a Bundle of this one patient.
    """

    patient: Mapping[str, Any]
    resources: list[Mapping[str, Any]]
    adopted: int = 0


NOT_TAKEN: Final = "FA408"  # the code of a Refusal where the store takes nothing of that type at all


class Refusal(NamedTuple):
    """A group of writes that the store does not take, with a code and a reason without patient data."""

    group: str
    code: str
    reason: str


class Written:
    """What became of a set of changes."""

    def __init__(self) -> None:
        self.created: Counter[str] = Counter()
        self.updated: Counter[str] = Counter()
        self.unchanged: Counter[str] = Counter()
        self.refused: list[Refusal] = []
        self.unknown: list[Write] = []
        self.lower: set[str] = set()  # why anything was sent in a lower way than the best, in words


class Store(Protocol):
    """Where resources live."""

    name: str
    base: str

    pulled_by: str  # how responses were found, and why, in words; empty where it is the way that one would expect

    def responses(self, since: str, again: Collection[str], seen: Seen = unseen) -> Iterator[Page]:
        """Yield the QuestionnaireResponses changed since a mark, and those named in `again`."""

    def again(self, references: Collection[str]) -> Iterator[Page]:
        """Yield the QuestionnaireResponses with these references, and no others."""

    def about(self, kind: str, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all resources of a type about these patients (references)."""

    def active(self, kind: str) -> list[Mapping[str, Any]]:
        """Return all resources of a type whose status is active."""

    def tasks(self, code: str, statuses: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all Tasks with a code of ours that stand in one of these statuses."""

    def messages(self, topic: str, statuses: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all Communications with a topic of ours that stand in one of these statuses."""

    def named(self, kind: str, references: Collection[str]) -> list[Mapping[str, Any]]:
        """Return the resources of a type with these references; missing ones are left out."""

    def canonicals(self, kind: str, urls: Collection[str]) -> list[Mapping[str, Any]]:
        """Return Questionnaires, profiles and the like by their url; all of the type when `urls` is empty."""

    def people(self, kinds: Collection[str]) -> Iterator[PersonRecord]:
        """Yield all patients by id, each with all resources of these types, and all Consents, about them."""

    def put(self, changes: Sequence[Change], known: Known, journal: Journal) -> Written:
        """Write the changes, each group whole or not at all."""

    def takes(self, kind: str, journal: Journal) -> bool:
        """Return whether new resources of a type are taken, as far as is known before one is sent."""

    def updates(self, kind: str, journal: Journal) -> bool:
        """Return whether resources of a type can be changed, as far as is known before one is sent."""

    def log(self, events: Sequence[bytes]) -> bool:
        """Take AuditEvents; False where this store takes none, or nobody knows whether it did."""

    def create(self, change: Change, known: Known, journal: Journal) -> Written:
        """Create one resource by itself, in no transaction, unless its identifier stands there already."""

    def finish(self) -> None:
        """Make everything durable."""

    def close(self) -> None:
        """Let go of what was held."""
