"""A site's overlay files: read, held against the form that they word, and ready for the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fhir_alliance.core.model import Instrument, Item, Wording
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.wording import Language, SiteWording, gaps
from fhir_alliance.runs.scoring_file import Overlay, read_toml


class Overlays(NamedTuple):
    """A site's wording by instrument id: what it may use, and what it may use no longer."""

    valid: dict[str, SiteWording]
    expired: dict[str, SiteWording]


def read_overlays(
    paths: Sequence[Path],
    instruments: Mapping[str, Instrument],
    questionnaires: Mapping[str, Mapping[str, Any]],
    today: date,
) -> Overlays:
    """Return the wording in overlay files; on the day named `expires` it may still be used.

    Raises StopRun FA104 for a file that does not fit an instrument, FA105 for one that is not complete.
    """
    found = Overlays({}, {})
    for path in paths:
        name, wording = read_overlay(path, instruments, questionnaires)
        if wording.expires < today:
            found.expired[name] = wording
        elif name in found.valid:
            raise StopRun("FA104", f"{path} words {name} a second time.", "Put all its languages into one file.")
        else:
            found.valid[name] = wording
    return Overlays(found.valid, {n: wording for n, wording in found.expired.items() if n not in found.valid})


def read_overlay(
    path: Path, instruments: Mapping[str, Instrument], questionnaires: Mapping[str, Mapping[str, Any]]
) -> tuple[str, SiteWording]:
    """Return the id of the instrument that a file words, and the wording, complete in each of its languages."""
    overlay = read_toml(path, Overlay)
    instrument = instruments.get(overlay.instrument)
    if instrument is None or instrument.version != overlay.version:
        raise StopRun("FA104", f"{path} is for {overlay.instrument} {overlay.version}.", "No such version is here.")
    if instrument.licence.wording is not Wording.OVERLAY:
        raise StopRun("FA104", f"{path} is for {instrument.id}, which has its wording.", "Overlays are for skeletons.")
    wording = overlay.noun()
    lacking = [
        *gaps(questionnaires[instrument.id], wording),
        *(f"[text.{tag}] is missing" for tag in overlay.strangers()),
    ]
    if lacking:
        raise StopRun("FA105", f"{path}: {'; '.join(lacking)}.", "An overlay is complete in each of its languages.")
    return instrument.id, wording


def with_wording(instrument: Instrument, wording: SiteWording) -> Instrument:
    """Return an instrument that knows its permission, its languages, and what its answers are called here."""
    first = wording.languages[0]
    permission = f"{wording.permission} ({wording.holder})"
    return msgspec.structs.replace(
        instrument,
        licence=msgspec.structs.replace(instrument.licence, permission=permission),
        languages=tuple(language.tag for language in wording.languages),
        items=tuple(_labelled(item, first) for item in instrument.items),
    )


def _labelled(item: Item, language: Language) -> Item:
    options = tuple(
        msgspec.structs.replace(
            option,
            code=msgspec.structs.replace(
                option.code, display=language.answers.get(option.code.code, option.code.display)
            ),
        )
        for option in item.options
    )
    return msgspec.structs.replace(item, options=options)
