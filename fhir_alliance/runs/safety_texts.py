"""What safety reviews say, by language: the sentences that ship, and a site's own in their place."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from pydantic import ConfigDict, RootModel, ValidationError

from fhir_alliance.config import explain
from fhir_alliance.core.safety_reviews import SafetyText
from fhir_alliance.errors import StopRun

_FILLED: Final = {"late_one": ("date",), "late": ("days", "date"), "overdue": ("hours",), "with_phone": ("phone",)}
_MAY_BE_EMPTY: Final = frozenset({"readdressed", "phone", "crisis"})


class _TextFile(RootModel[dict[str, dict[str, str]]]):
    """A whole file: sentences by language tag and name."""

    model_config = ConfigDict(strict=True, frozen=True)


@cache
def shipped_texts() -> Mapping[str, SafetyText]:
    """Return the sentences that ship, by language."""
    return _merged({}, Path(__file__).parents[1] / "texts" / "safety.toml")


def safety_texts(file: Path | None) -> Mapping[str, SafetyText]:
    """Return the sentences by language, with a site's own in place of those that ship.

    file: TOML; a language that ships may be changed in part, a new one has to be whole.
    Raises StopRun FA125 where it cannot be read, or a sentence is missing, unknown, or fills in what it cannot.
    """
    return shipped_texts() if file is None else _merged(shipped_texts(), file)


def _merged(before: Mapping[str, SafetyText], file: Path) -> dict[str, SafetyText]:
    texts = dict(before)
    for language, given in _read(file).items():
        standing = msgspec.structs.asdict(before[language]) if language in before else {}
        sentences = standing | given
        names = set(SafetyText.__struct_fields__)
        if unknown := sentences.keys() - names:
            raise _fault(file, language, f"has no sentence called {', '.join(sorted(unknown))}")
        if missing := {name for name in names - _MAY_BE_EMPTY if not str(sentences.get(name, "")).strip()}:
            raise _fault(file, language, f"lacks {', '.join(sorted(missing))}")
        texts[language] = SafetyText(**{"crisis": "", **sentences})
        _try_out(texts[language], language, file)
    return texts


def _try_out(text: SafetyText, language: str, file: Path) -> None:
    """Raise StopRun FA125 for a sentence that asks for something that nobody fills in."""
    for name, fields in _FILLED.items():
        try:
            getattr(text, name).format(**dict.fromkeys(fields, ""))
        except (KeyError, IndexError, ValueError, AttributeError):
            filled = " and ".join("{" + field + "}" for field in fields)
            raise _fault(file, language, f"{name} may fill in {filled} only") from None


def _read(file: Path) -> dict[str, dict[str, str]]:
    try:
        return _TextFile.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))).root
    except OSError as error:
        raise StopRun("FA125", f"{file} cannot be read ({error.strerror}).", "See [safety] text_file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StopRun("FA125", f"{file} is not TOML: {error}.", "Correct that line.") from None
    except ValidationError as error:
        raise StopRun("FA125", f"{file}: {explain(error)}.", "It takes a table of sentences by language.") from None


def _fault(file: Path, language: str, what: str) -> StopRun:
    return StopRun("FA125", f"{file}: [{language}] {what}.", "The names are those of the shipped texts/safety.toml.")
