"""Scores to Observations, and stored Observations back to scores.

Everything that does not change from form to form is encoded once per instrument (`orjson.Fragment`).
Shapes follow US Core Screening & Assessments and the person-centred-outcomes score profile: the panel has
no value, members hang on it, every Observation names the version of the response that it rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from fhir_alliance.core.keys import PANEL, score_key
from fhir_alliance.core.model import (
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
from fhir_alliance.fhir import identifiers as ids

_CONFIDENTIAL = frozenset({"U", "L", "M", "N", "R", "V"})
_SURVEY = {"coding": [{"system": ids.OBSERVATION_CATEGORY, "code": "survey"}]}
# US Core's own code for mental health; alliance is no health status, so that USCDI queries do not leak it.
_CATEGORY = {
    Family.OUTCOME: {"coding": [{"system": ids.US_CORE_CATEGORY, "code": "cognitive-status"}]},
    Family.ALLIANCE: {"coding": [{"system": ids.TERMS, "code": "therapeutic-alliance"}]},
}


def _fragment(value: Any) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(value))


def _joined(own: dict[str, Any], head: bytes) -> bytes:
    """Return one JSON object of an Observation's own elements and the encoded ones that it shares."""
    return orjson.dumps(own)[:-1] + b"," + head[1:]


def coding(code: Code) -> dict[str, str]:
    """Return a FHIR Coding."""
    return {"system": code.system, "code": code.code} | ({"display": code.display} if code.display else {})


def scale_codes(instrument: Instrument, scale: Scale) -> tuple[Code, ...]:
    """Return the codes of a score: its published ones, then ours."""
    return (*scale.codes, Code(ids.SCORES, f"{instrument.id}-{scale.id}", scale.title))


def panel_codes(instrument: Instrument) -> tuple[Code, ...]:
    """Return the codes of the panel that holds an instrument's scores."""
    return (*instrument.panel, Code(ids.SCORES, f"{instrument.id}-{PANEL}", instrument.title))


def method_code(instrument: Instrument, scale: Scale, *, prorated: bool) -> Code:
    """Return the code of the method: how points became the score."""
    kind = "prorated" if prorated else "complete"
    return Code(ids.METHODS, f"{instrument.id}-{scale.id}-{scale.formula.value}-{kind}")


def _rated_by(rater: Rater) -> dict[str, Any]:
    """Return who answered as a category: searchable, and kept by servers that drop extensions."""
    return {"coding": [{"system": ids.TERMS, "code": f"{rater.value}-rated"}]}


def labels(names: Iterable[str]) -> list[dict[str, str]]:
    """Return security labels as codings: confidentiality by its own system, sensitivity by v3-ActCode."""
    return [{"system": ids.CONFIDENTIALITY if n in _CONFIDENTIAL else ids.ACT_CODE, "code": n} for n in names]


class Emitter:
    """Writes the Observations of one instrument. Made once, used for every form."""

    def __init__(self, instrument: Instrument, *, with_items: bool = False) -> None:
        """with_items: also one Observation per answered item; never for alliance forms."""
        self._instrument = instrument
        # by plain text: hashing an enumeration member costs more than the whole look-up
        self._category = {
            rater.value: _fragment([_SURVEY, _CATEGORY[instrument.family], _rated_by(rater)]) for rater in Rater
        }
        self._panel_meta = self._meta(ids.PANEL_PROFILE)
        self._panel_code = _fragment({"coding": [coding(c) for c in panel_codes(instrument)], "text": instrument.title})
        self._scales = {
            scale.id: _ScaleParts(instrument, scale, self._meta(_profile(scale))) for scale in instrument.scales
        }
        scored = {item for scale in instrument.scales for item in scale.items}
        wanted = with_items and instrument.family is Family.OUTCOME
        self._items = [item for item in instrument.items if item.link_id in scored] if wanted else []
        self._item_meta = _fragment({"security": labels(instrument.labels)})

    def _meta(self, profile: str) -> orjson.Fragment:
        return _fragment({"profile": [profile], "security": labels(self._instrument.labels)})

    def observations(self, cleared: Cleared, scores: Sequence[Score]) -> list[tuple[str, bytes]]:
        """Return key and JSON of each Observation: the panel first, then one per score."""
        form = cleared.form
        head = orjson.dumps(self._head(form))
        bodies = [(score.key, self._score(head, form, score)) for score in scores]
        if self._items:
            bodies += self._item_observations(head, form)
        key = score_key(form.key, form.instrument, PANEL, form.rater)
        panel = {
            "resourceType": "Observation",
            "id": key,
            "meta": self._panel_meta,
            "identifier": [{"system": ids.SCORE, "value": key}],
            "code": self._panel_code,
            "hasMember": [{"reference": f"Observation/{member}"} for member, _ in bodies],
        }
        return [(key, _joined(panel, head)), *bodies]

    def _head(self, form: Response) -> dict[str, Any]:
        """Return what all Observations of a form share; encoded once."""
        head: dict[str, Any] = {
            "status": "amended" if form.status is FormStatus.AMENDED else "final",
            "category": self._category[str(form.rater)],
            "subject": {"reference": form.subject},
            "effectiveDateTime": form.authored,
            "derivedFrom": [_source(form)],
        }
        if form.encounter:
            head["encounter"] = {"reference": form.encounter}
        if len(form.authored) > 10:  # SDC: issued is when it was authored; an instant needs a time
            head["issued"] = form.authored
        if form.performer:
            head["performer"] = [{"reference": form.performer}]
        return head

    def _score(self, head: bytes, form: Response, score: Score) -> bytes:
        parts = self._scales[score.scale]
        body: dict[str, Any] = {
            "resourceType": "Observation",
            "id": score.key,
            "meta": parts.meta,
            "identifier": [{"system": ids.SCORE, "value": score.key}],
            "code": parts.code,
            "method": parts.prorated if score.prorated else parts.complete,
        }
        value = score.value
        notes = form.remarks
        if isinstance(value, NoValue):
            body["dataAbsentReason"] = {"coding": [{"system": ids.DATA_ABSENT, "code": value.code}]}
            notes = (value.note[0].upper() + value.note[1:] + ".", *notes)
        else:
            body["valueQuantity"] = {"value": _json_number(value), **_UNIT}
            if score.band is not None:
                body["interpretation"] = parts.bands[score.band.code]
        if score.answered < score.asked:
            body["component"] = [_answered(score)]
        if form.totals:
            notes += _stale_totals(form, score)
        if notes:
            body["note"] = [{"text": text} for text in notes]
        return _joined(body, head)

    def _item_observations(self, head: bytes, form: Response) -> list[tuple[str, bytes]]:
        found = []
        for item in self._items:
            point = form.answers.get(item.link_id)
            if isinstance(point, (int, Decimal)):
                key = score_key(form.key, form.instrument, f"item:{item.link_id}", form.rater)
                body: dict[str, Any] = {"resourceType": "Observation", "id": key, "meta": self._item_meta}
                body["identifier"] = [{"system": ids.SCORE, "value": key}]
                body["code"] = {"coding": [coding(c) for c in _item_codes(self._instrument, item)]}
                found.append((key, _joined(body | _item_value(item, point), head)))
        return found


class _ScaleParts:
    """The parts of a score's Observation that are the same for every form."""

    def __init__(self, instrument: Instrument, scale: Scale, meta: orjson.Fragment) -> None:
        self.meta = meta
        self.code = _fragment({"coding": [coding(c) for c in scale_codes(instrument, scale)], "text": scale.title})
        self.complete = self._method(instrument, scale, prorated=False)
        self.prorated = self._method(instrument, scale, prorated=True)
        self.bands = {
            band.code: _fragment(
                [{"coding": [{"system": ids.BANDS, "code": band.code, "display": band.label}], "text": band.label}]
            )
            for band in scale.bands
        }

    @staticmethod
    def _method(instrument: Instrument, scale: Scale, *, prorated: bool) -> orjson.Fragment:
        code = method_code(instrument, scale, prorated=prorated)
        return _fragment({"coding": [{"system": code.system, "version": instrument.version, "code": code.code}]})


_UNIT = {"unit": "score", "system": ids.UCUM, "code": "{score}"}


def observation_writes(emitted: Iterable[tuple[str, bytes]], form: Response) -> list[Write]:
    """Return the writes that keep a form's Observations current."""
    return [Write("Observation", ids.SCORE, key, WriteMode.KEEP_CURRENT, body, form.key) for key, body in emitted]


def withdrawn(observation: Mapping[str, Any], group: str) -> Write:
    """Return the write that marks a stored Observation as entered in error; its content stays for the record."""
    body = {**observation, "status": "entered-in-error"}
    key = score_identifier(observation)
    return Write("Observation", ids.SCORE, key, WriteMode.WITHDRAW, orjson.dumps(body), group)


def rests_on(observation: Mapping[str, Any], response: str) -> bool:
    """Return whether a stored Observation of ours was derived from this response, in any version."""
    sources = observation.get("derivedFrom") or ()
    return any(str(source.get("reference", "")).partition("/_history/")[0] == response for source in sources)


def score_identifier(resource: Mapping[str, Any]) -> str:
    """Return the key under which we wrote an Observation, or "" when it is not ours."""
    for identifier in resource.get("identifier") or ():
        if identifier.get("system") == ids.SCORE:
            return str(identifier.get("value", ""))
    return ""


def read_score(resource: Mapping[str, Any], instruments: Mapping[str, Instrument], base: str = "") -> Score | None:
    """Return the score in a stored Observation of ours, or None for panels, items, and what others wrote."""
    key = score_identifier(resource)
    code = _own_code(resource)
    if not key or not code:
        return None
    for instrument in instruments.values():
        for scale in instrument.scales:
            if code == f"{instrument.id}-{scale.id}":
                return _stored_score(resource, key, instrument, scale, base)
    return None


def _stored_score(resource: Mapping[str, Any], key: str, instrument: Instrument, scale: Scale, base: str) -> Score:
    method = ((resource.get("method") or {}).get("coding") or [{}])[0]
    said = {c.get("code") for concept in resource.get("category") or () for c in concept.get("coding") or ()}
    asked = len(scale.items)
    answered = next((int(c.get("valueInteger", asked)) for c in resource.get("component") or ()), asked)
    value, band = _stored_value(resource, scale)
    return Score(
        key,
        instrument.id,
        str(method.get("version", "")),
        scale.id,
        ids.local(str((resource.get("subject") or {}).get("reference", "")), base),
        next((rater for rater in Rater if f"{rater.value}-rated" in said), instrument.rater),
        _stored_moment(str(resource.get("effectiveDateTime", ""))),
        value,
        answered,
        asked - scale.missing.max_missing,
        asked,
        str(method.get("code", "")).endswith("-prorated"),
        band,
        resource.get("status") == "entered-in-error",
    )


def _stored_value(resource: Mapping[str, Any], scale: Scale) -> tuple[Number | NoValue, Any]:
    quantity = resource.get("valueQuantity")
    if quantity is None or "value" not in quantity:
        absent = ((resource.get("dataAbsentReason") or {}).get("coding") or [{}])[0]
        notes = resource.get("note") or [{}]
        return NoValue(str(absent.get("code", "unknown")), str(notes[0].get("text", ""))), None
    exact = Decimal(str(quantity["value"]))
    value: Number = int(exact) if exact == exact.to_integral_value() else exact
    codes = {c.get("code") for i in resource.get("interpretation") or () for c in i.get("coding") or ()}
    return value, next((band for band in scale.bands if band.code in codes), None)


def _stored_moment(text: str) -> datetime:
    """Return when a stored score is from, as `inbound.moment` ordered it: a bare day counts as its noon."""
    if len(text) == 10:
        text += "T12:00:00+00:00"
    try:
        return datetime.fromisoformat(text.replace(":60", ":59")).astimezone(UTC)
    except ValueError:  # ours always has one; a server may have cut it
        return datetime.min.replace(tzinfo=UTC)


def _own_code(resource: Mapping[str, Any]) -> str:
    codings = (resource.get("code") or {}).get("coding") or ()
    return next((str(c.get("code", "")) for c in codings if c.get("system") == ids.SCORES), "")


def _profile(scale: Scale) -> str:
    return ids.SCORE_PROFILE if scale.id == "total" else ids.SUBSCALE_PROFILE


def _source(form: Response) -> dict[str, Any]:
    if not form.reference:  # a form without an id can only be named by what its key derives from
        return {"type": "QuestionnaireResponse", "identifier": {"system": ids.RESPONSE, "value": form.key}}
    return {"reference": f"{form.reference}/_history/{form.version}" if form.version else form.reference}


def _answered(score: Score) -> dict[str, Any]:
    return {"code": {"coding": [{"system": ids.TERMS, "code": "items-answered"}]}, "valueInteger": score.answered}


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


def _item_value(item: Item, point: Number) -> dict[str, Any]:
    """Return the answer as it was given: its code where the item has one; points are not the value."""
    for option in item.options:
        if option.weight == point:
            return {"valueCodeableConcept": {"coding": [coding(option.code)]}}
    return {"valueQuantity": {"value": _json_number(point), **_UNIT}}


def _json_number(value: Number) -> int | orjson.Fragment:
    """Return the number as JSON writes it; a Decimal keeps its digits."""
    return value if isinstance(value, int) else orjson.Fragment(f"{value:f}".encode())
