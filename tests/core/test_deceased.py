"""A client who has died: what is opened, asked and given no more."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from fhir_alliance.core.consent_request import Action
from fhir_alliance.core.deceased import death_bars, has_died
from fhir_alliance.core.measures.people import Death
from fhir_alliance.fhir.person import death_of

NOW = datetime(2026, 3, 2, 22, 30, tzinfo=timezone(timedelta(hours=-5)))  # the next day in UTC


@pytest.mark.parametrize(
    ("said", "died"),
    [
        ({}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedBoolean": False}, False),
        ({"deceasedBoolean": "true"}, False),
        ({"deceasedDateTime": "2026"}, True),
        ({"deceasedDateTime": "2026-03-02"}, True),
        ({"deceasedDateTime": "2026-03-02T22:30:00-05:00"}, True),
        ({"deceasedDateTime": "2026-03-02T22:31:00-05:00"}, False),
        ({"deceasedDateTime": "2062-03-02"}, False),
        ({"deceasedDateTime": "unknown"}, False),
    ],
)
def test_who_has_died(said: dict[str, object], died: bool) -> None:
    """A client has died where the record says so by now; a date that lies ahead, or is none, says nothing."""
    assert has_died(death_of(said), NOW) is died


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("gives", [False, True])
def test_what_a_death_bars(action: Action, gives: bool) -> None:
    """Only to give data away is barred, not their use for care, and not where the site has chosen otherwise."""
    assert bool(death_bars(Death(True), action, NOW, gives=gives)) is (action is Action.DISCLOSE and not gives)
    assert death_bars(Death(), action, NOW, gives=gives) == ()
