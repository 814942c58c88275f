"""The catalog of instruments: what ships, what a site adds, and the wording that it may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from fhir_alliance.core.conformance import Case, Problem, check
from fhir_alliance.core.model import Code, Instrument
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.errors import ParkItem, StopRun
from fhir_alliance.fhir.questionnaire import check_questionnaire, publishable, read_items
from fhir_alliance.fhir.wire import strict_json
from fhir_alliance.runs.scoring_file import CasesFile, Overlay, ScoringFile, read_toml

DECLINED = Code("http://terminology.hl7.org/CodeSystem/data-absent-reason", "asked-declined")


class Catalog:
    """Instruments by id, with their Questionnaires; compiled scorers are kept."""

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        questionnaires: Mapping[str, Mapping[str, Any]],
        texts: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.instruments = dict(instruments)
        self.questionnaires = dict(questionnaires)
        self._texts = dict(texts)
        self._scorers: dict[str, Scorer] = {}

    def find(self, name: str) -> Instrument:
        """Return an instrument by id; raises StopRun FA101."""
        if name not in self.instruments:
            raise StopRun(
                "FA101", f"there is no instrument {name!r}.", f"Known: {', '.join(sorted(self.instruments))}."
            )
        return self.instruments[name]

    def scorer(self, name: str) -> Scorer:
        """Return the compiled scorer of an instrument."""
        if name not in self._scorers:
            self._scorers[name] = Scorer(self.find(name))
        return self._scorers[name]

    def has_wording(self, name: str) -> bool:
        """Return whether the site has supplied wording, by a valid overlay."""
        return name in self._texts

    def questionnaire(self, name: str) -> dict[str, Any]:
        """Return an instrument's Questionnaire as it is published."""
        return publishable(self.find(name), self.questionnaires[name], self._texts.get(name))

    def publishable(self) -> list[dict[str, Any]]:
        """Return all Questionnaires as they are published."""
        return [self.questionnaire(name) for name in sorted(self.instruments)]


def load_catalog(extra: Sequence[Path] = (), overlays: Sequence[Path] = (), today: date | None = None) -> Catalog:
    """Return the shipped instruments and a site's own.

    extra: folders of instruments, or folders that hold such folders.  overlays: TOML files of wording.
    today: overlays that have expired by then count as none.  Raises StopRun FA102-FA104.
    """
    instruments: dict[str, Instrument] = {}
    questionnaires: dict[str, Mapping[str, Any]] = {}
    for folder in (*_folders([shipped("questionnaires")]), *_folders(extra)):
        instrument, questionnaire = load_instrument(folder)
        if instrument.id in instruments:
            raise StopRun("FA104", f"{folder} names {instrument.id} again.", "Give your instrument an id of its own.")
        instruments[instrument.id], questionnaires[instrument.id] = instrument, questionnaire
    texts: dict[str, Mapping[str, str]] = {}
    for path in overlays:
        overlay = read_toml(path, Overlay)
        known = instruments.get(overlay.instrument)
        if known is None or known.version != overlay.version:
            raise StopRun("FA104", f"{path} is for {overlay.instrument} {overlay.version}.", "No such version is here.")
        if overlay.expires >= (today or date.today()):
            texts[known.id] = overlay.text.get("en") or next(iter(overlay.text.values()))
            licence = msgspec.structs.replace(known.licence, permission=f"{overlay.permission} ({overlay.holder})")
            instruments[known.id] = msgspec.structs.replace(known, licence=licence)
    return Catalog(instruments, questionnaires, texts)


def load_instrument(folder: Path) -> tuple[Instrument, dict[str, Any]]:
    """Return an instrument and its Questionnaire from a folder; raises StopRun FA102 or FA103."""
    file = read_toml(folder / "scoring.toml", ScoringFile)
    path = folder / "questionnaire.json"
    try:
        questionnaire = strict_json(path.read_bytes())
        critical = {part.item: part.noun() for part in file.critical}
        items = tuple(
            msgspec.structs.replace(item, critical=critical.pop(item.link_id, None))
            for item in read_items(questionnaire)
        )
        url, version, title = (str(questionnaire[key]) for key in ("url", "version", "title"))
    except OSError as error:
        raise StopRun("FA102", f"{path} cannot be read ({error.strerror}).", "An instrument needs it.") from None
    except (ParkItem, KeyError, TypeError, AttributeError) as error:
        raise StopRun("FA102", f"{path} is not a complete Questionnaire ({error}).", "Correct it.") from None
    if critical:
        raise StopRun("FA102", f"{folder}/scoring.toml: no critical item {', '.join(critical)}.", "Correct its linkId.")
    return Instrument(
        file.id,
        version,
        url,
        title,
        file.family,
        file.rater,
        tuple(Code(c["system"], c["code"], c.get("display", "")) for c in questionnaire.get("code", ())),
        items,
        tuple(part.noun() for part in file.scale),
        file.licence.noun(),
        file.aliases,
        file.also_known,
        (DECLINED,),
        file.labels,
        (str(questionnaire.get("language", "en")),),
        file.validated,
        file.recall,
        file.goals.noun() if file.goals else None,
    ), questionnaire


def load_cases(folder: Path, instrument: Instrument) -> tuple[Case, ...]:
    """Return the worked examples of an instrument's folder."""
    items = tuple(item.link_id for item in instrument.items)
    return tuple(part.noun(items) for part in read_toml(folder / "cases.toml", CasesFile).case)


def check_folder(folder: Path) -> tuple[Instrument, tuple[Case, ...], tuple[Problem, ...]]:
    """Return an instrument, its cases, and everything that is wrong with it."""
    instrument, questionnaire = load_instrument(folder)
    cases = load_cases(folder, instrument)
    problems = [*check_questionnaire(instrument, questionnaire), *check(instrument, cases)]
    if not (folder / "LICENCE.md").is_file():
        problems.append(Problem("LICENCE.md", "is missing"))
    return instrument, cases, tuple(problems)


def shipped(name: str) -> Path:
    """Return the folder of what ships: inside the installed package, or in the source tree."""
    package = Path(__file__).parents[1]
    packed = package / "shipped" / name
    if packed.is_dir():
        return packed
    return package.parent / {"clinic": "examples/clinic"}.get(name, name)


def _folders(roots: Sequence[Path]) -> list[Path]:
    """Return the instrument folders among and below the roots."""
    found = []
    for root in roots:
        inner = [root] if (root / "scoring.toml").is_file() else sorted(f.parent for f in root.glob("*/scoring.toml"))
        if not inner:
            raise StopRun("FA102", f"{root} holds no instrument.", "It needs scoring.toml and questionnaire.json.")
        found += inner
    return found
