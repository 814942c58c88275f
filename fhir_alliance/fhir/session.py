"""How care was given in a session, from its Encounter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from fhir_alliance.core.model import Mode

# v3-ActCode as FHIR R4 binds it to Encounter.class: everything where both are in one place is in person.
_IN_PERSON: Final = frozenset({"AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS"})
_VIRTUAL: Final = "VR"
# SNOMED CT: 185317003 telephone encounter. VR alone does not tell picture from voice; without this it is video.
_BY_PHONE: Final = frozenset({("http://snomed.info/sct", "185317003")})


def mode_of(encounter: Mapping[str, Any]) -> Mode:
    """Return how care was given: in person, by video, by phone; unknown where the Encounter does not say."""
    with suppress(TypeError, AttributeError):  # what has not the shape of FHIR does not say
        return _mode(encounter)
    return Mode.UNKNOWN


def _mode(encounter: Mapping[str, Any]) -> Mode:
    kind = str((encounter.get("class") or {}).get("code", ""))
    if kind in _IN_PERSON:
        return Mode.IN_PERSON
    if kind != _VIRTUAL:
        return Mode.UNKNOWN
    return Mode.PHONE if _BY_PHONE & set(_types(encounter)) else Mode.VIDEO


def _types(encounter: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for concept in encounter.get("type") or ():
        for coding in concept.get("coding") or ():
            yield str(coding.get("system", "")), str(coding.get("code", ""))
