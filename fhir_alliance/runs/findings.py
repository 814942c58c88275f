"""The part of a sync that writes findings as Observations, where a site wants them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from fhir_alliance.core.model import Finding, Write
from fhir_alliance.core.reviews import Found
from fhir_alliance.core.rules import alliance, change
from fhir_alliance.core.rules.chart import Chart, Rulebook
from fhir_alliance.core.rules.page import Moment, Page
from fhir_alliance.fhir.finding import CHANGE, RUPTURE, Grounds, finding_identifier, finding_write, withdrawn_finding
from fhir_alliance.runs.record import Record

_CODES: Final[Mapping[str, str]] = {
    change.DETERIORATION: CHANGE,
    change.IMPROVEMENT: CHANGE,
    alliance.DROP: RUPTURE,
    alliance.CHART: RUPTURE,
}


def finding_writes(
    charts: Iterable[Chart], book: Rulebook, found: Found, record: Record, groups: Mapping[str, str]
) -> list[Write]:
    """Return the Observations of the findings that have one, and the withdrawal of those that no longer hold.

    found: of all these clients.  groups: by client, what is written together with them.
    """
    told = {finding.key: finding for finding in found.findings if finding.rule in _CODES}
    writes = []
    for chart in charts:
        own = {finding.score_key: finding for finding in told.values() if finding.subject == chart.subject}
        for moment in _moments(Page(chart, book), own) if own else ():
            for finding in told.values():
                if finding.score_key == moment.score.key:
                    group = groups.get(finding.subject) or finding.key
                    write = finding_write(finding, _CODES[finding.rule], _grounds(moment, finding), group)
                    writes.append(msgspec.structs.replace(write, body=record.known.resolve(write.body)))
    gone = (resource for key, resource in record.findings.items() if key in found.judged and key not in told)
    return writes + [withdrawn_finding(resource, finding_identifier(resource)) for resource in gone]


def _moments(page: Page, scores: Collection[str]) -> Iterable[Moment]:
    """Yield the moments of these scores."""
    for series in page.series:
        for at, score in enumerate(series.scores):
            if score.key in scores:
                yield Moment(page, series, at)


def _grounds(moment: Moment, finding: Finding) -> Grounds:
    """Return what a finding rests on: a change on the first score and this one, a rupture on all until then."""
    scores = moment.series.scores[: moment.at + 1]
    if _CODES[finding.rule] == RUPTURE:
        return Grounds(moment.series.instrument, scores)
    return Grounds(moment.series.instrument, (scores[0], scores[-1]), change.change_of(moment))
