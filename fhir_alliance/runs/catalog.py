"""The catalog of instruments: what ships, what a site adds, and the wording that it may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from fhir_alliance.core.conformance import Case, Problem, Worth, check
from fhir_alliance.core.model import Code, Instrument
from fhir_alliance.errors import ParkItem, StopRun
from fhir_alliance.fhir.questionnaire import check_questionnaire, publishable, read_items
from fhir_alliance.fhir.wire import strict_json
from fhir_alliance.fhir.wording import SiteWording, edition, languages_of
from fhir_alliance.runs.overlays import Overlays, read_overlays, with_wording
from fhir_alliance.runs.scoring_file import CasesFile, ScoringFile, read_toml

Version: TypeAlias = tuple[Instrument, Mapping[str, Any]]
NO_OVERLAYS: Final = Overlays({}, {})
DECLINED = Code("http://terminology.hl7.org/CodeSystem/data-absent-reason", "asked-declined")


class Catalog:
    """Instruments by id, with their Questionnaires.

    earlier: versions beside the current ones under which responses may still come, each with its Questionnaire.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        questionnaires: Mapping[str, Mapping[str, Any]],
        overlays: Overlays = NO_OVERLAYS,
        earlier: Sequence[Version] = (),
    ) -> None:
        self.instruments = dict(instruments)
        self.questionnaires = dict(questionnaires)
        self.earlier: tuple[Version, ...] = tuple(earlier)
        self._overlays = overlays

    def find(self, name: str) -> Instrument:
        """Return an instrument by id; raises StopRun FA101."""
        if name not in self.instruments:
            raise StopRun(
                "FA101", f"there is no instrument {name!r}.", f"Known: {', '.join(sorted(self.instruments))}."
            )
        return self.instruments[name]

    def valid_until(self, name: str) -> date | None:
        """Return the last day on which the site may use its wording of an instrument; None where it has none."""
        wording = self._overlays.valid.get(name)
        return wording.expires if wording else None

    def expired_on(self, name: str) -> date | None:
        """Return the last day of a permission that has ended; None where there is none, or a valid one."""
        wording = self._overlays.expired.get(name)
        return wording.expires if wording else None

    def has_wording(self, name: str) -> bool:
        """Return whether the site has supplied wording, by a valid overlay."""
        return name in self._overlays.valid

    def lapsed(self) -> frozenset[str]:
        """Return the canonical addresses of forms whose wording the site may use no longer."""
        return frozenset(self.instruments[name].url for name in self._overlays.expired)

    def questionnaire(self, name: str) -> dict[str, Any]:
        """Return an instrument's Questionnaire as it is published."""
        wording, expired = self._overlays.valid.get(name), self._overlays.expired.get(name)
        return publishable(self.find(name), self.questionnaires[name], wording, expired)

    def publishable(self) -> list[dict[str, Any]]:
        """Return all Questionnaires as they are published."""
        return [self.questionnaire(name) for name in sorted(self.instruments)]


def load_catalog(extra: Sequence[Path] = (), overlays: Sequence[Path] = (), today: date | None = None) -> Catalog:
    """Return the shipped instruments and a site's own.

    extra: folders of instruments, or folders that hold such folders.  overlays: TOML files of wording.
    today: overlays that have expired by then count as none.  Raises StopRun FA102-FA105.
    """
    instruments: dict[str, Instrument] = {}
    questionnaires: dict[str, Mapping[str, Any]] = {}
    earlier: list[Version] = []
    for folder in (*_folders([shipped("questionnaires")]), *_folders(extra)):
        instrument, questionnaire = load_instrument(folder)
        if instrument.id in instruments:
            raise StopRun("FA104", f"{folder} names {instrument.id} again.", "Give your instrument an id of its own.")
        instruments[instrument.id], questionnaires[instrument.id] = instrument, questionnaire
        earlier += load_earlier(folder, instrument)
    found = read_overlays(overlays, instruments, questionnaires, today or date.today())
    for name, wording in found.valid.items():
        instruments[name] = with_wording(instruments[name], wording)
    for name, wording in (*found.valid.items(), *found.expired.items()):
        earlier += _editions(instruments[name], questionnaires[name], wording)
    return Catalog(instruments, questionnaires, found, earlier)


def load_earlier(folder: Path, current: Instrument) -> list[Version]:
    """Return the versions in `versions/` of an instrument's folder; raises StopRun FA102 or FA103.

    Each is a folder named by its version, with questionnaire.json and scoring.toml, for the id and url of today.
    """
    found: list[Version] = []
    for place in sorted(file.parent for file in folder.glob("versions/*/scoring.toml")):
        instrument, questionnaire = load_instrument(place)
        if (instrument.id, instrument.url, instrument.version) != (current.id, current.url, place.name):
            said = f"{instrument.id} {instrument.url}|{instrument.version}"
            raise StopRun("FA102", f"{place} holds {said}.", f"It should be {current.id} {current.url}|{place.name}.")
        if instrument.version == current.version:
            raise StopRun("FA102", f"{place} is the current version.", "Keep only older ones there.")
        found.append((instrument, questionnaire))
    return found


def _editions(instrument: Instrument, questionnaire: Mapping[str, Any], wording: SiteWording) -> list[Version]:
    """Return the editions of a site's wording after the first: other words, scored as the instrument is."""
    editions = [edition(instrument.version, number) for number in range(2, wording.revision + 1)]
    return [(instrument, {**questionnaire, "version": version}) for version in editions]


def load_instrument(folder: Path) -> tuple[Instrument, dict[str, Any]]:
    """Return an instrument and its Questionnaire from a folder; raises StopRun FA102 or FA103."""
    file = read_toml(folder / "scoring.toml", ScoringFile)
    path = folder / "questionnaire.json"
    try:
        questionnaire = strict_json(path.read_bytes())
        critical, labels = {part.item: part.noun() for part in file.critical}, dict(file.item_labels)
        items = tuple(
            msgspec.structs.replace(
                item, critical=critical.pop(item.link_id, None), labels=labels.pop(item.link_id, ())
            )
            for item in read_items(questionnaire)
        )
        url, version, title = (str(questionnaire[key]) for key in ("url", "version", "title"))
    except OSError as error:
        raise StopRun("FA102", f"{path} cannot be read ({error.strerror}).", "An instrument needs it.") from None
    except (ParkItem, KeyError, TypeError, AttributeError) as error:
        raise StopRun("FA102", f"{path} is not a complete Questionnaire ({error}).", "Correct it.") from None
    if critical:
        raise StopRun("FA102", f"{folder}/scoring.toml: no critical item {', '.join(critical)}.", "Correct its linkId.")
    if labels:
        raise StopRun("FA102", f"{folder}/scoring.toml: no labelled item {', '.join(labels)}.", "Correct its linkId.")
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
        languages_of(questionnaire),
        file.validated,
        file.recall,
        file.goals.noun() if file.goals else None,
    ), questionnaire


def load_cases(folder: Path, instrument: Instrument) -> tuple[Case, ...]:
    """Return the worked examples of an instrument's folder."""
    items = tuple(item.link_id for item in instrument.items)
    return tuple(part.noun(items) for part in read_toml(folder / "cases.toml", CasesFile).case)


def load_worth(folder: Path) -> tuple[Worth, ...]:
    """Return what the answers are worth as `cases.toml` says it."""
    return tuple(part.noun() for part in read_toml(folder / "cases.toml", CasesFile).worth)


def check_folder(folder: Path) -> tuple[Instrument, tuple[Case, ...], tuple[Problem, ...]]:
    """Return an instrument, its cases, and everything that is wrong with it."""
    instrument, questionnaire = load_instrument(folder)
    cases = load_cases(folder, instrument)
    problems = [*check_questionnaire(instrument, questionnaire), *check(instrument, cases, load_worth(folder))]
    for older, form in load_earlier(folder, instrument):
        found = (*check_questionnaire(older, form), *check(older, ()))
        problems += [Problem(f"version {older.version}: {problem.place}", problem.what) for problem in found]
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
