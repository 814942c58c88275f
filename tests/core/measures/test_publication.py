"""No count of 1 to 10 follows from a published tally, by what an attacker can add and subtract."""

from __future__ import annotations

from datetime import UTC, date, datetime

import highspy
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_alliance.core.consent_request import Action, DataLevel, Datum, Recipient, Request, Role
from fhir_alliance.core.measures.adjoining import Earlier, Key
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.evaluation import Member
from fhir_alliance.core.measures.publication import protected
from fhir_alliance.core.measures.tallying import Tallying
from fhir_alliance.core.model import Missing, Tally
from fhir_alliance.core.ways_out import Grounds, QualityPass, to_quality
from fhir_alliance.errors import StopRun
from fhir_alliance.runs.consent_files import load_table
from fhir_alliance.runs.measures import load_measures

MEASURE = load_measures()["outcome-by-mode"]
PERIOD = Days(date(2026, 1, 1), date(2026, 12, 31))
INITIAL, DENOMINATOR, NUMERATOR = Population.INITIAL, Population.DENOMINATOR, Population.NUMERATOR
COUNTS = msgspec.structs.replace(Datum.of(()), level=DataLevel.AGGREGATE, people=40)
ASKED = Request("Patient/p1", Action.USE, Recipient(roles=frozenset({Role.QUALITY})), "HQUALIMP", COUNTS)
PASSED = to_quality(ASKED, Grounds((), load_table(), datetime(2026, 3, 2, tzinfo=UTC)))
assert isinstance(PASSED, QualityPass)


def tally_of(cells: dict[tuple[str, str], tuple[int, int]], others: int = 0, measure: Measure = MEASURE) -> Tally:
    """Return a tally of people by language and gender: how many there are, and how many reach the numerator."""
    tallying = Tallying(measure, PERIOD)
    for (language, gender), (people, reached) in cells.items():
        for number in range(people):
            counts = {INITIAL: 1, DENOMINATOR: 1, NUMERATOR: int(number < reached)}
            tallying.add(
                PASSED, [Member("Patient/p1", "rate", counts, {})], [f"language:{language}", f"gender:{gender}"], []
            )
    for _ in range(others):
        tallying.add(PASSED, [Member("Patient/p1", "rate", {INITIAL: 0, DENOMINATOR: 0, NUMERATOR: 0}, {})], [], [])
    return tallying.tally()


def spans(true: Tally, shown: Tally) -> dict[Key, int]:
    """Return how wide a reader can only tell each small count: a linear programme over all that is published.

    The reader knows that populations lie within one another, that strata of a kind are everybody, and from the measure
    itself that its denominator is everybody in the initial population; who did not reach the numerator is a count, too.
    """
    keys = [Key(p.group, p.stratum, code) for p in true.parts for code in p.counts]
    counts = {Key(p.group, p.stratum, code): n for p in true.parts for code, n in p.counts.items()}
    seen = {Key(p.group, p.stratum, code): n for p in shown.parts for code, n in p.counts.items()}
    found = {}
    sought: dict[Key, tuple[Key, ...]] = {key: (key,) for key in keys if 1 <= int(counts[key]) <= 10}
    for stratum in {key.stratum for key in keys}:
        pair = (Key("rate", stratum, DENOMINATOR.value), Key("rate", stratum, NUMERATOR.value))
        if 1 <= int(counts[pair[0]]) - int(counts[pair[1]]) <= 10:
            sought[Key("rate", stratum, "not reached")] = pair
    for target, (outer, *inside) in sought.items():
        ends = []
        for sign in (1, -1):
            model = highspy.Highs()
            model.silent()
            unknown = {key: model.addVariable(0, 10_000) for key in keys}
            for key, variable in unknown.items():
                if not isinstance(seen[key], Missing):
                    model.addConstr(variable == int(seen[key]))
            for stratum in {key.stratum for key in keys}:
                inner = [unknown[Key("rate", stratum, p.value)] for p in (NUMERATOR, DENOMINATOR, INITIAL)]
                model.addConstr(inner[0] <= inner[1])
                model.addConstr(inner[1] == inner[2])
            for kind in {key.stratum.partition(":")[0] for key in keys if key.stratum}:
                for code in (NUMERATOR, DENOMINATOR, INITIAL):
                    parts = [v for k, v in unknown.items() if k.stratum.startswith(f"{kind}:") and k.population == code]
                    model.addConstr(sum(parts) == unknown[Key("rate", "", code.value)])
            model.minimize(sign * (unknown[outer] - sum(unknown[key] for key in inside)))
            ends.append(model.val(unknown[outer]) - sum(model.val(unknown[key]) for key in inside))
        found[target] = round(ends[1] - ends[0])
    return found


people = st.integers(0, 25).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(max_examples=25)
@given(
    st.fixed_dictionaries({(a, b): people for a in ("de", "en", "fr") for b in ("female", "male")}), st.integers(0, 15)
)
def test_no_small_count_follows(cells: dict[tuple[str, str], tuple[int, int]], others: int) -> None:
    """Every count of 1 to 10 keeps a span of at least three for a reader who solves for it."""
    true = tally_of(cells, others)
    shown = protected(MEASURE, true)
    assert all(span >= 3 for span in spans(true, shown).values())


def test_large_counts_are_shown() -> None:
    """Where no count is small, all of them are shown; so is a zero."""
    true = tally_of({("de", "female"): (40, 20), ("en", "male"): (50, 25), ("fr", "male"): (0, 0)})
    assert protected(MEASURE, true).parts == true.parts


def test_who_is_left_between_two_populations_is_protected() -> None:
    """30 people of whom 25 reach the numerator give five away who do not: one of the two is masked."""
    shown = protected(MEASURE, tally_of({("de", "female"): (30, 25)}))
    assert Missing.MASKED in shown.parts[0].counts.values()


def test_a_denominator_that_is_the_initial_population_hides_nothing() -> None:
    """Who reads that both are the same would take the one for the other; so what is masked is another number.

    Of 1,264 forms 1,260 have a score, and 1,259 of these no gap: to mask both denominators would tell of four and one.
    """
    measure = load_measures()["data-quality"]
    tallying = Tallying(measure, PERIOD)
    for group, (many, reached) in {
        "collected": (468, 444), "scorable": (1264, 1260), "complete": (1260, 1259), "flat": (1260, 62)
    }.items():  # fmt: skip
        counts = {INITIAL: many, DENOMINATOR: many, NUMERATOR: reached}
        tallying.add(PASSED, [Member("Patient/p1", group, counts, {})], [], [])
    for part in protected(measure, tallying.tally()).parts:
        assert part.counts["denominator"] == part.counts["initial-population"]
        one = part.counts["initial-population"], part.counts["numerator"]
        assert Missing.MASKED in one or part.group in ("collected", "flat")


def test_few_who_are_left_out_are_masked() -> None:
    """Three whose consent does not allow it are masked, and do not follow from the number of people."""
    tallying = Tallying(MEASURE, PERIOD)
    for _ in range(3):
        tallying.withhold("a Consent forbids it")
    for _ in range(40):
        tallying.add(
            PASSED,
            [Member("Patient/p1", "rate", {INITIAL: 1, DENOMINATOR: 1, NUMERATOR: 1}, {})],
            [],
            [("future-score", 1)],
        )
    shown = protected(MEASURE, tallying.tally())
    assert shown.withheld == {"a Consent forbids it": Missing.MASKED}
    whole = shown.parts[0].counts["initial-population"]
    assert Missing.MASKED in (shown.people, whole)
    assert shown.odd == {"future-score": 40}


def test_the_change_since_an_earlier_report_is_protected() -> None:
    """40 people now and 37 in the report before would give three away."""
    true = tally_of({("de", "female"): (40, 20)})
    before = Earlier(
        "before", {Key("rate", "", code.value): count for code, count in ((INITIAL, 37), (DENOMINATOR, 37))}
    )
    shown = protected(MEASURE, true, [before])
    assert shown.parts[0].counts["initial-population"] is Missing.MASKED
    assert shown.parts[0].counts["denominator"] is Missing.MASKED


def test_what_was_masked_before_stays_masked() -> None:
    """A number that readers did not get is not given to them by a second report of the same days."""
    true = tally_of({("de", "female"): (40, 20)})
    before = Earlier("before", {Key("rate", "", "numerator"): None})
    assert protected(MEASURE, true, [before]).parts[0].counts["numerator"] is Missing.MASKED


def test_a_small_count_that_was_shown_before_stops_the_report() -> None:
    """Nothing can protect a count that is out already."""
    true = tally_of({("de", "female"): (40, 5)})
    before = Earlier("before", {Key("rate", "", "numerator"): 5})
    with pytest.raises(StopRun, match="FA610"):
        protected(MEASURE, true, [before])
