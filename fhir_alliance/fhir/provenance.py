"""Where a form's Observations come from, as a Provenance beside them: who answered, what scored, by whose consent.

A Provenance is written where an Observation changes, in the same transaction, and never again: an amended form adds one
for its new version. Shape: HL7 R4 Provenance; activity by v3-DataOperation, agents by provenance-participant-type. R4
gives a Provenance no identifier, so its key stands in a tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from fhir_alliance.core.keys import derived
from fhir_alliance.core.labels import union
from fhir_alliance.core.model import Cleared, Instrument, Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.difference import Change, ChangeKind
from fhir_alliance.fhir.elements import instant
from fhir_alliance.fhir.labels import codings, labels_of

_PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_OPERATION: Final = ids.V3 + "DataOperation"
_SOFTWARE: Final = "software"


class Maker(NamedTuple):
    """What made it: this program's version, and the version of the site's consent table."""

    version: str
    table: str


def provenance(
    changes: Sequence[Change], cleared: Cleared | None, instrument: Instrument | None, maker: Maker, now: datetime
) -> Change:
    """Return the creation of the Provenance of one form's changed Observations.

    changes: of one form, at least one.  cleared, instrument: the form behind them, and what scored it; none where the
    form was withdrawn.  now: aware.
    """
    bodies = [orjson.loads(change.write.body) for change in changes]
    group, operation = changes[0].write.group, _operation(changes)
    key = derived("provenance", group, operation, instant(now), *(change.write.value for change in changes))
    source: Sequence[dict[str, Any]] = bodies[0].get("derivedFrom") or ()
    resource: dict[str, Any] = {
        "resourceType": "Provenance",
        "id": key,
        "meta": {
            "profile": [ids.PROVENANCE_PROFILE],
            "security": codings(union(*map(labels_of, bodies))),
            "tag": [{"system": ids.PROVENANCE, "code": key}],
        },
        "contained": [device(maker.version)],
        "target": [{"reference": f"{change.write.type}/{change.write.value}"} for change in changes],
        "recorded": instant(now),
        "activity": {"coding": [{"system": _OPERATION, "code": operation}]},
        "agent": [agent("assembler", {"reference": f"#{_SOFTWARE}"})],
        "entity": [{"role": "source", "what": what} for what in (*source[:1], *_scored_by(instrument))],
    }
    if cleared is not None:
        resource["policy"] = list(cleared.consents) or [f"{ids.CONSENT_TABLE}|{maker.table}"]
        resource["reason"] = [{"coding": [{"system": ids.V3 + "ActReason", "code": cleared.purpose}]}]
        if cleared.form.performer:
            resource["agent"].append(agent("author", {"reference": cleared.form.performer}))
    body = orjson.dumps(resource)
    return Change(Write("Provenance", ids.PROVENANCE, key, WriteMode.ACCOMPANY, body, group), ChangeKind.CREATE)


def _operation(changes: Sequence[Change]) -> str:
    """Return what was done to the Observations as a whole: the form is new, changed, or withdrawn."""
    if all(change.write.mode is WriteMode.WITHDRAW for change in changes):
        return "NULLIFY"
    return "CREATE" if all(change.kind is ChangeKind.CREATE for change in changes) else "UPDATE"


def device(version: str) -> dict[str, Any]:
    """Return this program as a Device in its version."""
    return {
        "resourceType": "Device",
        "id": _SOFTWARE,
        "identifier": [{"system": ids.SOFTWARE, "value": "fhir_alliance"}],
        "deviceName": [{"name": "fhir_alliance", "type": "model-name"}],
        "version": [{"value": version}],
    }


def agent(kind: str, who: dict[str, str]) -> dict[str, Any]:
    return {"type": {"coding": [{"system": _PARTICIPANT, "code": kind}]}, "who": who}


def _scored_by(instrument: Instrument | None) -> Sequence[dict[str, Any]]:
    """Return the instrument in the version whose rules scored the form."""
    if instrument is None:
        return ()
    canonical = f"{instrument.url}|{instrument.version}"
    return ({"type": "Questionnaire", "identifier": {"system": "urn:ietf:rfc:3986", "value": canonical}},)
