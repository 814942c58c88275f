"""A validating server that holds a Measure accepts every report on it, stratified and partly masked."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from fhir_alliance.core.consent_request import Action, Datum, Recipient, Request, Role
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.equity import KINDS
from fhir_alliance.core.measures.evaluation import Member, Shown
from fhir_alliance.core.measures.publication import protected
from fhir_alliance.core.measures.tallying import Tallying
from fhir_alliance.core.ways_out import Grounds, ViewPass, to_supervisor
from fhir_alliance.fhir.measure import measure_resource
from fhir_alliance.fhir.measure_report import individual, subject_list, summary
from fhir_alliance.runs.consent_files import load_table
from fhir_alliance.runs.measures import load_measures

MEASURES = load_measures()
# one of each shape: strata of its own, several rates, months
SHAPES = ("cms159", "nhs-talking-therapies", "reviews-in-time")
YEAR = Days(date(2026, 1, 1), date(2026, 12, 31))
SUBJECT = "Patient/measured"
ASKED = Request(SUBJECT, Action.USE, Recipient(roles=frozenset({Role.SUPERVISING})), "TREAT", Datum.of(()))
PASSED = to_supervisor(ASKED, Grounds((), load_table(), datetime(2026, 3, 2, tzinfo=UTC)))
assert isinstance(PASSED, ViewPass)


def shown(measure: Measure, number: int, counted: int = 1) -> Shown:
    """Return somebody's place in a measure: two in three reach the numerator; 40 speak German, 5 another language."""
    strata = tuple(f"{kind}:{'de' if number < 40 else 'fr'}" for kind in KINDS)
    own = tuple(stratum.id for stratum in measure.strata[:1])
    members = []
    for group in measure.groups:
        counts = dict.fromkeys(group.populations, counted)
        counts |= {
            Population.EXCLUSION: 0,
            Population.EXCEPTION: 0,
            Population.NUMERATOR: int(number % 3 > 0) * counted,
        }
        counts = {population: counts[population] for population in group.populations}
        months = {f"month:2026-{number % 3 + 1:02}": counts} if measure.by_month and counted else {}
        members.append(Member(SUBJECT, group.id, counts, {Population.NUMERATOR: "words"}, own, divided=months))
    return Shown(PASSED, members, strata)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_what_divides_a_report_is_declared(measure: Measure) -> None:
    """The groups of a report and their stratifiers are those of the Measure, in its codes and its order."""
    one = shown(measure, 1)
    tallying = Tallying(measure, YEAR)
    tallying.add(one.passed, one.members, one.strata, [])
    declared = [
        (group["code"], [s["code"] for s in group["stratifier"]]) for group in measure_resource(measure)["group"]
    ]
    for report in (
        summary(measure, tallying.tally(), "", YEAR.last),
        individual(measure, one, (YEAR.first, YEAR.last), "", YEAR.last),
    ):
        assert [(g["code"], [s["code"][0] for s in g["stratifier"]]) for g in report["group"]] == declared
        values = [x["value"]["text"] for g in report["group"] for s in g["stratifier"] for x in s.get("stratum", ())]
        assert values.count("de") == len(KINDS) * len(measure.groups)


def test_a_report_says_how_it_is_scored_and_claims_no_profile() -> None:
    """DEQM asks for the scoring; a claim of its profile would have a server without that guide refuse the report."""
    measure = MEASURES["language-offered"]
    report = summary(measure, Tallying(measure, YEAR).tally(), "Organization/clinic", YEAR.last)
    [scoring] = report["extension"]
    assert scoring["url"].endswith("davinci-deqm/StructureDefinition/extension-measureScoring")
    assert scoring["valueCodeableConcept"] == measure_resource(measure)["scoring"]
    assert "meta" not in report


@pytest.mark.parametrize("name", SHAPES)
def test_the_server_that_holds_the_measure_takes_its_reports(fhir: Any, name: str) -> None:
    """Summary, masked summary, subject list and individuals, one of them in no population, match the Measure."""
    measure = MEASURES[name]
    everybody = [shown(measure, number) for number in range(45)]
    tallying = Tallying(measure, YEAR)
    for one in everybody:
        tallying.add(one.passed, one.members, one.strata, [])
    tally = tallying.tally()
    masked = summary(measure, protected(measure, tally), "", YEAR.last)
    assert '"valueCode": "masked"' in json.dumps(masked)
    fhir.put({"resourceType": "Patient", "id": "measured"})
    fhir.put(measure_resource(measure))
    reports = [
        summary(measure, tally, "", YEAR.last),
        masked,
        subject_list(measure, tally, "", YEAR.last, everybody),
        individual(measure, everybody[1], tally.period, "", YEAR.last),
        individual(measure, shown(measure, 1, counted=0), tally.period, "", YEAR.last),
    ]
    assert [fhir.errors(report) for report in reports] == [[]] * len(reports)


def test_the_server_compares_with_the_measure(fhir: Any) -> None:
    """It does hold our reports against the Measure: one that is divided by something else is refused."""
    measure = MEASURES["language-offered"]
    fhir.put(measure_resource(measure))
    report = summary(measure, Tallying(measure, YEAR).tally(), "", YEAR.last)
    report["group"][0]["stratifier"][0]["code"][0]["coding"][0]["code"] = "by-star-sign"
    report["group"][0]["measureScore"] = {"extension": report["group"][0]["measureScore"]["_value"]["extension"]}
    errors = " ".join(fhir.errors(report))
    assert "stratifier" in errors
    assert "A value is required" in errors
