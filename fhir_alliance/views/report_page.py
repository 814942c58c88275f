"""A measure's report as one page: what was counted, the flow of the populations, the strata, and what to doubt."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import htpy as h
import msgspec
from htpy import Element, Node

from fhir_alliance.core.measures.bad_input import RULES
from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.tallying import rate
from fhir_alliance.core.model import Count, Missing, Part, Tally
from fhir_alliance.views.page import figure, page, table
from fhir_alliance.views.picture import Table
from fhir_alliance.views.population_flow import Flow, LeftOut, Stage, population_flow

# HEDIS reports no rate on fewer than 30 people: the denominator is too small (NCQA, "small denominator", NA).
FEW: Final = 30
POPULATIONS: Final = {
    Population.INITIAL: "Initial population",
    Population.DENOMINATOR: "Denominator",
    Population.EXCLUSION: "Excluded",
    Population.EXCEPTION: "Excepted",
    Population.NUMERATOR: "Numerator",
}
_KINDS: Final = {
    "language": "Language",
    "age": "Age when the period began",
    "gender": "Gender as recorded",
    "sex": "Sex as recorded",
    "payer": "Payer",
    "care-mode": "How care was given",
    "measure": "Strata of the measure",
}
MASKED_NOTE: Final = "Counts of 1 to 10 are masked, and so are others from which they would follow; a zero is shown."


class Told(msgspec.Struct, frozen=True):
    """What stands around the numbers: for whom, up to which day, from which input, and what changed since before."""

    audience: str
    cut: str
    software: str
    inputs: str
    value_sets: tuple[tuple[str, str], ...] = ()
    restates: tuple[str, ...] = ()


def report_page(measure: Measure, tally: Tally, told: Told) -> str:
    """Return the report as an HTML document."""
    first, last = tally.period
    sections: Node = [
        h.h1[measure.title],
        h.p(".quiet")[f"{first} to {last}, for {told.audience}. {measure.edition}."],
        h.p[" ".join(measure.description.split())],
        _restated(told),
        _rates(measure, tally),
        _left_out(tally),
        [_flow(measure, part) for part in tally.parts if not part.stratum],
        _strata(tally),
        _odd(tally),
        _doubts(measure),
        _footer(measure, told),
    ]
    return page(f"{measure.title}, {first} to {last}", sections)


def rate_words(counts: dict[str, Count]) -> str:
    """Return the rate in percent with one decimal, or why there is none."""
    if Missing.MASKED in counts.values():
        return "masked"
    score = rate(counts)
    return "nobody left to count" if score is None else f"{100 * score:.1f} %"


def left_out_words(tally: Tally) -> str:
    """Return how many people are not in the report, and what that may bias."""
    if not tally.withheld:
        return f"All {said(tally.people)} people on record were looked at; nobody was left out for lack of consent."
    withheld = list(tally.withheld.values())
    known = [count for count in withheld if isinstance(count, int)]
    number = f"{sum(known):,}" if len(known) == len(withheld) else "Some"
    whole = f"{tally.people:,}" if isinstance(tally.people, int) else "the"
    return (
        f"{number} of {whole} people on record are left out, because consent does not allow it. Who withholds "
        "consent may differ from who gives it, so every rate here may be too high or too low, and nobody can tell "
        "from these numbers which."
    )


def _restated(told: Told) -> Element | None:
    if not told.restates:
        return None
    return h.div(".notice")[
        h.p[h.strong["This report restates an earlier one."]], h.ul(".plain")[(h.li[line] for line in told.restates)]
    ]


def _rates(measure: Measure, tally: Tally) -> Node:
    rows = tuple((part.title, *cells(part), rate_words(part.counts)) for part in tally.parts if not part.stratum)
    head = ("", *POPULATIONS.values(), "Rate")
    unit = "people" if tally.basis == "person" else f"{tally.basis}s"
    better = "Higher is better." if measure.improvement == "increase" else "Lower is better."
    return [h.h2["Result"], table(Table(f"Counts of {unit}. {better} {MASKED_NOTE}", head, rows))]


def cells(part: Part) -> tuple[str, ...]:
    """Return a part's counts as they are shown, in the order of `POPULATIONS`."""
    return tuple(said(part.counts[p.value]) if p.value in part.counts else "-" for p in POPULATIONS)


def said(count: Count) -> str:
    """Return a count for people."""
    return "masked" if isinstance(count, Missing) else f"{count:,}"


def _left_out(tally: Tally) -> Node:
    reasons = [h.li[f"{said(count)}: {reason}"] for reason, count in tally.withheld.items()]
    return [h.h2["Who is not in it"], h.p[left_out_words(tally)], h.ul(".plain")[reasons] if reasons else None]


def _flow(measure: Measure, part: Part) -> Element:
    counts = part.counts
    excluded = [
        LeftOut(POPULATIONS[p], counts[p.value])
        for p in (Population.EXCLUSION, Population.EXCEPTION)
        if p.value in counts
    ]
    unit = "clients" if measure.basis == "person" else f"{measure.basis}s"
    stages = (
        Stage(POPULATIONS[Population.INITIAL], counts[Population.INITIAL.value]),
        Stage(POPULATIONS[Population.DENOMINATOR], counts[Population.DENOMINATOR.value], tuple(excluded)),
        Stage(POPULATIONS[Population.NUMERATOR], counts[Population.NUMERATOR.value], note=rate_words(counts)),
    )
    return figure(population_flow(Flow(part.title, stages, unit), f"flow-{part.group}"), heading=True)


def _strata(tally: Tally) -> Node:
    divided = [part for part in tally.parts if part.stratum]
    if not divided:
        return None
    many = len({part.group for part in divided}) > 1
    found: list[Node] = [h.h2["Does it reach everybody alike?"], h.p[comparison_words(divided)]]
    for kind, parts in groupby(
        sorted(divided, key=lambda p: p.stratum.partition(":")[0]), lambda p: p.stratum.partition(":")[0]
    ):
        rows = tuple(
            ((f"{p.group}: " if many else "") + p.stratum.partition(":")[2], *cells(p), stratum_rate(p)) for p in parts
        )
        found.append(table(Table(_KINDS.get(kind, kind), ("", *POPULATIONS.values(), "Rate"), rows)))
    return found


def stratum_rate(part: Part) -> str:
    """Return the rate of a stratum; on fewer than 30 people there is none."""
    eligible = _eligible(part)
    if eligible is not None and 0 < eligible < FEW:
        return f"fewer than {FEW}: no rate"
    return rate_words(part.counts)


def comparison_words(parts: Sequence[Part]) -> str:
    """Return whether the strata can be compared at all."""
    sizes = [_eligible(part) for part in parts]
    few = sum(size is None or size < FEW for size in sizes)
    if few == 0:
        return "These numbers describe; why strata differ they do not tell."
    return (
        f"{few} of {len(parts)} strata have fewer than {FEW} people, or are masked. These numbers cannot carry a "
        "comparison between strata: a difference may be chance."
    )


def _eligible(part: Part) -> int | None:
    counts = part.counts
    inside = [counts.get(p.value, 0) for p in (Population.DENOMINATOR, Population.EXCLUSION, Population.EXCEPTION)]
    known = [count for count in inside if isinstance(count, int)]
    return known[0] - known[1] - known[2] if len(known) == len(inside) else None


def _odd(tally: Tally) -> Node:
    if not tally.odd:
        return None
    rows = tuple((said(count), RULES.get(rule, rule)) for rule, count in tally.odd.items())
    return [h.h2["What was odd in the record, and what was done"], table(Table("By rule", ("Count", "Rule"), rows))]


def _doubts(measure: Measure) -> Node:
    return [
        h.h2["What this report does not claim"],
        h.ul(".plain")[(h.li[line] for line in measure.does_not_claim)],
        h.h2["Sources"],
        h.ul(".plain")[(h.li[line] for line in measure.source)],
    ]


def _footer(measure: Measure, told: Told) -> Element:
    sets = "; ".join(f"{url}|{version}" for url, version in told.value_sets)
    return h.footer(".small.quiet")[
        h.p[f"Measure {measure.id} {measure.version}; fhir_alliance {told.software}; data up to {told.cut}."],
        h.p[f"Input (SHA-256): {told.inputs}"],
        h.p[f"ValueSets: {sets}"] if sets else None,
    ]
