"""Every number of every instrument that ships is held: changed by one, the check kit says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.conformance import check
from fhir_alliance.core.model import Answer, Band, Instrument, Scale
from fhir_alliance.core.scoring import Plan
from fhir_alliance.fhir.agreement import disagreements
from fhir_alliance.runs.catalog import load_cases, load_catalog, load_worth, shipped

CATALOG = load_catalog()


def changed(thing: Any, **fields: Any) -> Any:
    """Return a copy of a frozen noun with other fields."""
    return msgspec.structs.replace(thing, **fields)


def weighed(instrument: Instrument) -> Iterator[tuple[str, Instrument]]:
    """Yield the instrument with one answer of one item worth a point more."""
    for at, item in enumerate(instrument.items):
        for which, option in enumerate(item.options):
            options = list(item.options)
            options[which] = changed(option, weight=option.weight + 1)
            worth = [one.weight for one in options]
            items = list(instrument.items)
            items[at] = changed(item, options=tuple(options), low=min(worth), high=max(worth))
            yield f"weight of {item.link_id} {option.code.code}", changed(instrument, items=tuple(items))


def turned(instrument: Instrument) -> Iterator[tuple[str, Instrument]]:
    """Yield the instrument with one item of one scale turned round."""
    for scale in instrument.scales:
        for link_id in scale.items:
            yield f"{scale.id} turns {link_id}", with_scale(instrument, scale, reversed=scale.reversed ^ {link_id})


def forgiving(instrument: Instrument) -> Iterator[tuple[str, Instrument]]:
    """Yield the instrument with a missing rule that takes one gap more, or one less."""
    for scale in instrument.scales:
        for step in (1, -1):
            gaps = scale.missing.max_missing + step
            if gaps >= 0:
                rule = changed(scale.missing, max_missing=gaps)
                yield f"{scale.id} forgives {gaps}", with_scale(instrument, scale, missing=rule)


def shifted(instrument: Instrument) -> Iterator[tuple[str, Instrument]]:
    """Yield the instrument with the edge between two bands a point higher or lower, where a form can tell."""
    for scale in instrument.scales:
        bands = sorted(scale.bands, key=lambda band: band.low)
        for at in range(len(bands) - 1):
            for step in (1, -1):
                other = list(bands)
                other[at] = changed(bands[at], high=bands[at].high + step)
                other[at + 1] = changed(bands[at + 1], low=bands[at + 1].low + step)
                mutant = with_scale(instrument, scale, bands=tuple(other))
                if names(instrument, scale, tuple(bands)) != names(instrument, scale, tuple(other)):
                    yield f"{scale.id} from {bands[at + 1].code} at {other[at + 1].low}", mutant


def with_scale(instrument: Instrument, scale: Scale, **fields: Any) -> Instrument:
    """Return the instrument with other fields of one scale."""
    scales = tuple(changed(one, **fields) if one.id == scale.id else one for one in instrument.scales)
    return changed(instrument, scales=scales)  # type: ignore[no-any-return]


def names(instrument: Instrument, scale: Scale, bands: tuple[Band, ...]) -> list[str]:
    """Return the band of every score that complete forms reach, from all lowest upwards, one answer at a time."""
    items = {item.link_id: item for item in instrument.items}
    plan = Plan(changed(scale, bands=bands), items)
    answers: dict[str, Answer] = {link_id: items[link_id].low for link_id in scale.items}
    reached = [plan.evaluate(answers)[3]]
    for link_id in scale.items:
        for option in sorted(items[link_id].options, key=lambda option: option.weight):
            answers[link_id] = option.weight
            reached.append(plan.evaluate(answers)[3])
    return [band.code if band else "" for band in reached]


@pytest.mark.parametrize("mutants", [weighed, turned, forgiving, shifted], ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", sorted(CATALOG.instruments))
def test_a_number_off_by_one_is_found(name: str, mutants: Any) -> None:
    """No weight, reverse flag, missing rule or band edge can be off by one without the check saying so."""
    instrument, questionnaire = CATALOG.find(name), CATALOG.questionnaires[name]
    folder = shipped("questionnaires") / name
    cases, worth = load_cases(folder, instrument), load_worth(folder)
    missed = [
        label
        for label, mutant in mutants(instrument)
        if not check(mutant, cases, worth) and not any(disagreements(mutant, questionnaire))
    ]
    assert missed == []
