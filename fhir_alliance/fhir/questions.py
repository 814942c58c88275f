"""A Questionnaire from outside, read item by item: its shape is checked before anything else looks at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from fhir_alliance.errors import StopRun

MAX_ITEMS: Final = 5000
MAX_DEPTH: Final = 64

_SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
_CALCULATED = f"{_SDC}calculatedExpression"
_ENABLED = f"{_SDC}enableWhenExpression"
_VARIABLE = "http://hl7.org/fhir/StructureDefinition/variable"
_FHIRPATH = "text/fhirpath"


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Base of the structs: FHIR's names outside, Python's inside; what is not named is passed over."""


class Expression(Part, frozen=True):
    """Expression. Only FHIRPath is evaluated."""

    language: str = _FHIRPATH
    expression: str = ""
    name: str = ""


class Extension(Part, frozen=True):
    """Extension. A number may stand there as something else; whoever needs it says so."""

    url: str
    value_decimal: Any = None
    value_integer: Any = None
    value_code: Any = None
    value_expression: Expression | None = None
    extension: tuple[Extension, ...] = ()


class OfferedCoding(Part, frozen=True):
    """Coding, of an answer or of an item."""

    system: str = ""
    code: str = ""
    display: str = ""
    extension: tuple[Extension, ...] = ()


class Offered(Part, frozen=True):
    """Questionnaire.item.answerOption."""

    value_coding: OfferedCoding | None = None
    value_integer: int | None = None
    value_string: str | None = None
    extension: tuple[Extension, ...] = ()


class Question(Part, frozen=True):
    """Questionnaire.item."""

    link_id: str
    type: str = ""
    text: str = ""
    code: tuple[OfferedCoding, ...] = ()
    repeats: bool = False
    read_only: bool = False
    answer_option: tuple[Offered, ...] = ()
    answer_value_set: str = ""
    enable_when: tuple[Any, ...] = ()
    enable_behavior: str = "all"
    extension: tuple[Extension, ...] = ()
    item: tuple[Question, ...] = ()


class Form(Part, frozen=True):
    """Questionnaire."""

    resource_type: str = ""
    id: str = ""
    url: str = ""
    version: str = ""
    name: str = ""
    title: str = ""
    status: str = ""
    language: str = ""
    publisher: str = ""
    copyright: str = ""
    code: tuple[OfferedCoding, ...] = ()
    extension: tuple[Extension, ...] = ()
    contained: tuple[Any, ...] = ()
    item: tuple[Question, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """A question where it stands: in these groups and under these questions, outermost first."""

    question: Question
    within: tuple[Question, ...] = ()

    @property
    def is_conditional(self) -> bool:
        """Return whether the question, or a group around it, is asked only under a condition."""
        return any(q.enable_when or expressions(q.extension, _ENABLED) for q in (*self.within, self.question))


def read_form(questionnaire: Mapping[str, Any]) -> Form:
    """Return a Questionnaire whose shape is FHIR's; raises StopRun FA106 with the place where it is not."""
    try:
        return msgspec.convert(dict(questionnaire), Form)
    except msgspec.ValidationError as error:  # names types and the place, never the value
        raise StopRun("FA106", f"it is not shaped as FHIR R4: {error}.", "Correct that element.") from None
    except RecursionError:
        raise StopRun(
            "FA106", f"it is nested deeper than {MAX_DEPTH} levels.", "Only forms for people are read."
        ) from None


def places(form: Form) -> tuple[Place, ...]:
    """Return all questions and groups in order; raises StopRun FA106 where there are too many, or two of a linkId."""
    found: list[Place] = []
    seen: set[str] = set()
    for place in _walk(form.item, ()):
        link_id = place.question.link_id
        if len(found) >= MAX_ITEMS or len(place.within) > MAX_DEPTH:
            raise StopRun(
                "FA106", f"it has more than {MAX_ITEMS} items or {MAX_DEPTH} levels.", "Only forms for people are read."
            )
        if link_id in seen:
            raise StopRun("FA106", f'item "{shown(link_id)}" stands twice.', "Give each item a linkId of its own.")
        seen.add(link_id)
        found.append(place)
    return tuple(found)


def calculated(question: Question) -> str:
    """Return the FHIRPath that fills a calculated item, "" for other items."""
    return next((e.expression for e in expressions(question.extension, _CALCULATED)), "")


def variables(extensions: Iterable[Extension]) -> dict[str, str]:
    """Return the FHIRPath variables that a form or an item defines, by name."""
    return {e.name: e.expression for e in expressions(extensions, _VARIABLE) if e.name}


def enabling(question: Question) -> str:
    """Return the FHIRPath that says whether an item is asked, "" where none does."""
    return next((e.expression for e in expressions(question.extension, _ENABLED)), "")


def expressions(extensions: Iterable[Extension], url: str) -> list[Expression]:
    """Return the FHIRPath expressions under an address."""
    found = (extension.value_expression for extension in extensions if extension.url == url)
    return [e for e in found if e is not None and e.language == _FHIRPATH and e.expression.strip()]


def shown(link_id: str) -> str:
    """Return a linkId fit for a message: short, printable, one line."""
    return "".join(c if c.isprintable() and c != '"' else "?" for c in link_id)[:60]


def _walk(questions: Iterable[Question], within: tuple[Question, ...]) -> Iterator[Place]:
    for question in questions:
        yield Place(question, within)
        yield from _walk(question.item, (*within, question))
