"""Stored Observations back to scores: those that we wrote, whatever a store has made of them since."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from fhir_alliance.core.labels import NOT_TO_THERAPIST, is_kept_from
from fhir_alliance.core.model import Band, Instrument, NoValue, Number, Rater, Scale, Score
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.elements import MISSHAPEN
from fhir_alliance.fhir.labels import labels_of
from fhir_alliance.fhir.observation import score_identifier
from fhir_alliance.fhir.remembered import remembered

_RATED: Final = {f"{rater.value}-rated": rater for rater in Rater}


class _Kind(NamedTuple):
    """What the Observation of a score shares with many others.

    code: ours.  version: of the instrument.  rater, answered: None where they are not said.
    """

    code: str
    version: str
    is_prorated: bool
    rater: Rater | None
    answered: int | None
    language: str
    is_kept: bool


def read_score(resource: Mapping[str, Any], instruments: Mapping[str, Instrument], base: str = "") -> Score | None:
    """Return the score in a stored Observation of ours, or None for panels, items, what others wrote or misshaped."""
    try:
        return _read_score(resource, instruments, base)
    except MISSHAPEN:
        return None


def _read_score(resource: Mapping[str, Any], instruments: Mapping[str, Instrument], base: str) -> Score | None:
    key = score_identifier(resource)
    if not key:
        return None
    security = (resource.get("meta") or {}).get("security")
    kind = _kind(
        resource.get("code"), resource.get("method"), resource.get("category"), resource.get("component"), security
    )
    parts = kind.code.split("-")
    for length in range(1, len(parts)):  # both ids may have hyphens
        instrument = instruments.get("-".join(parts[:length]))
        if instrument is None:
            continue
        for scale in instrument.scales:
            if kind.code == f"{instrument.id}-{scale.id}":
                return _stored_score(resource, key, kind, instrument, scale, base)
    return None


@remembered
def _kind(code: Any, method: Any, category: Any, component: Any, security: Any) -> _Kind:
    own = next((str(c.get("code", "")) for c in (code or {}).get("coding") or () if c.get("system") == ids.SCORES), "")
    way = ((method or {}).get("coding") or [{}])[0]
    said = {c.get("code") for concept in category or () for c in concept.get("coding") or ()}
    components = _components(component)
    answered = components.get("items-answered", {})
    spoken = (components.get("language", {}).get("valueCodeableConcept") or {}).get("coding") or [{}]
    return _Kind(
        own,
        str(way.get("version", "")),
        str(way.get("code", "")).endswith("-prorated"),
        next((rater for name, rater in _RATED.items() if name in said), None),
        int(answered["valueInteger"]) if "valueInteger" in answered else None,
        str(spoken[0].get("code", "")),
        is_kept_from(labels_of({"meta": {"security": security}}), NOT_TO_THERAPIST),
    )


def _components(components: Any) -> dict[str, Mapping[str, Any]]:
    """Return the components by our code for them."""
    return {
        coding.get("code", ""): component
        for component in components or ()
        for coding in (component.get("code") or {}).get("coding") or ()
        if coding.get("system") == ids.TERMS
    }


def _stored_score(
    resource: Mapping[str, Any], key: str, kind: _Kind, instrument: Instrument, scale: Scale, base: str
) -> Score:
    asked = len(scale.items)
    value, band = _stored_value(resource, scale)
    return Score(
        key,
        instrument.id,
        kind.version,
        scale.id,
        ids.local(str((resource.get("subject") or {}).get("reference", "")), base),
        kind.rater or instrument.rater,
        _stored_moment(str(resource.get("effectiveDateTime", ""))),
        value,
        asked if kind.answered is None else kind.answered,
        asked - scale.missing.max_missing,
        asked,
        kind.is_prorated,
        band,
        resource.get("status") == "entered-in-error",
        kind.language,
        str(((resource.get("focus") or [{}])[0]).get("reference", "")),
        ids.local(str((resource.get("encounter") or {}).get("reference", "")), base),
        kind.is_kept,
        str(resource.get("id", "")),
    )


def _stored_value(resource: Mapping[str, Any], scale: Scale) -> tuple[Number | NoValue, Band | None]:
    quantity = resource.get("valueQuantity")
    if quantity is None or "value" not in quantity:
        absent = ((resource.get("dataAbsentReason") or {}).get("coding") or [{}])[0]
        notes = resource.get("note") or [{}]
        note = str(notes[0].get("text", "")).removesuffix(".")
        return NoValue(str(absent.get("code", "unknown")), note[:1].lower() + note[1:]), None
    codes = _bands(resource.get("interpretation"))
    return _number(quantity["value"]), next((band for band in scale.bands if band.code in codes), None)


@remembered
def _bands(interpretation: Any) -> frozenset[Any]:
    return frozenset(c.get("code") for i in interpretation or () for c in i.get("coding") or ())


def _number(value: Any) -> Number:
    if type(value) is int:
        return value
    exact = Decimal(str(value))
    return int(exact) if exact == exact.to_integral_value() else exact


@lru_cache(maxsize=4096)
def _stored_moment(text: str) -> datetime:
    """Return when a stored score is from, as `inbound.moment` ordered it: a bare day counts as its noon."""
    if len(text) == 10:
        text += "T12:00:00+00:00"
    try:
        return datetime.fromisoformat(text.replace(":60", ":59")).astimezone(UTC)
    except ValueError:  # ours always has one; a server may have cut it
        return datetime.min.replace(tzinfo=UTC)
