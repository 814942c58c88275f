"""Prints our counts of change beside those that the R package `clinicalsignificance` prints for its own data sets.

The data sets are not ours to ship. Write them to a folder yourself, in R:

    library(clinicalsignificance)
    for (name in c("claus_2020", "antidepressants", "jacobson_1989"))
      write.csv(get(name), file.path("FOLDER", paste0(name, ".csv")), row.names = FALSE)

and then: python benchmarks/change_tables.py FOLDER. It ends with status 1 where a table differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner

CLAUS = {"--id": "id", "--time": "time", "--first": "1", "--last": "4"}
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "claus_2020": CLAUS,
    "antidepressants": {"--id": "patient", "--time": "measurement", "--first": "Before", "--last": "After"},
    "jacobson_1989": {"--id": "subject", "--time": "time", "--first": "pre", "--last": "post"},
}
CLASSES = ("recovered", "improved", "unchanged", "deteriorated", "harmed")

SNAPSHOTS = "package 3.0.0, tests/testthat/_snaps"
ARTICLES = "package 2.1.0, articles"
REFERENCE = "package 2.1.0, reference of cs_combined"
NEW_ARTICLES = "package 3.0.0, articles"
OLD = "package 1.2.1, reference of clinical_significance and article"


class Printed(NamedTuple):
    """A printed table: data set, outcome, what higher is, our flags, its counts, its cut-off, and where it stands."""

    data: str
    value: str
    higher_is: str
    flags: str
    counts: Sequence[int]
    source: str
    cutoff: float | None = None


_HAMD = "--reliability 0.8 --functional-mean 8 --functional-sd 8 --cutoff c --method"
_BDI = "--reliability 0.801 --functional-mean 7.69 --functional-sd 7.52"
_MOM = "--functional-mean 7 --functional-sd 7 --cutoff c"
_GDS = "--reliability 0.8 --functional-mean 30 --functional-sd 7 --cutoff c --method"
TABLES = (
    Printed("claus_2020", "hamd", "worse", f"{_HAMD} jacobson-truax", (26, 3, 10, 1, 0), SNAPSHOTS),
    Printed("claus_2020", "hamd", "worse", f"{_HAMD} edwards-nunnally", (26, 6, 5, 3, 0), SNAPSHOTS),
    Printed("claus_2020", "hamd", "worse", f"{_HAMD} hsu-linn-lord", (12, 0, 16, 11, 1), SNAPSHOTS),
    Printed("claus_2020", "hamd", "worse", f"{_HAMD} gulliksen-lord-novick", (26, 3, 10, 1, 0), SNAPSHOTS),
    Printed(
        "claus_2020", "hamd", "worse", f"{_HAMD} nunnally-kotsch --reliability-after 0.5", (26, 2, 11, 1, 0), SNAPSHOTS
    ),
    Printed("claus_2020", "hamd", "worse", f"{_HAMD} hageman-arrindell", (23, 9, 7, 1, 0), SNAPSHOTS),
    Printed("claus_2020", "hamd", "worse", "--method percentage --percent 50", (0, 16, 24, 0, 0), SNAPSHOTS),
    Printed("claus_2020", "bdi", "worse", f"{_BDI} --cutoff a", (10, 8, 22, 0, 0), NEW_ARTICLES, 19.16),
    Printed("claus_2020", "bdi", "worse", f"{_BDI} --cutoff c", (10, 8, 22, 0, 0), OLD, 21.02),
    Printed(
        "claus_2020", "bdi", "worse", "--method anchor --minimal-change 7 --cutoff a", (13, 12, 11, 4, 0),
        NEW_ARTICLES, 19.16,
    ),
    Printed("claus_2020", "bdi", "worse", "--method anchor --minimal-change 7", (0, 25, 11, 4, 0), ARTICLES),
    Printed("claus_2020", "bdi", "worse", "--method percentage --percent 30", (0, 19, 21, 0, 0), ARTICLES),
    Printed("claus_2020", "bdi", "worse", "--method percentage --percent 50", (0, 11, 29, 0, 0), NEW_ARTICLES),
    Printed("claus_2020", "bdi", "worse", "--reliability 0.8", (10, 8, 22, 0, 0), REFERENCE, 19.16),
    Printed(
        "claus_2020", "bdi", "worse", "--reliability 0.8 --functional-mean 8 --functional-sd 8 --cutoff c",
        (10, 8, 22, 0, 0), REFERENCE, 21.6,
    ),
    Printed(
        "claus_2020", "bdi", "worse", f"{_MOM} --method anchor --minimal-change 8", (11, 9, 17, 3, 0), ARTICLES, 20.15
    ),
    Printed("claus_2020", "who", "better", f"{_MOM} --method anchor --minimal-change 8", (10, 1, 29, 0, 0), ARTICLES),
    Printed(
        "antidepressants", "mom_di", "worse", f"{_MOM} --reliability 0.8", (159, 115, 237, 34, 10), ARTICLES, 19.72
    ),
    Printed(
        "antidepressants", "mom_di", "worse", f"{_MOM} --method anchor --minimal-change 8", (166, 150, 175, 52, 12),
        ARTICLES, 19.72,
    ),
    Printed("antidepressants", "mom_di", "worse", "--method anchor --minimal-change 7", (0, 331, 157, 67, 0), ARTICLES),
    Printed("antidepressants", "mom_di", "worse", "--method percentage --percent 50", (0, 155, 366, 34, 0), ARTICLES),
    Printed("jacobson_1989", "gds", "worse", "--reliability 0.8", (10, 4, 12, 0, 0), OLD),
    Printed("jacobson_1989", "das", "better", "--reliability 0.8", (10, 6, 13, 1, 0), OLD),
    Printed("jacobson_1989", "gds", "worse", f"{_GDS} jacobson-truax", (3, 11, 12, 0, 0), OLD),
    Printed("jacobson_1989", "gds", "worse", f"{_GDS} edwards-nunnally", (4, 13, 9, 0, 0), OLD),
    Printed("jacobson_1989", "gds", "worse", f"{_GDS} hageman-arrindell", (1, 16, 9, 0, 0), OLD),
)  # fmt: skip


def ours(folder: Path, table: Printed) -> dict[str, Any]:
    """Return what `change --json` says of a table."""
    import json

    from fhir_alliance.cli import program

    columns = [word for pair in COLUMNS[table.data].items() for word in pair]
    call = ["change", "--csv", str(folder / f"{table.data}.csv"), *columns, "--value", table.value, "--json"]
    done = CliRunner().invoke(program, [*call, "--higher-is", table.higher_is, *table.flags.split()])
    if done.exit_code:
        raise SystemExit(done.output)
    return dict(json.loads(done.stdout))


def agrees(table: Printed, found: Mapping[str, Any]) -> bool:
    """Return whether all counts are the printed ones, and the cut-off is where one is printed."""
    counts = [found[name] for name in CLASSES] == list(table.counts)
    return counts and (table.cutoff is None or round(found["cutoff"], 2) == table.cutoff)


def main() -> int:
    """Print all tables whose data are there, and return 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    there = [table for table in TABLES if (folder / f"{table.data}.csv").is_file()]
    differing = 0
    for table in there:
        found = ours(folder, table)
        differing += not agrees(table, found)
        print(f"{'same  ' if agrees(table, found) else 'OTHER '} {table.data} {table.value} {table.flags}")
        print(f"       printed {list(table.counts)} ({table.source})")
        print(f"       ours    {[found[name] for name in CLASSES]}, {found['not_computable']} not computable")
    print(f"{len(there)} of {len(TABLES)} tables compared, {differing} differ")
    return 1 if differing or not there else 0


if __name__ == "__main__":
    sys.exit(main())
