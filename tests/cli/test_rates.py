"""`rules rates`: what became of the reviews that each rule asked for, without anybody's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from click.testing import Result

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]


def test_rates_are_counted_from_the_record(run: Run, clinic: Clinic) -> None:
    """A review that a person rejected counts as overridden for each rule in it; before that it is open."""
    folder = clinic()
    run("sync", "--store", folder)
    [before, *_] = json.loads(run("rules", "rates", "--store", folder, "--json").stdout)["rates"]
    assert (before["asked"], before["open"], before["acceptance"]) == (1, 1, None)
    file = folder / "Task.fhir-alliance.ndjson"
    tasks = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(task | {"status": "rejected"}) + "\n" for task in tasks))
    told = json.loads(run("rules", "rates", "--store", folder, "--json").stdout)["rates"]
    found = {rate["id"]: (rate["asked"], rate["overridden"], rate["acceptance"]) for rate in told}
    assert found["caseness-crossing"] == (1, 1, 0.0)
    table = run("rules", "rates", "--store", folder).stdout
    assert "0% of 1" in table
    assert "p1" not in table


def test_a_store_without_reviews_has_no_rates(run: Run, clinic: Clinic) -> None:
    """Before the first review there is nothing to count, and that is said."""
    told = run("rules", "rates", "--store", clinic())
    assert "No goal review is on record." in told.stdout
