"""A form's Observations as an attachment, carried by a resource of another kind, and how they are read back from it.

Where a server takes no Observation, a document or our score form is the record of a score, and rules see the client's
earlier scores all the same.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import orjson

from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.observation import score_identifier
from fhir_alliance.fhir.score_sheet import Sheet

Held: TypeAlias = tuple[Mapping[str, Any], list[dict[str, Any]]]  # a resource, and the Observations in it
FHIR_JSON: Final = "application/fhir+json"


def attachment(kind: str, title: str, content: bytes) -> dict[str, Any]:
    """Return a FHIR Attachment. kind: its media type."""
    return {"contentType": kind, "data": b64encode(content).decode(), "title": title}


def observations_attached(sheet: Sheet) -> dict[str, Any]:
    """Return the Attachment with a sheet's Observations, as a Bundle of type collection."""
    entries = [{"fullUrl": ids.urn(score_identifier(o)), "resource": o} for o in sheet.observations]
    bundle = orjson.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})
    return attachment(FHIR_JSON, f"{sheet.title} (FHIR)", bundle)


def carried_by(
    resources: Iterable[Mapping[str, Any]], attachments: Callable[[Mapping[str, Any]], Iterable[Any]]
) -> dict[str, Held]:
    """Return, by the identifier of the form's panel, each resource of ours and the Observations in it.

    attachments: gives those of a resource, in any shape that somebody may have made of them.
    The Observations have no ids: they stand nowhere by themselves. A resource is known by what is in it, for some
    servers drop identifiers; what carries no panel of ours is somebody else's.
    """
    found = {}
    for held in resources:
        observations = [o for o in _observations(attachments(held)) if is_shaped(o)]
        panels = [o for o in observations if ids.PANEL_PROFILE in ((o.get("meta") or {}).get("profile") or ())]
        if len(panels) == 1 and (key := score_identifier(panels[0])):
            found[key] = (held, observations)
    return found


def attached(attachments: Iterable[Any]) -> Any:
    """Return what the first attachment of FHIR holds; None where somebody has changed it past reading."""
    for each in attachments:
        if isinstance(each, dict) and each.get("contentType") == FHIR_JSON:
            try:
                return orjson.loads(b64decode(str(each.get("data", "")), validate=True))
            except (Error, ValueError):
                return None
    return None


def _observations(attachments: Iterable[Any]) -> list[dict[str, Any]]:
    bundle = attached(attachments)
    try:
        found = [entry["resource"] for entry in bundle["entry"]]
        return [{k: v for k, v in o.items() if k != "id"} for o in found if o["resourceType"] == "Observation"]
    except (KeyError, TypeError, AttributeError):
        return []
