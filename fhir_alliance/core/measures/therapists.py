"""Therapists' outcomes as far as they can be told: shrunken toward all, with intervals, never ranked.

Small caseloads look best and worst by chance. Each share is drawn toward that of all as far as the spread between
therapists warrants (empirical Bayes, beta-binomial, moments: Kleinman 1973, J Am Stat Assoc 68(341):46-54). Why no
league table: Goldstein & Spiegelhalter 1996, J R Stat Soc A 159(3):385-443.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.evaluation import Member
from fhir_alliance.core.ways_out import ViewPass
from fhir_alliance.errors import StopRun

FEWEST_CLIENTS: Final = 11  # as in every count that is shown: none of 1 to 10
FEWEST_THERAPISTS: Final = 5  # ours: below that the spread between therapists cannot be estimated
_REACH: Final = Decimal("1.96")  # 95 % of a normal distribution


class Caseload(msgspec.Struct, frozen=True):
    """How many clients a therapist has, and how many of them reached what is counted."""

    clients: int
    reached: int


class Estimate(msgspec.Struct, frozen=True):
    """A therapist's shrunken share with its 95 % interval, 0 to 1, and what it rests on."""

    therapist: str
    caseload: Caseload
    share: Decimal
    low: Decimal
    high: Decimal


class Estimates(msgspec.Struct, frozen=True):
    """All that can be told.

    overall: the share of all clients.  refused: therapists with too few clients to be told of.
    alike: they differ no more than chance lets equals differ.
    """

    overall: Decimal
    told: tuple[Estimate, ...]
    refused: int
    alike: bool = False


class Caseloads:
    """Counts each therapist's clients as they come, none without a pass; who they are is forgotten at once."""

    def __init__(self) -> None:
        self._eligible, self._reached = Counter[str](), Counter[str]()

    def add(self, passed: ViewPass, therapist: str, member: Member) -> None:
        """Count a client who is left in the denominator; raises ValueError where the pass is another's."""
        passed.demand(member.subject)
        counts = member.counts
        out = counts.get(Population.EXCLUSION, 0) + counts.get(Population.EXCEPTION, 0)
        if therapist and counts.get(Population.DENOMINATOR, 0) > out:
            self._eligible[therapist] += 1
            self._reached[therapist] += counts.get(Population.NUMERATOR, 0) > 0

    def by_therapist(self) -> dict[str, Caseload]:
        """Return what was counted, by the therapist's reference."""
        return {name: Caseload(clients, self._reached[name]) for name, clients in self._eligible.items()}


def demand_people(measure: Measure) -> None:
    """Raise StopRun FA721 for a measure that counts something else than people.

    Several reviews of one client are alike, and an interval that takes each for a new one would be too narrow.
    """
    if measure.basis != "person":
        raise StopRun(
            "FA721",
            f"{measure.id} does not count people, and shares of therapists are shares of their clients.",
            "Choose a measure of people: fhir-alliance report list.",
        )


def estimates(caseloads: Mapping[str, Caseload]) -> Estimates:
    """Return the estimates of therapists with enough clients, by their reference, which is no ranking.

    Raises StopRun FA718 where there are too few therapists to estimate anything.
    """
    enough = {name: load for name, load in sorted(caseloads.items()) if load.clients >= FEWEST_CLIENTS}
    if len(enough) < FEWEST_THERAPISTS:
        raise StopRun(
            "FA718",
            f"{len(enough) or 'no'} therapists have {FEWEST_CLIENTS} clients or more; {FEWEST_THERAPISTS} are needed.",
            "Choose a longer period; small numbers tell of chance, not of therapists.",
        )
    loads = list(enough.values())
    people = sum(load.clients for load in loads)
    overall = Decimal(sum(load.reached for load in loads)) / people
    weight = _prior_weight(loads, overall)
    told = tuple(_estimate(name, load, overall, weight, people) for name, load in enough.items())
    return Estimates(overall, told, len(caseloads) - len(enough), weight is None)


def _prior_weight(loads: Sequence[Caseload], overall: Decimal) -> Decimal | None:
    """Return how many clients' worth the share of all weighs; None where therapists differ no more than by chance."""
    chance = overall * (1 - overall)
    if not chance:
        return None
    people = sum(load.clients for load in loads)
    spread = sum((load.clients * (Decimal(load.reached) / load.clients - overall) ** 2 for load in loads), Decimal(0))
    free = len(loads) - 1
    size = people - Decimal(sum(load.clients**2 for load in loads)) / people
    alike = (spread - chance * free) / (chance * (size - free))
    if alike <= 0:
        return None
    return (1 - min(alike, Decimal("0.999"))) / alike


def _estimate(name: str, load: Caseload, overall: Decimal, weight: Decimal | None, people: int) -> Estimate:
    """Return a therapist's share.

    people: the clients of all therapists; where these differ no more than by chance, each has the share of all of them.
    """
    whole = Decimal(people) if weight is None else load.clients + weight
    share = overall if weight is None else (load.reached + weight * overall) / whole
    reach = _REACH * (share * (1 - share) / (whole + 1)).sqrt()
    return Estimate(name, load, share, max(Decimal(0), share - reach), min(Decimal(1), share + reach))
