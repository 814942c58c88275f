"""Security labels: how confidential a datum is, and what makes it sensitive; from items to scores to documents.

A label is a code: of v3-Confidentiality, of v3-ActCode, or `system|code` of any other. Whatever is made of several data
carries the highest of their confidentialities and all of their sensitivities. What says nothing counts as very
restricted.
Source: HL7 v3-Confidentiality as published with FHIR R4, whose concepts are ordered U < L < M < N < R < V.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

ORDER: Final = ("U", "L", "M", "N", "R", "V")  # unrestricted, low, moderate, normal, restricted, very restricted
PART_2: Final = "42CFRPart2"
NOTES: Final = "PSYTHPN"
REDACTED: Final = "REDACTED"
SUBSETTED: Final = "SUBSETTED"
# Ours. The client keeps one session's rating from somebody; it stands on the form, and on what is made of it.
NOT_TO_THERAPIST: Final = "withheld-from-therapist"
NOT_TO_SUPERVISOR: Final = "withheld-from-supervisor"
ALLIANCE: Final = "https://fhir-alliance.org/fhir/CodeSystem/terms|alliance-restricted"  # a judgement on the alliance
_HIGHEST: Final = ORDER[-1]


class Ceiling(msgspec.Struct, frozen=True):
    """What a way out may carry: a highest confidentiality, and sensitivities that it may not carry at all."""

    confidentiality: str = "R"
    never: frozenset[str] = frozenset()


# The record that the forms came from: whatever it holds it may be given back, very restricted or not.
OWN_RECORD: Final = Ceiling("V")
# Somebody outside: no notes of a psychotherapist, no judgement on the alliance, nothing very restricted; Part 2 data
# only by a decision that says so.
OUTSIDE: Final = Ceiling("R", frozenset({NOTES, PART_2, ALLIANCE}))


def union(*groups: Iterable[str]) -> tuple[str, ...]:
    """Return the labels of what is made of several data: the highest confidentiality, then all others as they came."""
    named = list(dict.fromkeys(label for group in groups for label in group))
    ranks = [ORDER.index(label) for label in named if label in ORDER]
    highest = (ORDER[max(ranks)],) if ranks else ()
    return (*highest, *(label for label in named if label not in ORDER))


def confidentiality(labels: Iterable[str]) -> str:
    """Return how confidential a datum with these labels is; very restricted where none of them says."""
    ranks = [ORDER.index(label) for label in labels if label in ORDER]
    return ORDER[max(ranks)] if ranks else _HIGHEST


def covers(labels: Collection[str], others: Collection[str]) -> bool:
    """Return whether labels are at least as high as others, and name all that they name."""
    ranks = [ORDER.index(label) for label in labels if label in ORDER]
    asked = [ORDER.index(label) for label in others if label in ORDER]
    return set(others) - set(ORDER) <= set(labels) and (not asked or max(ranks, default=-1) >= max(asked))


def may_carry(labels: Iterable[str], ceiling: Ceiling) -> bool:
    """Return whether a way out may carry what has these labels."""
    named = frozenset(labels)
    return ORDER.index(confidentiality(named)) <= ORDER.index(ceiling.confidentiality) and not named & ceiling.never


def lifted(ceiling: Ceiling, label: str) -> Ceiling:
    """Return a ceiling that lets one sensitivity through, because a consent decision named it."""
    return msgspec.structs.replace(ceiling, never=ceiling.never - {label})


def is_kept_from(labels: Iterable[str], whom: str) -> bool:
    """Return whether one of the labels keeps a datum from somebody, in whatever code system it stands."""
    return any(label.rpartition("|")[2] == whom for label in labels)
