"""The conformance kit: does an instrument say the same thing everywhere, and is every number sourced?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

import msgspec

from fhir_alliance.core.model import Answer, Code, Direction, Formula, Instrument, NoValue, Number, Scale
from fhir_alliance.core.outcomes import ends
from fhir_alliance.core.scoring import Plan, Scorer

LOINC = "http://loinc.org"
_MAX_SUMS = 10_000


class Case(msgspec.Struct, frozen=True):
    """A worked example: answers in points by linkId, and what each scale should give (None: no value).

    bands: by scale, the code of the band that its value lies in.
    """

    name: str
    source: str
    answers: dict[str, Answer]
    expect: dict[str, Number | None]
    bands: dict[str, str] = {}


class Worth(msgspec.Struct, frozen=True):
    """What the answers of some items are worth, written down a second time: by answer code, or from `low` to `high`."""

    items: tuple[str, ...]
    source: str
    points: dict[str, Number] = {}
    low: Number = 0
    high: Number = 0


class Problem(msgspec.Struct, frozen=True):
    """Something to mend: where, and what. is_error: False for something that is only to be known."""

    place: str
    what: str
    is_error: bool = True


def check(instrument: Instrument, cases: Iterable[Case], worth: Sequence[Worth] | None = None) -> tuple[Problem, ...]:
    """Return everything that is wrong with an instrument; nothing when it can be trusted.

    worth: what its answers are worth as somebody wrote it down a second time; None where nobody was asked to.
    """
    problems = [*_items(instrument), *_references(instrument), *_sources(instrument), *_codes(instrument)]
    problems += _worth(instrument, worth) if worth is not None else ()
    if problems:  # the rest would only repeat them
        return tuple(problems)
    scorer = Scorer(instrument)
    for scale, plan in zip(instrument.scales, scorer.plans, strict=True):
        problems += [*_formula(scale, plan), *_bands(scale), *_unreachable(scale, instrument)]
        if scale.formula not in (Formula.GOAL_ATTAINMENT, Formula.EXPRESSION):  # over any number of goals, or a form
            problems += [*_range(scale, plan, instrument), *_missing(scale, plan, instrument)]
    for case in cases:
        problems += _case(case, scorer)
    return tuple(problems)


def _items(instrument: Instrument) -> Iterator[Problem]:
    seen: set[str] = set()
    for item in instrument.items:
        if item.link_id in seen:
            yield Problem(f"item {item.link_id}", "stands twice")
        seen.add(item.link_id)
        if not item.low < item.high:
            yield Problem(f"item {item.link_id}", "has no range of points")
        for option in item.options:
            if not item.low <= option.weight <= item.high:
                yield Problem(f"item {item.link_id}", f"answer {option.code.code} is outside its range")


def _worth(instrument: Instrument, worth: Sequence[Worth]) -> Iterator[Problem]:
    """Yield the items whose points are not what was written down a second time: no sum can tell that."""
    stated = {link_id: one for one in worth for link_id in one.items}
    for link_id in stated.keys() - {item.link_id for item in instrument.items}:
        yield Problem(f"worth of {link_id}", "is not in the Questionnaire")
    for item in instrument.items:
        one = stated.get(item.link_id)
        if one is None:
            yield Problem(f"item {item.link_id}", "its answers' points do not stand in cases.toml a second time")
        elif one.points != {option.code.code: option.weight for option in item.options}:
            yield Problem(f"item {item.link_id}", "its answers are worth something else in cases.toml")
        elif not item.options and (one.low, one.high) != (item.low, item.high):
            yield Problem(f"item {item.link_id}", f"reaches from {one.low} to {one.high} in cases.toml")


def _references(instrument: Instrument) -> Iterator[Problem]:
    known = {item.link_id for item in instrument.items}
    for scale in instrument.scales:
        for link_id in (*scale.items, *scale.reversed):
            if link_id not in known:
                yield Problem(f"scale {scale.id}", f"item {link_id} is not in the Questionnaire")
        if scale.reversed - set(scale.items):
            yield Problem(f"scale {scale.id}", "a reversed item is not one of its items")
        if len(set(scale.items)) != len(scale.items):
            yield Problem(f"scale {scale.id}", "counts an item twice")
    ids = [scale.id for scale in instrument.scales]
    for scale_id in {scale_id for scale_id in ids if ids.count(scale_id) > 1}:
        yield Problem(f"scale {scale_id}", "stands twice")


def _sources(instrument: Instrument) -> Iterator[Problem]:
    if not instrument.licence.holder or not instrument.licence.statement:
        yield Problem("licence", "names no holder or no terms")
    for scale in instrument.scales:
        numbers = {"range": scale.source, "missing rule": scale.missing.source}
        numbers |= {f"band {band.code}": band.source for band in scale.bands}
        if scale.caseness is not None:
            numbers["caseness"] = scale.caseness.source
        known = ((name, getattr(scale.change, name)) for name in scale.change.__struct_fields__)
        numbers |= {name: number.source for name, number in known if number is not None}
        for name, source in numbers.items():
            if not source.strip():
                yield Problem(f"scale {scale.id}", f"{name} has no source")


def _codes(instrument: Instrument) -> Iterator[Problem]:
    codes = [*instrument.panel, *(code for scale in instrument.scales for code in scale.codes)]
    codes += [code for item in instrument.items for code in item.codes]
    for code in codes:
        if code.system == LOINC and not has_check_digit(code):
            yield Problem(f"code {code.code}", "its LOINC check digit does not agree")


def has_check_digit(code: Code) -> bool:
    """Return whether a LOINC number ends in its Luhn (mod 10) check digit."""
    number, _, digit = code.code.partition("-")
    if not number.isdigit() or not digit.isdigit():
        return False
    total = 0
    for place, figure in enumerate(reversed(number)):
        doubled = int(figure) * 2 if place % 2 == 0 else int(figure)
        total += doubled - 9 if doubled > 9 else doubled
    return (10 - total % 10) % 10 == int(digit)


def _range(scale: Scale, plan: Plan, instrument: Instrument) -> Iterator[Problem]:
    items = {item.link_id: item for item in instrument.items}
    for name, stated, high in (("low", scale.low, False), ("high", scale.high, True)):
        value = plan.evaluate(ends(scale, items, high=high))[0]
        if value != stated:
            yield Problem(f"scale {scale.id}", f"states {name} {stated}, but its answers give {_said(value)}")


def _formula(scale: Scale, plan: Plan) -> Iterator[Problem]:
    """Yield what a formula needs and does not have, or has and does not use."""
    is_count, is_lookup = scale.formula is Formula.COUNT, scale.formula is Formula.LOOKUP
    if set(scale.counts) != (set(scale.items) if is_count else set()):
        yield Problem(f"scale {scale.id}", "states counts for other items than it counts")
    if not set(scale.gate) <= set(scale.counts):
        yield Problem(f"scale {scale.id}", "its gate names an item that it does not count")
    if bool(scale.table) != is_lookup:
        yield Problem(f"scale {scale.id}", "has a look-up without a table, or a table without a look-up")
    if scale.factor != 1 and scale.formula is not Formula.MEAN:
        yield Problem(f"scale {scale.id}", "has a factor, which only a mean uses")
    if scale.formula in (Formula.LINEAR, Formula.EXPRESSION):
        yield Problem(
            f"scale {scale.id}", f"the formula {scale.formula.value} is read from a Questionnaire, not stated"
        )
    if scale.higher_is is Direction.UNKNOWN:
        yield Problem(f"scale {scale.id}", "does not say what a higher score means")
    if scale.formula is Formula.GOAL_ATTAINMENT and (scale.reversed or scale.missing.max_missing):
        yield Problem(f"scale {scale.id}", "reverses or fills in, which goal attainment does not")
    if plan.is_of_goals and len(scale.items) != 1:
        yield Problem(f"scale {scale.id}", "is about goals and does not name their rating alone")


def _bands(scale: Scale) -> Iterator[Problem]:
    bands = sorted(scale.bands, key=lambda band: band.low)
    if not bands:
        return
    if bands[0].low != scale.low or bands[-1].high != scale.high:
        yield Problem(f"scale {scale.id}", "its bands do not cover its range")
    for before, after in pairwise(bands):
        if after.low <= before.high:
            yield Problem(f"scale {scale.id}", f"bands {before.code} and {after.code} overlap")
        elif scale.formula in (Formula.SUM, Formula.COUNT) and _is_whole(before.high) and after.low != before.high + 1:
            yield Problem(f"scale {scale.id}", f"a gap between bands {before.code} and {after.code}")
    for band in bands:
        if band.low > band.high:
            yield Problem(f"scale {scale.id}", f"band {band.code} ends before it begins")


def _unreachable(scale: Scale, instrument: Instrument) -> Iterator[Problem]:
    """Yield the bands that no complete form can reach, where the possible sums can be counted."""
    items = {item.link_id: item for item in instrument.items}
    asked = [items[link_id] for link_id in scale.items]
    if scale.formula is not Formula.SUM or scale.missing.max_missing or not all(item.options for item in asked):
        return
    sums: set[Number] = {0}
    for item in asked:
        worth = {option.weight for option in item.options}
        mirrored = {item.low + item.high - points for points in worth} if item.link_id in scale.reversed else worth
        sums = {total + points for total in sums for points in mirrored}
        if len(sums) > _MAX_SUMS:
            return
    for band in scale.bands:
        if not any(band.low <= total <= band.high for total in sums):
            yield Problem(f"scale {scale.id}", f"no answers reach the band {band.code}, {band.low} to {band.high}")


def _is_whole(value: Number) -> bool:
    return value == int(value)


def _missing(scale: Scale, plan: Plan, instrument: Instrument) -> Iterator[Problem]:
    items = {item.link_id: item for item in instrument.items}
    full = ends(scale, items, high=True)
    if scale.missing.max_missing >= len(scale.items):
        yield Problem(f"scale {scale.id}", "its missing rule would score an empty form")
        return
    if scale.missing.max_missing and scale.formula is Formula.COUNT:
        yield Problem(f"scale {scale.id}", "its missing rule would count a missing answer as a low one")
    elif scale.missing.max_missing and len({(items[i].low, items[i].high) for i in scale.items}) > 1:
        # The mean of the others is no likely answer to an item of another range; the score can even leave the scale.
        yield Problem(f"scale {scale.id}", "its missing rule fills gaps by a mean, but its items differ in range")
    for count in range(len(scale.items) + 1):
        answers = dict(list(full.items())[count:])
        value = plan.evaluate(answers)[0]
        if isinstance(value, NoValue) != (count > scale.missing.max_missing):
            yield Problem(f"scale {scale.id}", f"with {count} missing it does not do what its rule says")


def _case(case: Case, scorer: Scorer) -> Iterator[Problem]:
    by_id = {plan.scale_id: plan for plan in scorer.plans}
    for scale_id, expected in case.expect.items():
        if scale_id not in by_id:
            yield Problem(f"case {case.name}", f"names the unknown scale {scale_id}")
            continue
        value, _, _, band = by_id[scale_id].evaluate(case.answers)
        if (None if isinstance(value, NoValue) else value) != expected:
            yield Problem(f"case {case.name}", f"{scale_id} gives {_said(value)}, not {_said(expected)}")
        wanted = case.bands.get(scale_id, "")
        if wanted and (band is None or band.code != wanted):
            yield Problem(f"case {case.name}", f"{scale_id} is in band {band.code if band else 'none'}, not {wanted}")


def _said(value: Number | NoValue | None) -> str:
    return str(value) if isinstance(value, (int, Decimal)) else "no value"
