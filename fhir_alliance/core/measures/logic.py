"""Every measure's members: those of tables, and those of the few that need a function of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from fhir_alliance.core.measures import courses, process
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.measures.evaluation import Member, evaluate
from fhir_alliance.core.measures.people import Codes, Person
from fhir_alliance.core.measures.reading import Reading
from fhir_alliance.core.rules.chart import Rulebook

Logic: TypeAlias = Callable[[Reading], list[Member]]

LOGICS: Final[Mapping[str, Logic]] = {
    "alliance-early": process.alliance_early,
    "reviews-in-time": process.reviews_in_time,
    "ruptures-repaired": process.ruptures_repaired,
    "goals-reviewed": process.goals_reviewed,
    "both-raters": process.both_raters,
    "language-offered": process.language_offered,
    "data-quality": process.data_quality,
    "talking-therapies": courses.talking_therapies_courses,
    "outcome-by-mode": courses.outcome_by_mode,
}


def members_of(
    measure: Measure, person: Person, period: Days, code_sets: Mapping[str, Codes], book: Rulebook
) -> list[Member]:
    """Return the person's place in each group of a measure. book: by which ruptures and change are judged."""
    if measure.logic == "events":
        return evaluate(measure, person, period, code_sets)
    return LOGICS[measure.logic](Reading(measure, person, period, book))
