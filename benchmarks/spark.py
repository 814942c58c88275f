"""Prints how much faster two cores score on Spark than one, in one run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scoring import write_responses


def work(path: Path) -> None:
    """Score a file on Spark twice, and print the seconds of the second time: without starting Spark and its workers."""
    from datetime import UTC, datetime

    from fhir_alliance.runs.catalog import load_catalog
    from fhir_alliance.runs.policy import Policy
    from fhir_alliance.runs.score import score_inputs
    from fhir_alliance.runs.score_spark import on_spark

    out, now = path.parent / "out.ndjson", datetime(2026, 6, 1, tzinfo=UTC)
    for _ in range(2):
        start = time.perf_counter()
        engine = on_spark(out, 16 * 1024 * 1024)
        summary = score_inputs([str(path)], load_catalog(), Policy(), now, out, lambda count: None, engine)
    print(json.dumps({"seconds": time.perf_counter() - start, "scored": summary.scored}))


def measured(path: Path, cores: int) -> dict[str, float]:
    """Return what a run on so many cores measured, in a fresh process."""
    environment = os.environ | {
        "PYSPARK_SUBMIT_ARGS": f"--master local[{cores}] --conf spark.driver.bindAddress=127.0.0.1 "
        "--conf spark.driver.host=127.0.0.1 --conf spark.ui.enabled=false pyspark-shell"
    }
    command = [sys.executable, __file__, "--worker", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(count: int, rounds: int) -> None:
    """Print the least time of several alternating rounds, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "QuestionnaireResponse.ndjson"
        write_responses(path, count)
        runs = [[measured(path, cores) for cores in (1, 2)] for _ in range(rounds)]
    assert {run["scored"] for pair in runs for run in pair} == {count}
    one, two = (min(run["seconds"] for run in side) for side in zip(*runs, strict=True))
    print(f"{count:,} responses: one core {one:.1f} s, two cores {two:.1f} s")
    print(f"two cores, times faster than one {one / two:6.2f}   (at least 1.7)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--worker", metavar="FILE", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        work(Path(chosen.worker))
    else:
        main(chosen.responses, chosen.rounds)
