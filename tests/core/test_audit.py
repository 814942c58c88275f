"""The accounting of disclosures: every time that a client's data was shown or given to somebody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fhir_alliance.core.audit import Access, Action, Ground, accounting
from fhir_alliance.testing import START

ANNA = "Patient/anna"


def access(action: Action, **elements: Any) -> Access:
    """Return an access to Anna's data by her therapist's supervisor, but for what is given."""
    given = {"recipient": "Practitioner/sue", "role": "supervisor", "what": ("Observation/1",)} | elements
    return Access(action, ANNA, START, **given)


@pytest.mark.parametrize("action", [Action.READ, Action.DISCLOSE])
def test_a_look_counts_as_a_report_does(action: Action) -> None:
    """What a supervisor was shown stands in the accounting beside what a payer was given."""
    assert accounting([access(action)], ANNA) == [access(action)]


@pytest.mark.parametrize(
    "other",
    [
        access(Action.QUERY),
        access(Action.CREATE),
        access(Action.UPDATE),
        access(Action.READ, recipient=""),
        access(Action.DISCLOSE, ground=Ground(False, policy="1")),
    ],
    ids=["searched", "wrote", "changed", "read by itself", "refused"],
)
def test_what_nobody_saw_is_not_in_it(other: Access) -> None:
    """What the program did by itself, and what was refused, was shown to nobody."""
    assert accounting([other], ANNA) == []


def test_of_one_client_and_in_order() -> None:
    """Only the client's own, the oldest first, whatever the order in which they were kept."""
    late = Access(Action.READ, ANNA, START + timedelta(days=1), ("Observation/1",), recipient="Practitioner/tom")
    other = Access(Action.READ, "Patient/ben", START, ("Observation/1",), recipient="Practitioner/tom")
    assert accounting([late, other, access(Action.DISCLOSE)], ANNA) == [access(Action.DISCLOSE), late]
