"""What a site's Questionnaire is to us: a form of an instrument that is known, or an instrument of its own.

And whether a copy of it, as responses may carry one, says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from fhir_alliance.core.keys import derived
from fhir_alliance.core.model import Instrument
from fhir_alliance.errors import ParkItem, StopRun
from fhir_alliance.fhir.answers import FormReader
from fhir_alliance.fhir.identifiers import LOINC, WEIGHT_URLS
from fhir_alliance.fhir.program import ABSENT_SYSTEMS
from fhir_alliance.fhir.questions import Form, calculated, enabling, places, read_form, shown, variables
from fhir_alliance.fhir.sdc import SiteForm
from fhir_alliance.fhir.weights import Choice, Terminology, systems_of

SNOMED: Final = "http://snomed.info/sct"

Resources: TypeAlias = Iterable[Mapping[str, Any]]


class Names(NamedTuple):
    """By what responses name a Questionnaire."""

    url: str
    version: str
    relative: str

    @property
    def exact(self) -> str:
        """Return the name of this version, or of the only one."""
        return f"{self.url}|{self.version}" if self.version else self.url

    @property
    def all(self) -> tuple[str, ...]:
        """Return all names, the most exact one first."""
        return tuple(name for name in (self.exact, self.url, self.relative) if name)


def names_of(questionnaire: Mapping[str, Any]) -> Names | None:
    """Return the names of a Questionnaire, None where it has none that can be used."""
    given = (questionnaire.get(key) or "" for key in ("url", "version", "id"))
    url, version, name = (text if isinstance(text, str) else "" for text in given)
    relative = f"Questionnaire/{name}" if name else ""
    if not isinstance(questionnaire.get("url", ""), (str, type(None))) or not (url or relative):
        return None
    return Names(url or relative, version, relative)


def loinc_codes(form: Form) -> dict[str, str]:
    """Return the LOINC code of each item that has one, by linkId; raises StopRun FA106."""
    return {
        place.question.link_id: coding.code
        for place in places(form)
        for coding in place.question.code
        if coding.system == LOINC and coding.code
    }


def carries_scoring(form: Form) -> bool:
    """Return whether a form has a calculated item."""
    return any(calculated(place.question) for place in places(form))


def of_known(
    instrument: Instrument, questionnaire: Mapping[str, Any], codes: Mapping[str, str], terminology: Terminology
) -> FormReader:
    """Return the reader of a site's form of an instrument; raises StopRun FA108 where it weighs answers otherwise.

    codes: the LOINC code of each of the form's items, by linkId.
    """
    form = read_form(questionnaire)
    own = {code.code: item.link_id for item in instrument.items for code in item.codes if code.system == LOINC}
    names = {link_id: own[code] for link_id, code in codes.items() if code in own}
    offered = {
        place.question.link_id: terminology.choices(place.question)
        for place in places(form)
        if place.question.link_id in names
    }
    for link_id, choices in offered.items():
        _hold_to(instrument, names[link_id], link_id, choices)
    reader = FormReader(instrument, questionnaire, names, offered)
    scales = {code.code: scale.id for scale in instrument.scales for code in scale.codes if code.system == LOINC}
    reader.totals.update({link_id: scales[code] for link_id, code in codes.items() if code in scales})
    return reader


def of_its_own(site: SiteForm, questionnaire: Mapping[str, Any]) -> FormReader:
    """Return the reader of a site's own instrument; linkIds are known with and without a slash before them."""
    names = {item.link_id: item.link_id for item in site.instrument.items}
    for link_id in tuple(names):
        names.setdefault(link_id.removeprefix("/") if link_id.startswith("/") else f"/{link_id}", link_id)
    return FormReader(site.instrument, questionnaire, names, {}, site)


def fingerprint(questionnaire: Mapping[str, Any], value_sets: Resources = (), code_systems: Resources = ()) -> str:
    """Return a digest of all that scoring rests on: items, answers with their points, expressions; no wording.

    Raises StopRun where the Questionnaire cannot be read.
    """
    form = read_form(questionnaire)
    terminology = Terminology(form, value_sets, code_systems)
    parts = [repr(sorted(variables(form.extension).items()))]
    for place in places(form):
        question = place.question
        expressions = (calculated(question), enabling(question), sorted(variables(question.extension).items()))
        choices = [(c.system, c.code, str(c.points)) for c in terminology.choices(question)]
        if choices or any(expressions):
            within = [outer.link_id for outer in place.within]
            parts.append(repr((question.link_id, within, question.type, sorted(choices), expressions)))
    return derived(*parts)


def value_set_urls(questionnaires: Resources) -> list[str]:
    """Return the ValueSets outside of Questionnaires with SDC scoring that their answers are from."""
    named = {
        place.question.answer_value_set.partition("|")[0] for form in _scored(questionnaires) for place in places(form)
    }
    return sorted(url for url in named if url and not url.startswith("#"))


def code_system_urls(questionnaires: Resources, value_sets: Resources) -> list[str]:
    """Return the code systems that may say what answers are worth of which neither form nor ValueSet says it."""
    named = {
        option.value_coding.system
        for form in _scored(questionnaires)
        for place in places(form)
        for option in place.question.answer_option
        if option.value_coding is not None
        and not any(extension.url in WEIGHT_URLS for extension in (*option.extension, *option.value_coding.extension))
    }
    contained = [resource for form in _scored(questionnaires) for resource in form.contained]
    for value_set in (*value_sets, *contained):
        named |= systems_of(value_set)
    return sorted(named - {"", LOINC, SNOMED, *ABSENT_SYSTEMS})


def _scored(questionnaires: Resources) -> Iterator[Form]:
    """Yield the Questionnaires that can be read and carry scoring."""
    for questionnaire in questionnaires:
        try:
            form = read_form(questionnaire)
            if carries_scoring(form):
                yield form
        except StopRun:  # said again, with its place, when it is learnt
            continue


def contained_form(response: Mapping[str, Any], reference: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """Return the Questionnaire in a response that `#reference` names, and the other resources there; raises FA208."""
    inside = [resource for resource in response.get("contained") or () if isinstance(resource, dict)]
    for resource in inside:
        if resource.get("resourceType") == "Questionnaire" and f"#{resource.get('id')}" == reference:
            return resource, [other for other in inside if other is not resource]
    raise ParkItem("FA208", "the Questionnaire that it names is not in it.", "Name it by its canonical.")


def _hold_to(instrument: Instrument, link_id: str, site_link_id: str, choices: Iterable[Choice]) -> None:
    """Raise StopRun FA108 where a form gives an answer of an instrument other points than the instrument does."""
    item = next(item for item in instrument.items if item.link_id == link_id)
    own = {(option.code.system, option.code.code): option.weight for option in item.options}
    for choice in choices:
        points = choice.points
        expected = own.get((choice.system, choice.code), points)
        if points is not None and (points != expected or not item.low <= points <= item.high):
            raise StopRun(
                "FA108",
                f'item "{shown(site_link_id)}": an answer is worth {points}, which {instrument.id} does not give it.',
                "Correct its weight, or give the form codes of its own.",
            )
