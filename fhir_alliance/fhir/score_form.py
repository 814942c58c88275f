"""A form's scores as answers to a small form of ours, the score sheet (profiles/forms/score-sheet.json).

For servers that take a QuestionnaireResponse and no Observation (athenahealth, eClinicalWorks, MEDITECH): US Core
represents an assessment as either. The Observations travel along in an attachment, as they do in a document. What we
have written in this way is nobody's answers: `is_score_form` keeps it from being scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Code, Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.carried_scores import Held, carried_by, observations_attached
from fhir_alliance.fhir.elements import software
from fhir_alliance.fhir.labels import codings
from fhir_alliance.fhir.observation import coding
from fhir_alliance.fhir.score_sheet import Line, Sheet

# The items' words in profiles/forms/score-sheet.json, so that a response can be read without it; a test compares them.
WORDS: Final[Mapping[str, str]] = {
    "form": "Questionnaire that was scored",
    "form-code": "Its codes",
    "source": "The answers that were scored",
    "score": "Score",
    "score-name": "Scale",
    "score-code": "Codes of the scale",
    "score-value": "Value",
    "score-absent": "Why there is no value",
    "score-band": "Band",
    "score-note": "Note",
    "observations": "The same as FHIR Observations, for software",
}
_URL: Final = ids.SCORE_FORM.partition("|")[0]
_STATUS: Final = {
    "final": "completed",
    "amended": "amended",
    "corrected": "amended",
    "entered-in-error": "entered-in-error",
}


def score_form(sheet: Sheet, group: str) -> Write:
    """Return the write that keeps a sheet's response current under the identifier of the form's panel.

    group: what it is written with, as of `Write`. A void sheet marks the response as entered in error.
    """
    body: dict[str, Any] = {
        "resourceType": "QuestionnaireResponse",
        "id": sheet.key,
        "meta": {"security": codings(sheet.labels)},
        "identifier": {"system": ids.SCORE, "value": sheet.key},
        "questionnaire": ids.SCORE_FORM,
        "status": _STATUS[sheet.status],
        "subject": {"reference": sheet.subject},
        **({"encounter": {"reference": sheet.encounter}} if sheet.encounter else {}),
        **({"authored": sheet.authored} if sheet.authored else {}),
        "author": software(),
        "item": list(_items(sheet)),
    }
    return Write("QuestionnaireResponse", ids.SCORE, sheet.key, WriteMode.KEEP_CURRENT, orjson.dumps(body), group)


def is_score_form(questionnaire: str | None) -> bool:
    """Return whether a response's canonical, in any version, is that of the score sheet."""
    if questionnaire is None or not questionnaire.startswith(_URL):  # asked of every form that is read
        return False
    return questionnaire.partition("|")[0] == _URL


def carried_in_forms(responses: Iterable[Mapping[str, Any]]) -> dict[str, Held]:
    """Return, by the identifier of the form's panel, each score form of ours and the Observations in it."""
    return carried_by(responses, _attachments)


def _items(sheet: Sheet) -> Iterator[dict[str, Any]]:
    yield _item("form", valueString=sheet.title)
    yield from _coded("form-code", sheet.codes)
    if sheet.source:
        yield _item("source", valueReference={"reference": sheet.source})
    for line in sheet.lines:
        yield {"linkId": "score", "text": WORDS["score"], "item": list(_score(line))}
    yield _item("observations", valueAttachment=observations_attached(sheet))


def _score(line: Line) -> Iterator[dict[str, Any]]:
    yield _item("score-name", valueString=line.title)
    yield from _coded("score-code", line.codes)
    if line.value:
        yield _item("score-value", valueDecimal=orjson.Fragment(line.value))
    for link_id, said in (("score-absent", line.absent), ("score-band", line.band)):
        if said:
            yield _item(link_id, valueString=said)
    if line.notes:
        answers = [{"valueString": note} for note in line.notes]
        yield {"linkId": "score-note", "text": WORDS["score-note"], "answer": answers}


def _item(link_id: str, **value: Any) -> dict[str, Any]:
    return {"linkId": link_id, "text": WORDS[link_id], "answer": [value]}


def _coded(link_id: str, codes: Iterable[Code]) -> Iterator[dict[str, Any]]:
    answers = [{"valueCoding": coding(code)} for code in codes]
    if answers:
        yield {"linkId": link_id, "text": WORDS[link_id], "answer": answers}


def _attachments(response: Mapping[str, Any]) -> Iterator[Any]:
    items = response.get("item")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("linkId") == "observations":
            answers = item.get("answer")
            for answer in answers if isinstance(answers, list) else ():
                yield answer.get("valueAttachment") if isinstance(answer, dict) else None
