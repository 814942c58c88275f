"""What a run leaves for machines: metrics, log lines, and an orderly end when it is asked to stop."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from click.testing import Result
from prometheus_client.parser import text_string_to_metric_families

from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]


def metrics(file: Path) -> dict[str, float]:
    """Return the samples of a metrics file, by name and the values of their labels."""
    families = text_string_to_metric_families(file.read_text(encoding="utf-8"))
    samples = (sample for family in families for sample in family.samples)
    return {" ".join((sample.name, *sorted(sample.labels.values()))): sample.value for sample in samples}


def test_metrics_say_what_a_run_did(run: Run, clinic: Clinic, here: Path) -> None:
    """A textfile collector reads counts, exit status and times; only we can read the file."""
    clinic()
    assert run("sync", "--store", "clinic", "--metrics", "run.prom").exit_code == 0
    told = metrics(here / "run.prom")
    assert told["fhir_alliance_sync_forms scored"] == 2
    assert told["fhir_alliance_sync_writes Observation created"] == 4
    assert told["fhir_alliance_sync_exit_status"] == 0
    assert told["fhir_alliance_sync_last_success_timestamp_seconds"] > 1_700_000_000
    assert stat.S_IMODE((here / "run.prom").stat().st_mode) == 0o600


def test_a_failed_run_is_seen_and_keeps_the_last_success(run: Run, clinic: Clinic, here: Path) -> None:
    """After a run that failed, the exit status says so and the last success is as old as it was."""
    folder = clinic()
    run("sync", "--store", "clinic", "--metrics", "run.prom")
    before = metrics(here / "run.prom")
    (folder / ".fhir-alliance" / "journal.db").write_bytes(b"damaged" * 1000)
    assert run("sync", "--store", "clinic", "--metrics", "run.prom", "--log", "run.log").exit_code == 10
    after = metrics(here / "run.prom")
    assert after["fhir_alliance_sync_exit_status"] == 10
    success = "fhir_alliance_sync_last_success_timestamp_seconds"
    assert after[success] == before[success]
    assert "fhir_alliance_sync_forms scored" not in after
    assert json.loads((here / "run.log").read_text(encoding="utf-8").splitlines()[-1])["code"] == "FA502"


def test_log_lines_are_events_with_counts(run: Run, clinic: Clinic, here: Path) -> None:
    """Every line is one JSON object of one run, and nothing in it is a client's."""
    clinic()
    run("sync", "--store", "clinic", "--log", "run.log")
    run("sync", "--store", "clinic", "--log", "run.log")
    text = (here / "run.log").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == ["start", "page", "end"] * 2
    assert len({line["run"] for line in lines}) == 2
    assert (lines[1]["counts"]["scored"], lines[2]["exit"]) == (2, 0)
    assert "p1" not in text
    assert stat.S_IMODE((here / "run.log").stat().st_mode) == 0o600


def test_asked_to_stop_it_finishes_the_page(clinic: Clinic, here: Path, run: Run) -> None:
    """SIGTERM ends a run after the page in hand, with status 75; the next run does the rest and doubles nothing."""
    count = 2600
    clinic(*(response_json([1] * 9, name=f"r{number}", subject=f"Patient/p{number}") for number in range(count)))
    program = [sys.executable, "-m", "fhir_alliance", "sync", "--store", "clinic", "--log", "run.log", "--json"]
    job = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    log = here / "run.log"
    while job.poll() is None and not (log.is_file() and '"page"' in log.read_text(encoding="utf-8")):
        time.sleep(0.01)
    job.send_signal(signal.SIGTERM)
    first = json.loads(job.communicate()[0])
    assert job.returncode == 75
    assert 0 < first["scored"] < count
    rest = json.loads(run("sync", "--store", "clinic", "--json").stdout)
    assert first["created"]["Observation"] + rest["created"]["Observation"] == 2 * count
    assert json.loads(run("sync", "--store", "clinic", "--json").stdout)["created"] == {}
