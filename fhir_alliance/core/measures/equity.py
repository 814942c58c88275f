"""The strata that show whether care reaches everybody alike: by what the record says of a person, nothing guessed."""

from __future__ import annotations

from typing import Final

from fhir_alliance.core.measures.calendar import Days, full_years, moment_of
from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.measures.people import Kind, Person
from fhir_alliance.core.model import Mode

NOT_RECORDED: Final = "not-recorded"
MONTH: Final = "month"  # a stratum of what fell due in it (month:2026-03), not one of people
# What every measure is divided by, in words.
KINDS: Final = {
    "language": "Language",
    "age": "Age when the period began",
    "gender": "Gender as recorded",
    "sex": "Sex as recorded",
    "payer": "Payer",
    "care-mode": "How care was given",
}
# Our own bands: 12 and 18 are the ages at which the shipped measures begin and divide, 65 begins Medicare.
_AGES: Final = ((0, 11), (12, 17), (18, 24), (25, 44), (45, 64))


def divisions(measure: Measure) -> dict[str, str]:
    """Return by what the reports on a measure are divided, by kind of stratum, in words."""
    found = dict(KINDS)
    if measure.strata:
        told = ((s.id, " and ".join(clause.words for clause in s.clauses) or s.title) for s in measure.strata)
        found["measure"] = "; ".join(f"{stratum}: {words}" for stratum, words in told)
    if measure.by_month:
        found[MONTH] = "Month in which it was due"
    return found


def strata_of(person: Person, period: Days) -> tuple[str, ...]:
    """Return the person's strata as "kind:value": language, age, gender or sex as recorded, payer, care mode.

    The age is that of the period's first day.  Who has several payers belongs to the stratum "several".
    """
    return (
        f"language:{person.languages[0] if person.languages else NOT_RECORDED}",
        f"age:{_age_band(person, period)}",
        f"gender:{person.gender or NOT_RECORDED}",
        f"sex:{person.sex or NOT_RECORDED}",
        f"payer:{_one(person.payers)}",
        f"care-mode:{_care_mode(person, period)}",
    )


def _age_band(person: Person, period: Days) -> str:
    if person.birth is None:
        return NOT_RECORDED
    fewest, most = full_years(person.birth, moment_of(period.first))
    if fewest != most:
        return NOT_RECORDED
    if fewest < 0:
        return "0-11"
    return next((f"{low}-{high}" for low, high in _AGES if low <= fewest <= high), "65-and-over")


def _one(values: tuple[str, ...]) -> str:
    return NOT_RECORDED if not values else values[0] if len(values) == 1 else "several"


def _care_mode(person: Person, period: Days) -> str:
    """Return how the person's finished sessions of the period were held: one mode, or mixed."""
    modes = set()
    for fact in person.of(Kind.ENCOUNTER):
        if fact.status == "finished" and fact.day is not None and period.first <= fact.day <= period.last:
            modes.add(fact.mode)
    modes.discard(Mode.UNKNOWN)
    return NOT_RECORDED if not modes else modes.pop().value if len(modes) == 1 else "mixed"
