"""Whose record was merged with whose: consent and boundaries follow the person, and get no weaker by a merge.

The surviving record's Consents count in full; those of a record that was merged into it can forbid and never permit.
What keeps somebody from one of these records keeps them from all. Patient.link says what belongs together; a server
that gives no Patients leaves each record by itself. The same Patients say who has died (`core.deceased`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from fhir_alliance.core.measures.people import Death
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.fhir.person import death_of
from fhir_alliance.runs.given import given

_STEPS: Final = 8  # of merges upon merges; nobody is merged more often


class Source(Protocol):
    """What tells of merged records: a store, or the people of a folder."""

    @property
    def base(self) -> str:
        """Return the server's address, "" of a folder."""

    def named(self, kind: str, references: Collection[str]) -> list[Mapping[str, Any]]:
        """Return Patients with these references."""

    def about(self, kind: str, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return Consents about these patients."""


class Kindred(NamedTuple):
    """The records of one person. survivor: the one that stands, empty where the links do not tell.

    ids: all of them, as references.
    """

    survivor: str
    ids: frozenset[str]


class People(NamedTuple):
    """What Patients tell of some clients: whose record was merged with whose, and who died; who is in neither is alone.

    deaths: what the surviving record says; where the links name no survivor, what any of the person's records says.
    """

    families: dict[str, Kindred]
    deaths: dict[str, Death]

    def of(self, subjects: Collection[str]) -> People:
        """Return what is told of some of them."""
        return People(
            {one: self.families[one] for one in subjects if one in self.families},
            {one: self.deaths[one] for one in subjects if one in self.deaths},
        )


def families_of(store: Source, subjects: Collection[str]) -> dict[str, Kindred]:
    """Return the family of each client whose record is linked with another; raises Unreachable FA402."""
    return people_of(store, subjects).families


def people_of(store: Source, subjects: Collection[str]) -> People:
    """Return what the Patients of some clients tell; raises Unreachable FA402 where the store does not answer."""
    links: dict[str, dict[str, set[str]]] = {}
    deaths: dict[str, Death] = {}
    waiting = set(subjects)
    for _ in range(_STEPS):
        for patient in _patients(store, waiting):
            name = f"Patient/{patient.get('id')}"
            links[name], deaths[name] = links_of(patient, store.base), death_of(patient)
        waiting = {other for own in links.values() for kind in own.values() for other in kind} - links.keys() - waiting
        if not waiting:
            break
    families = {subject: _family(subject, links) for subject in subjects}
    told = {subject: death for subject, family in families.items() if (death := _death(family, deaths)).happened}
    return People({subject: family for subject, family in families.items() if len(family.ids) > 1}, told)


def links_of(patient: Mapping[str, Any], base: str) -> dict[str, set[str]]:
    """Return the records that one was merged with, by the kind of link: replaced-by, replaces."""
    found: dict[str, set[str]] = {"replaced-by": set(), "replaces": set()}
    for link in patient.get("link") or ():
        other = local(str((link.get("other") or {}).get("reference", "")), base)
        if link.get("type") in found and other.startswith("Patient/"):
            found[link["type"]].add(other)
    return found


def _family(subject: str, links: Mapping[str, Mapping[str, Collection[str]]]) -> Kindred:
    """Return all that is linked with a record, in whichever direction it was said."""
    over = {(old, new) for old, own in links.items() for new in own["replaced-by"]}
    over |= {(old, new) for new, own in links.items() for old in own["replaces"]}
    ids, before = {subject}, set[str]()
    while ids != before:
        before = set(ids)
        ids |= {one for pair in over if ids.intersection(pair) for one in pair}
    standing = ids - {old for old, _ in over}
    return Kindred(standing.pop() if len(standing) == 1 else "", frozenset(ids))


def _death(family: Kindred, deaths: Mapping[str, Death]) -> Death:
    """Return what is known of a person's death. deaths: of each record that was read."""
    if family.survivor in deaths:
        return deaths[family.survivor]
    told = [deaths[one] for one in sorted(family.ids & deaths.keys()) if deaths[one].happened]
    return told[0] if told else Death()


def _patients(store: Source, references: Iterable[str]) -> list[Mapping[str, Any]]:
    found = given(lambda: store.named("Patient", sorted(references)))
    return [patient for patient in found or () if is_shaped(patient)]
