"""The part of a sync that asks consent: which forms of a page pass, and whether that still holds when it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from fhir_alliance.core.consent import gate
from fhir_alliance.core.model import Cleared, Response, Score, Write
from fhir_alliance.core.ways_out import ItemsPass
from fhir_alliance.fhir.observation import observation_writes
from fhir_alliance.runs.merged import Kindred
from fhir_alliance.runs.record import Consents, consents_of
from fhir_alliance.runs.score import Desk, count_scores
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.store import Store


class Passed(NamedTuple):
    """The forms of a page that consent lets through, and of which of them the answers too, by the form's key.

    withheld: how many stay where they are.
    """

    cleared: list[Cleared]
    items: dict[str, ItemsPass]
    withheld: int


class Scored(NamedTuple):
    """The scores of all forms that passed, and the Observations that say them."""

    scores: list[Score]
    writes: list[Write]


def asked(forms: Sequence[Response], store: Store, families: Mapping[str, Kindred]) -> Consents:
    """Return the Consents of the clients of a page as they are now; raises ConsentUnreachable FA302-FA304.

    families: of those whose records were merged.
    """
    if not forms:
        return {}
    found = consents_of(store, {form.subject for form in forms}, families)
    return {subject: sorted(own, key=lambda record: record.reference) for subject, own in found.items()}


def gate_all(forms: Sequence[Response], consents: Consents, desk: Desk, now: datetime) -> Passed:
    """Return what of a page passes."""
    passed = Passed([], {}, 0)
    for form in forms:
        own = consents.get(form.subject, ())
        outcome = gate(form, own, desk.policy.consent, desk.bench(form).datum, now)
        if not isinstance(outcome, Cleared):
            passed = passed._replace(withheld=passed.withheld + 1)
            continue
        passed.cleared.append(outcome)
        items = desk.items_of(outcome, own, now) if desk.policy.with_items else None
        if items is not None:
            passed.items[form.key] = items
    return passed


def score_all(passed: Passed, desk: Desk, summary: Summary) -> Scored:
    """Return the scores of what passed; the forms are counted."""
    found = Scored([], [])
    summary.withheld += passed.withheld
    for form in passed.cleared:
        bench = desk.bench(form.form)
        scores = bench.scorer.score(form)
        emitted = bench.emitter.observations(form, scores, passed.items.get(form.form.key))
        found.writes.extend(observation_writes(emitted, form.form))
        found.scores.extend(scores)
        count_scores(scores, summary)
    return found
