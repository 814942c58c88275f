"""A client's course as one JSON object, for machines."""

from __future__ import annotations

from typing import Final

import msgspec

from fhir_alliance.core.course import ClientCourse

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic")


def course_json(told: ClientCourse) -> str:
    """Return the members of `ClientCourse`; a sitting's value is a number, or an object with `code` and `note`."""
    return _ENCODER.encode(told).decode()
