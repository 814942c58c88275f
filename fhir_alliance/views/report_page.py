"""A measure's report as one page: what was counted, the flow of the populations, the strata, and what to doubt."""

from __future__ import annotations

from collections.abc import Iterable

import htpy as h
from htpy import Element, Node

from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.measures.evaluation import Shown
from fhir_alliance.core.model import Tally
from fhir_alliance.views.page import figure, page, table
from fhir_alliance.views.report_pictures import flows, scatters, timeliness
from fhir_alliance.views.report_words import (
    SINGLE,
    Told,
    head_words,
    left_out_words,
    odd_table,
    result_table,
    said,
    strata_tables,
    strata_words,
)


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
        [figure(picture, heading=True) for picture in flows(tally)],
        _scatters(measure, people),
        _months(measure, tally),
        _strata(tally),
        _odd(tally),
        _doubts(measure),
        _footer(measure, told),
    ]
    return page(f"{measure.title}, {first} to {last}", sections)


def _restated(told: Told) -> Element | None:
    if not told.restates:
        return None
    return h.div(".notice")[
        h.p[h.strong["This report restates an earlier one."]], h.ul(".plain")[(h.li[line] for line in told.restates)]
    ]


def _rates(measure: Measure, tally: Tally, told: Told) -> Node:
    return [h.h2["Result"], table(result_table(measure, tally, told))]


def _left_out(tally: Tally) -> Node:
    reasons = [h.li[f"{said(count)}: {reason}"] for reason, count in tally.withheld.items()]
    return [h.h2["Who is not in it"], h.p[left_out_words(tally)], h.ul(".plain")[reasons] if reasons else None]


def _scatters(measure: Measure, people: Iterable[Shown]) -> Node:
    drawn = scatters(measure, people)
    if not drawn:
        return None
    return [h.h2["What became of the clients"], h.p[SINGLE], [figure(picture, heading=True) for picture in drawn]]


def _months(measure: Measure, tally: Tally) -> Node:
    drawn = timeliness(measure, tally)
    return [h.h2["Month by month"], [figure(picture, heading=True) for picture in drawn]] if drawn else None


def _strata(tally: Tally) -> Node:
    tables = strata_tables(tally)
    if not tables:
        return None
    words = [h.p[line] for line in strata_words(tally)]
    return [h.h2["Does it reach everybody alike?"], words, [table(told) for told in tables]]


def _odd(tally: Tally) -> Node:
    if not tally.odd:
        return None
    return [h.h2["What was odd in the record, and what was done"], table(odd_table(tally))]


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
