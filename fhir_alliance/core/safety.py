"""Answers that a clinician has to see, found before scoring and apart from it.

Nothing here grades risk, and a zero is never taken for safety: most people who died by suicide had
answered "not at all" shortly before (Louzon et al. 2016, appi.ps.201500149).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from fhir_alliance.core.labels import NOT_TO_SUPERVISOR, NOT_TO_THERAPIST, union
from fhir_alliance.core.model import Answer, Instrument, Item

_WISHES = frozenset({NOT_TO_THERAPIST, NOT_TO_SUPERVISOR})


class ConcernKind(StrEnum):
    """What about the safety item asks for a look."""

    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    UNREADABLE = "unreadable"


class Concern(msgspec.Struct, frozen=True):
    """One form whose safety item a clinician should look at. Holds no answer.

    language: the form was answered in it; empty where unknown.
    labels: security labels of the form; whom the client keeps its rating from is not among them: an answer about safety
    is always seen by a clinician.
    """

    response_key: str
    reference: str
    subject: str
    encounter: str
    instrument: str
    title: str
    kind: ConcernKind
    when: datetime | None
    language: str = ""
    labels: tuple[str, ...] = ()


def concern_labels(instrument: Instrument, form: Iterable[str]) -> tuple[str, ...]:
    """Return the labels of a concern. form: those of the form itself."""
    critical = (item.labels for item in instrument.items if item.critical is not None)
    found = union(instrument.labels, *critical, form)
    return tuple(label for label in found if label.rpartition("|")[2] not in _WISHES)


def concern_kind(
    critical: Iterable[Item], answers: Mapping[str, Answer], unreadable: Collection[str] = (), *, finished: bool = True
) -> ConcernKind | None:
    """Return why a clinician should look at the form, or None where its safety items give no reason.

    unreadable: linkIds whose answer could not be understood.
    finished: False for a form still being filled in, where an item without an answer says nothing yet.
    """
    found = None
    for item in critical:
        kind = _kind_of(item, answers, unreadable, finished)
        if kind is ConcernKind.ANSWERED:
            return kind  # what was said outweighs what was not
        if found is None or kind is ConcernKind.UNANSWERED:
            found = kind or found
    return found


def _kind_of(
    item: Item, answers: Mapping[str, Answer], unreadable: Collection[str], finished: bool
) -> ConcernKind | None:
    answer = answers.get(item.link_id)
    if item.link_id in unreadable:
        return ConcernKind.UNREADABLE
    if isinstance(answer, (int, Decimal)):
        return ConcernKind.ANSWERED if item.critical is not None and answer >= item.critical.at_least else None
    is_skipped = item.critical is not None and item.critical.asked_if and answers.get(item.critical.asked_if) == 0
    return ConcernKind.UNANSWERED if finished and not is_skipped else None
