"""What the Patients of a store tell of whose records belong together, and of who has died."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from fhir_alliance.runs.merged import people_of

OLD, NEW = "Patient/old", "Patient/new"
DEAD = {"deceasedBoolean": True}


class Patients:
    """A store that holds Patients and nothing else."""

    base = ""

    def __init__(self, *held: dict[str, Any]) -> None:
        self._held = {f"Patient/{patient['id']}": patient for patient in held}

    def named(self, kind: str, references: Collection[str]) -> list[dict[str, Any]]:
        """Return those of the references that are there."""
        return [self._held[name] for name in references if name in self._held]


def linked(other: str, kind: str) -> dict[str, Any]:
    """Return the part of a Patient that says with whom its record was merged."""
    return {"link": [{"other": {"reference": other}, "type": kind}]}


@pytest.mark.parametrize(
    ("old", "new", "died"),
    [
        (DEAD, {}, set()),
        ({}, DEAD, {OLD, NEW}),
        (DEAD, linked(OLD, "replaces") | DEAD, {OLD, NEW}),
        (DEAD | linked(NEW, "replaced-by"), linked(OLD, "replaced-by"), {OLD, NEW}),
        ({}, None, set()),
        (DEAD, None, {OLD, NEW}),
    ],
    ids=["slip in the old one", "the survivor", "both", "no survivor", "survivor not given", "only the old is given"],
)
def test_the_surviving_record_says_who_died(old: dict[str, Any], new: dict[str, Any] | None, died: set[str]) -> None:
    """Of merged records the one that stands is believed; where none does, or it cannot be read, any of them."""
    held = [{"id": "old", **linked(NEW, "replaced-by"), **old}, *([{"id": "new", **new}] if new is not None else [])]
    people = people_of(Patients(*held), {OLD, NEW})  # type: ignore[arg-type]
    assert set(people.deaths) == died
    assert people.families[OLD].ids == {OLD, NEW}
