"""Findings as Observations, where a site wants them: reliable change, and probable ruptures.

A judgement, not a measurement: each names the scores that it is derived from, the rule with its version and source, and
says in a sentence what was found. The shape follows US Core's simple Observation, as its guidance asks for judgements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from fhir_alliance.core.change import Change, ChangeClass
from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.labels import ALLIANCE, union
from fhir_alliance.core.model import Family, Finding, Instrument, Score, Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.elements import instant, value_of
from fhir_alliance.fhir.labels import codings

CHANGE: Final = "reliable-change"
RUPTURE: Final = "probable-rupture"
_TITLES: Final = {CHANGE: "Reliable change", RUPTURE: "Probable rupture"}
_UNITS: Final = {"{score}": "score", "1": "standard errors"}
_CLASSES: Final = {
    ChangeClass.RECOVERED: "recovered",
    ChangeClass.IMPROVED: "reliably-improved",
    ChangeClass.DETERIORATED: "reliably-deteriorated",
    ChangeClass.HARMED: "reliably-deteriorated",
}


class Grounds(NamedTuple):
    """What a finding rests on: the instrument, the scores in their order, the change between first and last."""

    instrument: Instrument
    scores: Sequence[Score]
    change: Change | None = None


def finding_write(finding: Finding, code: str, grounds: Grounds, group: str) -> Write:
    """Return the write that keeps a finding's Observation current.

    code: CHANGE or RUPTURE.  group: what it is written with.  References to scores are by their keys.
    """
    concept = {"coding": [{"system": ids.TERMS, "code": code, "display": _TITLES[code]}], "text": _TITLES[code]}
    body = {
        "resourceType": "Observation",
        "id": finding.key,
        "meta": {"profile": [ids.FINDING_PROFILE], "security": codings(_labels(grounds.instrument))},
        "identifier": [{"system": ids.FINDING, "value": finding.key}],
        "status": "final",
        "category": _categories(grounds.instrument),
        "code": concept,
        "subject": {"reference": finding.subject},
        "effectiveDateTime": instant(finding.when),
        "method": {"text": f"{finding.rule} {finding.rule_version}: {finding.citation}"},
        "note": [{"text": finding.sentence}],
        "derivedFrom": [{"reference": f"Observation/{score.key}"} for score in grounds.scores],
    } | _value(grounds)
    return Write("Observation", ids.FINDING, finding.key, WriteMode.KEEP_CURRENT, orjson.dumps(body), group)


def withdrawn_finding(observation: Mapping[str, Any], group: str = "") -> Write:
    """Return the write that marks a finding as entered in error: its scores no longer say so."""
    body = orjson.dumps({**observation, "status": "entered-in-error"})
    return Write("Observation", ids.FINDING, finding_identifier(observation), WriteMode.WITHDRAW, body, group)


def finding_identifier(resource: Mapping[str, Any]) -> str:
    """Return the key of the finding that an Observation of ours tells, or "" where it tells none."""
    return value_of(resource, ids.FINDING)


def _value(grounds: Grounds) -> dict[str, Any]:
    """Return the class of a change with its numbers; a rupture is there or it is not told."""
    if grounds.change is None:
        return {"valueBoolean": True}
    value = {
        "coding": [{"system": ids.TERMS, "code": _CLASSES[grounds.change.kind]}],
        "text": grounds.change.kind.value,
    }
    parts = [_number("change-points", float(plain(grounds.change.points)), "{score}")]
    if grounds.change.reliable_change is not None:
        parts.append(_number("reliable-change-index", float(plain(grounds.change.reliable_change)), "1"))
    return {"valueCodeableConcept": value, "component": parts}


def _number(code: str, value: float, unit: str) -> dict[str, Any]:
    whole = int(value) if value.is_integer() else value
    quantity = {"value": whole, "unit": _UNITS[unit], "system": ids.UCUM, "code": unit}
    return {"code": {"coding": [{"system": ids.TERMS, "code": code}]}, "valueQuantity": quantity}


def _labels(instrument: Instrument) -> tuple[str, ...]:
    own = (ALLIANCE,) if instrument.family is Family.ALLIANCE else ()
    return union(instrument.labels, own)


def _categories(instrument: Instrument) -> list[dict[str, Any]]:
    names = ["finding", *(["therapeutic-alliance"] if instrument.family is Family.ALLIANCE else [])]
    survey = {"coding": [{"system": ids.OBSERVATION_CATEGORY, "code": "survey"}]}
    return [survey, *({"coding": [{"system": ids.TERMS, "code": name}]} for name in names)]
