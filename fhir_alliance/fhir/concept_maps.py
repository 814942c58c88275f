"""Maps from our own codes of scores and panels to LOINC, where LOINC has a code for the same thing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fhir_alliance.core.model import Code, Instrument
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.observation import panel_codes, scale_codes

_LOINC_NOTICE: Final = (
    "This material contains content from LOINC (http://loinc.org). LOINC is copyright Regenstrief Institute, Inc. and "
    "the LOINC Committee and is available at no cost under the license at http://loinc.org/license."
)


def concept_maps(instruments: Mapping[str, Instrument]) -> list[dict[str, Any]]:
    """Return the ConceptMap from scores to LOINC; none where no instrument has a LOINC code."""
    elements = sorted(_elements(instruments.values()), key=lambda element: str(element["code"]))
    if not elements:
        return []
    name = "scores-to-loinc"
    return [
        {
            "resourceType": "ConceptMap",
            "id": name,
            "url": f"{ids.BASE}/ConceptMap/{name}",
            "version": f"1.{len(elements)}.0",
            "name": "AllianceScoresToLoinc",
            "title": "Scores and panels to LOINC",
            "status": "active",
            "experimental": False,
            "publisher": "fhir_alliance",
            "copyright": _LOINC_NOTICE,
            "group": [{"source": ids.SCORES, "target": ids.LOINC, "element": elements}],
        }
    ]


def _elements(instruments: Iterable[Instrument]) -> Iterator[dict[str, Any]]:
    """Yield a mapping for each panel and score that carries a LOINC code beside ours."""
    for instrument in instruments:
        for codes in (panel_codes(instrument), *(scale_codes(instrument, scale) for scale in instrument.scales)):
            *published, own = codes
            targets = [_target(code) for code in published if code.system == ids.LOINC]
            if targets:
                yield {"code": own.code, "display": own.display, "target": targets}


def _target(code: Code) -> dict[str, str]:
    return {"code": code.code, "equivalence": "equivalent"} | ({"display": code.display} if code.display else {})
