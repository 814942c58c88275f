"""In which form each goal review is delivered: a Task where the store takes one, and lower only where it does not.

What stands already stays in its form: a review never stands in two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from fhir_alliance.config import DeliverySection, ReviewRoute
from fhir_alliance.core.model import Write
from fhir_alliance.fhir.difference import Change
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.review_carriers import CARRIERS, REVIEWS_AS, CarriedReviews
from fhir_alliance.runs.review_list import ReviewList, is_goal_review
from fhir_alliance.runs.turn import Turn
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Store


class ReviewForm(Protocol):
    """One form in which reviews stand that are no Tasks."""

    def carried(self, subjects: Collection[str], *, are_new: bool) -> list[Mapping[str, Any]]:
        """Return the Tasks of the clients' reviews that stand in it. are_new: new ones would, too."""

    def holds(self, key: str) -> bool:
        """Return whether a review stands in it."""

    def keep(self, turn: Turn, record: Record, writes: Sequence[Write]) -> list[Change]:
        """Bring the reviews in it to what their Tasks should say, and return what changed."""


class ReviewForms:
    """One run's delivery of goal reviews: the forms by their way, in the order in which they are looked at."""

    def __init__(self, store: Store, journal: Journal, delivery: DeliverySection, *, dry_run: bool) -> None:
        self._store, self._journal, self._allowed = store, journal, delivery.reviews
        best = self._allowed[0]
        self._forms: dict[ReviewRoute, ReviewForm] = {
            **{r: CarriedReviews(r, store, journal, is_lower=r is not best, dry_run=dry_run) for r in CARRIERS},
            ReviewRoute.WORKLIST: ReviewList(journal, delivery, dry_run=dry_run),
        }

    def route(self) -> ReviewRoute:
        """Return the best way that is allowed and, as far as is known, taken; the first where none is."""
        for route in self._allowed:
            if route is ReviewRoute.WORKLIST or self._store.takes(REVIEWS_AS[route], self._journal):
                return route
        return self._allowed[0]

    def carried(self, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return the Tasks of the clients' reviews that stand in another form."""
        best = self.route()
        return [t for route, form in self._forms.items() for t in form.carried(subjects, are_new=route is best)]

    def elsewhere(self, writes: Sequence[Write], record: Record, best: ReviewRoute) -> dict[str, ReviewRoute]:
        """Return the goal reviews that are no Tasks, with their way: that in which they stand, or else the best."""
        found = {}
        for write in filter(is_goal_review, writes):
            held = next((route for route, form in self._forms.items() if form.holds(write.value)), None)
            if held is not None:
                found[write.value] = held
            elif best is not ReviewRoute.TASK and write.value not in record.tasks:
                found[write.value] = best
        return found

    def keep(
        self, turn: Turn, record: Record, writes: Sequence[Write], routes: Mapping[str, ReviewRoute]
    ) -> list[Change]:
        """Return what changed of the reviews that are no Tasks. routes: of these, by key."""
        return [
            change
            for route, form in self._forms.items()
            for change in form.keep(turn, record, [w for w in writes if routes.get(w.value) is route])
        ]
