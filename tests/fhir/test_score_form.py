"""The score sheet and what we answer to it say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.score_form import WORDS, carried_in_forms

SHEET = json.loads((Path(__file__).parents[2] / "profiles" / "forms" / "score-sheet.json").read_bytes())


def items(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all items below one."""
    for item in node.get("item", ()):
        yield item
        yield from items(item)


def test_the_words_are_those_of_the_form() -> None:
    """Every item is answered under the words and the canonical that the published form has."""
    assert {item["linkId"]: item["text"] for item in items(SHEET)} == WORDS
    assert f"{SHEET['url']}|{SHEET['version']}" == ids.SCORE_FORM


def test_what_somebody_has_misshaped_carries_nothing() -> None:
    """A form whose attachment is gone, is no list, or holds something else gives no score, and stops nothing."""
    held = [
        {"valueAttachment": {"contentType": "application/fhir+json", "data": data}} for data in ("", "e30=", "W10=")
    ]
    shapes: list[Any] = [None, "x", {}, ["x"], [{"linkId": "observations"}], [{"linkId": "observations", "answer": {}}]]
    shapes += [[{"linkId": "observations", "answer": [answer]}] for answer in (None, {}, *held)]
    assert carried_in_forms({"resourceType": "QuestionnaireResponse", "item": shape} for shape in shapes) == {}
