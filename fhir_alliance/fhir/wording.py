"""A site's own wording for a form that ships without: what it lacks, and the form that carries it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from fhir_alliance.fhir.answers import walk
from fhir_alliance.fhir.identifiers import TRANSLATION_STATUS

HIDDEN = "http://hl7.org/fhir/StructureDefinition/questionnaire-hidden"
TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"


class Language(msgspec.Struct, frozen=True):
    """The wording in one language, and how it came about.

    text: by linkId.  answers: labels by answer code; empty where the form's own labels stay.
    status: "official", "validated" or "draft" of a translation, empty for an original.
    """

    tag: str
    text: Mapping[str, str]
    answers: Mapping[str, str] = {}
    status: str = ""
    translator: str = ""
    source: str = ""


class SiteWording(msgspec.Struct, frozen=True):
    """Wording that a site may use until a day. The first language is the form's own, the others translate it.

    revision: which edition of the site's wording this is; each is published as a version of its own.
    """

    languages: tuple[Language, ...]
    holder: str
    permission: str
    expires: date
    revision: int = 1


def gaps(form: Mapping[str, Any], wording: SiteWording) -> Iterator[str]:
    """Yield what a wording lacks of a form, and what it words that the form does not have, by language."""
    items = [item["linkId"] for item in walk(form.get("item")) if _is_read(item)]
    codes = {option["valueCoding"]["code"]: None for item in walk(form.get("item")) for option in _options(item)}
    has_labels = any(language.answers for language in wording.languages)
    for language in wording.languages:
        yield from _unequal(f"[text.{language.tag}]", language.text, items)
        if has_labels:
            yield from _unequal(f"[answers.{language.tag}]", language.answers, codes)
    for language in wording.languages[1:]:
        if not language.status:
            yield f"[translation.{language.tag}] is missing"


def worded(form: Mapping[str, Any], wording: SiteWording) -> dict[str, Any]:
    """Return a form that carries a site's wording, in its version of its own where it is not the first edition."""
    first, *others = wording.languages
    statuses = [_status(language) for language in wording.languages if language.status]
    extended = {"extension": [*form.get("extension", ()), *statuses]} if statuses else {}
    items = [_worded(item, first, others) for item in form.get("item", ())]
    version = edition(str(form.get("version", "")), wording.revision)
    return {**form, **extended, "language": first.tag, "version": version, "item": items}


def languages_of(form: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the languages in which a form can be answered: its own first, then those that say how they came about."""
    parts = [e.get("extension", ()) for e in form.get("extension", ()) if e.get("url") == TRANSLATION_STATUS]
    named = (part.get("valueCode", "") for inner in parts for part in inner if part.get("url") == "language")
    return tuple(dict.fromkeys((str(form.get("language", "en")), *named)))


def edition(version: str, revision: int) -> str:
    """Return the version under which an edition of a site's wording is published: the form's own for the first."""
    return version if revision == 1 else f"{version}.{revision}"


def _worded(item: Mapping[str, Any], first: Language, others: Sequence[Language]) -> dict[str, Any]:
    """Return an item, and those in it, with text and answer labels in all languages."""
    new = dict(item)
    link_id = item["linkId"]
    if link_id in first.text:
        new["text"] = first.text[link_id]
        new |= _translated("_text", {other.tag: other.text[link_id] for other in others})
    if "answerOption" in item:
        new["answerOption"] = [_labelled(option, first, others) for option in item["answerOption"]]
    if "item" in item:
        new["item"] = [_worded(inner, first, others) for inner in item["item"]]
    return new


def _labelled(option: Mapping[str, Any], first: Language, others: Sequence[Language]) -> dict[str, Any]:
    coding = option.get("valueCoding")
    if coding is None or coding["code"] not in first.answers:
        return dict(option)
    code = coding["code"]
    labels = _translated("_display", {other.tag: other.answers[code] for other in others})
    return {**option, "valueCoding": {**coding, "display": first.answers[code], **labels}}


def _translated(element: str, words: Mapping[str, str]) -> dict[str, Any]:
    """Return a primitive's translations as FHIR writes them beside it; nothing where there are none."""
    extensions = [
        {"url": TRANSLATION, "extension": [{"url": "lang", "valueCode": tag}, {"url": "content", "valueString": text}]}
        for tag, text in words.items()
    ]
    return {element: {"extension": extensions}} if extensions else {}


def _status(language: Language) -> dict[str, Any]:
    parts = [{"url": "language", "valueCode": language.tag}, {"url": "status", "valueCode": language.status}]
    said = {"translator": language.translator, "source": language.source}
    parts += [{"url": name, "valueString": text} for name, text in said.items() if text]
    return {"url": TRANSLATION_STATUS, "extension": parts}


def _unequal(place: str, given: Collection[str], wanted: Collection[str]) -> Iterator[str]:
    missing = [name for name in wanted if name not in given]
    foreign = [name for name in given if name not in wanted]
    if missing:
        yield f"{place} lacks {', '.join(missing)}"
    if foreign:
        yield f"{place} has {', '.join(foreign)}, which the form does not"


def _is_read(item: Mapping[str, Any]) -> bool:
    """Return whether a person reads an item: it has a text and is not hidden."""
    hidden = any(e.get("url") == HIDDEN and e.get("valueBoolean") for e in item.get("extension", ()))
    return bool(item.get("text")) and not hidden


def _options(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [option for option in item.get("answerOption", ()) if "valueCoding" in option]
