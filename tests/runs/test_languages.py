"""Languages: a form that ships in several is whole in each, and says of each how far it may be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from fhir_alliance.fhir.answers import walk
from fhir_alliance.runs.catalog import load_catalog

TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"
STATUS = "https://fhir-alliance.org/fhir/StructureDefinition/translation-status"
FORMS = load_catalog().questionnaires
CHECK_INS = ("alliance-checkin", "alliance-checkin-therapist")


class Text(NamedTuple):
    """Something that people read: where it stands, its words, and their translations as (language, words)."""

    place: str
    words: str
    translations: list[tuple[str, str]]


def texts(form: Mapping[str, Any]) -> Iterator[Text]:
    """Yield the title of a form, the text of each item, and the words of each answer."""
    yield text("title", form, "title")
    for item in walk(form["item"]):
        if "text" in item:
            yield text(item["linkId"], item, "text")
        for option in item.get("answerOption", ()):
            coding = option.get("valueCoding", {})
            if "display" in coding:
                yield text(f"{item['linkId']} {coding['code']}", coding, "display")


def text(place: str, node: Mapping[str, Any], element: str) -> Text:
    """Return an element's words and their translations."""
    extensions = node.get(f"_{element}", {}).get("extension", ())
    said = [parts(extension) for extension in extensions if extension["url"] == TRANSLATION]
    return Text(place, node[element], [(part["lang"], part["content"]) for part in said])


def parts(extension: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a complex extension's parts by name."""
    return {part["url"]: part.get("valueCode", part.get("valueString", "")) for part in extension["extension"]}


def statuses(form: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what a form says of each of its translations."""
    return [parts(extension) for extension in form.get("extension", ()) if extension["url"] == STATUS]


def languages(form: Mapping[str, Any]) -> list[str]:
    """Return the languages that a form declares, its own left out."""
    return [status["language"] for status in statuses(form)]


TRANSLATED = [
    name for name, form in sorted(FORMS.items()) if statuses(form) or any(t.translations for t in texts(form))
]


def test_the_check_ins_are_translated() -> None:
    """Both check-ins can be answered in German, Spanish and French."""
    assert set(CHECK_INS) <= set(TRANSLATED)
    assert [languages(FORMS[name]) for name in CHECK_INS] == [["de", "es", "fr"]] * 2


@pytest.mark.parametrize("name", TRANSLATED)
def test_no_text_is_missing(name: str) -> None:
    """Title, items and answers are there once in each language that the form declares, and in no other."""
    declared = languages(FORMS[name])
    assert declared
    for found in texts(FORMS[name]):
        assert sorted(tag for tag, _ in found.translations) == sorted(declared), found.place
        assert all(words.strip() for _, words in found.translations), found.place


@pytest.mark.parametrize("name", TRANSLATED)
def test_no_text_is_only_repeated(name: str) -> None:
    """What is given as a translation is not the original over again."""
    for found in texts(FORMS[name]):
        assert found.words not in [words for _, words in found.translations], found.place


@pytest.mark.parametrize("name", TRANSLATED)
def test_every_language_has_one_status(name: str) -> None:
    """Each language is declared once, by a tag that is not the form's own, with status, translator and source."""
    form = FORMS[name]
    declared = languages(form)
    assert len(set(declared)) == len(declared)
    assert form["language"] not in declared
    for status in statuses(form):
        assert status["status"] in ("official", "validated", "draft")
        assert status["translator"].strip()
        assert status["source"].strip()


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_draft_is_called_one(name: str) -> None:
    """A form with a translation that is a draft says so in its description, where people look."""
    if "draft" in [status["status"] for status in statuses(FORMS[name])]:
        assert "unvalidated drafts" in FORMS[name]["description"]


def test_the_check_ins_are_our_drafts() -> None:
    """No translation of a check-in passes for more than a draft of this project."""
    for name in CHECK_INS:
        said = [(status["status"], status["translator"]) for status in statuses(FORMS[name])]
        assert said == [("draft", "fhir_alliance project")] * 3


@pytest.mark.parametrize("tag", ["de", "es", "fr"])
def test_the_same_words_are_translated_alike(tag: str) -> None:
    """The same sentence or answer has one translation, within a check-in and between the two."""
    seen: dict[str, str] = {}
    for name in CHECK_INS:
        for found in texts(FORMS[name]):
            words = dict(found.translations)[tag]
            assert seen.setdefault(found.words, words) == words, (name, found.place)


@pytest.mark.parametrize("tag", ["de", "es", "fr"])
def test_answers_stay_apart_in_translation(tag: str) -> None:
    """No two answers to a question read the same in another language."""
    for name in CHECK_INS:
        for item in walk(FORMS[name]["item"]):
            labels = [text("", o["valueCoding"], "display").translations for o in item.get("answerOption", ())]
            said = [dict(label)[tag] for label in labels]
            assert len(set(said)) == len(said), (name, item["linkId"])
