"""The pictures of a measure's report, for its page and for paper.

Flows of the populations for everybody; first against last scores for supervisors; timeliness month by month. The last
two are left out below eleven: of fewer people a scatter tells of persons, of fewer reviews a share jumps by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from fhir_alliance.core.change import ChangeClass, class_of
from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.change_settings import Asked, Published, settle
from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.equity import MONTH
from fhir_alliance.core.measures.evaluation import Shown
from fhir_alliance.core.measures.tallying import eligible, rate
from fhir_alliance.core.model import Missing, NoValue, Part, Tally
from fhir_alliance.core.suppression import SMALL
from fhir_alliance.core.talking_therapies import Measured
from fhir_alliance.views.picture import Picture
from fhir_alliance.views.population_flow import Flow, LeftOut, Stage, population_flow
from fhir_alliance.views.prepost_picture import Dot, PrePost, prepost_picture
from fhir_alliance.views.report_words import POPULATIONS, rate_words, unit_of
from fhir_alliance.views.run_chart import Period, RunChart, run_chart

FEWEST: Final = SMALL + 1


def flows(tally: Tally) -> list[Picture]:
    """Return one flow of the populations for each rate of a measure."""
    return [_flow(part, unit_of(tally.basis)) for part in tally.parts if not part.stratum]


def scatters(measure: Measure, people: Iterable[Shown]) -> list[Picture]:
    """Return one picture for each scale in which a measure of change compares first and last scores.

    A shape can be a single person, so each of them has to have been let out to the reader.
    """
    first = measure.groups[0].id
    members = (member for one in people for member in one.let_out())
    counted = (m for m in members if m.group == first and m.counts.get(Population.DENOMINATOR))
    courses: dict[str, list[Measured]] = {}
    for member in counted:
        for course in member.courses:
            courses.setdefault(course.scale.title, []).append(course)
    drawn = [(title, found[0], _dots(found)) for title, found in sorted(courses.items())]
    return [
        prepost_picture(_told(title, course, dots), f"prepost-{number}")
        for number, (title, course, dots) in enumerate(drawn, start=1)
        if len(dots) >= FEWEST
    ]


def timeliness(measure: Measure, tally: Tally) -> list[Picture]:
    """Return the run chart of a measure that counts by month; of a single month there is none."""
    found = []
    counted = unit_of(measure.basis)
    for group in measure.groups:
        parts = [part for part in months_of(tally.parts) if part.group == group.id]
        periods = tuple(_period(part) for part in parts)
        if sum(not isinstance(period.value, Missing) for period in periods) > 1:
            reached = " and ".join(clause.words for clause in group.populations[Population.NUMERATOR])
            told = RunChart(f"{group.title}, by month", f"% {reached}", periods, Decimal(100), cases=counted)
            found.append(run_chart(told, f"months-{group.id}"))
    return found


def months_of(parts: Sequence[Part]) -> list[Part]:
    """Return the parts of a tally that are of one month, in the order of time."""
    return sorted((part for part in parts if part.stratum.startswith(f"{MONTH}:")), key=lambda p: (p.group, p.stratum))


def _flow(part: Part, unit: str) -> Picture:
    counts = part.counts
    out = [p for p in (Population.EXCLUSION, Population.EXCEPTION) if p.value in counts]
    excluded = tuple(LeftOut(POPULATIONS[p], counts[p.value]) for p in out)
    stages = (
        Stage(POPULATIONS[Population.INITIAL], counts[Population.INITIAL.value]),
        Stage(POPULATIONS[Population.DENOMINATOR], counts[Population.DENOMINATOR.value], excluded),
        Stage(POPULATIONS[Population.NUMERATOR], counts[Population.NUMERATOR.value], note=rate_words(counts)),
    )
    return population_flow(Flow(part.title, stages, unit), f"flow-{part.group}")


def _dots(courses: Iterable[Measured]) -> tuple[Dot, ...]:
    return tuple(dot for course in courses if (dot := _dot(course)) is not None)


def _dot(course: Measured) -> Dot | None:
    """Return a client's pair with its class by the scale's published numbers; None where that cannot be said."""
    scale, pair = course.scale, course.pair
    how = settle(Asked(), Published(scale.higher_is, scale.caseness, course.numbers))
    kind = how if isinstance(how, NotComputable) else class_of(pair, how)
    if not isinstance(kind, ChangeClass) or isinstance(pair.before, NoValue) or isinstance(pair.after, NoValue):
        return None
    return Dot(pair.before, pair.after, kind)


def _told(title: str, course: Measured, dots: tuple[Dot, ...]) -> PrePost:
    scale = course.scale
    lines = (course.numbers.reliable_change, scale.caseness)
    return PrePost(f"{title}: first and last score", scale.low, scale.high, scale.higher_is, dots, *lines)


def _period(part: Part) -> Period:
    """Return a month's share in percent, with one decimal; left out where it is of fewer than eleven."""
    share, left = rate(part.counts), eligible(part.counts)
    label = part.stratum.partition(":")[2]
    cases = Missing.MASKED if left is None else left
    if left is not None and left < FEWEST:
        return Period(label, Missing.MASKED, cases, "too few" if left else "none")
    if share is None:
        return Period(label, Missing.MASKED, cases)
    return Period(label, round(100 * share, 1), cases)
