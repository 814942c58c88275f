"""Questionnaires: their items as nouns, and the form in which they are published."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from fhir_alliance.core.conformance import Problem
from fhir_alliance.core.model import Code, Instrument, Item, Number, Option, Wording
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.answers import walk, whole
from fhir_alliance.fhir.identifiers import WEIGHT_URLS
from fhir_alliance.fhir.wording import SiteWording, edition, worded

CALCULATED = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression"
_ANSWERED = frozenset({"choice", "open-choice", "integer", "decimal", "quantity"})


def read_items(questionnaire: Mapping[str, Any]) -> tuple[Item, ...]:
    """Return the items whose answers are worth points, in order, those in groups included.

    Raises StopRun FA103 where an answer's points are stated twice and differ.
    """
    return tuple(_item(item) for item in walk(questionnaire.get("item")) if _is_scored(item))


def calculated_items(questionnaire: Mapping[str, Any]) -> dict[str, str]:
    """Return the FHIRPath expression of every calculated item, by linkId."""
    return {
        item["linkId"]: extension["valueExpression"]["expression"]
        for item in walk(questionnaire.get("item"))
        for extension in item.get("extension", ())
        if extension.get("url") == CALCULATED
    }


def check_questionnaire(instrument: Instrument, questionnaire: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between an instrument and its Questionnaire."""
    link_ids = [item.get("linkId", "") for item in walk(questionnaire.get("item"))]
    for link_id in {link_id for link_id in link_ids if link_ids.count(link_id) > 1}:
        yield Problem(f"item {link_id}", "stands twice in the Questionnaire")
    totals = len(calculated_items(questionnaire))
    if totals != len(instrument.scales):
        yield Problem("questionnaire", f"has {totals} calculated items for {len(instrument.scales)} scales")
    if not questionnaire.get("copyright"):
        yield Problem("questionnaire", "carries no copyright")


def publishable(
    instrument: Instrument,
    questionnaire: Mapping[str, Any],
    wording: SiteWording | None = None,
    expired: SiteWording | None = None,
) -> dict[str, Any]:
    """Return the Questionnaire as it is published.

    wording: what a site has permission to use.  expired: what it had permission for until a day that has passed.
    Without wording, a form whose wording may not ship goes out as a draft with item numbers, and says why.
    """
    form = copy.deepcopy(dict(questionnaire))
    if instrument.licence.wording is not Wording.OVERLAY:
        return form
    if wording is not None:
        permission = (
            f"Used with permission: {wording.permission} ({wording.holder}), until {wording.expires.isoformat()}."
        )
        said = f"{form.get('copyright', '')} {permission}".strip()
        return worded(form, wording) | {"status": "active", "copyright": said}
    why = (
        f"Draft: the wording belongs to {instrument.licence.holder} and is not part of this package. It is "
        "published as active once the site supplies an overlay with its permission."
    )
    if expired is not None:
        why += f" The site's permission ended on {expired.expires.isoformat()}."
        form["version"] = edition(str(form["version"]), expired.revision)
    return form | {"status": "draft", "description": f"{form.get('description', '')} {why}".strip()}


def _is_scored(item: Mapping[str, Any]) -> bool:
    if item.get("type") not in _ANSWERED or item.get("readOnly"):
        return False
    return item.get("type") not in ("choice", "open-choice") or any(
        _weight(option) is not None for option in item.get("answerOption", ())
    )


def _item(item: Mapping[str, Any]) -> Item:
    options = tuple(
        Option(_code(option["valueCoding"]), weight)
        for option in item.get("answerOption", ())
        if (weight := _weight(option)) is not None and "valueCoding" in option
    )
    weights = [option.weight for option in options]
    low, high = (min(weights), max(weights)) if weights else (_bound(item, "minValue"), _bound(item, "maxValue"))
    is_whole = item.get("type") != "decimal" and all(isinstance(weight, int) for weight in weights)
    codes = tuple(_code(coding) for coding in item.get("code", ()))
    return Item(item["linkId"], codes, options, low, high, is_whole)


def _weight(option: Mapping[str, Any]) -> Number | None:
    coding = option.get("valueCoding") or {}
    found = {
        whole(Decimal(str(extension["valueDecimal"])))
        for extension in (*option.get("extension", ()), *coding.get("extension", ()))
        if extension.get("url") in WEIGHT_URLS and "valueDecimal" in extension
    }
    if len(found) > 1:
        raise StopRun("FA103", f"answer {coding.get('code')} states two different weights.", "Keep one.")
    return found.pop() if found else None


def _bound(item: Mapping[str, Any], name: str) -> Number:
    url = f"http://hl7.org/fhir/StructureDefinition/{name}"
    for extension in item.get("extension", ()):
        if extension.get("url") == url:
            return whole(Decimal(str(extension.get("valueDecimal", extension.get("valueInteger", 0)))))
    return 0


def _code(coding: Mapping[str, Any]) -> Code:
    return Code(coding.get("system", ""), coding.get("code", ""), coding.get("display", ""))
