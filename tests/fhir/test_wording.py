"""A site's wording on a form with groups: what has to be worded, and where the words come to stand."""

from __future__ import annotations

from datetime import date
from typing import Any

from fhir_alliance.fhir.wording import HIDDEN, Language, SiteWording, gaps, worded

QUESTION = {
    "linkId": "q1", "type": "choice", "text": "Item 1",
    "answerOption": [{"valueCoding": {"system": "s", "code": "a1", "display": "1"}}, {"valueInteger": 2}],
}  # fmt: skip
FORM: dict[str, Any] = {
    "version": "1.0.0",
    "extension": [{"url": "urn:x", "valueString": "kept"}],
    "item": [
        {
            "linkId": "g", "type": "group", "text": "Part 1",
            "item": [{"linkId": "d", "type": "display", "text": "Read"}, QUESTION],
        },
        {"linkId": "h", "type": "decimal", "text": "Total", "extension": [{"url": HIDDEN, "valueBoolean": True}]},
        {"linkId": "silent", "type": "group", "item": [{"linkId": "q2", "type": "text", "text": "Item 2"}]},
    ],
}  # fmt: skip


def wording(*languages: Language) -> SiteWording:
    """Return wording in these languages."""
    return SiteWording(languages, "The Holder", "letter 12", date(2026, 12, 31))


def words(*link_ids: str) -> dict[str, str]:
    """Return a text for each of these linkIds."""
    return {link_id: f"Words for {link_id}" for link_id in link_ids}


def test_everything_that_is_read_has_to_be_worded() -> None:
    """Groups, displays and questions need words at every depth; hidden items and items without text do not."""
    assert list(gaps(FORM, wording(Language("en", {})))) == ["[text.en] lacks g, d, q1, q2"]
    assert list(gaps(FORM, wording(Language("en", words("g", "d", "q1", "q2"))))) == []
    labelled = Language("en", words("g", "d", "q1", "q2"), {"a2": "Often"})
    assert list(gaps(FORM, wording(labelled))) == [
        "[answers.en] lacks a1",
        "[answers.en] has a2, which the form does not",
    ]


def test_words_stand_at_every_depth() -> None:
    """Items in groups carry their words and translations, and so do their answers; all else stays as it was."""
    german = Language("de", words("g", "d", "q1", "q2"), {"a1": "Oft"})
    english = Language("en", dict.fromkeys(("g", "d", "q1", "q2"), "In English"), {"a1": "Often"}, "draft")
    form = worded(FORM, wording(german, english))
    group, total, silent = form["item"]
    question = group["item"][1]
    assert [group["text"], group["item"][0]["text"], question["text"], silent["item"][0]["text"]] == [
        *words("g", "d", "q1", "q2").values()
    ]
    assert question["_text"]["extension"][0]["extension"][1] == {"url": "content", "valueString": "In English"}
    coded, number = question["answerOption"]
    assert coded["valueCoding"]["display"] == "Oft"
    assert coded["valueCoding"]["_display"]["extension"][0]["extension"][0] == {"url": "lang", "valueCode": "en"}
    assert number == {"valueInteger": 2}
    assert total == FORM["item"][1]
    assert "text" not in silent
    assert form["extension"][0] == FORM["extension"][0]
    assert len(form["extension"]) == 2
    assert question is not QUESTION
    assert QUESTION["text"] == "Item 1"
