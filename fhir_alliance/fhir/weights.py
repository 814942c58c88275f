"""What the answers of a Questionnaire are worth, looked up where SDC looks.

On the option, then on the concept of the ValueSet that the options are from, then on the concept of the CodeSystem.
(The response's own answer, which SDC asks first, is compared with these by whoever reads the response.)
Source: SDC, Form Behavior and Calculation, `weight()`; extensions itemWeight and ordinalValue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from fhir_alliance.core.model import Number
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.answers import whole
from fhir_alliance.fhir.identifiers import WEIGHT_URLS
from fhir_alliance.fhir.questions import Extension, Form, Part, Question, shown

MAX_CONCEPTS: Final = 10_000

# How R5's expansion property is written in R4 (hl7.org/fhir/versions.html, inter-version extensions).
_R5_PROPERTY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.contains.property"
_WEIGHT_PROPERTIES = frozenset({"itemWeight", "ordinalValue"})


class Choice(NamedTuple):
    """An answer that an item offers. points: None where nothing says what it is worth."""

    system: str
    code: str
    display: str
    points: Number | None


class _Property(Part, frozen=True):
    code: str = ""
    uri: str = ""
    value_decimal: Any = None
    value_integer: Any = None


class _Concept(Part, frozen=True):
    system: str = ""
    code: str = ""
    display: str = ""
    extension: tuple[Extension, ...] = ()
    property: tuple[_Property, ...] = ()
    concept: tuple[_Concept, ...] = ()
    contains: tuple[_Concept, ...] = ()


class _Include(Part, frozen=True):
    system: str = ""
    concept: tuple[_Concept, ...] = ()
    filter: tuple[Any, ...] = ()
    value_set: tuple[str, ...] = ()


class _Compose(Part, frozen=True):
    include: tuple[_Include, ...] = ()
    exclude: tuple[_Include, ...] = ()


class _Expansion(Part, frozen=True):
    property: tuple[_Property, ...] = ()
    contains: tuple[_Concept, ...] = ()


class _ValueSet(Part, frozen=True):
    id: str = ""
    url: str = ""
    compose: _Compose | None = None
    expansion: _Expansion | None = None


class _CodeSystem(Part, frozen=True):
    url: str = ""
    property: tuple[_Property, ...] = ()
    concept: tuple[_Concept, ...] = ()


class Terminology:
    """The ValueSets and CodeSystems that a Questionnaire can be looked up in: those in it, then those supplied."""

    def __init__(
        self, form: Form, value_sets: Iterable[Mapping[str, Any]] = (), code_systems: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        contained: list[Mapping[str, Any]] = [resource for resource in form.contained if isinstance(resource, dict)]
        self._value_sets: dict[str, Mapping[str, Any]] = {}
        self._systems: dict[str, dict[str, _Concept]] = {}
        self._raw_systems: dict[str, Mapping[str, Any]] = {}
        for resource in contained:
            if resource.get("resourceType") == "ValueSet":
                self._value_sets[f"#{resource.get('id')}"] = resource
        for value_set in (*(r for r in contained if r.get("resourceType") == "ValueSet"), *value_sets):
            self._value_sets.setdefault(str(value_set.get("url")), value_set)
        for system in (*(r for r in contained if r.get("resourceType") == "CodeSystem"), *code_systems):
            self._raw_systems.setdefault(str(system.get("url")), system)

    def choices(self, question: Question) -> tuple[Choice, ...]:
        """Return what an item offers, with its points; raises StopRun FA103 or FA108 where those cannot be read."""
        place = f'item "{shown(question.link_id)}"'
        if question.answer_value_set:
            return tuple(self._from_value_set(question.answer_value_set, place))
        found = []
        for option in question.answer_option:
            if option.value_coding is not None:
                coding = option.value_coding
                points = _points((*option.extension, *coding.extension), place)
                found.append(self._choice(coding.system, coding.code, coding.display, points, place))
            elif option.value_integer is not None:
                points = _points(option.extension, place)
                text = str(option.value_integer)
                found.append(Choice("", text, text, option.value_integer if points is None else points))
            elif option.value_string is not None:
                found.append(Choice("", option.value_string, option.value_string, _points(option.extension, place)))
        return tuple(found)

    def _choice(self, system: str, code: str, display: str, points: Number | None, place: str) -> Choice:
        if points is None and system:
            concept = self._system(system).get(code)
            points = _concept_points(concept, self._property_codes(system), place) if concept else None
        return Choice(system, code, display, points)

    def _from_value_set(self, canonical: str, place: str) -> Iterator[Choice]:
        value_set = _read(self._value_sets.get(canonical.partition("|")[0]), _ValueSet, f"ValueSet {canonical[:80]}")
        if value_set is None:
            return
        if value_set.expansion is not None:
            codes = _weight_codes(value_set.expansion.property)
            concepts = _flat(value_set.expansion.contains, "contains", place)
            for concept in concepts:
                yield self._of_concept(concept.system, concept, codes, place)
        elif value_set.compose is not None:
            for include in value_set.compose.include:
                if include.filter or include.value_set or value_set.compose.exclude:
                    raise StopRun(
                        "FA108", f"{place}: its ValueSet {shown(canonical)} is not a plain list.", "Supply it expanded."
                    )
                for concept in include.concept or self._system(include.system).values():
                    yield self._of_concept(include.system, concept, self._property_codes(include.system), place)

    def _of_concept(self, system: str, concept: _Concept, codes: frozenset[str], place: str) -> Choice:
        return self._choice(system, concept.code, concept.display, _concept_points(concept, codes, place), place)

    def _system(self, url: str) -> dict[str, _Concept]:
        if url not in self._systems:
            system = _read(self._raw_systems.get(url), _CodeSystem, f"CodeSystem {url[:80]}")
            concepts = _flat(system.concept, "concept", f"CodeSystem {url[:80]}") if system else ()
            self._systems[url] = {concept.code: concept for concept in concepts}
        return self._systems[url]

    def _property_codes(self, url: str) -> frozenset[str]:
        system = _read(self._raw_systems.get(url), _CodeSystem, f"CodeSystem {url[:80]}")
        return _weight_codes(system.property) if system else _WEIGHT_PROPERTIES


def systems_of(value_set: Any) -> set[str]:
    """Return the code systems whose codes a ValueSet lists, none for what is no ValueSet."""
    if not isinstance(value_set, Mapping) or value_set.get("resourceType") != "ValueSet":
        return set()
    try:
        found: _ValueSet = _read(value_set, _ValueSet, "ValueSet")
    except StopRun:
        return set()
    listed = {include.system for include in found.compose.include} if found.compose else set()
    return listed | {concept.system for concept in found.expansion.contains} if found.expansion else listed


def _read(resource: Mapping[str, Any] | None, kind: type[Any], place: str) -> Any:
    if resource is None:
        return None
    try:
        return msgspec.convert(dict(resource), kind)
    except (msgspec.ValidationError, RecursionError) as error:
        what = str(error) if isinstance(error, msgspec.ValidationError) else "nested too deep"
        raise StopRun("FA108", f"{place} is not shaped as FHIR R4: {what}.", "Correct that element.") from None


def _flat(concepts: Iterable[_Concept], inner: str, place: str) -> list[_Concept]:
    found: list[_Concept] = []
    waiting = list(concepts)
    while waiting:
        concept = waiting.pop(0)
        found.append(concept)
        waiting[:0] = getattr(concept, inner)
        if len(found) > MAX_CONCEPTS:
            raise StopRun("FA108", f"{place} has more than {MAX_CONCEPTS} concepts.", "Give the item a shorter list.")
    return found


def _weight_codes(properties: Iterable[_Property]) -> frozenset[str]:
    """Return the codes under which concepts state their points."""
    named: set[str] = {
        p.code for p in properties if p.uri.rpartition("#")[2] in _WEIGHT_PROPERTIES or p.uri in WEIGHT_URLS
    }
    return frozenset(named) | _WEIGHT_PROPERTIES


def _concept_points(concept: _Concept, codes: frozenset[str], place: str) -> Number | None:
    said = [(p.value_decimal, p.value_integer) for p in concept.property if p.code in codes]
    for extension in concept.extension:
        if extension.url == _R5_PROPERTY:
            inner = {e.url: e for e in extension.extension}
            if "code" in inner and "value" in inner and inner["code"].value_code in codes:
                said.append((inner["value"].value_decimal, inner["value"].value_integer))
    numbers = {_number(first if first is not None else second, place) for first, second in said}
    own = _points(concept.extension, place)
    return _one(numbers | ({own} if own is not None else set()), place)


def _points(extensions: Iterable[Extension], place: str) -> Number | None:
    numbers = {
        _number(e.value_decimal if e.value_decimal is not None else e.value_integer, place)
        for e in extensions
        if e.url in WEIGHT_URLS
    }
    return _one(numbers, place)


def _one(numbers: set[Number], place: str) -> Number | None:
    if len(numbers) > 1:
        raise StopRun("FA103", f"{place}: an answer states two different weights.", "Keep one.")
    return numbers.pop() if numbers else None


def _number(value: Any, place: str) -> Number:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise StopRun("FA108", f"{place}: a weight is not a number.", "Write it as valueDecimal, without quotes.")
    exact = Decimal(str(value))
    if not exact.is_finite() or not -1_000_000 <= exact <= 1_000_000:
        raise StopRun("FA108", f"{place}: a weight is too large.", "Correct it.")
    return whole(exact)
