"""The story of the demo: the whole loop on the bundled example clinic, offline."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from fhir_alliance.config import AuditSection
from fhir_alliance.core.model import Review, ReviewStatus
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.task import read_review
from fhir_alliance.runs.audit import tell_of
from fhir_alliance.runs.catalog import load_catalog, shipped
from fhir_alliance.runs.parked import write_parked
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.publish import publish
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.journal import Journal

# The morning after the clinic's twelfth week, so that the demo tells the same story on any day.
NOW: Final = datetime(2026, 3, 30, 7, 0, tzinfo=UTC)
# A clinic of weekly sessions that takes the strict criterion for the alliance (two standard deviations, PMC3320522).
RULES: Final = RuleSettings(sd_units=2.0)


class Told(msgspec.Struct, frozen=True):
    """What the demo has to tell: the published and the synced, the open reviews, and the files to open."""

    folder: Path
    published: Summary
    synced: Summary
    clients: int
    modes: dict[str, int]
    reviews: tuple[Review, ...]


def demo(folder: Path) -> Told:
    """Return the story of one run over the example clinic in `folder`, which is made at the first run and kept."""
    _prepare(folder)
    catalog = load_catalog()
    store = FolderStore(folder)
    journal = Journal(folder / ".fhir-alliance", store.name)
    try:
        published = publish(store, catalog, journal)
        tell = tell_of(store, AuditSection(), folder / ".fhir-alliance")
        synced = sync(store, catalog, journal, Policy(rules=RULES), NOW, tell=tell)
        write_parked(folder / "parked.ndjson", synced.parked)
        subjects = [f"Patient/{patient['id']}" for patient in _read(folder, "Patient")]
        reviews = [read_review(task) for task in store.about("Task", subjects)]
    finally:
        store.close()
        journal.close()
    opened = sorted(
        (review for review in reviews if review is not None and review.status is ReviewStatus.OPEN),
        key=lambda review: (review.kind.value != "safety-review", review.subject),
    )
    modes = Counter(str((e.get("class") or {}).get("code", "")) for e in _read(folder, "Encounter"))
    return Told(folder, published, synced, len(subjects), dict(modes), tuple(opened))


def _read(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / f"{kind}.ndjson").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines if line]


def _prepare(folder: Path) -> None:
    """Copy the example clinic once; a folder that holds something else is left alone."""
    files = sorted(shipped("clinic").glob("*.ndjson"))
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, folder / file.name)
    elif not all((folder / file.name).is_file() for file in files):
        raise StopRun("FA116", f"{folder} is not the demo's folder.", "Name an empty one with --folder.")
