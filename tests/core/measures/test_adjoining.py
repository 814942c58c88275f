"""What readers can subtract of reports on parts of a year: no count of 1 to 10 follows from all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date

import highspy
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fhir_alliance.core.measures.adjoining import Earlier, Key, SideBySide, side_by_side
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.evaluation import Member
from fhir_alliance.core.measures.period import period_of
from fhir_alliance.core.measures.publication import protected
from fhir_alliance.core.measures.tallying import Tallying
from fhir_alliance.core.model import Missing, Tally
from fhir_alliance.errors import StopRun
from fhir_alliance.runs.measures import load_measures
from tests.core.measures.test_publication import PASSED

MEASURES = load_measures()
REVIEWS, PEOPLE = MEASURES["reviews-in-time"], MEASURES["outcome-by-mode"]
INITIAL, DENOMINATOR, NUMERATOR = Population.INITIAL, Population.DENOMINATOR, Population.NUMERATOR
QUARTERS = ("2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4")
HALVES = ("2026-01-01/2026-06-30", "2026-07-01/2026-12-31")
PARTS = {
    "2026": QUARTERS,
    HALVES[0]: QUARTERS[:2],
    HALVES[1]: QUARTERS[2:],
    **{quarter: (quarter,) for quarter in QUARTERS},
}
LINES = ("initial-population", "numerator", "not")


def tally_of(measure: Measure, period: str, counted: int, met: int) -> Tally:
    """Return a tally of so many reviews, or people, of whom some are in the numerator."""
    tallying = Tallying(measure, period_of(period))
    for number in range(counted):
        counts = {INITIAL: 1, DENOMINATOR: 1, NUMERATOR: int(number < met)}
        counts |= {Population.EXCLUSION: 0} if measure is REVIEWS else {}
        tallying.add(PASSED, [Member("Patient/p1", "rate", counts, {})], [], [])
    return tallying.tally()


def seen(measure: Measure, period: str, counted: int, met: int, earlier: list[Earlier]) -> Earlier:
    """Return what readers get of a report, as an earlier one for the next."""
    shown = protected(measure, tally_of(measure, period, counted, met), earlier)
    counts = {Key(p.group, p.stratum, code): n for p in shown.parts for code, n in p.counts.items()}
    return Earlier(period, {k: None if isinstance(n, Missing) else n for k, n in counts.items()}, period_of(period))


def initial(report: Earlier) -> int | None:
    """Return the initial population that was shown."""
    return report.counts[Key("rate", "", "initial-population")]


@pytest.mark.parametrize("measure", [REVIEWS, PEOPLE], ids=["reviews", "people"])
@pytest.mark.parametrize("last", ["2026", "2026-Q3"])
def test_a_quarter_that_is_left_is_protected(measure: Measure, last: str) -> None:
    """Whichever report comes last of the year and three quarters, it does not give away the 3 of the fourth."""
    counted = {"2026-Q1": 50, "2026-Q2": 60, "2026-Q3": 40, "2026": 153}
    before: list[Earlier] = []
    for period in sorted(counted, key=lambda name: name == last):
        before.append(seen(measure, period, counted[period], 20, before))
    assert [initial(report) is None for report in before] == [False, False, False, True]


def test_quarters_without_a_rest_are_shown() -> None:
    """Four large quarters and their year hide nothing."""
    before: list[Earlier] = []
    for period, counted in (*((quarter, 50) for quarter in QUARTERS), ("2026", 200)):
        before.append(seen(REVIEWS, period, counted, counted // 2, before))
    assert None not in [count for report in before for count in report.counts.values()]


def test_months_of_a_year_and_a_quarter_do_not_tell_of_one_another() -> None:
    """March is masked in the year's months; a quarter of 43 would give it away beside January and February."""
    months = {"2026-01": 20, "2026-02": 20, "2026-03": 3, "2026-08": 9, "2026-09": 30}
    year = Earlier("2026", shown_by_month("2026", months, []), period_of("2026"))
    assert year.counts[Key("rate", "month:2026-03", "initial-population")] is None
    quarter = {month: months[month] for month in ("2026-01", "2026-02", "2026-03")}
    assert shown_by_month("2026-Q1", quarter, [year])[Key("rate", "", "initial-population")] is None


def test_months_of_a_year_do_not_tell_what_a_quarter_gave() -> None:
    """Where the quarter's 43 are out, the year hides another month beside March."""
    months = {"2026-01": 20, "2026-02": 20, "2026-03": 3, "2026-08": 9, "2026-09": 30}
    key = Key("rate", "", "initial-population")
    quarter = Earlier("2026-Q1", {key: 43}, period_of("2026-Q1"))
    year = shown_by_month("2026", months, [quarter])
    hidden = {k.stratum for k, n in year.items() if k.population == "initial-population" and n is None}
    assert hidden & {"month:2026-01", "month:2026-02"}


def shown_by_month(period: str, months: Mapping[str, int], earlier: list[Earlier]) -> dict[Key, int | None]:
    """Return what readers get of reviews that fell due month by month, all done in time."""
    tallying = Tallying(REVIEWS, period_of(period))
    for month, number in months.items():
        counts = {INITIAL: number, DENOMINATOR: number, Population.EXCLUSION: 0, NUMERATOR: number}
        tallying.add(PASSED, [Member("Patient/p1", "rate", counts, {}, divided={f"month:{month}": counts})], [], [])
    shown = protected(REVIEWS, tallying.tally(), earlier)
    counts = {Key(p.group, p.stratum, code): n for p in shown.parts for code, n in p.counts.items()}
    return {key: None if isinstance(n, Missing) else n for key, n in counts.items()}


def test_a_rest_that_is_out_already_stops_the_report() -> None:
    """Where the year and three quarters were given out without care, the fourth is not published."""
    key = Key("rate", "", "initial-population")
    counted = {"2026": 153, "2026-Q1": 50, "2026-Q2": 60, "2026-Q3": 40}
    before = [Earlier(name, {key: count}, period_of(name)) for name, count in counted.items()]
    with pytest.raises(StopRun, match="FA610"):
        protected(REVIEWS, tally_of(REVIEWS, "2026-Q4", 3, 1), before)


def test_two_reports_of_the_same_days_are_two() -> None:
    """A report and its restatement are both known to readers, and neither takes the other's place."""
    key = Key("rate", "", "initial-population")
    before = [Earlier("2026", {key: count}, period_of("2026")) for count in (45, 60)]
    assert initial(seen(REVIEWS, "2026", 48, 24, before)) is None


def test_sets_are_as_large_as_they_can_be() -> None:
    """A year is taken apart into every set of spans that share no day and leave no other room."""
    named = {name: period_of(name) for name in ("2026", *QUARTERS, HALVES[0])}
    found = list(side_by_side(named, "2026"))
    assert found == [
        SideBySide("2026", QUARTERS, True),
        SideBySide("2026", (HALVES[0], "2026-Q3", "2026-Q4"), True),
    ]
    gap = {"2026": period_of("2026"), "a": Days(date(2026, 1, 1), date(2026, 1, 9)), "b": period_of("2026-Q4")}
    assert list(side_by_side(gap, "b")) == [SideBySide("2026", ("a", "b"), False)]


people = st.integers(0, 25).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(max_examples=20, phases=[Phase.generate], derandomize=True)
@given(st.tuples(people, people, people, people), st.permutations(sorted(PARTS)))
def test_no_small_count_follows_from_a_year_of_reports(quarters: tuple[tuple[int, int], ...], order: list[str]) -> None:
    """Reports on quarters, halves and the year, in any order: each count of 1 to 10 keeps a span of three."""
    true = dict(zip(QUARTERS, quarters, strict=True))
    before: list[Earlier] = []
    for period in order:
        counted, met = (sum(true[quarter][n] for quarter in PARTS[period]) for n in (0, 1))
        with suppress(StopRun):  # FA610: such a report is not published
            before.append(seen(REVIEWS, period, counted, met, before))
    for period, parts in PARTS.items():
        counted, met = (sum(true[quarter][n] for quarter in parts) for n in (0, 1))
        for line, count in zip(LINES, (counted, met, counted - met), strict=True):
            assert not 1 <= count <= 10 or span(parts, line, before) >= 3, (period, line, count)


def span(parts: tuple[str, ...], line: str, reports: list[Earlier]) -> int:
    """Return how widely readers of all reports can tell a count: a linear programme over the four quarters."""
    ends = []
    for sign in (1, -1):
        model = highspy.Highs()
        model.silent()
        met = {quarter: model.addVariable(0, 10_000) for quarter in QUARTERS}
        unmet = {quarter: model.addVariable(0, 10_000) for quarter in QUARTERS}
        lines: Mapping[str, Mapping[str, highspy.highs.highs_linear_expression]] = {
            "numerator": {q: met[q] + 0 for q in QUARTERS},
            "not": {q: unmet[q] + 0 for q in QUARTERS},
            "initial-population": {q: met[q] + unmet[q] for q in QUARTERS},
        }
        for report in reports:
            for code in ("numerator", "initial-population"):
                count = report.counts[Key("rate", "", code)]
                if count is not None:
                    model.addConstr(sum(lines[code][q] for q in PARTS[report.name]) == count)
        target = sum(lines[line][q] for q in parts)
        model.minimize(sign * target)
        ends.append(sign * model.getObjectiveValue())
    return round(ends[1] - ends[0])
