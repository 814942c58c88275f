"""The labels that a goal review takes over from the scores that it rests on: a Task tells what they tell."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fhir_alliance.core.labels import NOT_TO_THERAPIST, covers, is_kept_from, union
from fhir_alliance.core.model import Response, Review, ReviewKind, ReviewStatus
from fhir_alliance.core.rules.chart import Chart
from fhir_alliance.fhir.labels import labels_of
from fhir_alliance.fhir.observation import scale_labels
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.score import Desk


class Ground:
    """One client's scores as far as their labels are concerned: by instrument, for a finding looks back on a course."""

    def __init__(self, chart: Chart, forms: Sequence[Response], record: Record, desk: Desk) -> None:
        """forms: the client's new ones. What is void, or kept from the therapist, is no ground of a review."""
        self._instruments: dict[str, str] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        for score in chart.scores:
            self._instruments[score.key] = score.instrument
            if stored := record.observations.get(score.key):
                self._instruments[str(stored.get("id"))] = score.instrument  # as a stored Task names it
                if not score.withdrawn:
                    self._add(score.instrument, labels_of(stored))
        for form in forms:
            if not is_kept_from(form.labels, NOT_TO_THERAPIST):
                instrument = desk.instruments[form.instrument]
                own = (scale_labels(instrument, scale) for scale in instrument.scales)
                self._add(form.instrument, union(instrument.labels, *own, form.labels))

    def _add(self, instrument: str, labels: tuple[str, ...]) -> None:
        self._labels[instrument] = union(self._labels.get(instrument, ()), labels)

    def labels(self, review: Review) -> tuple[str, ...]:
        """Return the labels of what a review rests on."""
        named = {self._instruments.get(evidence.score_key, "") for evidence in review.evidence}
        return union(*(self._labels.get(name, ()) for name in sorted(named)))


def labelled(
    reviews: Sequence[Review], planned: Sequence[Review], chart: Chart, forms: Sequence[Response], record: Record,
    desk: Desk,
) -> list[Review]:  # fmt: skip
    """Return the planned reviews under the labels of their ground, with those that stand open under too low ones.

    No label falls: one that a person raised stays, and what a review once told is not untold.
    """
    changing = {review.key for review in planned}
    standing = [r for r in reviews if r.kind is ReviewKind.GOAL and r.status is ReviewStatus.OPEN]
    waiting = [review for review in standing if review.key not in changing]
    if not planned and not waiting:
        return []
    ground = Ground(chart, forms, record, desk)
    found = [_under(review, ground.labels(review)) for review in planned]
    low = [review for review in waiting if not covers(review.labels, ground.labels(review))]
    return found + [_under(review, ground.labels(review)) for review in low]


def _under(review: Review, labels: tuple[str, ...]) -> Review:
    return msgspec.structs.replace(review, labels=union(review.labels, labels))
