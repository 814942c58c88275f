"""Prints how fast and how lean a report is, beside a plain pandas script on the same folder in the same run."""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

NOW = datetime(2027, 1, 1, tzinfo=UTC)
PER_PERSON = 20
RELIABLE = 6  # points of the PHQ-9, as in measures/outcome-by-mode.toml


def write_record(folder: Path, scores: int) -> None:
    """Write a record of `scores` PHQ-9 totals as we write them (1.7 KB each), 20 for each client; always the same."""
    from fhir_alliance.core.consent import gate
    from fhir_alliance.core.model import Cleared, Response
    from fhir_alliance.runs.catalog import load_catalog
    from fhir_alliance.runs.policy import Policy
    from fhir_alliance.runs.score import Desk
    from fhir_alliance.testing import response_json

    desk, chance = Desk(load_catalog(), Policy()), random.Random(9)
    line = json.dumps(response_json([1] * 9, name="r@@", subject="Patient/p@@", authored="2026-01-01T10:00:00+01:00"))
    form = desk.forms.read(line.encode().replace(b"@@", b"0"), NOW)
    assert isinstance(form, Response)
    bench = desk.bench(form)
    cleared = gate(form, (), desk.policy.consent, bench.datum, NOW)
    assert isinstance(cleared, Cleared)
    [body] = [b for _, b in bench.emitter.observations(cleared, bench.scorer.score(cleared)) if b"phq-9-total-" in b]
    pattern = json.loads(body)
    people = scores // PER_PERSON
    with (folder / "Patient.ndjson").open("w") as out:
        for number in range(people):
            born = date(1940, 1, 1) + timedelta(days=chance.randrange(60 * 365))
            patient = {"resourceType": "Patient", "id": f"p{number}", "birthDate": born.isoformat()}
            patient |= {"gender": chance.choice(("female", "male"))}
            out.write(json.dumps(patient, separators=(",", ":")) + "\n")
    with (folder / "Observation.ndjson").open("w") as out:
        for number in range(scores):  # by time, as they were written: a client's lie far apart
            when = (datetime(2026, 1, 1, 10) + timedelta(days=number // people * 18)).isoformat() + "+01:00"
            key, subject = f"{number:064x}", f"Patient/p{number % people}"
            score = pattern | {"id": key, "subject": {"reference": subject}, "performer": [{"reference": subject}]}
            score["identifier"] = [pattern["identifier"][0] | {"value": key}]
            score |= {"effectiveDateTime": when, "issued": when}
            score["valueQuantity"] = pattern["valueQuantity"] | {"value": chance.randrange(28)}
            out.write(json.dumps(score, separators=(",", ":")) + "\n")


def ours(folder: Path) -> list[int]:
    """Return the numerator and the denominator by our engine: consent, strata, suppression and all."""
    from fhir_alliance.config import load_config
    from fhir_alliance.runs.catalog import load_catalog
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.report import Asked, make_report, order_of
    from fhir_alliance.runs.report_crew import here
    from fhir_alliance.stores.folder import FolderStore

    order = order_of(Asked("outcome-by-mode", "2026", "quality", "benchmark"), NOW)
    report = make_report(FolderStore(folder), load_catalog(), policy_of(load_config(None)), order, examine=here)
    whole = report.tally.parts[0].counts
    return [int(whole["numerator"]), int(whole["denominator"])]  # type: ignore[arg-type]


def pandas_script(folder: Path) -> list[int]:
    """Return the same by what most scripts do: load, flatten, group; no consent, no strata, nothing checked.

    In chunks of 100,000: all million at once would take 18 GB.
    """
    import pandas as pd

    patients = pd.read_json(folder / "Patient.ndjson", lines=True)
    parts = []
    for part in pd.read_json(folder / "Observation.ndjson", lines=True, dtype=False, chunksize=100_000):
        codes = part["code"].map(lambda code: [coding["code"] for coding in code["coding"]])
        part = part[codes.map(lambda codes: "phq-9-total" in codes)]
        client = part["subject"].map(lambda subject: subject["reference"].removeprefix("Patient/"))
        value = part["valueQuantity"].map(lambda quantity: quantity["value"])
        parts.append(pd.DataFrame({"client": client, "value": value, "when": part["effectiveDateTime"]}))
    scores = pd.concat(parts)
    scores["when"] = pd.to_datetime(scores["when"])
    scores = scores.merge(patients, left_on="client", right_on="id").sort_values("when")
    courses = scores.groupby("client").agg(
        first=("value", "first"), last=("value", "last"), taken=("value", "size"), ended=("when", "max")
    )
    courses = courses[(courses["taken"] >= 2) & (courses["ended"].dt.year == 2026)]
    return [int((courses["first"] - courses["last"] >= RELIABLE).sum()), len(courses)]


WORKERS = {"ours": ours, "pandas": pandas_script}


def work(name: str, folder: Path) -> None:
    """Run one worker and print its seconds and what it found."""
    start = time.perf_counter()
    found = WORKERS[name](folder)
    print(json.dumps({"seconds": time.perf_counter() - start, "found": found}))


def measured(name: str, folder: Path) -> dict[str, float]:
    """Return what a worker in a fresh process measured, and the peak memory of it and all its processes, in MiB."""
    command = [sys.executable, __file__, "--worker", name, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as worker:
        peak = 0.0
        while worker.poll() is None:
            peak = max(peak, resident(worker.pid))
            time.sleep(0.1)
        assert worker.stdout is not None
        found: dict[str, float] = json.loads(worker.stdout.read())
    return found | {"peak_mib": peak}


def resident(session: int) -> float:
    """Return the memory of all processes of a session in MiB; what they share is counted for each."""
    pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            pages += int(fields[21])
    return pages * resource.getpagesize() / 1024**2


def main(scores: int) -> None:
    """Print both, and the ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_record(folder, scores)
        own, other = measured("ours", folder), measured("pandas", folder)
    assert own["found"] == other["found"], (own, other)
    for said, found in (("ours", own), ("pandas", other)):
        print(f"{said:8} {found['seconds']:7.1f} s  {found['peak_mib']:7.0f} MiB")
    print(f"report, times faster than pandas {other['seconds'] / own['seconds']:6.1f}   (at least 5)")
    print(f"memory, part of that of pandas   {own['peak_mib'] / other['peak_mib']:6.2f}   (at most 0.25)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=int, default=1_000_000)
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        work(chosen.worker[0], Path(chosen.worker[1]))
    else:
        main(chosen.scores)
