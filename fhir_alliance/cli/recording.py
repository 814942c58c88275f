"""What a run leaves for machines that watch it: metrics, and a log of JSON lines. Neither holds patient data."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Final

import orjson

from fhir_alliance.errors import AllianceError, Exit
from fhir_alliance.runs.metrics import write_metrics
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.files import file_to_add

_LOG: Final = logging.getLogger("fhir_alliance")
_PARTS: Final = ("code", "exit")


@contextmanager
def recorded(metrics: Path | None, log: Path | None) -> Iterator[Callable[[Summary], None]]:
    """Yield a function that is told how the run ended; metrics and log are written also where it fails."""
    start = datetime.now(UTC)
    ended: list[Summary] = []
    status = Exit.INTERNAL
    with _logging(log):
        _LOG.info("start")
        try:
            yield ended.append
            status = ended[-1].exit if ended else Exit.DONE
            _LOG.info("end", extra={"summary": ended[-1] if ended else None, "exit": int(status)})
        except AllianceError as error:
            status = error.exit
            _LOG.error("end", extra={"code": error.code, "exit": int(status)})
            raise
        except BaseException:
            _LOG.error("end", extra={"exit": int(status)})
            raise
        finally:
            if metrics is not None:
                write_metrics(metrics, ended[-1] if ended else None, status, start, datetime.now(UTC))


class _Lines(logging.Formatter):
    """One JSON object per event: when, what, and the counts and codes that belong to it; never a message's text."""

    def __init__(self) -> None:
        super().__init__()
        self._run = uuid.uuid4().hex[:12]  # tells the lines of one run from those of others

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as JSON."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        event = {"time": when, "run": self._run, "level": record.levelname.lower(), "event": record.msg}
        if hasattr(record, "summary"):  # counted only where somebody keeps a log
            event["counts"] = record.summary.as_object() if record.summary is not None else {}
        event |= {part: getattr(record, part) for part in _PARTS if hasattr(record, part)}
        return orjson.dumps(event).decode()


@contextmanager
def _logging(file: Path | None) -> Iterator[None]:
    if file is None:
        yield
        return
    stream = sys.stderr if str(file) == "-" else TextIOWrapper(file_to_add(file), encoding="utf-8")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Lines())
    before = _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(before)
        if stream is not sys.stderr:
            stream.close()
