"""The pictures of a report: for those who may see people, from eleven on, and the same numbers in words."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest

from fhir_alliance.core.change import Pair
from fhir_alliance.core.consent_request import Action, Datum, Recipient, Request, Role
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Population
from fhir_alliance.core.measures.evaluation import Member, Shown
from fhir_alliance.core.measures.publication import protected
from fhir_alliance.core.measures.tallying import Tallying
from fhir_alliance.core.model import Tally
from fhir_alliance.core.talking_therapies import Measured
from fhir_alliance.core.ways_out import Grounds, ViewPass, to_supervisor
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.consent_files import load_table
from fhir_alliance.runs.measures import load_measures
from fhir_alliance.views.report import written_text
from fhir_alliance.views.report_page import report_page
from fhir_alliance.views.report_pictures import scatters, timeliness
from fhir_alliance.views.report_words import Told, strata_of

MEASURES = load_measures()
OUTCOME, TIMELY = MEASURES["outcome-by-mode"], MEASURES["reviews-in-time"]
PHQ = next(s for s in load_catalog().instruments["phq-9"].scales if s.id == "total")
YEAR = Days(date(2026, 1, 1), date(2026, 12, 31))
TOLD = Told("supervisor", "2026-12-31", "0.1.0", "digest", is_masked=False)
Months = dict[str, tuple[int, int]]


def passed(subject: str) -> ViewPass:
    """Return what lets a supervisor see a client of whom there is no Consent, by the default table."""
    asked = Request(subject, Action.USE, Recipient(roles=frozenset({Role.SUPERVISING})), "TREAT", Datum.of(()))
    found = to_supervisor(asked, Grounds((), load_table(), datetime(2026, 3, 2, tzinfo=UTC)))
    assert isinstance(found, ViewPass)
    return found


PASSED = passed("Patient/1")


def client(number: int, before: int, after: int, counted: int = 1) -> Shown:
    """Return a client's place with a first and a last PHQ-9, as a supervisor may see it."""
    counts = {Population.INITIAL: 1, Population.DENOMINATOR: counted, Population.NUMERATOR: 0}
    course = Measured(PHQ, PHQ.change, Pair(before, after))
    subject = f"Patient/{number}"
    return Shown(passed(subject), [Member(subject, "rate", counts, {}, courses=(course,))])


def tally_of(months: Months) -> Tally:
    """Return a tally of reviews by month: how many were due, and how many of them were in time."""
    divided = {
        f"month:{month}": {Population.INITIAL: due, Population.DENOMINATOR: due, Population.NUMERATOR: done}
        for month, (due, done) in months.items()
    }
    whole = {p: sum(c[p] for c in divided.values()) for p in (Population.INITIAL, Population.DENOMINATOR)}
    whole[Population.NUMERATOR] = sum(c[Population.NUMERATOR] for c in divided.values())
    tallying = Tallying(TIMELY, YEAR)
    tallying.add(PASSED, [Member("Patient/1", "rate", whole, {}, divided=divided)], ["language:de"], [])
    return tallying.tally()


def test_a_scatter_tells_classes_corridor_and_caseness() -> None:
    """Eleven clients are drawn by the scale's own published numbers: reliable change 6, caseness 10."""
    members = [client(n, 16, 9) for n in range(6)] + [client(n, 12, 12) for n in range(6, 10)] + [client(10, 5, 20)]
    [picture] = scatters(OUTCOME, members)
    assert "11 clients: 6 recovered, 0 reliably improved, 4 no reliable change, 0 reliably deteriorated, 1 det" in (
        picture.description
    )
    assert "corridor is 6 points" in picture.description
    assert "Caseness is 10" in picture.description
    assert ("16", "9", "recovered", "6") in picture.table.rows


@pytest.mark.parametrize("many", [10, 11])
def test_a_scatter_of_ten_people_is_not_drawn(many: int) -> None:
    """Below eleven a point tells of a person; who is not counted in the rate does not help to fill it."""
    members = [client(n, 16, 6) for n in range(many)] + [client(99, 16, 6, counted=0)]
    assert len(scatters(OUTCOME, members)) == (many > 10)


def test_a_page_without_people_has_no_scatter() -> None:
    """Who may not see people gets no member, and the page says nothing of first and last scores."""
    tally = Tallying(OUTCOME, YEAR).tally()
    members = [client(n, 16, 6) for n in range(11)]
    assert "first and last score" in report_page(OUTCOME, tally, TOLD, members)
    assert "first and last score" not in report_page(OUTCOME, tally, TOLD)


def test_the_run_chart_has_a_point_for_each_month_of_eleven_or_more() -> None:
    """A share of ten reviews jumps by chance and is not drawn; the table says so, and how many there were."""
    [picture] = timeliness(TIMELY, tally_of({"2026-01": (20, 10), "2026-02": (10, 9), "2026-03": (30, 24)}))
    assert picture.table.rows == (("2026-01", "50", "20"), ("2026-02", "too few", "10"), ("2026-03", "80", "30"))
    assert "too few" in picture.standalone()


def test_one_month_is_no_chart() -> None:
    """A single point shows no run."""
    assert timeliness(TIMELY, tally_of({"2026-01": (20, 10), "2026-02": (10, 9)})) == []


def test_a_small_month_is_hidden_from_a_quality_team() -> None:
    """Months are strata of the tally, so what is masked there is nowhere in the chart; a supervisor sees it."""
    tally = tally_of({"2026-01": (40, 20), "2026-02": (40, 3), "2026-03": (40, 20), "2026-04": (40, 25)})
    [seen], [hidden] = timeliness(TIMELY, tally), timeliness(TIMELY, protected(TIMELY, tally))
    assert seen.table.rows[1] == ("2026-02", "7.5", "40")
    assert hidden.table.rows[1][1].startswith("hidden")
    shown = [row for row in hidden.table.rows if not row[1].startswith("hidden")]
    assert hidden.standalone().count("<circle") == len(shown) < 4


def test_months_are_no_strata_of_people() -> None:
    """Whether the report reaches everybody alike is asked of people, not of months."""
    tally = tally_of({"2026-01": (40, 10), "2026-02": (40, 9)})
    assert [part.stratum for part in strata_of(tally)] == ["language:de"]
    assert "Month by month" in report_page(TIMELY, tally, TOLD)


def test_what_the_record_says_of_nobody_is_one_sentence() -> None:
    """A table in which everybody is not recorded tells nothing; it becomes a sentence."""
    tallying = Tallying(OUTCOME, YEAR)
    for number in range(12):
        one = client(number, 16, 6)
        tallying.add(one.passed, one.members, ["payer:not-recorded", f"gender:{'fm'[number % 2]}"], [])
    html = report_page(OUTCOME, tallying.tally(), TOLD)
    assert "The record says this of nobody, so nothing can be told by it: payer." in html
    assert "<caption>Payer</caption>" not in html
    assert "<caption>Gender as recorded</caption>" in html


def test_a_supervisor_is_not_told_that_small_counts_are_masked() -> None:
    """They are not, and the page says who it is for instead."""
    tally = Tallying(OUTCOME, YEAR).tally()
    assert "are masked" not in report_page(OUTCOME, tally, TOLD)
    assert "Counts of 1 to 10 are masked" in report_page(OUTCOME, tally, Told("quality", "", "", ""))


def test_what_is_wide_scrolls_by_itself() -> None:
    """On a phone no table or picture makes the whole page wider; each lies in a box of its own, told by its name."""
    html = report_page(TIMELY, tally_of({"2026-01": (40, 10), "2026-02": (40, 9)}), TOLD)
    boxes = re.findall(r'<div class="scroll" tabindex="0" role="group" aria-label="[^"]+"><(table|svg)', html)
    assert boxes.count("table") == html.count("<table") == 4
    assert boxes.count("svg") == html.count("<svg") == 2


def test_days_to_come_are_told() -> None:
    """Of days that are not over, the terminal says to make the report again; of past days it says nothing."""
    told = [written_text("out", ["b", "a"], date(2026, 3, day), date(2026, 3, 2)).plain for day in (2, 3)]
    assert "Written into out: a, b" in told[0]
    assert ["to come" in words for words in told] == [False, True]
