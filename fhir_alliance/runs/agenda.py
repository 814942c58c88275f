"""Reads what reviews talk about: the shipped agenda, and a site's own words for its topics."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhir_alliance.config import explain
from fhir_alliance.core.agenda import TOPICS, Agenda
from fhir_alliance.errors import StopRun

_SHIPPED = Path(__file__).parents[1] / "agenda"
_Question = Annotated[str, Field(min_length=1, max_length=300)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: dict[str, tuple[_Question, ...]]


def load_agenda(folder: Path | None = None) -> Agenda:
    """Return the shipped agenda, with a site's own questions in place of those of the same language and topic.

    folder: holds files named by language, as in the package (de.toml).
    Raises StopRun FA132 where the folder or a file of it cannot be used.
    """
    shipped = _shipped()
    if folder is None:
        return shipped
    own = _read(folder)
    if not own:
        raise StopRun("FA132", f"{folder} holds no agenda.", "Put files named by language there, such as en.toml.")
    return Agenda({name: {**shipped.words.get(name, {}), **own.get(name, {})} for name in {**shipped.words, **own}})


@cache
def _shipped() -> Agenda:
    return Agenda(_read(_SHIPPED))


def _read(folder: Path) -> dict[str, Mapping[str, tuple[str, ...]]]:
    return {file.stem.lower(): _topics(file) for file in sorted(folder.glob("*.toml"))}


def _topics(file: Path) -> Mapping[str, tuple[str, ...]]:
    try:
        topics = _File.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))).topics
    except OSError as error:
        raise StopRun("FA132", f"{file.name} cannot be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StopRun("FA132", f"{file.name} is not TOML: {error}.", "Correct that line.") from None
    except ValidationError as error:
        raise StopRun(
            "FA132", f"{file.name}: {explain(error)}.", "Write: [topics], then topic = [questions]."
        ) from None
    unknown = sorted(set(topics) - set(TOPICS))
    if unknown:
        raise StopRun("FA132", f"{file.name}: no topic {', '.join(unknown)}.", f"Topics: {', '.join(TOPICS)}.")
    return topics
