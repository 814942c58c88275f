"""The story of a page's delivery: in the best form that the store takes, and lower only where it takes nothing better.

What stands already stays in its form: a score never stands in two. A lower form is told in the summary, and each
delivery leaves a receipt. The forms are made from the very Observations that would have been written, and say no more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.config import DeliverySection, ReviewRoute, ScoreRoute
from fhir_alliance.core.model import Instrument, Write
from fhir_alliance.fhir.difference import Change, Known, difference
from fhir_alliance.fhir.identifiers import PANEL_PROFILE
from fhir_alliance.fhir.inbound import Withdrawal
from fhir_alliance.fhir.observation import score_identifier
from fhir_alliance.fhir.score_sheet import Sheet, sheet_of
from fhir_alliance.fhir.task import unlinked
from fhir_alliance.runs.carriers import TAKEN_AS, Carriers
from fhir_alliance.runs.drops import Drops
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.review_forms import ReviewForms
from fhir_alliance.runs.turn import Turn
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.receipts import Receipt
from fhir_alliance.stores.store import Store

TOLD: Final = {
    ScoreRoute.SCORE_FORM: "scores as answers to our score sheet, without Provenance: the server takes no Observation",
    ScoreRoute.DOCUMENT: "scores as documents, without Provenance: the server takes no Observation",
    ScoreRoute.HL7V2: "scores as HL7 v2 messages in the drop folder, without Provenance",
    ScoreRoute.CSV: "scores as CSV files in the drop folder, without Provenance",
}


class Ladder:
    """One run's delivery of scores, and of the reviews that follow from them."""

    def __init__(
        self, store: Store, journal: Journal, delivery: DeliverySection, now: datetime, *, dry_run: bool
    ) -> None:
        self._store, self._journal, self._dry_run = store, journal, dry_run
        self._allowed = delivery.scores
        self._drops = Drops(store, journal, delivery, now, dry_run=dry_run)
        self._reviews = ReviewForms(store, journal, delivery, dry_run=dry_run)
        self._carriers = Carriers(store, journal, with_pdf=delivery.documents == "pdf", dry_run=dry_run)

    def route(self) -> ScoreRoute:
        """Return the best form that is allowed and, as far as is known, taken; the first where none is."""
        for route in self._allowed:
            if route.is_file or self._store.takes(TAKEN_AS[route], self._journal):
                return route
        return self._allowed[0]

    def carried(self, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return the clients' scores in other resources, and the Tasks of their reviews that stand in another form."""
        return [*self._carriers.read(subjects, self.route()), *self._reviews.carried(subjects)]

    def put(
        self, turn: Turn, record: Record, writes: Sequence[Write],
        beside: Callable[[Sequence[Change]], Sequence[Change]] = lambda changes: (),
    ) -> list[Change]:  # fmt: skip
        """Return what was delivered of a page, in whatever form."""
        sent: list[Change] = []
        while True:
            before = (self.route(), self._reviews.route())
            sent += self._put(turn, record, writes, beside, before)
            after = (self.route(), self._reviews.route())
            if after == before or self._dry_run:
                return sent
            groups = turn.reopen()  # the store has refused what it had promised, and it is remembered
            kinds = {"Task"} if after[0] is before[0] else {"Task", "Observation"}
            writes = [write for write in writes if write.group in groups and write.type in kinds]

    def is_blind(self) -> bool:
        """Return whether scores were left as files, where nobody can read them: then their absence says nothing."""
        return self._drops.are_used()

    def void(self, turn: Turn, withdrawals: Iterable[Withdrawal], instruments: Iterable[Instrument]) -> list[Change]:
        """Return the takings back of what was left in the drop folder; documents are voided with their Observations."""
        return self._drops.void(turn, withdrawals, instruments)

    def _put(
        self, turn: Turn, record: Record, writes: Sequence[Write],
        beside: Callable[[Sequence[Change]], Sequence[Change]], best: tuple[ScoreRoute, ReviewRoute],
    ) -> list[Change]:  # fmt: skip
        routes = self._routes(writes, record, best[0])
        sent = self._lower(turn, record, writes, routes)
        direct = [w for w in writes if w.type != "Observation" or routes[w.group] is ScoreRoute.OBSERVATION]
        standing = {w.value for w in direct if w.type == "Observation"} | _standing(record)
        if best[0] is not ScoreRoute.OBSERVATION or len(direct) < len(writes) or self._carriers.are_used():
            direct = [unlinked(w, standing) if w.type == "Task" else w for w in direct]
            refused = turn.refused()  # a review waits with the scores that it rests on
            direct = [write for write in direct if write.group not in refused]
        elsewhere = self._reviews.elsewhere(direct, record, best[1])
        stored = turn.put([write for write in direct if write.value not in elsewhere], beside=beside)
        self._receipt(turn, record.known, ScoreRoute.OBSERVATION, [c for c in stored if _is_panel(c)])
        refused = turn.refused()
        left = [write for write in direct if write.group not in refused]
        return [*sent, *stored, *self._reviews.keep(turn, record, left, elsewhere)]

    def _lower(
        self, turn: Turn, record: Record, writes: Sequence[Write], routes: Mapping[str, ScoreRoute]
    ) -> list[Change]:
        """Return what was delivered of the scores that go in a lower form, and tell it."""
        sent: list[Change] = []
        for lower in (r for r in ScoreRoute if r is not ScoreRoute.OBSERVATION):
            chosen = [w for w in writes if w.type == "Observation" and routes[w.group] is lower]
            if not chosen:
                continue
            sheets = _sheets(chosen, record, turn)
            for _ in {write.group for write in chosen} - sheets.keys():
                turn.count_file(TAKEN_AS.get(lower, lower), None)
            sent += self._drops.leave(turn, lower, sheets) if lower.is_file else self._file(turn, lower, sheets)
            if lower is not self._allowed[0]:
                turn.tell_lower(TOLD[lower])
        return sent

    def _routes(self, writes: Sequence[Write], record: Record, route: ScoreRoute) -> dict[str, ScoreRoute]:
        """Return the form of each group: that in which it stands already, or else this one."""
        routes = {}
        standing = _standing(record)
        for write in writes:
            if write.type != "Observation":
                continue
            found = self._carriers.route_of(write.value) or self._drops.route_of(write.value)
            if write.value in standing:
                found = ScoreRoute.OBSERVATION
            if found is not None or write.group not in routes:
                routes[write.group] = found or route
        return routes

    def _file(self, turn: Turn, route: ScoreRoute, sheets: Mapping[str, Sheet]) -> list[Change]:
        """Send the resources that carry the sheets, which have changed."""
        changes, known = self._carriers.changes(route, sheets), Known([])
        sent = turn.send(changes, known, {change.write.value for change in changes})
        self._receipt(turn, known, route, sent)
        return sent

    def _receipt(self, turn: Turn, known: Known, route: ScoreRoute, sent: Iterable[Change]) -> None:
        if self._dry_run:
            return
        ours = [change for change in sent if not turn.is_unknown(change.write.value)]
        names = {c.write.value: c.stored_id or known.by_value.get(c.write.value, {}).get("id", "") for c in ours}
        self._journal.receipts.add(Receipt("scores", key, route, str(name)) for key, name in names.items())  # fmt: skip


def _sheets(writes: Sequence[Write], record: Record, turn: Turn) -> dict[str, Sheet]:
    """Return the sheets, by group, of forms of which anything differs from what stands."""
    said, left_out = _scores_alone(writes)
    if left_out:
        turn.tell_lower("without single answers and findings: they are written as Observations only")
    changes, _ = difference(said, record.known)
    turn.explain(changes)
    bodies = {write.value: write.body for write in said} | {c.write.value: c.write.body for c in changes}
    changed = {change.write.group for change in changes}
    groups: dict[str, list[dict[str, Any]]] = {}
    for write in said:
        if write.group in changed:
            groups.setdefault(write.group, []).append(orjson.loads(bodies[write.value]))
    return {group: sheet for group, own in groups.items() if (sheet := sheet_of(own)) is not None}


def _scores_alone(writes: Sequence[Write]) -> tuple[list[Write], int]:
    """Return the writes of panels and scores as a sheet has them, and how many others there are."""
    groups: dict[str, list[Write]] = {}
    for write in writes:
        groups.setdefault(write.group, []).append(write)
    kept = []
    for own in groups.values():
        sheet = sheet_of(orjson.loads(write.body) for write in own)
        bodies = {score_identifier(o): orjson.dumps(o) for o in sheet.observations} if sheet is not None else {}
        kept += [msgspec.structs.replace(w, body=bodies[w.value]) for w in own if w.value in bodies]
    return kept, len(writes) - len(kept)


def _standing(record: Record) -> set[str]:
    """Return the keys of scores that stand by themselves: what a document carries has no id."""
    return {key for key, observation in record.observations.items() if observation.get("id")}


def _is_panel(change: Change) -> bool:
    return change.write.type == "Observation" and PANEL_PROFILE.encode() in change.write.body
