"""A form's scores as a DocumentReference: a text that people read, and beside it the Observations for machines.

Where a server takes documents and no Observations, this is the record of a score; `carried` reads it back, so that
rules see the client's earlier scores all the same. Shape: US Core DocumentReference (category clinical-note).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.labels import codings
from fhir_alliance.fhir.observation import coding, score_identifier
from fhir_alliance.fhir.score_sheet import Line, Sheet

FHIR_JSON: Final = "application/fhir+json"
TEXT: Final = "text/plain; charset=utf-8"
_CATEGORY: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
_DOC_STATUS: Final = {
    "final": "final",
    "amended": "amended",
    "corrected": "amended",
    "entered-in-error": "entered-in-error",
}


def document(sheet: Sheet, group: str) -> Write:
    """Return the write that keeps a sheet's document current under the identifier of the form's panel.

    group: what it is written with, as of `Write`. A void sheet marks the document as entered in error.
    """
    body: dict[str, Any] = {
        "resourceType": "DocumentReference",
        "id": sheet.key,
        "meta": {"security": codings(sheet.labels)},
        "identifier": [{"system": ids.SCORE, "value": sheet.key}],
        "status": "entered-in-error" if sheet.is_void else "current",
        "docStatus": _DOC_STATUS[sheet.status],
        "type": {"coding": [coding(code) for code in sheet.codes], "text": sheet.title},
        "category": [{"coding": [{"system": _CATEGORY, "code": "clinical-note"}]}],
        "subject": {"reference": sheet.subject},
        **({"date": sheet.authored} if len(sheet.authored) > 10 else {}),  # an instant needs a time
        "description": f"Scores: {sheet.title}",
        "content": [
            {"attachment": _attachment(TEXT, sheet.title, text_of(sheet).encode())},
            {"attachment": _attachment(FHIR_JSON, f"{sheet.title} (FHIR)", _collection(sheet))},
        ],
    }
    if context := _context(sheet):
        body["context"] = context
    return Write("DocumentReference", ids.SCORE, sheet.key, WriteMode.KEEP_CURRENT, orjson.dumps(body), group)


def text_of(sheet: Sheet) -> str:
    """Return the scores in plain words, one to a line."""
    head = [sheet.title, f"Answered: {sheet.authored}"]
    if sheet.is_void:
        head.append("ENTERED IN ERROR: the form was withdrawn. Do not use these scores.")
    return "\n".join([*head, "", *(said for line in sheet.lines for said in _said(line)), ""])


def carried(documents: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Mapping[str, Any], list[dict[str, Any]]]]:
    """Return, by the identifier of the form's panel, each document of ours and the Observations in it.

    The Observations have no ids: they stand nowhere by themselves. A document is known by what is in it, for some
    servers drop identifiers; what carries no panel of ours is somebody else's.
    """
    found = {}
    for held in documents:
        observations = _observations(held)
        panels = [o for o in observations if ids.PANEL_PROFILE in ((o.get("meta") or {}).get("profile") or ())]
        if len(panels) == 1 and (key := score_identifier(panels[0])):
            found[key] = (held, observations)
    return found


def _said(line: Line) -> list[str]:
    value = line.value or f"no score ({line.absent})"
    band = f" - {line.band}" if line.band else ""
    return [f"{line.title}: {value}{band}", *(f"  {note}" for note in line.notes)]


def _attachment(kind: str, title: str, content: bytes) -> dict[str, Any]:
    return {"contentType": kind, "data": b64encode(content).decode(), "title": title}


def _collection(sheet: Sheet) -> bytes:
    entries = [{"fullUrl": ids.urn(score_identifier(o)), "resource": o} for o in sheet.observations]
    return orjson.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})


def _context(sheet: Sheet) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if sheet.encounter:
        found["encounter"] = [{"reference": sheet.encounter}]
    if sheet.source:
        found["related"] = [{"reference": sheet.source}]
    return found


def _observations(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a document carries; nothing where somebody has changed it so that it cannot be read."""
    for content in held.get("content") or ():
        attachment = content.get("attachment") if isinstance(content, dict) else None
        if not isinstance(attachment, dict) or attachment.get("contentType") != FHIR_JSON:
            continue
        try:
            bundle = orjson.loads(b64decode(str(attachment.get("data", "")), validate=True))
            found = [entry["resource"] for entry in bundle["entry"]]
            return [{k: v for k, v in o.items() if k != "id"} for o in found if o["resourceType"] == "Observation"]
        except (Error, ValueError, KeyError, TypeError, AttributeError):
            return []
    return []
