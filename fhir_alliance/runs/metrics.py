"""What a run did, for a Prometheus textfile collector. Counts and times only; no label tells a client."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fhir_alliance.errors import Exit
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.files import new_file

PREFIX: Final = "fhir_alliance_sync_"
_SUCCESS: Final = PREFIX + "last_success_timestamp_seconds"
_FORMS: Final = ("read", "scored", "unscorable", "withheld", "parked", "unfinished", "withdrawn")
_FINE: Final = (Exit.DONE, Exit.PARKED)


def write_metrics(path: Path, summary: Summary | None, status: Exit, start: datetime, end: datetime) -> None:
    """Replace the file with the metrics of the last run.

    summary: None for a run that failed; what it did is then not known.  status: how it ended.
    The time of the last success stays from run to run: a job that fails silently shows by its age.
    """
    registry = CollectorRegistry()
    if summary is not None:
        _counts(registry, summary)
    _gauge(registry, "exit_status", "Exit status of the last run.").set(int(status))
    _gauge(registry, "duration_seconds", "How long the last run took.").set((end - start).total_seconds())
    _gauge(registry, "last_run_timestamp_seconds", "When the last run ended.").set(end.timestamp())
    success = end.timestamp() if status in _FINE else _last_success(path)
    if success is not None:
        _gauge(registry, _SUCCESS.removeprefix(PREFIX), "When a run last did all it could.").set(success)
    with new_file(path) as out:
        out.write(generate_latest(registry))


def _counts(registry: CollectorRegistry, summary: Summary) -> None:
    counts = summary.as_object()
    forms = _gauge(registry, "forms", "Questionnaire responses of the last run, by what became of them.", "outcome")
    for outcome in _FORMS:
        forms.labels(outcome).set(counts[outcome])
    writes = _gauge(registry, "writes", "Resources of the last run, by type and what was done.", "type", "change")
    for change in ("created", "updated", "unchanged"):
        for kind, count in counts[change].items():
            writes.labels(kind, change).set(count)
    _gauge(registry, "unknown", "Writes whose outcome is not known yet.").set(summary.unknown)
    safety = _gauge(registry, "safety_reviews", "Safety reviews, by what is to be known of them.", "state")
    for state, count in counts["safety_reviews"].items():
        safety.labels(state).set(count)


def _gauge(registry: CollectorRegistry, name: str, words: str, *labels: str) -> Gauge:
    return Gauge(PREFIX + name, words, labels, registry=registry)


def _last_success(path: Path) -> float | None:
    """Return when a run last succeeded, from the file that is about to be replaced."""
    try:
        families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
        return next((sample.value for family in families for sample in family.samples if sample.name == _SUCCESS), None)
    except (OSError, ValueError):
        return None
