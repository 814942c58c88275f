"""The answers of one form: which item, how many points, and what is wrong with them.

A `FormReader` is compiled once for an instrument under one set of linkIds and answer codes; reading a form
is then a table look-up per item.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from fhir_alliance.core.labels import NOT_TO_SUPERVISOR, NOT_TO_THERAPIST
from fhir_alliance.core.model import Answer, GoalItems, GoalRating, Instrument, Item, Missing, Number
from fhir_alliance.core.points import whole as whole
from fhir_alliance.errors import ParkItem
from fhir_alliance.fhir.identifiers import LOINC, TERMS, WEIGHT_URLS, local
from fhir_alliance.fhir.wire import PlainItem, WireAnswer, WireCoding, WireExtension, WireItem

if TYPE_CHECKING:
    from fhir_alliance.fhir.sdc import SiteForm
    from fhir_alliance.fhir.weights import Choice

MAX_ITEMS: Final = 5000
MAX_DEPTH: Final = 64

YES_NO: Final = "http://terminology.hl7.org/CodeSystem/v2-0136"

_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_DECLINED = frozenset({"asked-declined"})

SHARING: Final = "may-see"
"""The code of an item that asks who may see this session's rating; its answers are codes of ours."""
_NOBODY = (NOT_TO_SUPERVISOR, NOT_TO_THERAPIST)
_SHARED: dict[str, tuple[str, ...]] = {
    "may-see-both": (),
    "may-see-therapist": (NOT_TO_SUPERVISOR,),
    "may-see-supervisor": (NOT_TO_THERAPIST,),
    "may-see-nobody": _NOBODY,
}
_MASKED = frozenset({"masked"})


class _Choice(NamedTuple):
    system: str
    weight: Number


class _ItemReader(NamedTuple):
    item: Item
    link_id: str
    choices: Mapping[str, _Choice]


class FormReader:
    """Reads the responses of one form: one instrument under one set of linkIds and answer codes."""

    def __init__(
        self,
        instrument: Instrument,
        questionnaire: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
        offered: Mapping[str, Iterable[Choice]] | None = None,
        site: SiteForm | None = None,
    ) -> None:
        """Compile the tables.

        questionnaire: the FHIR Questionnaire, for its linkIds that are not scored and its answer weights.
        names: a site's linkId to the instrument's; without it the instrument's own, and its LOINC codes.
        offered: what a site's items offer, by its linkIds, where the Questionnaire itself does not say.
        site: of a site's own instrument, what evaluates its expressions.
        """
        self.instrument = instrument
        self.edition = f"{instrument.id}|{instrument.version}"
        self.questionnaire = questionnaire or {}
        self.site = site
        self.critical = tuple(item for item in instrument.items if item.critical is not None)
        self.items: dict[str, _ItemReader] = {}
        self._plain: dict[str, tuple[str, Mapping[str, tuple[str, Number]]]] = {}
        self.totals: dict[str, str] = {}
        self.unscored: set[str] = set()
        self._declined = {(code.system, code.code) for code in instrument.declined}
        self._sharing: set[str] = set()
        by_id = {item.link_id: item for item in instrument.items}
        weights = _site_weights(self.questionnaire) if offered is None else _weights_of(offered)
        self.names = names or {spelling: item.link_id for item in instrument.items for spelling in _spellings(item)}
        for spelling, link_id in self.names.items():
            item = by_id[link_id]
            choices = {option.code.code: _Choice(option.code.system, option.weight) for option in item.options}
            choices.update(weights.get(spelling, {}))
            self.items[spelling] = _ItemReader(item, link_id, choices)
            self._plain[spelling] = (link_id, {code: (c.system, c.weight) for code, c in choices.items()})
        self._note_unscored(self.questionnaire)

    def _note_unscored(self, questionnaire: Mapping[str, Any]) -> None:
        """Remember linkIds that carry totals or are not scored, so that they are not taken for unknown ones."""
        for scale in self.instrument.scales:
            codes = [code.code for code in scale.codes if code.system == LOINC]
            for name in (*codes, *(f"/{code}" for code in codes), f"{self.instrument.id}-{scale.id}"):
                self.totals.setdefault(name, scale.id)
        if self.site is not None:
            self.totals.update(self.site.totals)
        for item in walk(questionnaire.get("item", ())):
            link_id = item.get("linkId", "")
            if any(c.get("system") == TERMS and c.get("code") == SHARING for c in item.get("code") or ()):
                self._sharing.add(link_id)
            self.unscored.update({link_id, link_id.lstrip("/"), f"/{link_id.lstrip('/')}"})

    def read_plain(self, wire_items: tuple[PlainItem, ...]) -> Answers | None:
        """Return the points of plain items, or None where they need the careful way.

        Most forms are so, and this is three times as fast.
        """
        plain = self._plain
        points: dict[str, Answer] = {}
        try:
            for wire in wire_items:
                coding = wire.answer[0].value_coding
                link_id, choices = plain[wire.link_id]
                system, points[link_id] = choices[coding.code]
                if coding.system != system:
                    return None
        except KeyError:
            return None
        return Answers(points) if len(points) == len(wire_items) else None

    def read_answers(self, wire_items: Iterable[WireItem]) -> Answers:
        """Return points by linkId, totals that the form carries, remarks, and what is wrong with it."""
        read = Answers()
        items = self.items
        answers = read.points
        if self.instrument.goals is not None:
            wire_items = self._read_goals(self.instrument.goals, wire_items, read)
        for wire in flat(wire_items):
            entry = items.get(wire.link_id)
            if entry is None:
                self._read_other(wire, read)
                continue
            link_id = entry.link_id
            if wire.modifier_extension or any(answer.modifier_extension for answer in wire.answer):
                read.fault(
                    link_id, "FA214", f'item "{_shown(wire.link_id)}" carries a modifier that changes its meaning.',
                    "Such records need a person.",
                )  # fmt: skip
                continue
            if link_id in answers or link_id in read.broken:
                read.fault(link_id, "FA215", f'item "{_shown(wire.link_id)}" stands twice.', "Keep one.")
                continue
            try:
                point = self._point(entry, wire, read)
            except ParkItem as fault:
                read.fault(link_id, fault.code, fault.message, fault.hint)
            else:
                if point is not Missing.UNANSWERED:
                    answers[link_id] = point
        return read

    def _read_goals(self, names: GoalItems, wire_items: Iterable[WireItem], read: Answers) -> list[WireItem]:
        """Take in the groups about the client's own goals; return the other items."""
        others = []
        for wire in wire_items:
            if wire.link_id != names.group:
                others.append(wire)
                continue
            inner = {item.link_id: item for item in wire.item}
            entry = self.items[names.rating]
            try:
                rating = self._point(entry, inner.get(names.rating, WireItem(names.rating)), read)
                weight = _goal_weight(inner.get(names.weight))
            except ParkItem as fault:
                read.fault(names.rating, fault.code, fault.message, fault.hint)
                continue
            read.goals += (GoalRating(_goal_named(inner.get(names.goal)) or f"#{len(read.goals) + 1}", rating, weight),)
        return others

    def _read_other(self, wire: WireItem, read: Answers) -> None:
        """Take note of a total that the form carries; park an answered item that the form does not have."""
        if wire.link_id in self.totals:
            value = _number(wire.answer[0]) if len(wire.answer) == 1 else None
            if value is not None:
                read.totals += ((self.totals[wire.link_id], value),)
        elif wire.link_id in self._sharing:
            read.labels += _kept_from(wire)
        elif wire.answer and wire.link_id not in self.unscored:
            read.fault(
                "", "FA209", f'item "{_shown(wire.link_id)}" is not part of {self.instrument.id}.',
                "Put the site's Questionnaire beside the responses, or correct the linkId.",
            )  # fmt: skip

    def _point(self, entry: _ItemReader, wire: WireItem, read: Answers) -> Answer:
        """Return the points of one item, or why it has none; raises ParkItem where the answer is wrong."""
        name = _shown(wire.link_id)
        if len(wire.answer) > 1:
            if not entry.item.repeats:
                raise ParkItem("FA210", f'item "{name}" has {len(wire.answer)} answers.', "It takes one.")
            return self._points(entry, wire, read)
        absent = _absence(wire.extension)
        if not wire.answer:
            return absent or Missing.UNANSWERED
        answer = wire.answer[0]
        coding = answer.value_coding or _as_coding(answer, entry.item)
        absent = absent or _absence(answer.extension) or (_absence(coding.extension) if coding else None)
        if absent is not None:
            return absent
        if coding is None:
            return self._plain_number(entry, answer, name)
        if (coding.system, coding.code) in self._declined:
            return Missing.DECLINED
        return self._coded(entry, coding, answer, name, read)

    def _points(self, entry: _ItemReader, wire: WireItem, read: Answers) -> Answer:
        """Return the points of all answers together; one that is missing makes the item missing."""
        total: Number = 0
        for answer in wire.answer:
            point = self._point(entry, WireItem(wire.link_id, answer=(answer,)), read)
            if isinstance(point, Missing):
                return point
            total += point
        return total

    def _coded(self, entry: _ItemReader, coding: WireCoding, answer: WireAnswer, name: str, read: Answers) -> Number:
        stated = _stated_weights(coding.extension, answer.extension)
        choice = entry.choices.get(coding.code or "")
        if choice is not None and coding.system is None:
            read.remark("Answer codings without a system were read by their code.")
        elif choice is not None and choice.system != coding.system:
            choice = None
        if choice is not None:
            stated.add(choice.weight)
        if not stated and self.site is not None and self.site.is_unscored(entry.item, coding.code or ""):
            raise ParkItem(
                "FA219",
                f'item "{name}" has an answer without points.',
                "Give every answer a weight, where it is listed.",
            )
        if not stated:
            raise ParkItem(
                "FA211", f'item "{name}" has an answer code that the form does not offer.', "Check system and code."
            )
        if len(stated) > 1:
            raise ParkItem("FA213", f'item "{name}" states points that contradict its answer.', "Correct the weight.")
        return _in_range(entry.item, stated.pop(), name)

    def _plain_number(self, entry: _ItemReader, answer: WireAnswer, name: str) -> Number:
        value = _number(answer)
        if value is None:
            raise ParkItem(
                "FA212", f'item "{name}" has an answer of the wrong type.', "A coded answer or a number is read."
            )
        stated = _stated_weights(answer.extension) | {value}
        if len(stated) > 1:
            raise ParkItem("FA213", f'item "{name}" states points that contradict its answer.', "Correct the weight.")
        return _in_range(entry.item, value, name)


class Answers(msgspec.Struct, gc=False):
    """What was read of one form.

    totals: those that the form carries, by scale.  broken: linkIds whose answer cannot be trusted.
    labels: what the client's own wish about this form adds to it.
    """

    points: dict[str, Answer] = {}
    totals: tuple[tuple[str, Number], ...] = ()
    remarks: tuple[str, ...] = ()
    broken: frozenset[str] = frozenset()
    goals: tuple[GoalRating, ...] = ()
    trouble: ParkItem | None = None
    labels: tuple[str, ...] = ()

    def fault(self, link_id: str, code: str, message: str, hint: str) -> None:
        """Keep the first fault; remember which item cannot be trusted."""
        self.points.pop(link_id, None)
        self.broken |= {link_id}
        self.trouble = self.trouble or ParkItem(code, message, hint)

    def remark(self, text: str) -> None:
        """Keep a remark once."""
        if text not in self.remarks:
            self.remarks += (text,)


def _kept_from(wire: WireItem) -> tuple[str, ...]:
    """Return the labels that keep a form from somebody, as the client chose; nothing chosen keeps it from nobody.

    A choice that is not understood keeps it from both: the client wanted something, and it may be that.
    """
    kept: set[str] = set()
    for answer in wire.answer:
        coding = answer.value_coding
        known = coding is not None and coding.system == TERMS and coding.code in _SHARED
        kept.update(_SHARED[coding.code or ""] if known and coding is not None else _NOBODY)
    return ("V", *(f"{TERMS}|{label}" for label in sorted(kept))) if kept else ()


def _goal_named(wire: WireItem | None) -> str:
    """Return the Goal that a group names by reference, or "" where it only uses the client's words."""
    answer = wire.answer[0] if wire is not None and wire.answer else None
    named = answer.value_reference.reference if answer is not None and answer.value_reference is not None else None
    reference = local(named or "")
    return reference if reference.startswith("Goal/") else ""


def _goal_weight(wire: WireItem | None) -> Number:
    """Return how much a goal counts; one where the form does not say. Raises ParkItem FA212."""
    if wire is None or not wire.answer:
        return 1
    weight = _number(wire.answer[0])
    if weight is None or weight <= 0:
        raise ParkItem("FA212", f'item "{_shown(wire.link_id)}" is not a weight above zero.', "Correct the weight.")
    return weight


def flat(items: Iterable[WireItem], depth: int = 0) -> list[WireItem]:
    """Return all items in order, those in groups and those under answers included."""
    flat: list[WireItem] = []
    for item in items:
        flat.append(item)
        if item.item:
            flat += _deeper(item.item, depth)
        for answer in item.answer:
            if answer.item:
                flat += _deeper(answer.item, depth)
    if len(flat) > MAX_ITEMS:
        raise ParkItem("FA216", f"more than {MAX_ITEMS} items.", "Check where the record comes from.")
    return flat


def _deeper(items: Iterable[WireItem], depth: int) -> list[WireItem]:
    if depth >= MAX_DEPTH:
        raise ParkItem("FA216", "nested too deep.", "Check where the record comes from.")
    return flat(items, depth + 1)


def walk(items: Any) -> list[Mapping[str, Any]]:
    """Return all items of a Questionnaire in order."""
    found: list[Mapping[str, Any]] = []
    for item in items or ():
        found.append(item)
        found.extend(walk(item.get("item")))
    return found


def _spellings(item: Item) -> tuple[str, ...]:
    """Return the linkIds by which an item is met: its own, and its LOINC code with and without a slash."""
    codes = [code.code for code in item.codes if code.system == LOINC]
    return tuple(dict.fromkeys([item.link_id, *codes, *(f"/{code}" for code in codes)]))


def _site_weights(questionnaire: Mapping[str, Any]) -> dict[str, dict[str, _Choice]]:
    """Return what a Questionnaire says its answers are worth, by linkId and answer code."""
    found: dict[str, dict[str, _Choice]] = {}
    for item in walk(questionnaire.get("item")):
        for option in item.get("answerOption", ()):
            coding = option.get("valueCoding") or {}
            extensions = [*option.get("extension", ()), *coding.get("extension", ())]
            weights = {
                whole(Decimal(str(extension["valueDecimal"])))
                for extension in extensions
                if extension.get("url") in WEIGHT_URLS and "valueDecimal" in extension
            }
            if len(weights) == 1 and coding.get("code"):
                choice = _Choice(coding.get("system", ""), weights.pop())
                found.setdefault(item.get("linkId", ""), {})[coding["code"]] = choice
    return found


def _weights_of(offered: Mapping[str, Iterable[Choice]]) -> dict[str, dict[str, _Choice]]:
    return {
        link_id: {choice.code: _Choice(choice.system, choice.points) for choice in choices if choice.points is not None}
        for link_id, choices in offered.items()
    }


def _as_coding(answer: WireAnswer, item: Item) -> WireCoding | None:
    """Return a yes, a no, or an answer that is offered as a text or number of its own, as the item's code for it."""
    if answer.value_boolean is not None:
        code = "Y" if answer.value_boolean else "N"
        return next((WireCoding((), o.code.system, code) for o in item.options if o.code.system == YES_NO), None)
    text = answer.value_string if answer.value_integer is None else str(answer.value_integer)
    return next((WireCoding((), "", text) for o in item.options if not o.code.system and o.code.code == text), None)


def _stated_weights(*groups: Iterable[WireExtension]) -> set[Number]:
    """Return the points that weight extensions in the response state."""
    return {
        whole(extension.value_decimal)
        for extensions in groups
        for extension in extensions
        if extension.url in WEIGHT_URLS and extension.value_decimal is not None and extension.value_decimal.is_finite()
    }


def _absence(extensions: Iterable[WireExtension]) -> Missing | None:
    for extension in extensions:
        if extension.url == _ABSENT:
            if extension.value_code in _DECLINED:
                return Missing.DECLINED
            return Missing.MASKED if extension.value_code in _MASKED else Missing.UNANSWERED
    return None


def _number(answer: WireAnswer) -> Number | None:
    if answer.value_integer is not None:
        return answer.value_integer
    exact = answer.value_decimal
    if exact is None and answer.value_quantity is not None:
        exact = answer.value_quantity.value
    if exact is not None and exact.is_finite():
        return whole(exact)
    return None


def _in_range(item: Item, value: Number, name: str) -> Number:
    if not item.low <= value <= item.high:
        raise ParkItem(
            "FA203", f'item "{name}" is outside the scale\'s {item.low}-{item.high}.', "Check the form's answer list."
        )
    if item.whole and not isinstance(value, int):
        raise ParkItem("FA203", f'item "{name}" is not a whole number of points.', "Check the form's answer list.")
    return value


def _shown(link_id: str) -> str:
    """Return a linkId fit for a message: short, printable, one line."""
    text = unicodedata.normalize("NFC", link_id)
    return "".join(c if c.isprintable() and c != '"' else "?" for c in text)[:60]
