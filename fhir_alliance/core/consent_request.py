"""What is asked of consent: who wants to do what, with which datum of which client, and why.

A request is gathered before it is decided, and nothing is looked up while it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from fhir_alliance.core.labels import NOT_TO_SUPERVISOR, NOT_TO_THERAPIST, NOTES, PART_2, union
from fhir_alliance.core.model import Code, Family, Response

# Site labels that say what kind of answer a datum holds; a Consent names a level by them.
ALLIANCE_ITEM: Final = "alliance-item"
ITEM_ANSWER: Final = "item-answer"
FREE_TEXT: Final = "free-text"
LEVEL_LABELS: Final = frozenset({ALLIANCE_ITEM, ITEM_ANSWER, FREE_TEXT})
AUTHOR_ONLY: Final = "author-only"
_OURS = LEVEL_LABELS | {AUTHOR_ONLY, NOT_TO_THERAPIST, NOT_TO_SUPERVISOR}
_SPECIAL = frozenset({NOTES, PART_2, AUTHOR_ONLY})
_LABELS = frozenset({"R", "PSY"})  # what every form of ours carries at least


class DataLevel(StrEnum):
    """How close a datum is to what the client said."""

    AGGREGATE = "aggregate"
    SCORE = "score"
    ITEM = "item"
    TEXT = "text"


class Action(StrEnum):
    """FHIR's consent actions (R4 ValueSet consent-action)."""

    COLLECT = "collect"
    ACCESS = "access"
    USE = "use"
    DISCLOSE = "disclose"
    CORRECT = "correct"


class Role(StrEnum):
    """What somebody is to a client. One person may be several things."""

    CUSTODIAN = "custodian"
    CLIENT = "client"
    TREATING = "treating"
    SUPERVISING = "supervising"
    NOTES_AUTHOR = "notes-author"
    QUALITY = "quality"
    RESEARCH = "research"
    PAYER = "payer"
    FAMILY = "family"
    PROGRAM = "program"


class Recipient(msgspec.Struct, frozen=True):
    """Who would receive it.

    references: every name the record has for this person or organization.  organizations: those they act for.
    is_known: whether these are all; if not, a rule about somebody else may be about them.
    """

    references: frozenset[str] = frozenset()
    organizations: frozenset[str] = frozenset()
    roles: frozenset[Role] = frozenset()
    is_known: bool = False


class Datum(msgspec.Struct, frozen=True):
    """What it is about.

    classes: the resource types and profiles involved.  codes: the instrument's and its scores'.
    instances, related, authors: references to the resources, to what they belong to, and to who wrote them.
    first, last: when the data are from.  people: how many clients an aggregate is of.
    is_special: whether a label asks for more than the table says of a plain score.
    """

    classes: frozenset[str]
    codes: frozenset[tuple[str, str]]
    level: DataLevel = DataLevel.SCORE
    family: Family = Family.OUTCOME
    labels: frozenset[str] = _LABELS
    instances: frozenset[str] = frozenset()
    related: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()
    first: datetime | None = None
    last: datetime | None = None
    people: int = 1
    is_final: bool = True
    is_special: bool = False

    @staticmethod
    def of(
        codes: Iterable[Code],
        *,
        family: Family = Family.OUTCOME,
        labels: Iterable[str] = _LABELS,
        profiles: Iterable[str] = (),
    ) -> Datum:
        """Return the datum of scoring a form: its response and its Observations."""
        named = frozenset(labels)
        return Datum(
            frozenset({"QuestionnaireResponse", "Observation", *profiles}),
            frozenset((code.system, code.code) for code in codes),
            family=family,
            labels=named,
            is_special=not named.isdisjoint(_SPECIAL),
        )

    def about(self, form: Response) -> Datum:
        """Return the datum of one form: where and when it was answered, and by whom."""
        return Datum(
            self.classes,
            self.codes,
            self.level,
            self.family,
            self.under(form.labels),
            frozenset((form.reference,) if form.reference else ()),
            frozenset((form.encounter,) if form.encounter else ()),
            frozenset((form.performer,) if form.performer else ()),
            form.when,
            form.when,
            1,
            True,
            self.is_special,
        )

    def under(self, labels: Iterable[str]) -> frozenset[str]:
        """Return the data's labels with further ones: the highest confidentiality, and all sensitivities."""
        plain = [code if (code := label.rpartition("|")[2]) in _OURS else label for label in labels]
        return frozenset(union(self.labels, plain)) if plain else self.labels

    def at(self, level: DataLevel) -> Datum:
        """Return the same data at another level, with the labels that belong to it."""
        labels = self.labels - LEVEL_LABELS
        if level is DataLevel.ITEM:
            labels |= {ALLIANCE_ITEM, ITEM_ANSWER} if self.family is Family.ALLIANCE else {ITEM_ANSWER}
        elif level is DataLevel.TEXT:
            labels |= {FREE_TEXT}
        return msgspec.structs.replace(self, level=level, labels=labels)


class Request(msgspec.Struct, frozen=True):
    """One wish to use or share. bars: sentences from the site's list that forbid it whatever anybody permits."""

    patient: str
    action: Action
    recipient: Recipient
    purpose: str
    datum: Datum
    bars: tuple[str, ...] = ()
