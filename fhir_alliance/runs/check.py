"""The story of a check: an instrument's folder or a Questionnaire, what it would score, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fhir_alliance.core.conformance import Problem
from fhir_alliance.core.model import Instrument
from fhir_alliance.core.outcomes import Outcome, outcomes
from fhir_alliance.errors import ParkItem, StopRun
from fhir_alliance.fhir.agreement import disagreements
from fhir_alliance.fhir.lint import computed_by, examined
from fhir_alliance.fhir.wire import strict_json
from fhir_alliance.runs.catalog import check_folder, load_instrument
from fhir_alliance.stores.folder import records_of


class Checked(msgspec.Struct, frozen=True):
    """What a check found. cases: worked cases that were tried.  notes: what is to be known, and no error."""

    id: str
    items: int
    cases: int
    outcomes: tuple[Outcome, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]


def check_path(path: Path) -> Checked:
    """Return what is to be said about an instrument's folder, or about the file of a Questionnaire.

    Raises StopRun FA102 where there is neither, and FA102-FA103 for a folder that cannot be read.
    """
    return _folder(path) if path.is_dir() else _file(path)


def _folder(folder: Path) -> Checked:
    instrument, cases, problems = check_folder(folder)
    _, questionnaire = load_instrument(folder)
    if not problems:  # two paths cannot agree while one of them is broken
        problems = tuple(disagreements(instrument, questionnaire))
    return _checked(instrument, len(cases), outcomes(instrument) if not problems else (), problems)


def _file(path: Path) -> Checked:
    try:
        questionnaire = strict_json(path.read_bytes())
    except ParkItem as fault:
        raise StopRun("FA102", f"{path}: {fault.message}", fault.hint) from None
    if not isinstance(questionnaire, dict) or questionnaire.get("resourceType") != "Questionnaire":
        raise StopRun("FA102", f"{path} is no Questionnaire.", "Name a Questionnaire, or an instrument's folder.")
    value_sets, code_systems = (list(records_of([path.parent], kind)) for kind in ("ValueSet", "CodeSystem"))
    site, problems = examined(questionnaire, value_sets, code_systems)
    if site is None:
        return Checked(str(questionnaire.get("id", path.stem)), 0, 0, (), *_sorted(problems))
    return _checked(site.instrument, 0, outcomes(site.instrument, computed_by(site)), problems)


def _checked(instrument: Instrument, cases: int, found: tuple[Outcome, ...], problems: tuple[Problem, ...]) -> Checked:
    return Checked(instrument.id, len(instrument.items), cases, found, *_sorted(problems))


def _sorted(problems: tuple[Problem, ...]) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return the errors and the notes."""
    return tuple(p for p in problems if p.is_error), tuple(p for p in problems if not p.is_error)
