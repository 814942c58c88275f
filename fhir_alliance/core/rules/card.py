"""The card of a rule: what it does, why, on what evidence, for whom, until when, and what it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TypeAlias

import msgspec


class Citation(msgspec.Struct, frozen=True):
    """A source: how it is named, where it is found, and what it says that the rule rests on.

    confidence: how well that was checked; empty where it was read at the source or in two others.
    """

    text: str
    says: str
    link: str = ""
    confidence: str = ""


class Setting(msgspec.Struct, frozen=True):
    """A number that a site may choose. name: as in `[rules]`.  default: as in `RuleSettings`.  source: why that."""

    name: str
    default: float | int
    unit: str
    words: str
    source: str


class Conflict(msgspec.Struct, frozen=True):
    """A threshold on which sources differ; a site chooses one in `[[rules.threshold]]`, and until then none holds."""

    instrument: str
    scale: str
    key: str
    value: str
    source: str
    population: str


class Card(msgspec.Struct, frozen=True):
    """One rule, as a clinician should be able to read it.

    example: in words.  history: the same as a table that `rules test` reads, empty where scores alone do not show it.
    expires: the evidence has to be looked at again by then.  quiet: a hint or good news, which opens no review.
    """

    id: str
    version: str
    title: str
    what: str
    why: str
    citations: tuple[Citation, ...]
    example: str
    population: str
    expires: date
    unknown: str
    history: str = ""
    settings: tuple[Setting, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    quiet: bool = False

    @property
    def citation(self) -> str:
        """Return all sources in one line."""
        return "; ".join(citation.text for citation in self.citations)


Cards: TypeAlias = Mapping[str, Card]
