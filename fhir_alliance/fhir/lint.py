"""What a person should know about a Questionnaire with SDC scoring before it is used: faults, and things to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fhir_alliance.core.conformance import Problem, has_check_digit
from fhir_alliance.core.model import Answer, Code, Formula, Instrument, NoValue, Number
from fhir_alliance.core.outcomes import Computed
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.computation import filled_form
from fhir_alliance.fhir.identifiers import LOINC
from fhir_alliance.fhir.program import FilledForm
from fhir_alliance.fhir.questions import Form, Question, calculated, read_form, shown
from fhir_alliance.fhir.sdc import NO_RULE, SiteForm, site_form
from fhir_alliance.fhir.site_items import number_bound

Resources = Iterable[Mapping[str, Any]]


def examined(
    questionnaire: Mapping[str, Any], value_sets: Resources = (), code_systems: Resources = ()
) -> tuple[SiteForm | None, tuple[Problem, ...]]:
    """Return a Questionnaire as it would be scored, None where it cannot be, and what there is to say about it."""
    try:
        form = read_form(questionnaire)
    except StopRun as fault:
        return None, (Problem("questionnaire", f"{fault.message} {fault.hint}"),)
    problems = [*_twice(form), *_codes(form)]
    try:
        site = site_form(questionnaire, value_sets, code_systems)
    except StopRun as fault:
        if not problems:  # else they say the same, and all of it
            problems.append(Problem("questionnaire", f"{fault.message} {fault.hint}"))
        return None, tuple(problems)
    return site, (*problems, *_ranges(form, site), *_unscored(site), *_notes(site.instrument))


def computed_by(site: SiteForm) -> Computed:
    """Return what gives the values of a form's expressions for answers in points."""
    places = tuple(site.computation.places.values())
    items = {item.link_id: item for item in site.instrument.items}

    def computed(answers: Mapping[str, Answer]) -> Mapping[str, Number | NoValue]:
        form = FilledForm(filled_form(places, items, answers), site.computation.program)
        return site.computation.of(form, answers)

    return computed


def _every(questions: Iterable[Question]) -> Iterator[Question]:
    for question in questions:
        yield question
        yield from _every(question.item)


def _twice(form: Form) -> Iterator[Problem]:
    counted = Counter(question.link_id for question in _every(form.item))
    for link_id, count in counted.items():
        if count > 1:
            yield Problem(f"item {shown(link_id)}", f"stands {count} times; a linkId names one item")


def _codes(form: Form) -> Iterator[Problem]:
    places = [("questionnaire", form.code)]
    places += [(f"item {shown(question.link_id)}", question.code) for question in _every(form.item)]
    for place, codings in places:
        for coding in codings:
            code = Code(coding.system, coding.code)
            if coding.system == LOINC and not has_check_digit(code):
                yield Problem(place, f"the LOINC check digit of {shown(coding.code)} does not agree")


def _ranges(form: Form, site: SiteForm) -> Iterator[Problem]:
    """Yield the calculated items whose stated range is not what their answers can give."""
    scales = {scale.id: scale for scale in site.instrument.scales}
    for question in _every(form.item):
        scale = scales.get(site.totals.get(question.link_id, ""))
        if scale is None or not calculated(question):
            continue
        for name, given in (("minValue", scale.low), ("maxValue", scale.high)):
            stated = number_bound(question, name)
            if stated is not None and stated != given:
                yield Problem(
                    f"item {shown(question.link_id)}", f"states {name} {stated}, but its answers give {given}"
                )
        if (scale.low, scale.high) == (0, 0):
            what = "its range is not known: an item it adds up has no minValue and maxValue"
            yield Problem(f"item {shown(question.link_id)}", what, is_error=False)


def _unscored(site: SiteForm) -> Iterator[Problem]:
    for link_id in sorted(site.computation.program.bare):
        what = "nothing says what its answers are worth: supply their ValueSet or CodeSystem, or give them itemWeight"
        yield Problem(f"item {shown(link_id)}", what)
    for link_id, codes in site.unscored.items():
        if codes:
            listed = ", ".join(shown(code) for code in sorted(codes))
            what = f"answers without points: {listed}. A form with one of them is parked"
            yield Problem(f"item {shown(link_id)}", what, is_error=False)


def _notes(instrument: Instrument) -> Iterator[Problem]:
    for scale in instrument.scales:
        place = f"scale {scale.id}"
        if scale.formula is Formula.EXPRESSION:
            yield Problem(place, "no formula was recognised: its FHIRPath is evaluated for every form", is_error=False)
        if scale.missing.source == NO_RULE:
            what = "states no rule for missing answers, so only complete forms have a score"
            yield Problem(place, what, is_error=False)
