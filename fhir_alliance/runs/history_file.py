"""A client's history from a file, to try a rule on: our Observations with what belongs to them, or a simple table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, NamedTuple

from fhir_alliance.core.model import Instrument, Mode, Number, Rater, Scale, Score
from fhir_alliance.core.rules.chart import Chart, Session
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.errors import ParkItem, StopRun
from fhir_alliance.fhir.answers import whole
from fhir_alliance.fhir.chart import read_session, read_targets
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.fhir.stored_score import read_score
from fhir_alliance.fhir.wire import strict_json
from fhir_alliance.runs.catalog import Catalog

COLUMNS: Final = ("date", "scale", "rater", "value", "mode")
_NOBODY: Final = "Patient/in-this-table"
_NOON: Final = time(12, tzinfo=UTC)


def read_history(file: Path, catalog: Catalog) -> list[Chart]:
    """Return the charts of the clients in a file.

    A table (.csv) has one client, and the columns date, scale (phq-9, or alliance-checkin/bond), rater, value, mode,
    and optionally language. Anything else is JSON or NDJSON: Observations as we write them, with Encounters and Goals.
    Raises StopRun FA134, with the line, for what cannot be read; values are not repeated.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StopRun("FA134", f"{file} cannot be read ({error.strerror}).", "Name another file.") from None
    if file.suffix.lower() == ".csv":
        return [table_chart(content.decode("utf-8-sig", "replace"), catalog, str(file))]
    return _charts(_resources(content, file), catalog.instruments)


def table_chart(text: str, catalog: Catalog, name: str = "table") -> Chart:
    """Return the chart that a table of scores makes; raises StopRun FA134 with the line."""
    rows = csv.DictReader(io.StringIO(text.strip()))
    if missing := [column for column in COLUMNS[:4] if column not in (rows.fieldnames or ())]:
        raise StopRun("FA134", f"{name} has no column {', '.join(missing)}.", f"It needs {', '.join(COLUMNS)}.")
    scores, sessions = [], {}
    for row in rows:
        score = _score(row, catalog, f"{name}, line {rows.line_num}")
        mode = _one_of(Mode, row.get("mode") or Mode.UNKNOWN, f"{name}, line {rows.line_num}: mode")
        scores.append(score)
        sessions[score.encounter] = Session(score.encounter, score.when, mode)
    return Chart(_NOBODY, tuple(scores), tuple(sessions.values()))


class _Place(NamedTuple):
    instrument: Instrument
    scale: Scale


def _score(row: Mapping[str, Any], catalog: Catalog, line: str) -> Score:
    """Return the score that a line of the table says."""
    try:
        day = date.fromisoformat(str(row["date"]).strip())
        value = whole(Decimal(str(row["value"]).strip()))
    except (ValueError, InvalidOperation):
        raise _wrong(line, "date is not as in 2026-01-31, or value is no number") from None
    instrument, scale = place = _place(str(row["scale"]).strip(), catalog, line)
    if not scale.low <= value <= scale.high and scale.low < scale.high:
        raise _wrong(line, f"value lies outside the scale's {scale.low}-{scale.high}")
    rater = _one_of(Rater, row["rater"], f"{line}: rater")
    key, when = f"{day}|{instrument.id}|{scale.id}|{rater}", datetime.combine(day, _NOON)
    asked = len(scale.items)
    return Score(
        key, instrument.id, instrument.version, scale.id, _NOBODY, rater, when, value, asked, asked, asked,
        band=_band(place, value), language=str(row.get("language") or "").strip(), encounter=f"Encounter/{day}",
    )  # fmt: skip


def _place(name: str, catalog: Catalog, line: str) -> _Place:
    """Return the scale that is named, by instrument alone where that has a total or one scale."""
    form, _, part = name.partition("/")
    if form not in catalog.instruments:
        raise _wrong(line, "scale names no instrument that is known; see: fhir-alliance instruments list")
    instrument = catalog.instruments[form]
    wanted = part or ("total" if len(instrument.scales) > 1 else instrument.scales[0].id)
    for scale in instrument.scales:
        if scale.id == wanted:
            return _Place(instrument, scale)
    raise _wrong(line, f"{instrument.id} has the scales {', '.join(scale.id for scale in instrument.scales)}")


def _band(place: _Place, value: Number) -> Any:
    plans = Scorer(place.instrument).plans
    return next(plan.band_of(value) for plan in plans if plan.scale_id == place.scale.id)


def _one_of(kind: Any, text: Any, place: str) -> Any:
    try:
        return kind(str(text).strip().lower())
    except ValueError:
        raise _wrong(place, f"is none of {', '.join(kind)}") from None


def _wrong(place: str, what: str) -> StopRun:
    return StopRun("FA134", f"{place}: {what}.", "Correct that line.")


def _resources(content: bytes, file: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the resources of a file: one, a list, a Bundle, or one on each line."""
    try:
        read = [strict_json(content)]
    except ParkItem:
        read = [_line(line, f"{file}:{number}") for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    for found in read:
        entries = found if isinstance(found, list) else [found]
        for entry in entries:
            inner = entry.get("entry") if isinstance(entry, Mapping) and entry.get("resourceType") == "Bundle" else None
            for resource in [part.get("resource") for part in inner or ()] if inner is not None else [entry]:
                if isinstance(resource, Mapping) and is_shaped(resource):
                    yield resource


def _line(line: bytes, place: str) -> Any:
    try:
        return strict_json(line)
    except ParkItem:
        raise StopRun("FA134", f"{place} is not JSON.", "Correct that line, or name a table .csv.") from None


def _charts(resources: Iterable[Mapping[str, Any]], instruments: Mapping[str, Instrument]) -> list[Chart]:
    scores: dict[str, list[Score]] = {}
    sessions: dict[str, list[Session]] = {}
    goals: dict[str, list[Mapping[str, Any]]] = {}
    for resource in resources:
        kind, subject = resource.get("resourceType"), local(str((resource.get("subject") or {}).get("reference", "")))
        if kind == "Observation" and (score := read_score(resource, instruments)) is not None:
            scores.setdefault(subject, []).append(score)
        elif kind == "Encounter" and (session := read_session(resource)) is not None:
            sessions.setdefault(subject, []).append(session)
        elif kind == "Goal":
            goals.setdefault(subject, []).append(resource)
    return [
        Chart(
            subject, tuple(scores.get(subject, ())), tuple(sessions.get(subject, ())),
            read_targets(goals.get(subject, ()), instruments),
        )
        for subject in sorted({*scores, *sessions, *goals})
    ]  # fmt: skip
