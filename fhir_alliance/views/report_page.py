"""A measure's report as one page: what was counted, the flow of the populations, the strata, and what to doubt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

import htpy as h
import msgspec
from htpy import Element, Node

from fhir_alliance.core.measures.bad_input import RULES
from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.equity import KINDS, NOT_RECORDED
from fhir_alliance.core.measures.evaluation import Shown
from fhir_alliance.core.measures.tallying import eligible, rate
from fhir_alliance.core.model import Count, Missing, Part, Tally
from fhir_alliance.views.page import figure, page, table
from fhir_alliance.views.picture import Table
from fhir_alliance.views.population_flow import Flow, LeftOut, Stage, population_flow
from fhir_alliance.views.report_pictures import months_of, scatters, timeliness, unit_of

# HEDIS reports no rate on fewer than 30 people: the denominator is too small (NCQA, "small denominator", NA).
FEW: Final = 30
POPULATIONS: Final = {
    Population.INITIAL: "Initial population",
    Population.DENOMINATOR: "Denominator",
    Population.EXCLUSION: "Excluded",
    Population.EXCEPTION: "Excepted",
    Population.NUMERATOR: "Numerator",
}
_KINDS: Final = KINDS | {"measure": "Strata of the measure"}
_MASKED_NOTE: Final = "Counts of 1 to 10 are masked, and so are others from which they would follow; a zero is shown."
_OPEN_NOTE: Final = "Small counts stand as they are: this report is for use inside the clinic, and for nobody else."


class Told(msgspec.Struct, frozen=True):
    """What stands around the numbers: for whom, up to which day, from which input, and what changed since before.

    is_masked: counts of 1 to 10 are not in it.
    """

    audience: str
    cut: str
    software: str
    inputs: str
    is_masked: bool = True
    value_sets: tuple[tuple[str, str], ...] = ()
    restates: tuple[str, ...] = ()


def report_page(measure: Measure, tally: Tally, told: Told, people: Iterable[Shown] = ()) -> str:
    """Return the report as an HTML document. people: whom the reader may see one by one."""
    first, last = tally.period
    sections: Node = [
        h.h1[measure.title],
        h.p(".quiet")[head_words(measure, tally, told)],
        h.p[" ".join(measure.description.split())],
        _restated(told),
        _rates(measure, tally, told),
        _left_out(tally),
        [_flow(measure, part) for part in tally.parts if not part.stratum],
        _scatters(measure, people),
        _months(measure, tally),
        _strata(tally),
        _odd(tally),
        _doubts(measure),
        _footer(measure, told),
    ]
    return page(f"{measure.title}, {first} to {last}", sections)


def head_words(measure: Measure, tally: Tally, told: Told) -> str:
    """Return when, for whom and in which edition, in one line."""
    first, last = tally.period
    return f"{first} to {last}, for: {told.audience}. Edition: {measure.edition}."


def note(told: Told) -> str:
    """Return what holds of small counts in this report."""
    return _MASKED_NOTE if told.is_masked else _OPEN_NOTE


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


def _rates(measure: Measure, tally: Tally, told: Told) -> Node:
    rows = tuple((part.title, *cells(part), rate_words(part.counts)) for part in tally.parts if not part.stratum)
    head = ("", *POPULATIONS.values(), "Rate")
    better = "Higher is better." if measure.improvement == "increase" else "Lower is better."
    return [h.h2["Result"], table(Table(f"Counts of {unit_of(measure)}. {better} {note(told)}", head, rows))]


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
    stages = (
        Stage(POPULATIONS[Population.INITIAL], counts[Population.INITIAL.value]),
        Stage(POPULATIONS[Population.DENOMINATOR], counts[Population.DENOMINATOR.value], tuple(excluded)),
        Stage(POPULATIONS[Population.NUMERATOR], counts[Population.NUMERATOR.value], note=rate_words(counts)),
    )
    return figure(population_flow(Flow(part.title, stages, unit_of(measure)), f"flow-{part.group}"), heading=True)


def _scatters(measure: Measure, people: Iterable[Shown]) -> Node:
    drawn = scatters(measure, people)
    if not drawn:
        return None
    words = "A shape can be a single client, so this picture is for supervision and goes to nobody outside the clinic."
    return [h.h2["What became of the clients"], h.p[words], [figure(picture, heading=True) for picture in drawn]]


def _months(measure: Measure, tally: Tally) -> Node:
    drawn = timeliness(measure, tally)
    return [h.h2["Month by month"], [figure(picture, heading=True) for picture in drawn]] if drawn else None


def _strata(tally: Tally) -> Node:
    divided = strata_of(tally)
    if not divided:
        return None
    many = len({part.group for part in divided}) > 1
    found: list[Node] = [h.h2["Does it reach everybody alike?"], h.p[comparison_words(divided)]]
    if unknown := unknown_words(tally):
        found.append(h.p[unknown])
    for kind, parts in groupby(divided, _kind):
        rows = tuple(((f"{p.group}: " if many else "") + _value(p), *cells(p), stratum_rate(p)) for p in parts)
        found.append(table(Table(_KINDS.get(kind, kind), ("", *POPULATIONS.values(), "Rate"), rows)))
    return found


def unknown_words(tally: Tally) -> str:
    """Return what the record says of nobody, so that nothing can be told by it; "" where there is no such thing."""
    parts, shown = _people_strata(tally), {_kind(part) for part in strata_of(tally)}
    unknown = [_KINDS.get(kind, kind) for kind in dict.fromkeys(map(_kind, parts)) if kind not in shown]
    return (
        f"The record says this of nobody, so nothing can be told by it: {', '.join(unknown).lower()}."
        if unknown
        else ""
    )


def stratum_words(part: Part) -> str:
    """Return what a stratum is of, and which one it is."""
    return f"{_KINDS.get(_kind(part), _kind(part))}: {_value(part)}"


def _kind(part: Part) -> str:
    return part.stratum.partition(":")[0]


def _value(part: Part) -> str:
    value = part.stratum.partition(":")[2]
    return "not recorded" if value == NOT_RECORDED else value


def strata_of(tally: Tally) -> list[Part]:
    """Return the strata of people by what divides them, where the record says something of it for anybody."""
    parts = _people_strata(tally)
    known = {_kind(part) for part in parts if part.stratum.partition(":")[2] != NOT_RECORDED}
    return sorted((part for part in parts if _kind(part) in known), key=_kind)


def _people_strata(tally: Tally) -> list[Part]:
    months = months_of(tally.parts)
    return [part for part in tally.parts if part.stratum and part not in months]


def stratum_rate(part: Part) -> str:
    """Return the rate of a stratum; on fewer than 30 people there is none."""
    left = eligible(part.counts)
    if left is not None and 0 < left < FEW:
        return f"fewer than {FEW}: no rate"
    return rate_words(part.counts)


def comparison_words(parts: Sequence[Part]) -> str:
    """Return whether the strata can be compared at all."""
    sizes = [eligible(part.counts) for part in parts]
    few = sum(size is None or size < FEW for size in sizes)
    if few == 0:
        return "These numbers describe; why strata differ they do not tell."
    return (
        f"{few} of {len(parts)} strata have fewer than {FEW} people, or are masked. These numbers cannot carry a "
        "comparison between strata: a difference may be chance."
    )


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
