"""Whether an export holds alliance data: no code, name or wording of an alliance form may reach an insurer.

The last check before something leaves: it looks at what was written, not at how it was made. It reads FHIR JSON and
NDJSON, CSV, HTML and plain text, with what is escaped or encoded inside them. What it cannot look into counts as a
leak, for a false alarm costs a look, and a rating that has left cannot be called back.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from fhir_alliance.core.model import Family, Instrument
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.answers import walk

MAX_DEPTH: Final = 8  # of documents within documents
_WORDS_OF_OURS = ("therapeutic-alliance", "alliance-item", "alliance-checkin")
_SHORTEST = 8  # of a sentence or title: shorter ones ("Item 1") are everybody's
_PACKED = (b"PK\x03\x04", b"\x1f\x8b", b"%PDF", b"\x89PNG", b"\xff\xd8\xff")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{12,}={0,2}\s*")
_EMBEDDED = re.compile(r";base64,([A-Za-z0-9+/=\s]+)")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200d\u2060\ufeff]")
_HYPHENS = re.compile(r"[_\u2010-\u2015\u2212]")
_SPACES = re.compile(r"\s+")
_LEAD = re.compile(r"\s-\s|[,(:]")  # a title's own words end where its explanation begins


class Leak(NamedTuple):
    """One finding: in which part of an export, what kind of thing, of which instrument; never the text around it."""

    part: str
    what: str
    instrument: str


class LeakScan:
    """Knows every code, name and wording of the alliance forms; made once for a catalog."""

    def __init__(
        self, instruments: Iterable[Instrument], questionnaires: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """questionnaires: by instrument id, as published, with the wording that a site may use."""
        self._known: dict[str, tuple[str, str]] = dict.fromkeys(_WORDS_OF_OURS, ("code", ""))
        for instrument in instruments:
            if instrument.family is Family.ALLIANCE:
                for what, word in _words(instrument, (questionnaires or {}).get(instrument.id, {})):
                    self._known[_plain(word)] = (what, instrument.id)
        words = "|".join(re.escape(word) for word in sorted(self._known, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)")

    def leaks(self, part: str, content: str | bytes | Mapping[str, Any] | list[Any]) -> tuple[Leak, ...]:
        """Return what of the alliance forms stands in one part of an export, each finding once.

        part: how the part is called, a file's name or "MeasureReport".  content: its text, bytes, or JSON.
        """
        return tuple(dict.fromkeys(self._of(part, content, 0)))

    def demand_none(self, parts: Mapping[str, str | bytes | Mapping[str, Any] | list[Any]]) -> None:
        """Raise StopRun FA310 where any part of an export holds alliance data. parts: content by name."""
        found = [leak for part, content in parts.items() for leak in self.leaks(part, content)]
        if found:
            said = ", ".join(dict.fromkeys(f"{leak.part}: {leak.what} {leak.instrument}".strip() for leak in found[:5]))
            raise StopRun(
                "FA310", f"the export holds alliance data ({said}). Nothing was released.",
                "Alliance ratings never leave care in this way; take the form out of the report.",
            )  # fmt: skip

    def _of(self, part: str, content: Any, depth: int) -> Iterator[Leak]:
        if depth > MAX_DEPTH:
            yield Leak(part, "what is nested too deep to be looked at", "")
        elif isinstance(content, bytes):
            yield from self._of_bytes(part, content, depth)
        elif isinstance(content, str):
            yield from self._of_text(part, content, depth)
        else:
            for name, text in _strings(content):
                yield from self._in(part, text)
                packed = _decoded(text, is_data=name == "data")
                if packed is not None:
                    yield from self._of_bytes(part, packed, depth + 1)

    def _of_bytes(self, part: str, content: bytes, depth: int) -> Iterator[Leak]:
        if content.startswith(_PACKED):
            yield Leak(part, "a packed file that cannot be looked into", "")
            return
        try:
            yield from self._of_text(part, content.decode("utf-8-sig"), depth)
        except UnicodeDecodeError:
            yield Leak(part, "bytes that are no text and cannot be looked into", "")

    def _of_text(self, part: str, text: str, depth: int) -> Iterator[Leak]:
        """Yield what stands in a text, as it is and as JSON, one document or one to a line."""
        yield from self._in(part, text)
        for embedded in _EMBEDDED.findall(text):
            yield from self._of_bytes(part, _decoded(embedded, is_data=True) or b"", depth + 1)
        if text.lstrip()[:1] in ("{", "["):
            for document in _documents(text):
                yield from self._of(part, document, depth + 1)

    def _in(self, part: str, text: str) -> Iterator[Leak]:
        for found in self._pattern.finditer(_plain(text)):
            what, instrument = self._known[found.group()]
            yield Leak(part, what, instrument)


def _words(instrument: Instrument, questionnaire: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what gives an alliance form away, and what kind of thing that is."""
    yield from (("name", name) for name in (instrument.id, *instrument.also_known))
    yield from (("address", url) for url in (instrument.url, *instrument.aliases))
    codes = [*instrument.panel, *(c for scale in instrument.scales for c in scale.codes)]
    codes += [c for item in instrument.items for c in (*item.codes, *(option.code for option in item.options))]
    yield from (("code", code.code) for code in codes if not code.code.isdecimal())
    titles = [instrument.title, _LEAD.split(instrument.title)[0].strip(), *(s.title for s in instrument.scales)]
    yield from (("title", title) for title in titles if len(title) >= _SHORTEST)
    for item in walk(questionnaire.get("item")):
        yield from (("wording", text) for text in _wordings(item) if len(text) > _SHORTEST and " " in text)


def _wordings(item: Mapping[str, Any]) -> Iterator[str]:
    """Yield an item's text in every language."""
    yield str(item.get("text", ""))
    for extension in (item.get("_text") or {}).get("extension") or ():
        yield from (str(e["valueString"]) for e in extension.get("extension") or () if "valueString" in e)


def _plain(text: str) -> str:
    """Return a text as it is compared: one case, one spelling of letters, hyphens and spaces, nothing escaped."""
    if "&" in text:
        text = html.unescape(text)
    if "%" in text:
        text = unquote(text)
    text = _HYPHENS.sub("-", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)))
    return _SPACES.sub(" ", text).casefold().strip()


def _documents(text: str) -> Iterator[Any]:
    try:
        yield json.loads(text)
    except (ValueError, RecursionError):
        for line in text.splitlines():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue  # it was looked at as a text


def _strings(document: Any) -> Iterator[tuple[str, str]]:
    """Yield all texts of a JSON document, however deep, its keys included, each with the element that holds it."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            waiting += [*(("", key) for key in value), *value.items()]
        elif isinstance(value, (list, tuple)):
            waiting += [(name, item) for item in value]


def _decoded(text: str, *, is_data: bool) -> bytes | None:
    """Return what a text holds in base64; None where it is none.

    is_data: it stands where attachments do, so that bytes which are no text count too; elsewhere they are a key.
    """
    if not _BASE64.fullmatch(text):
        return None
    try:
        packed = base64.b64decode(text)
    except (binascii.Error, ValueError):
        return None
    if is_data or packed.startswith(_PACKED):
        return packed
    try:
        packed.decode()
    except UnicodeDecodeError:
        return None
    return packed
