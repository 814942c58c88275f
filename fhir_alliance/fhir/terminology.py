"""Code systems for what the catalog's instruments need: scores, bands, methods and answers of our own.

They grow with the catalog, and a code once published is never taken away: scores refer to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fhir_alliance.core.keys import PANEL
from fhir_alliance.core.model import Code, Instrument
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.answers import walk
from fhir_alliance.fhir.observation import method_code
from fhir_alliance.fhir.versions import order, raised

GENERATED: Final = frozenset({ids.SCORES, ids.BANDS, ids.METHODS, ids.ANSWERS})


def code_systems(instruments: Mapping[str, Instrument], forms: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the CodeSystems that these instruments need, each complete for them.

    forms: their Questionnaires as they are published; what an answer is called there, it is called here.
    """
    every = list(instruments.values())
    systems = [
        _code_system(ids.SCORES, "AllianceScores", "Scores and panels", _scores(every)),
        _code_system(ids.BANDS, "AllianceBands", "Published bands of scores", _bands(every)),
        _code_system(ids.METHODS, "AllianceMethods", "How points became a score", _methods(every)),
        _code_system(ids.ANSWERS, "AllianceAnswers", "Answers without a published list", _answers(forms)),
    ]
    return [system for system in systems if system["concept"]]


def grown(system: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a code system as it should stand where an earlier one stands: with the codes of both.

    A code of both is described as it is now. The version is higher than the stored one as soon as anything differs.
    """
    concepts = {c["code"]: c for c in (*stored.get("concept", ()), *system["concept"])}
    whole = {**system, **_content(concepts)}
    held = str(stored.get("version", ""))
    if order(whole["version"]) > order(held):
        return whole
    is_same = all(stored.get(name) == whole[name] for name in whole.keys() - {"id", "version"})
    return whole | {"version": held if is_same else raised(held)}


def _content(concepts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return concepts in order, their number, and the version that rises with it."""
    number = len(concepts)
    return {"version": f"1.{number}.0", "count": number, "concept": [concepts[code] for code in sorted(concepts)]}


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


def _answers(forms: Iterable[Mapping[str, Any]]) -> Iterable[Code]:
    """Yield the answers of our own that forms offer, also to questions that are not scored."""
    for form in forms:
        for item in walk(form.get("item")):
            for option in item.get("answerOption", ()):
                coding = option.get("valueCoding") or {}
                if coding.get("system") == ids.ANSWERS:
                    yield Code(ids.ANSWERS, coding["code"], coding.get("display", ""))


def _code_system(url: str, name: str, title: str, codes: Iterable[Code]) -> dict[str, Any]:
    concepts = {code.code: {"code": code.code, "display": code.display or code.code} for code in codes}
    return {
        "resourceType": "CodeSystem",
        "id": url.rpartition("/")[2],
        "url": url,
        "name": name,
        "title": title,
        "status": "active",
        "experimental": False,
        "publisher": "fhir_alliance",
        "caseSensitive": True,
        "content": "complete",
        **_content(concepts),
    }
