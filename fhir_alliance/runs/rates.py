"""The story of the rates: all goal reviews of a store, and what became of them by rule."""

from __future__ import annotations

from fhir_alliance.core.model import ReviewKind, TaskStatus
from fhir_alliance.core.rates import RuleRate, rates
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.task import read_review
from fhir_alliance.stores.store import Store


def rule_rates(store: Store) -> list[RuleRate]:
    """Return what became of the reviews that each rule asked for, by rule id. Counts only; nobody is named."""
    tasks = store.tasks(ReviewKind.GOAL.value, [status.value for status in TaskStatus])
    reviews = (read_review(task, store.base) for task in tasks if is_shaped(task))
    return rates(review for review in reviews if review is not None)
