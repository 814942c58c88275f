"""How care was given, from an Encounter."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_alliance.core.model import Mode
from fhir_alliance.fhir.session import mode_of

PHONE = [{"coding": [{"system": "http://snomed.info/sct", "code": "185317003"}]}]


@pytest.mark.parametrize(
    ("encounter", "mode"),
    [
        ({"class": {"code": "AMB"}}, Mode.IN_PERSON),
        ({"class": {"code": "HH"}}, Mode.IN_PERSON),
        ({"class": {"code": "AMB"}, "type": PHONE}, Mode.IN_PERSON),
        ({"class": {"code": "VR"}}, Mode.VIDEO),
        ({"class": {"code": "VR"}, "type": PHONE}, Mode.PHONE),
        ({"class": {"code": "VR"}, "type": [{"coding": [{"system": "other", "code": "185317003"}]}]}, Mode.VIDEO),
        ({"class": {"code": "X"}}, Mode.UNKNOWN),
        ({}, Mode.UNKNOWN),
        ({"class": ["VR"]}, Mode.UNKNOWN),
        ({"class": {"code": "VR"}, "type": "phone"}, Mode.UNKNOWN),
        ({"class": {"code": "VR"}, "type": [{"coding": ["x"]}]}, Mode.UNKNOWN),
    ],
)
def test_mode_of_a_session(encounter: dict[str, Any], mode: Mode) -> None:
    """The class tells in person from virtual, the type picture from voice; what is not said is unknown."""
    assert mode_of(encounter) is mode
