"""The story of an export: begin or go on, wait, fetch and check every file, land them all, end the job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from fhir_alliance.errors import AllianceError, RetryLater, StopRun, Unreachable
from fhir_alliance.stores.bulk import Gone, JobFailed, Manifest, Order, Output, fetch, finish, pause, start, state
from fhir_alliance.stores.bulk_folder import DELETED, ERRORS, STAGED, ExportFolder, Running
from fhir_alliance.stores.bulk_lines import Lines
from fhir_alliance.stores.bulk_sources import Sources
from fhir_alliance.stores.files import new_file
from fhir_alliance.stores.http import ATTEMPTS, Http
from fhir_alliance.stores.origin import joined
from fhir_alliance.stores.patience import back_off

# What sync reads. Without Consents nobody knows what may be shared, so they are in every order.
# EpisodeOfCare tells of which program a form is (42 CFR Part 2).
ABOUT_PATIENTS: Final = (
    "Patient", "Consent", "QuestionnaireResponse", "Observation", "Task", "Goal", "CarePlan", "CareTeam", "Encounter",
    "EpisodeOfCare", "Flag", "RelatedPerson",
)  # fmt: skip
FORMS: Final = ("Questionnaire",)  # belong to no patient: only an export of the whole system gives them for sure
LAST: Final = "last"


class Exported(msgspec.Struct, frozen=True):
    """What an export brought. files: type to number.  resources: type to lines.  errors: files of the server's own.

    bad_lines: left out, because they are no resources; told by their places in `.export/bad-lines.ndjson`.
    """

    files: dict[str, int]
    resources: dict[str, int]
    deleted: int
    errors: int
    bad_lines: int
    until: str
    is_job_ended: bool
    has_consents: bool


def order_of(path: str, types: tuple[str, ...], filters: tuple[str, ...]) -> Order:
    """Return what to ask for; raises StopRun FA450 for a filter that could leave out the Consent that says no."""
    asked = types or (ABOUT_PATIENTS if path != "$export" else ABOUT_PATIENTS + FORMS)
    if any(each.startswith("Consent") for each in filters):
        raise StopRun("FA450", "Consents are exported whole.", "Leave out that --type-filter.")
    return Order(path, tuple(sorted({*asked, "Consent"})), filters)


def export(
    sources: Sources, folder: ExportFolder, order: Order, since: str, *,
    wait_s: float, restart: bool = False, watch: Callable[[str], None] = lambda what: None,
) -> Exported:  # fmt: skip
    """Return what was brought into the folder; killed at any moment, the same call goes on where it was.

    since: FHIR instant, `last` for what changed after the folder's last export, or empty for all.
    wait_s: how long to wait for the server in this call; then RetryLater FA451, and the job stays.
    """
    running = _begun(sources.api, folder, order, since, restart=restart)
    manifest = running.manifest or _waited(sources.api, running, folder, wait_s, watch)
    running = folder.keep(msgspec.structs.replace(running, manifest=manifest))
    if not running.is_landed:
        running = folder.land(_fetched(sources, folder, running, manifest, watch))
    ended = finish(sources.api, running.job)
    exported = _told(folder, running, manifest, is_job_ended=ended)
    folder.clear()
    return exported


def _begun(http: Http, folder: ExportFolder, order: Order, since: str, *, restart: bool) -> Running:
    """Return the export to go on with, or a new one."""
    running = folder.running()
    if running is not None and restart and not running.landing:
        with suppress(AllianceError):
            finish(http, running.job)
        folder.clear()
        running = None
    folder.claim(http.base, order)
    if running is None:
        since = _moment(folder, since)
        return folder.keep(Running(http.base, order, since, start(http, order, since)))
    if (running.base, running.order) != (http.base, order):
        raise StopRun("FA452", "another export is under way in that folder.", "Finish it, or give --restart.")
    return running


def _moment(folder: ExportFolder, since: str) -> str:
    """Return from when on changes are wanted; raises StopRun FA453 where something in between would be missed."""
    held = folder.held()
    if since == LAST:
        return held.until if held is not None else ""
    if since and held is not None and not (held.until and _at(since) <= _at(held.until)):
        raise StopRun("FA453", "changes before that time would be missing in the folder.", "Give --since last.")
    return _at(since).isoformat() if since else ""


def _at(moment: str) -> datetime:
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise StopRun("FA453", "--since is no moment with a time zone.", "For example 2026-05-01T00:00:00Z.")
    return at


def _waited(
    http: Http, running: Running, folder: ExportFolder, wait_s: float, watch: Callable[[str], None]
) -> Manifest:
    """Return the manifest when the server has made it; polls as far apart as it asks."""
    waited, attempt, lost = 0.0, 0, 0
    while True:
        attempt += 1
        try:
            found = state(http, running.job)
        except Unreachable as broken:
            lost += 1
            if broken.code != "FA402" or lost == ATTEMPTS:
                raise
            wait = back_off(lost)
        except (Gone, JobFailed):
            folder.clear()
            raise
        else:
            if isinstance(found, Manifest):
                return found
            lost = 0
            wait = pause(found, attempt)
            watch(f"the server works ({_said(found.headers)})")
        waited += wait
        if waited > wait_s:
            raise RetryLater("FA451", "the export is not ready yet.", "Run the same command again: it goes on.")
        http.sleep(wait)


def _said(headers: Mapping[str, str]) -> str:
    """Return what a server says of its progress, as far as it is a number."""
    said = headers.get("X-Progress", "").strip()
    return said if said.rstrip("%").isdigit() and len(said) <= 4 else "in progress"


def _fetched(
    sources: Sources, folder: ExportFolder, running: Running, manifest: Manifest, watch: Callable[[str], None]
) -> Running:
    """Return the export with all its files staged; each is noted when it is whole."""
    wanted = [*manifest.output]
    wanted += [msgspec.structs.replace(each, type=DELETED) for each in manifest.deleted]
    wanted += [msgspec.structs.replace(each, type=ERRORS) for each in manifest.error]
    for number, output in enumerate(wanted):
        name = f"{STAGED}{number:05}-{output.type}"
        if name not in running.files:
            watch(f"file {number + 1} of {len(wanted)}")
            url = joined(running.job, output.url)
            http = sources.of(url, needs_token=manifest.requires_access_token)
            lines = _file(http, folder.aside / name, msgspec.structs.replace(output, url=url), number + 1)
            files, bad = {**running.files, name: lines.count}, (*running.bad, *lines.bad)
            running = folder.keep(msgspec.structs.replace(running, files=files, bad=bad))
    return running


def _file(http: Http, path: Path, output: Output, number: int) -> Lines:
    """Return the lines of one file, fetched and checked; what is not whole leaves nothing. number: in the manifest."""
    attempt = 0
    while True:
        attempt += 1
        try:
            with new_file(path) as out:
                lines = Lines(out, output.type, number)
                fetch(http, output, lines.take)
                lines.end(output.count)
            return lines
        except Unreachable:
            if attempt == ATTEMPTS:
                raise
            http.sleep(back_off(attempt))


def _told(folder: ExportFolder, running: Running, manifest: Manifest, *, is_job_ended: bool) -> Exported:
    files: Counter[str] = Counter()
    resources: Counter[str] = Counter()
    for staged, name in running.landing.items():
        files[name.partition(".")[0]] += 1
        resources[name.partition(".")[0]] += running.files[staged]
    held = folder.held()
    until, names = (held.until, held.files) if held is not None else ("", {})
    has_consents = any(name.startswith("Consent.") and count for name, count in names.items())
    gone = sum(1 for _ in folder.deleted(running))
    errors, bad = len(manifest.error), len(running.bad)
    return Exported(dict(files), dict(resources), gone, errors, bad, until, is_job_ended, has_consents)
