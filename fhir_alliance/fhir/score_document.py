"""A form's scores as a DocumentReference: a text that people read, and beside it the Observations for machines.

Shape: US Core DocumentReference (category clinical-note).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.carried_scores import Held, attachment, carried_by, observations_attached
from fhir_alliance.fhir.labels import codings
from fhir_alliance.fhir.observation import coding
from fhir_alliance.fhir.score_sheet import Line, Sheet

PDF: Final = "application/pdf"
TEXT: Final = "text/plain; charset=utf-8"
_CATEGORY: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
_DOC_STATUS: Final = {
    "final": "final",
    "amended": "amended",
    "corrected": "amended",
    "entered-in-error": "entered-in-error",
}


def document(sheet: Sheet, group: str, paper: bytes = b"") -> Write:
    """Return the write that keeps a sheet's document current under the identifier of the form's panel.

    paper: a PDF of `text_of`, in place of the text.  group: what it is written with, as of `Write`.
    A void sheet marks the document as entered in error.
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
            {"attachment": attachment(PDF if paper else TEXT, sheet.title, paper or text_of(sheet).encode())},
            {"attachment": observations_attached(sheet)},
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


def carried_in_documents(documents: Iterable[Mapping[str, Any]]) -> dict[str, Held]:
    """Return, by the identifier of the form's panel, each document of ours and the Observations in it."""
    return carried_by(documents, _attachments)


def _said(line: Line) -> list[str]:
    value = line.value or f"no score ({line.absent})"
    band = f" - {line.band}" if line.band else ""
    return [f"{line.title}: {value}{band}", *(f"  {note}" for note in line.notes)]


def _context(sheet: Sheet) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if sheet.encounter:
        found["encounter"] = [{"reference": sheet.encounter}]
    if sheet.source:
        found["related"] = [{"reference": sheet.source}]
    return found


def _attachments(held: Mapping[str, Any]) -> Iterator[Any]:
    contents = held.get("content")
    for content in contents if isinstance(contents, list) else ():
        yield content.get("attachment") if isinstance(content, dict) else None
