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
        out.unlink(missing_ok=True)
        start = time.perf_counter()
        summary = score_inputs([str(path)], load_catalog(), Policy(), now, out, lambda count: None, on_spark(out))
    print(json.dumps({"seconds": time.perf_counter() - start, "scored": summary.scored}))


# As the program configures Spark by itself, but for the number of tasks at a time.
ONE_TASK = (
    "--master local[1] --conf spark.driver.bindAddress=127.0.0.1 --conf spark.driver.host=127.0.0.1 "
    "--conf spark.ui.enabled=false --conf spark.python.unix.domain.socket.enabled=true pyspark-shell"
)


def measured(path: Path, cores: set[int], arguments: str = "") -> dict[str, float]:
    """Return what a run measured in a fresh process, on these cores and no others. arguments: Spark's, if not ours."""
    environment = os.environ | ({"PYSPARK_SUBMIT_ARGS": arguments} if arguments else {})
    command = [sys.executable, __file__, "--worker", str(path)]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # Java and Python's workers inherit it
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    finally:
        os.sched_setaffinity(0, before)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(count: int, rounds: int) -> None:
    """Print the least times of several alternating rounds, and their ratios."""
    one, other, *_ = sorted(os.sched_getaffinity(0))
    both = {one, other}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "QuestionnaireResponse.ndjson"
        write_responses(path, count)
        runs = [[measured(path, {one}), measured(path, both, ONE_TASK), measured(path, both)] for _ in range(rounds)]
    assert {run["scored"] for each in runs for run in each} == {count}
    core, task, two = (min(run["seconds"] for run in side) for side in zip(*runs, strict=True))
    print(f"{count:,} responses: one core {core:.1f} s, one task on two cores {task:.1f} s, two cores {two:.1f} s")
    print(f"two cores, times faster than one core             {core / two:6.2f}   (at least 1.7)")
    print(f"two cores, times faster than one task on these two {task / two:5.2f}")


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
