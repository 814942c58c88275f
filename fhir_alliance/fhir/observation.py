"""Scores to Observations, and stored Observations back to scores.

Everything that does not change from form to form is encoded once per instrument; a form adds only what is its own.
Shapes follow US Core Screening & Assessments and the person-centred-outcomes score profile: the panel has
no value, members hang on it, every Observation names the version of the response that it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from decimal import Decimal
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

import orjson

from fhir_alliance.core.consent_request import ALLIANCE_ITEM, Datum
from fhir_alliance.core.keys import PANEL, score_key
from fhir_alliance.core.labels import union
from fhir_alliance.core.model import (
    Band,
    Cleared,
    Code,
    Family,
    FormStatus,
    Instrument,
    Item,
    NoValue,
    Number,
    Rater,
    Response,
    Scale,
    Score,
    Write,
    WriteMode,
)
from fhir_alliance.core.scoring import Plan
from fhir_alliance.core.ways_out import ItemsPass
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.labels import codings

_AMENDED = FormStatus.AMENDED  # looking a member up costs more than comparing it
_LABEL_SETS = 64  # of one instrument; a clinic has a handful, and a hostile record must not fill the memory
_SURVEY = {"coding": [{"system": ids.OBSERVATION_CATEGORY, "code": "survey"}]}
# US Core's own code for mental health; alliance is no health status, so that USCDI queries do not leak it.
_CATEGORY = {
    Family.OUTCOME: {"coding": [{"system": ids.US_CORE_CATEGORY, "code": "cognitive-status"}]},
    Family.ALLIANCE: {"coding": [{"system": ids.TERMS, "code": "therapeutic-alliance"}]},
}


class _Opening:
    """The start of an Observation's JSON, encoded once: all but the key, which stands in it twice."""

    def __init__(self, **elements: Any) -> None:
        self._until_id = b'{"resourceType":"Observation","id":"'
        identifier = b'"identifier":[{"system":' + orjson.dumps(ids.SCORE) + b',"value":"'
        self._until_identifier = b'",' + orjson.dumps(elements)[1:-1] + b"," + identifier

    def of(self, key: str) -> bytes:
        """Return the opening for a key (hexadecimal, so it needs no escaping); the object is still open."""
        name = key.encode()
        return b"".join((self._until_id, name, self._until_identifier, name, b'"}]'))


def _inner(elements: dict[str, Any]) -> bytes:
    """Return encoded elements to follow others inside an object that is still open."""
    return b"," + orjson.dumps(elements)[1:-1]


def coding(code: Code) -> dict[str, str]:
    """Return a FHIR Coding."""
    return {"system": code.system, "code": code.code} | ({"display": code.display} if code.display else {})


def scale_codes(instrument: Instrument, scale: Scale) -> tuple[Code, ...]:
    """Return the codes of a score: its published ones, then ours."""
    return (*scale.codes, Code(ids.SCORES, f"{instrument.id}-{scale.id}", scale.title))


def panel_codes(instrument: Instrument) -> tuple[Code, ...]:
    """Return the codes of the panel that holds an instrument's scores."""
    return (*instrument.panel, Code(ids.SCORES, f"{instrument.id}-{PANEL}", instrument.title))


def datum_of(instrument: Instrument, *, items: bool = False) -> Datum:
    """Return what consent is asked about when an instrument's scores are written: codes, profiles, labels.

    items: its answers too, one by one.
    """
    codes = [*panel_codes(instrument), *(c for scale in instrument.scales for c in scale_codes(instrument, scale))]
    if items:
        codes += [c for item in instrument.items for c in _item_codes(instrument, item)]
    profiles = (ids.PANEL_PROFILE, ids.SCORE_PROFILE, ids.SUBSCALE_PROFILE)
    return Datum.of(codes, family=instrument.family, labels=instrument.labels, profiles=profiles)


def method_code(instrument: Instrument, scale: Scale, *, prorated: bool) -> Code:
    """Return the code of the method: how points became the score."""
    kind = "prorated" if prorated else "complete"
    return Code(ids.METHODS, f"{instrument.id}-{scale.id}-{scale.formula.value}-{kind}")


def _rated_by(rater: Rater) -> dict[str, Any]:
    """Return who answered as a category: searchable, and kept by servers that drop extensions."""
    return {"coding": [{"system": ids.TERMS, "code": f"{rater.value}-rated"}]}


def scale_labels(instrument: Instrument, scale: Scale) -> tuple[str, ...]:
    """Return the labels of a score: those of its instrument and of the items in it."""
    own = (item.labels for item in instrument.items if item.link_id in scale.items)
    return union(instrument.labels, *own)


class Emitter:
    """Writes the Observations of one instrument. Made once, used for every form."""

    def __init__(self, instrument: Instrument, *, with_items: bool = False) -> None:
        """with_items: also one Observation per answered item, of forms whose answers consent lets out."""
        self._instrument = instrument
        self._category = {
            rater: _inner({"category": [_SURVEY, _CATEGORY[instrument.family], _rated_by(rater)]}).decode()
            for rater in Rater
        }
        scored = {item for scale in instrument.scales for item in scale.items}
        self._items = [item for item in instrument.items if item.link_id in scored] if with_items else []
        self._item_labels = (f"{ids.TERMS}|{ALLIANCE_ITEM}",) if instrument.family is Family.ALLIANCE else ()
        self._languages: dict[str, bytes] = {}
        self._plain = _Parts(instrument)
        self._labelled: dict[tuple[str, ...], _Parts] = {}

    def _parts(self, labels: tuple[str, ...]) -> _Parts:
        """Return the ready parts under the labels that a form brings along; a clinic has few sets of them."""
        if not labels:
            return self._plain
        if labels not in self._labelled:
            if len(self._labelled) >= _LABEL_SETS:
                self._labelled.clear()
            self._labelled[labels] = self._plain.under(labels)
        return self._labelled[labels]

    def observations(
        self, cleared: Cleared, scores: Sequence[Score], items: ItemsPass | None = None
    ) -> list[tuple[str, bytes]]:
        """Return key and JSON of each Observation: the panel first, then one per score, then one per answer.

        items: lets the form's answers out one by one; without it there are none.
        """
        form = cleared.form
        head = self._head(form)
        ready = self._parts(form.labels)
        bodies = [(score.key, self._score(ready.scales[score.scale], head, form, score)) for score in scores]
        if self._items and items is not None:
            bodies += self._item_observations(head, items)
        key = score_key(form.key, form.instrument, PANEL, form.rater)
        members = '"},{"reference":"Observation/'.join([member for member, _ in bodies])
        panel = b"".join((ready.panel.of(key), _MEMBERS, members.encode(), b'"}]', head))
        bodies.insert(0, (key, panel))
        return bodies

    def _head(self, form: Response) -> bytes:
        """Return what all Observations of a form share; it closes the object that it is added to."""
        status = "amended" if form.status is _AMENDED else "final"
        authored = quoted(form.authored)
        encounter = f',"encounter":{{"reference":{quoted(form.encounter)}}}' if form.encounter else ""
        # SDC: issued is when it was authored; an instant needs a time
        issued = f',"issued":{authored}' if len(form.authored) > 10 else ""
        performer = f',"performer":[{{"reference":{quoted(form.performer)}}}]' if form.performer else ""
        return (
            f',"status":"{status}"{self._category[form.rater]},"subject":{{"reference":{quoted(form.subject)}}}'
            f',"effectiveDateTime":{authored},"derivedFrom":[{_source(form)}]{encounter}{issued}{performer}}}'
        ).encode()

    def _score(self, parts: _ScaleParts, head: bytes, form: Response, score: Score) -> bytes:
        value = score.value
        spoken = self._spoken(form.language) if form.language else b""
        if score.answered == score.asked and not form.remarks and not form.totals and not score.focus:
            ready = parts.ready.get(value)
            if ready is not None:
                return b"".join((parts.complete.of(score.key), ready, spoken, head))
        opening = (parts.prorated if score.prorated else parts.complete).of(score.key)
        notes = form.remarks
        more: dict[str, Any] = {}
        said = b""
        if isinstance(value, NoValue):
            more["dataAbsentReason"] = {"coding": [{"system": ids.DATA_ABSENT, "code": value.code}]}
            notes = (value.note[0].upper() + value.note[1:] + ".", *notes)
        else:
            said = parts.said(value, score.band)
        if score.answered < score.asked:
            more["component"] = [_answered(score), *([_language(form.language)] if form.language else [])]
            spoken = b""
        if score.focus.startswith("Goal/"):
            more["focus"] = [{"reference": score.focus}]
        if form.totals:
            notes += _stale_totals(form, score)
        if notes:
            more["note"] = [{"text": text} for text in notes]
        return b"".join((opening, said, spoken, _inner(more) if more else b"", head))

    def _spoken(self, language: str) -> bytes:
        """Return the component that says in which language the form was answered, encoded once for each."""
        if language not in self._languages:
            self._languages[language] = _inner({"component": [_language(language)]})
        return self._languages[language]

    def _item_observations(self, head: bytes, items: ItemsPass) -> list[tuple[str, bytes]]:
        found, form = [], items.form
        for item in self._items:
            point = form.answers.get(item.link_id)
            if isinstance(point, (int, Decimal)):
                key = score_key(form.key, form.instrument, f"item:{item.link_id}", form.rater)
                code = {"coding": [coding(c) for c in _item_codes(self._instrument, item)]}
                labels = union(self._instrument.labels, item.labels, form.labels, self._item_labels)
                meta = {"security": codings(labels)}
                opening = _Opening(meta=meta, code=code)
                found.append((key, opening.of(key) + _item_value(item, point) + head))
        return found


class _Parts:
    """The parts of an instrument's Observations that are the same for every form with the same further labels."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self.scales = {scale.id: _ScaleParts(instrument, scale) for scale in instrument.scales}
        self.panel = self._panel(())

    def under(self, labels: tuple[str, ...]) -> _Parts:
        """Return the same parts with further labels."""
        parts = copy(self)
        parts.scales = {name: scale.under(labels) for name, scale in self.scales.items()}
        parts.panel = self._panel(labels)
        return parts

    def _panel(self, labels: tuple[str, ...]) -> _Opening:
        instrument = self._instrument
        code = {"coding": [coding(c) for c in panel_codes(instrument)], "text": instrument.title}
        named = union(*(scale_labels(instrument, scale) for scale in instrument.scales), instrument.labels, labels)
        return _Opening(meta={"profile": [ids.PANEL_PROFILE], "security": codings(named)}, code=code)


class _ScaleParts:
    """The parts of a score's Observation that are the same for every form."""

    def __init__(self, instrument: Instrument, scale: Scale) -> None:
        self._instrument, self._scale = instrument, scale
        self.complete, self.prorated = self._openings(())
        self._bands = {band.code: _inner({"interpretation": [self._interpretation(band)]}) for band in scale.bands}
        band_of = Plan(scale, {item.link_id: item for item in instrument.items}).band_of
        whole = range(math.ceil(scale.low), math.floor(scale.high) + 1)
        points = () if scale.gate else whole  # behind a gate the value alone does not tell the band
        self.ready: dict[Any, bytes] = {value: self.said(value, band_of(value)) for value in points}

    def under(self, labels: tuple[str, ...]) -> _ScaleParts:
        """Return the same parts with further labels."""
        parts = copy(self)
        parts.complete, parts.prorated = self._openings(labels)
        return parts

    def _openings(self, labels: tuple[str, ...]) -> tuple[_Opening, _Opening]:
        """Return how the Observation opens, with all items answered and with some filled up."""
        instrument, scale = self._instrument, self._scale
        code = {"coding": [coding(c) for c in scale_codes(instrument, scale)], "text": scale.title}
        meta = {"profile": [_profile(scale)], "security": codings(union(scale_labels(instrument, scale), labels))}
        complete, prorated = (self._method(instrument, scale, prorated=prorated) for prorated in (False, True))
        return _Opening(meta=meta, code=code, method=complete), _Opening(meta=meta, code=code, method=prorated)

    def said(self, value: Number, band: Band | None) -> bytes:
        """Return value and band; for whole numbers it is kept in `ready`."""
        return _QUANTITY % _json_number(value) + (self._bands[band.code] if band is not None else b"")

    @staticmethod
    def _method(instrument: Instrument, scale: Scale, *, prorated: bool) -> dict[str, Any]:
        code = method_code(instrument, scale, prorated=prorated)
        return {"coding": [{"system": code.system, "version": instrument.version, "code": code.code}]}

    @staticmethod
    def _interpretation(band: Band) -> dict[str, Any]:
        return {"coding": [{"system": ids.BANDS, "code": band.code, "display": band.label}], "text": band.label}


_UNIT = {"unit": "score", "system": ids.UCUM, "code": "{score}"}
_MEMBERS = b',"hasMember":[{"reference":"Observation/'
_QUANTITY = b',"valueQuantity":{"value":%b,' + orjson.dumps(_UNIT)[1:-1] + b"}"


def observation_writes(emitted: Iterable[tuple[str, bytes]], form: Response) -> list[Write]:
    """Return the writes that keep a form's Observations current."""
    return [Write("Observation", ids.SCORE, key, WriteMode.KEEP_CURRENT, body, form.key) for key, body in emitted]


def withdrawn(observation: Mapping[str, Any], group: str) -> Write:
    """Return the write that marks a stored Observation as entered in error; its content stays for the record."""
    body = {**observation, "status": "entered-in-error"}
    key = score_identifier(observation)
    return Write("Observation", ids.SCORE, key, WriteMode.WITHDRAW, orjson.dumps(body), group)


def rests_on(observation: Mapping[str, Any], response: str, key: str = "", base: str = "") -> bool:
    """Return whether a stored Observation of ours was derived from this response, in any version.

    response: its reference, or "" for a form without an id, which is known by its key.
    """
    for source in observation.get("derivedFrom") or ():
        if response and ids.local(str(source.get("reference", "")), base) == response:
            return True
        if not response and key and (source.get("identifier") or {}).get("value") == key:
            return True
    return False


def score_identifier(resource: Mapping[str, Any]) -> str:
    """Return the key under which we wrote an Observation, or "" when it is not ours."""
    for identifier in resource.get("identifier") or ():
        if identifier.get("system") == ids.SCORE:
            return str(identifier.get("value", ""))
    return ""


def _profile(scale: Scale) -> str:
    return ids.SCORE_PROFILE if scale.id == "total" else ids.SUBSCALE_PROFILE


def _source(form: Response) -> str:
    """Return the reference to the form's version that the scores rest on, as JSON."""
    if not form.reference:  # a form without an id can only be named by what its key derives from
        identifier = f'{{"system":"{ids.RESPONSE}","value":{quoted(form.key)}}}'
        return f'{{"type":"QuestionnaireResponse","identifier":{identifier}}}'
    version = f"{form.reference}/_history/{form.version}" if form.version else form.reference
    return f'{{"reference":{quoted(version)}}}'


def _answered(score: Score) -> dict[str, Any]:
    return {"code": {"coding": [{"system": ids.TERMS, "code": "items-answered"}]}, "valueInteger": score.answered}


def _language(language: str) -> dict[str, Any]:
    value = {"coding": [{"system": ids.LANGUAGES, "code": language}]}
    return {"code": {"coding": [{"system": ids.TERMS, "code": "language"}]}, "valueCodeableConcept": value}


def _stale_totals(form: Response, score: Score) -> tuple[str, ...]:
    """Return a remark for a total in the form that its own answers do not give."""
    if isinstance(score.value, NoValue):
        return ()
    return tuple(
        f"The form itself carries {stated}; its answers give {score.value}."
        for scale, stated in form.totals
        if scale == score.scale and stated != score.value
    )


def _item_codes(instrument: Instrument, item: Item) -> tuple[Code, ...]:
    return item.codes or (Code(ids.SCORES, f"{instrument.id}-item-{item.link_id.strip('/')}"),)


def _item_value(item: Item, point: Number) -> bytes:
    """Return the answer as it was given: its code where the item has one; points are not the value."""
    for option in item.options:
        if option.weight == point:
            return _inner({"valueCodeableConcept": {"coding": [coding(option.code)]}})
    return _QUANTITY % _json_number(point)


def _json_number(value: Number) -> bytes:
    """Return the number as JSON writes it; a Decimal keeps its digits."""
    return b"%d" % value if isinstance(value, int) else f"{value:f}".encode()
