"""What consent is asked about when somebody looks at a stored score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from fhir_alliance.core.consent import Datum
from fhir_alliance.core.model import Score
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.fhir.labels import labels_of


def datum_of_stored(observation: Mapping[str, Any], score: Score, instrument: Datum, base: str = "") -> Datum:
    """Return the datum of one stored score: its instrument's, with whose form it is, when it is from, and its labels.

    A client may withhold a single form: the response that the score was derived from is part of what is asked about.
    """
    encounter = observation.get("encounter") or {}
    return msgspec.structs.replace(
        instrument,
        labels=instrument.under(labels_of(observation)),
        instances=frozenset({f"Observation/{observation.get('id', '')}", *_named(observation, "derivedFrom", base)}),
        related=frozenset(_references([encounter], base)),
        authors=frozenset(_named(observation, "performer", base)),
        first=score.when,
        last=score.when,
    )


def _named(observation: Mapping[str, Any], element: str, base: str) -> Iterator[str]:
    return _references(observation.get(element) or (), base)


def _references(values: Iterable[Any], base: str) -> Iterator[str]:
    """Yield the references that have the shape of one."""
    for value in values:
        if isinstance(value, Mapping) and (reference := local(str(value.get("reference", "")), base)):
            yield reference
