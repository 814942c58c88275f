"""Code systems for what the catalog's instruments need: scores, bands, methods and answers of our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_alliance.core.keys import PANEL
from fhir_alliance.core.model import Code, Instrument
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.observation import method_code

VERSION = "1.0.0"


def code_systems(instruments: Mapping[str, Instrument]) -> list[dict[str, Any]]:
    """Return the CodeSystems that these instruments need, each complete for them."""
    every = list(instruments.values())
    systems = [
        _code_system(ids.SCORES, "AllianceScores", "Scores and panels", _scores(every)),
        _code_system(ids.BANDS, "AllianceBands", "Published bands of scores", _bands(every)),
        _code_system(ids.METHODS, "AllianceMethods", "How points became a score", _methods(every)),
        _code_system(ids.ANSWERS, "AllianceAnswers", "Answers without a published list", _answers(every)),
    ]
    return [system for system in systems if system["concept"]]


def _scores(instruments: Iterable[Instrument]) -> Iterable[Code]:
    for instrument in instruments:
        yield Code(ids.SCORES, f"{instrument.id}-{PANEL}", instrument.title)
        for scale in instrument.scales:
            yield Code(ids.SCORES, f"{instrument.id}-{scale.id}", scale.title)


def _bands(instruments: Iterable[Instrument]) -> Iterable[Code]:
    return (Code(ids.BANDS, b.code, b.label) for i in instruments for s in i.scales for b in s.bands)


def _methods(instruments: Iterable[Instrument]) -> Iterable[Code]:
    for instrument in instruments:
        for scale in instrument.scales:
            for prorated in (False, True):
                code = method_code(instrument, scale, prorated=prorated)
                how = "answered items filled up by their mean" if prorated else "all items answered"
                yield Code(code.system, code.code, f"{scale.title}: {scale.formula.value}, {how}")


def _answers(instruments: Iterable[Instrument]) -> Iterable[Code]:
    options = (option.code for i in instruments for item in i.items for option in item.options)
    return (code for code in options if code.system == ids.ANSWERS)


def _code_system(url: str, name: str, title: str, codes: Iterable[Code]) -> dict[str, Any]:
    concepts = {code.code: {"code": code.code, "display": code.display or code.code} for code in codes}
    return {
        "resourceType": "CodeSystem",
        "id": url.rpartition("/")[2],
        "url": url,
        "version": VERSION,
        "name": name,
        "title": title,
        "status": "active",
        "experimental": False,
        "publisher": "fhir_alliance",
        "caseSensitive": True,
        "content": "complete",
        "count": len(concepts),
        "concept": [concepts[code] for code in sorted(concepts)],
    }
