"""The cards of the rules, as a clinical informatician writes them: one TOML file each, in `rules/`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fhir_alliance.core.model import Instrument
from fhir_alliance.core.rules import RULE_IDS
from fhir_alliance.core.rules.card import Card, Cards, Citation, Conflict, Setting
from fhir_alliance.core.rules.chart import Course, Rulebook
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.errors import StopRun
from fhir_alliance.runs.scoring_file import read_toml

_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CitationPart(_Strict):
    """A source."""

    text: _Words
    says: _Words
    link: str = Field("", pattern=r"^(https://.*)?$")
    confidence: str = ""


class SettingPart(_Strict):
    """A number that a site may choose."""

    name: _Words
    default: int | float
    unit: _Words
    words: _Words
    source: _Words


class ConflictPart(_Strict):
    """A threshold on which sources differ."""

    instrument: _Words
    scale: _Words
    key: Annotated[str, StringConstraints(pattern="^(line|reliable_change)$")]
    value: _Words
    source: _Words
    population: _Words


class CardFile(_Strict):
    """The whole of a card's file."""

    id: _Words
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    title: _Words
    what: _Words
    why: _Words
    example: _Words
    population: _Words
    unknown: _Words
    expires: date
    history: str = ""
    quiet: bool = False
    citation: tuple[CitationPart, ...] = Field(min_length=1)
    setting: tuple[SettingPart, ...] = ()
    conflict: tuple[ConflictPart, ...] = ()

    def noun(self) -> Card:
        """Return the card."""
        plain = self.model_dump(exclude={"citation", "setting", "conflict"})
        return Card(
            **plain,
            citations=tuple(Citation(**part.model_dump()) for part in self.citation),
            settings=tuple(Setting(**part.model_dump()) for part in self.setting),
            conflicts=tuple(Conflict(**part.model_dump()) for part in self.conflict),
        )


def load_cards(folder: Path) -> Cards:
    """Return the card of every rule, in the order of the rules; raises StopRun FA102 or FA130."""
    files = {file.stem: file for file in folder.glob("*.toml")}
    if set(files) != set(RULE_IDS):
        odd = ", ".join(sorted(set(files) ^ set(RULE_IDS)))
        raise StopRun("FA130", f"{folder} does not hold one card for each rule: {odd}.", "Name each as its rule.")
    cards = {name: read_toml(files[name], CardFile).noun() for name in RULE_IDS}
    for name, card in cards.items():
        if card.id != name:
            raise StopRun("FA130", f"{files[name]} says it is {card.id!r}.", "Name the file as its rule.")
        for setting in card.settings:
            if getattr(RuleSettings(), setting.name, None) != setting.default:
                raise StopRun("FA130", f"{files[name]}: {setting.name} is not {setting.default}.", "Correct it.")
    return cards


def rulebook(instruments: Mapping[str, Instrument], settings: RuleSettings, courses: tuple[Course, ...]) -> Rulebook:
    """Return the book that a site's charts are judged by, with the cards that ship."""
    return Rulebook(instruments, shipped_cards(), settings, courses)


@cache
def shipped_cards() -> Cards:
    """Return the cards that ship with the program."""
    from fhir_alliance.runs.catalog import shipped

    return load_cards(shipped("rules"))
