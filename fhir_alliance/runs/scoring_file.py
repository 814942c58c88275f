"""What people write about an instrument: `scoring.toml`, `cases.toml`, and a site's overlay of wording."""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from fhir_alliance.config import explain
from fhir_alliance.core.conformance import Case, Worth
from fhir_alliance.core.model import (
    Band,
    ChangeNumbers,
    Code,
    Critical,
    Direction,
    Family,
    Formula,
    GoalItems,
    Licence,
    Missing,
    MissingRule,
    Norm,
    Number,
    Rater,
    Scale,
    Sourced,
    Threshold,
    Wording,
)
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.answers import whole
from fhir_alliance.fhir.identifiers import LOINC
from fhir_alliance.fhir.wording import Language, SiteWording

_Model = TypeVar("_Model", bound=BaseModel)
_Tag = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]  # of a language, BCP 47
_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LicencePart(_Strict):
    """Who owns the wording."""

    holder: str
    wording: Wording
    statement: str
    source: str

    def noun(self) -> Licence:
        """Return the licence."""
        return Licence(self.holder, self.wording, self.statement, self.source)


class MissingPart(_Strict):
    """The missing rule of a scale."""

    max: int = Field(ge=0)
    source: str = Field(min_length=1)


class BandPart(_Strict):
    """A published band."""

    code: str
    label: str
    low: Decimal
    high: Decimal
    source: str = Field(min_length=1)


class ThresholdPart(_Strict):
    """A published line."""

    at: Decimal
    source: str = Field(min_length=1)


class SourcedPart(_Strict):
    """A published number."""

    value: Decimal
    source: str = Field(min_length=1)
    population: str = ""
    confidence: str = ""

    def noun(self) -> Sourced:
        """Return the number."""
        return Sourced(whole(self.value), self.source, self.population, self.confidence)


class NormPart(_Strict):
    """A population's mean and standard deviation."""

    mean: Decimal
    sd: Decimal = Field(gt=0)
    source: str = Field(min_length=1)
    population: str = ""
    confidence: str = ""

    def noun(self) -> Norm:
        """Return the norm."""
        return Norm(whole(self.mean), whole(self.sd), self.source, self.population, self.confidence)


class ChangePart(_Strict):
    """What is published on change in a scale."""

    sd: SourcedPart | None = None
    reliability: SourcedPart | None = None
    reliable_change: SourcedPart | None = None
    minimal_change: SourcedPart | None = None
    functional: NormPart | None = None
    clinical: NormPart | None = None
    remission_below: SourcedPart | None = None
    response_percent: SourcedPart | None = None

    def noun(self) -> ChangeNumbers:
        """Return the numbers."""
        return ChangeNumbers(**{name: part.noun() for name, part in self if part is not None})


class ScalePart(_Strict):
    """A total or subscale."""

    id: str
    title: str
    loinc: str = ""
    items: tuple[str, ...] = Field(min_length=1)
    formula: Formula = Formula.SUM
    reversed: tuple[str, ...] = ()
    higher_is: Direction
    low: Decimal
    high: Decimal
    decimals: int = 2
    source: str = Field(min_length=1)
    missing: MissingPart
    band: tuple[BandPart, ...] = ()
    caseness: ThresholdPart | None = None
    factor: Decimal = Field(Decimal(1), gt=0)
    counts: dict[str, Decimal] = {}
    gate: tuple[str, ...] = ()
    table: dict[Decimal, Decimal] = {}
    change: ChangePart = ChangePart()
    on_request: bool = False
    reached: ThresholdPart | None = None

    def noun(self) -> Scale:
        """Return the scale."""
        return Scale(
            self.id,
            self.title,
            (Code(LOINC, self.loinc),) if self.loinc else (),
            self.items,
            whole(self.low),
            whole(self.high),
            self.higher_is,
            MissingRule(self.missing.max, self.missing.source),
            self.source,
            self.formula,
            frozenset(self.reversed),
            self.decimals,
            tuple(Band(b.code, b.label, whole(b.low), whole(b.high), b.source) for b in self.band),
            Threshold(whole(self.caseness.at), self.caseness.source) if self.caseness else None,
            whole(self.factor),
            {item: whole(at) for item, at in self.counts.items()},
            self.gate,
            {whole(raw): whole(value) for raw, value in self.table.items()},
            self.change.noun(),
            on_request=self.on_request,
            reached=Threshold(whole(self.reached.at), self.reached.source) if self.reached else None,
        )


class CriticalPart(_Strict):
    """A safety item."""

    item: str
    at_least: int
    source: str = Field(min_length=1)
    asked_if: str = ""

    def noun(self) -> Critical:
        """Return the rule of the item."""
        return Critical(self.at_least, self.source, self.asked_if)


class GoalsPart(_Strict):
    """The linkIds of a form about the client's own goals."""

    group: str
    goal: str
    rating: str
    weight: str = ""

    def noun(self) -> GoalItems:
        """Return the names."""
        return GoalItems(self.group, self.goal, self.rating, self.weight)


class ScoringFile(_Strict):
    """The whole of `scoring.toml`. Items and their points stand in `questionnaire.json`."""

    id: str
    family: Family
    rater: Rater
    recall: str = ""
    validated: bool = True
    aliases: tuple[str, ...] = ()
    also_known: tuple[str, ...] = ()
    labels: tuple[str, ...] = ("R", "PSY")
    item_labels: dict[str, tuple[str, ...]] = {}
    licence: LicencePart
    critical: tuple[CriticalPart, ...] = ()
    goals: GoalsPart | None = None
    scale: tuple[ScalePart, ...] = ()


class CasePart(_Strict):
    """A worked example. answers: in item order, or by linkId; "" is unanswered, "declined" is declined.

    band: of the total.  bands: by scale.
    """

    name: str
    source: str = Field(min_length=1)
    answers: tuple[int | Decimal | Literal["", "declined"], ...] | dict[str, int | Decimal | Literal["declined"]]
    expect: dict[str, int | Decimal | Literal["none"]]
    band: str = ""
    bands: dict[str, str] = {}

    def noun(self, items: tuple[str, ...]) -> Case:
        """Return the case with answers by linkId; a list is taken in the order of `items`."""
        given = self.answers if isinstance(self.answers, dict) else dict(zip(items, self.answers, strict=False))
        answers = {
            link_id: Missing.DECLINED if answer == "declined" else _number(answer)
            for link_id, answer in given.items()
            if answer != ""
        }
        expected = {scale: None if value == "none" else _number(value) for scale, value in self.expect.items()}
        bands = {"total": self.band} if self.band else {}
        return Case(self.name, self.source, answers, expected, bands | self.bands)


class WorthPart(_Strict):
    """What answers are worth: points by answer code, or low and high where a number is asked for."""

    items: tuple[str, ...] = Field(min_length=1)
    source: str = Field(min_length=1)
    points: dict[str, Decimal] = {}
    low: Decimal = Decimal(0)
    high: Decimal = Decimal(0)

    def noun(self) -> Worth:
        """Return what the answers are worth."""
        points = {code: whole(worth) for code, worth in self.points.items()}
        return Worth(self.items, self.source, points, whole(self.low), whole(self.high))


class CasesFile(_Strict):
    """The whole of `cases.toml`."""

    worth: tuple[WorthPart, ...] = ()
    case: tuple[CasePart, ...] = Field(min_length=1)


class TranslationPart(_Strict):
    """How the wording in a language came about."""

    status: Literal["official", "validated", "draft"]
    translator: str = ""
    source: str = ""


class Overlay(_Strict):
    """Wording that a site has permission to use: texts by language and linkId, labels by language and answer code.

    The first language of `text` becomes the form's own. revision: raised by the site when it changes wording that
    was published already.
    """

    instrument: str
    version: str
    revision: int = Field(1, ge=1)
    holder: str = Field(min_length=1)
    permission: str = Field(min_length=1)
    expires: date
    text: dict[_Tag, dict[str, _Words]] = Field(min_length=1)
    answers: dict[_Tag, dict[str, _Words]] = {}
    translation: dict[_Tag, TranslationPart] = {}

    def noun(self) -> SiteWording:
        """Return the wording."""
        languages = tuple(self._language(tag) for tag in self.text)
        return SiteWording(languages, self.holder, self.permission, self.expires, self.revision)

    def _language(self, tag: str) -> Language:
        how = self.translation.get(tag)
        said = (how.status, how.translator, how.source) if how else ()
        return Language(tag, self.text[tag], self.answers.get(tag, {}), *said)

    def strangers(self) -> list[str]:
        """Return the languages that have labels or a translation, but no text."""
        return [tag for tag in dict.fromkeys((*self.answers, *self.translation)) if tag not in self.text]


def read_toml(path: Path, model: type[_Model]) -> _Model:
    """Return a file's content; raises StopRun FA102 with file and place where it is not as it should be."""
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal))
    except OSError as error:
        raise StopRun("FA102", f"{path} cannot be read ({error.strerror}).", "An instrument needs it.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StopRun("FA102", f"{path} is not TOML: {error}.", "Correct that line.") from None
    except ValidationError as error:
        raise StopRun("FA102", f"{path}: {explain(error)}.", "Correct it, then: instruments check.") from None


def _number(value: object) -> Number:
    return value if isinstance(value, int) else whole(Decimal(str(value)))
