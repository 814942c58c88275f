"""Which forms come from a program under 42 CFR Part 2 (substance use disorder treatment), told by organization."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from fhir_alliance.core.labels import PART_2, union
from fhir_alliance.core.model import Response
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.stores.store import Store

EVERYTHING: Final = "*"  # the whole site is such a program


def labelled(forms: Sequence[Response], store: Store, programs: frozenset[str]) -> list[Response]:
    """Return the forms, those of a Part 2 program labelled so.

    programs: references of organizations, or "*".  The organization is that of the form's Encounter, else that of the
    client's episodes of care. Where neither says, the form counts as the program's: it may be, and nobody can tell.
    """
    if not programs:
        return list(forms)
    if EVERYTHING in programs:
        return [protected(form) for form in forms]
    encounters = store.named("Encounter", {form.encounter for form in forms} - {""})
    places = {f"Encounter/{e.get('id')}": _organization(e, "serviceProvider", store.base) for e in _shaped(encounters)}
    subjects = {form.subject for form in forms if not places.get(form.encounter)}
    episodes = _episodes(store.about("EpisodeOfCare", sorted(subjects)) if subjects else (), store.base)
    found = []
    for form in forms:
        place = places.get(form.encounter)
        of_client = {place} if place else episodes.get(form.subject, set())
        found.append(protected(form) if not of_client or of_client & programs else form)
    return found


def is_of_program(encounter: Mapping[str, Any] | None, programs: frozenset[str], base: str) -> bool:
    """Return whether a session is known to be of a Part 2 program; one of which nobody can tell is not.

    That is for reviews of safety answers, which have to be seen: a label on a guess could hide one.
    """
    return EVERYTHING in programs or _organization(encounter or {}, "serviceProvider", base) in programs


def protected(form: Response) -> Response:
    """Return a form labelled as a Part 2 program's."""
    return msgspec.structs.replace(form, labels=union(form.labels, (PART_2,)))


def _episodes(episodes: Iterable[Mapping[str, Any]], base: str) -> dict[str, set[str]]:
    """Return the organizations that look after each client; one episode that names none hides them all."""
    found: dict[str, set[str]] = {}
    unnamed = set()
    for episode in _shaped(episodes):
        subject = local(str((episode.get("patient") or {}).get("reference", "")), base)
        if place := _organization(episode, "managingOrganization", base):
            found.setdefault(subject, set()).add(place)
        else:
            unnamed.add(subject)
    return {subject: places for subject, places in found.items() if subject not in unnamed}


def _organization(resource: Mapping[str, Any], element: str, base: str) -> str:
    named = resource.get(element)
    return local(str(named.get("reference", "")), base) if isinstance(named, dict) else ""


def _shaped(resources: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return (resource for resource in resources if is_shaped(resource))
