"""Prints what becomes of many forms on a way that fails, by a program that is killed: nothing is lost or doubled."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path


def main(forms: int, rate: float, kills: int, db: str) -> None:
    """Run it and print the counts. db: a JDBC URL, "" for H2 in a file."""
    from tests.servers import hapi_server, soak

    plan = soak.Plan(forms=forms, rate=rate, kills=kills, between=(50, 400))
    with (
        tempfile.TemporaryDirectory() as name,
        hapi_server.start(validate=False, heap="4g", db=db or f"jdbc:h2:file:{name}/h2") as server,
        hapi_server.FhirClient(server.base) as fhir,
    ):
        soak.load(fhir, plan)
        begun = time.monotonic()
        soaked = soak.soak(server.base, Path(name), plan)
        minutes = (time.monotonic() - begun) / 60
        found, versions = soak.standing(fhir)
    lost = 2 * forms - len(found)
    doubled = sum(count > 1 for count in found.values())
    again = sum(count for version, count in versions.items() if version != "1")
    print(f"{forms:,} forms in {minutes:.1f} min, {soaked.runs} runs, {soaked.killed} of them killed")
    print("faults met: " + ", ".join(f"{count} x {fault}" for fault, count in sorted(soaked.faults.items())))
    print(f"of {2 * forms:,} scores: {lost} lost, {doubled} doubled, {again} written a second time")
    print(
        f"a run after all of it writes {soaked.last['created'] or 'nothing'}, {soaked.last['updated'] or 'no update'}"
    )
    print(f"peak memory of a run: {min(soaked.peaks):.0f} to {max(soaked.peaks):.0f} MiB")
    tenth = max(1, len(soaked.held) // 10)
    by_tenth = [max(soaked.held[start : start + tenth]) for start in range(0, len(soaked.held), tenth)][:10]
    print("held by the longest run, in each tenth of its requests: " + ", ".join(f"{mib:.0f}" for mib in by_tenth))
    if lost or doubled or again:
        sys.exit(1)


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))  # the tests' servers
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forms", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=0.03, help="share of requests that meet a fault")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--db", default="", help="JDBC URL of an empty PostgreSQL database (default: H2 in a file)")
    chosen = parser.parse_args()
    main(chosen.forms, chosen.rate, chosen.kills, chosen.db)
