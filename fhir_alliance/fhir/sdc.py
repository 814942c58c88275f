"""A site's own Questionnaire that carries SDC scoring, as an instrument.

Every calculated item that its answers fill with a number becomes a scale. A formula that is recognised goes the fast
way; any other expression is evaluated form by form (`Computation`). Nothing says what a higher score means, and there
are no bands: these need a source, and a folder of the instrument's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from fhir_alliance.core.model import (
    Answer,
    Code,
    Critical,
    Direction,
    Family,
    Formula,
    Instrument,
    Item,
    Licence,
    MissingRule,
    Number,
    Rater,
    Scale,
    Wording,
)
from fhir_alliance.core.scoring import Plan
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.computation import Computation, Rule, filled_form
from fhir_alliance.fhir.expression import UNBOUNDED, Blank, Found, recognised
from fhir_alliance.fhir.fhirpath_tree import Call, Faulty, Node
from fhir_alliance.fhir.fhirpath_values import Unevaluable
from fhir_alliance.fhir.identifiers import DATA_ABSENT, LOINC, WEIGHT_URLS
from fhir_alliance.fhir.program import ABSENT_SYSTEMS, Program
from fhir_alliance.fhir.questions import Form, Place, Question, calculated, places, read_form, shown
from fhir_alliance.fhir.site_items import (
    NUMBERS,
    bare_item,
    code_of,
    has_unknown_list,
    instrument_id,
    likely,
    scale_ids,
    scored_item,
)
from fhir_alliance.fhir.weights import Terminology

NO_RULE: Final = "the Questionnaire states no rule for missing answers, and a gap is never taken for a zero"
OWN_RULE: Final = "the Questionnaire's own expression"

_DECLINED = Code(DATA_ABSENT, "asked-declined")
_MAX_TRIED = 60  # items of an expression that are tried one by one


class SiteForm(NamedTuple):
    """A site's Questionnaire, ready: its instrument, what evaluates its expressions, and how its linkIds are read.

    totals: the scale of each calculated item, by linkId.
    unscored: answers that an item offers without points, by linkId.
    """

    instrument: Instrument
    computation: Computation
    totals: Mapping[str, str]
    unscored: Mapping[str, frozenset[str]]

    def is_unscored(self, item: Item, code: str) -> bool:
        """Return whether the form offers an answer, and nothing says what it is worth."""
        return item.link_id in self.computation.program.bare or code in self.unscored.get(item.link_id, ())


def instrument_of(
    questionnaire: Mapping[str, Any],
    value_sets: Iterable[Mapping[str, Any]] = (),
    code_systems: Iterable[Mapping[str, Any]] = (),
) -> Instrument:
    """Return the instrument that a Questionnaire with SDC scoring is.

    value_sets, code_systems: where answers are worth what their concepts say.
    Raises StopRun FA103 or FA106-FA109, each with the place, for a Questionnaire that cannot be scored.
    """
    return site_form(questionnaire, value_sets, code_systems).instrument


def site_form(
    questionnaire: Mapping[str, Any],
    value_sets: Iterable[Mapping[str, Any]] = (),
    code_systems: Iterable[Mapping[str, Any]] = (),
    critical: Mapping[str, Critical] = MappingProxyType({}),
) -> SiteForm:
    """Return a Questionnaire with SDC scoring as it is used; raises as `instrument_of` does.

    critical: by LOINC code, items known to ask for safety; wherever a site asks them, a clinician looks.
    """
    form = read_form(questionnaire)
    return _Reading(form, questionnaire, Terminology(form, value_sets, code_systems)).result(critical)


class _Reading:
    """One Questionnaire on its way to an instrument."""

    def __init__(self, form: Form, questionnaire: Mapping[str, Any], terminology: Terminology) -> None:
        self.form = form
        self.places = places(form)
        self.source = f"{form.url or form.id}|{form.version}".rstrip("|")
        asked = [p for p in self.places if not calculated(p.question) and p.question.type != "group"]
        choices = {p.question.link_id: terminology.choices(p.question) for p in asked}
        self.choices = {link_id: offered for link_id, offered in choices.items() if offered}
        self._questionnaire = questionnaire
        self._prepare(frozenset(p.question.link_id for p in asked if has_unknown_list(p.question, self.choices)))
        for link_id in self.program.calculated:
            recognised(self.blank, link_id, self.items)
        if self.blank.unweighted:  # items that an expression names, and whose points the form does not say
            self._prepare(self.program.bare | self.blank.unweighted)
        self._top: dict[str, Number] = {}
        self.conditional = frozenset(p.question.link_id for p in self.places if p.is_conditional)

    def _prepare(self, bare: frozenset[str]) -> None:
        """Make ready what expressions look at. bare: items whose points only their answers can state."""
        found = {
            p.question.link_id: bare_item(p.question)
            if p.question.link_id in bare
            else scored_item(p.question, self.choices.get(p.question.link_id, ()))
            for p in self.places
            if not calculated(p.question) and p.question.type != "group"
        }
        self.items = {link_id: item for link_id, item in found.items() if item is not None}
        self.program = Program(self.form, self.places, self.choices, self._questionnaire, bare)
        self.blank = Blank(self.program, self.places, self.items)

    def result(self, critical: Mapping[str, Critical]) -> SiteForm:
        """Return the form; raises StopRun FA109 where none of its calculated items is a score."""
        scored = [(p, scale) for p in self.places if (scale := self._scale(p)) is not None]
        if not scored:
            for link_id, tree in self.program.calculated.items():
                if isinstance(tree, Faulty):
                    raise StopRun("FA107", f'item "{shown(link_id)}": {tree.what}', tree.hint)
            raise StopRun(
                "FA109", "no calculated item of it is a score.", "A sum of weight() in a calculatedExpression is one."
            )
        names = scale_ids([place.question.link_id for place, _ in scored])
        totals = {place.question.link_id: names[place.question.link_id] for place, _ in scored}
        scales = tuple(msgspec.structs.replace(s, id=names[p.question.link_id]) for p, s in scored)
        used = {item for scale in scales for item in scale.items}
        watched = {link_id: _critical(item, critical) for link_id, item in self.items.items()}
        items = tuple(
            msgspec.structs.replace(item, critical=watched[link_id])
            for link_id, item in self.items.items()
            if link_id in used or watched[link_id] is not None
        )
        rules = [
            Rule(scale.id, place.question.link_id, scale.items, scale.missing.source == NO_RULE)
            for (place, _), scale in zip(scored, scales, strict=True)
            if scale.formula is Formula.EXPRESSION
        ]
        unscored = {
            link_id: frozenset(c.code for c in offered if c.points is None and c.system not in ABSENT_SYSTEMS)
            for link_id, offered in self.choices.items()
            if link_id in used
        }
        computation = Computation(self.program, rules, {p.question.link_id: p for p in self.places})
        return SiteForm(self._instrument(items, scales), computation, totals, unscored)

    def _instrument(self, items: tuple[Item, ...], scales: tuple[Scale, ...]) -> Instrument:
        form = self.form
        title = form.title or form.name or form.id or form.url
        statement = form.copyright or "The site's own Questionnaire; its terms are the site's to know."
        return Instrument(
            instrument_id(form),
            form.version or "unversioned",
            form.url or f"Questionnaire/{form.id}",
            title,
            Family.OUTCOME,
            Rater.CLIENT,
            tuple(code_of(coding) for coding in form.code),
            items,
            scales,
            Licence(form.publisher or "the site", Wording.OWN, statement, self.source),
            declined=self._declined(),
            languages=(form.language,) if form.language else (),
            validated=False,
        )

    def _declined(self) -> tuple[Code, ...]:
        offered = {
            Code(c.system, c.code)
            for choices in self.choices.values()
            for c in choices
            if c.points is None and c.system in ABSENT_SYSTEMS
        }
        return (_DECLINED, *sorted(offered - {_DECLINED}, key=lambda code: code.code))

    def _scale(self, place: Place) -> Scale | None:
        """Return the scale that a calculated item is, None where it is none."""
        question = place.question
        link_id = question.link_id
        if link_id not in self.program.calculated or question.type not in NUMBERS:
            return None
        found = recognised(self.blank, link_id, self.items)
        if found is not None and (found.has_rule or not self.conditional & set(found.items)):
            scale = self._formula(question, found)
            if self._agrees(link_id, scale):
                return scale
        return self._expression(question)

    def _formula(self, question: Question, found: Found) -> Scale:
        rule = OWN_RULE if found.has_rule else NO_RULE
        scale = self._blank_scale(question, found.items, found.max_missing, rule)
        scale = msgspec.structs.replace(
            scale, formula=found.formula, reversed=found.reversed, decimals=found.decimals, factor=found.factor,
            counts=dict(found.counts), coefficients=dict(found.coefficients), constant=found.constant,
        )  # fmt: skip
        plan = Plan(scale, self.items)
        ends = [plan.evaluate(self._end(scale, high=high))[0] for high in (False, True)]
        return _with_range(scale, ends, self.items)

    def _end(self, scale: Scale, *, high: bool) -> dict[str, Answer]:
        """Return the answers that give the lowest or highest score."""
        return {
            link_id: self.items[link_id].high
            if high != (link_id in scale.reversed or scale.coefficients.get(link_id, 1) < 0)
            else self.items[link_id].low
            for link_id in scale.items
        }

    def _agrees(self, link_id: str, scale: Scale) -> bool:
        """Return whether the formula gives what the expression itself gives, on a few whole forms."""
        plan = Plan(scale, self.items)
        for turn in range(3):
            answers = self._sample(scale.items, turn)
            if plan.evaluate(answers)[0] != self._evaluated(link_id, answers):
                return False
        return True

    def _sample(self, link_ids: Sequence[str], turn: int) -> dict[str, Answer]:
        """Return whole answers: all lowest, all highest, and a mixture."""
        answers: dict[str, Answer] = {}
        for place, link_id in enumerate(link_ids):
            item = self.items[link_id]
            low, high = likely(item)
            mixed = item.options[(place * 7 + 1) % len(item.options)].weight if item.options else low
            answers[link_id] = (low, high, mixed)[turn]
        return answers

    def _evaluated(self, link_id: str, answers: Mapping[str, Answer]) -> Any:
        return self.program.evaluate_raw(filled_form(self.places, self.items, answers), link_id)

    def _expression(self, question: Question) -> Scale | None:
        """Return the scale of an expression that is evaluated form by form, None where it is no score.

        Raises StopRun FA107 where it is one, and cannot be evaluated.
        """
        link_id = question.link_id
        named = self.program.mentions(link_id)
        weighed = any(self._asks_for_points(node) for node in self.program.closure(link_id))
        link_ids = tuple(i for i in self.items if i in named) or tuple(self.items)
        if not link_ids:
            return None
        values = self._ends(link_id, link_ids)
        fault = next((value for value in values if isinstance(value, Unevaluable)), None)
        rests_on_answers = fault is None and values[0] != values[1]
        if not (weighed or named & (set(self.items) | WEIGHT_URLS) or rests_on_answers):
            return None
        if fault is not None:
            raise StopRun("FA107", f'item "{shown(link_id)}": {fault.message}', fault.hint)
        needs_all = not self._has_rule(link_id, link_ids, values[1])
        missing = len(self.conditional & set(link_ids)) if needs_all else len(link_ids) - 1
        rule = NO_RULE if needs_all else OWN_RULE
        scale = self._blank_scale(question, link_ids, min(missing, len(link_ids) - 1), rule)
        return _with_range(msgspec.structs.replace(scale, formula=Formula.EXPRESSION), values, self.items)

    def _asks_for_points(self, node: Node) -> bool:
        """Return whether an expression is about answers and their points, also one that cannot be read."""
        if isinstance(node, Faulty):
            return any(name in node.text for name in ("weight(", "ordinal(", *(f"'{item}'" for item in self.items)))
        return isinstance(node, Call) and node.name in ("weight", "ordinal")

    def _ends(self, link_id: str, link_ids: Sequence[str]) -> list[Number | Unevaluable | None]:
        """Return the expression's lowest and highest value, as far as each item by itself raises or lowers it."""
        low = {i: likely(self.items[i])[0] for i in link_ids}
        self._top = {i: likely(self.items[i])[1] for i in link_ids}
        bottom, start = dict(low), self._evaluated(link_id, low)
        for i in link_ids if len(link_ids) <= _MAX_TRIED else ():
            value = self._evaluated(link_id, low | {i: self._top[i]})
            if _is_number(value) and _is_number(start) and value < start:
                bottom[i], self._top[i] = self._top[i], bottom[i]
        return [self._evaluated(link_id, bottom), self._evaluated(link_id, self._top)]

    def _has_rule(self, link_id: str, link_ids: Sequence[str], whole: Any) -> bool:
        """Return whether the expression says how many answers may be missing, and fills the gaps up.

        Then one gap leaves the highest value as it is, or gives nothing, and with enough gaps there is no value.
        """
        answers = dict(self._top)
        for count, left_out in enumerate(reversed(link_ids[1:] if len(link_ids) <= _MAX_TRIED else ()), start=1):
            del answers[left_out]
            value = self._evaluated(link_id, answers)
            if value is None:
                return True
            if count == 1 and value != whole:
                return False
        return False

    def _blank_scale(self, question: Question, items: tuple[str, ...], max_missing: int, rule: str) -> Scale:
        source = f"{self.source}, item {shown(question.link_id)}"
        title = question.text or next((code.display for code in question.code if code.display), "") or question.link_id
        codes = tuple(code_of(coding) for coding in question.code)
        return Scale(
            question.link_id, title, codes, items, 0, 0, Direction.UNKNOWN, MissingRule(max_missing, rule), source
        )


def _critical(item: Item, critical: Mapping[str, Critical]) -> Critical | None:
    return next((critical[c.code] for c in item.codes if c.system == LOINC and c.code in critical), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, Decimal))


def _with_range(scale: Scale, ends: Sequence[Any], items: Mapping[str, Item]) -> Scale:
    """Return a scale with the range that its ends give; none where an answer has no bounds."""
    is_bounded = all(items[i].low > -UNBOUNDED and items[i].high < UNBOUNDED for i in scale.items)
    numbers = [end for end in ends if _is_number(end)]
    if not is_bounded or not numbers:
        return scale
    return msgspec.structs.replace(scale, low=min(numbers), high=max(numbers))
