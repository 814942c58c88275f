"""The part of a sync that comes first: whom a clinician should look at, before consent and before scoring.

A concern ends in one of three places: in the record as an urgent Task, there as a Communication where no Task is taken,
or in the local outbox, from which the next run delivers it before anything else. Its key is the same in all three, so
that nothing is raised twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType

import msgspec

from fhir_alliance.core.audit import Access
from fhir_alliance.core.labels import PART_2, union
from fhir_alliance.core.model import ReviewKind, ReviewStatus, Write
from fhir_alliance.core.reviews import Setting
from fhir_alliance.core.safety import Concern
from fhir_alliance.core.safety_reviews import (
    KeepsOut,
    SafetyPolicy,
    cancel_withdrawn,
    concern_key,
    nobody,
    plan_safety_review,
)
from fhir_alliance.errors import AllianceError, SafetyWaiting, StopRun
from fhir_alliance.fhir.inbound import Withdrawal
from fhir_alliance.fhir.setting import setting_of
from fhir_alliance.fhir.task import changed_task, new_task
from fhir_alliance.runs.audit import queried, written
from fhir_alliance.runs.programs import is_of_program
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.safety_delivery import Delivery, Resource
from fhir_alliance.runs.safety_watch import end_messages, watch_reviews
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Store


class _Waiting(msgspec.Struct, frozen=True):
    """A line of the outbox."""

    key: str
    since: datetime
    concern: Concern


class SafetyPath:
    """Concerns on their way to a clinician. As a context, it keeps in the outbox what a failing run leaves behind."""

    def __init__(
        self, store: Store, journal: Journal, policy: SafetyPolicy, summary: Summary, now: datetime, *, dry_run: bool,
        keeps_out: KeepsOut = nobody, programs: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        """keeps_out: whether somebody is kept from a client's data; no review is addressed to them.

        programs: under 42 CFR Part 2, as references of organizations, or "*".
        """
        self._delivery = Delivery(store, journal, summary, now, dry_run=dry_run)
        self._outbox, self._policy, self._dry_run = journal.outbox, policy, dry_run
        self._keeps_out, self._programs = keeps_out, programs
        self._tried: set[str] = set()
        self._pending: dict[str, Concern] = {}  # not known to stand in the record
        self._sent: dict[str, Concern] = {}  # taken by the store, durable when it has finished

    def __enter__(self) -> SafetyPath:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        if self._dry_run:
            return
        if fault is not None:
            self._save_what_was_sent(fault)
        self._keep()
        if isinstance(fault, Exception) and (waiting := self._delivery.summary.reviews["waiting"]):
            why = str(fault) if isinstance(fault, AllianceError) else f"internal error ({type(fault).__name__})."
            what = f"{waiting} safety review(s) wait in the local outbox, in no record yet: tell the on-call clinician."
            raise SafetyWaiting("FA511", what, f"The run was stopped: {why}") from fault

    def deliver(self) -> None:
        """Bring to the record what an earlier run could not; it leaves the outbox when it stands there."""
        lines = self._outbox.waiting().values()
        self._delivery.summary.reviews["waiting"] = len(lines)
        try:
            concerns = [msgspec.json.decode(line, type=_Waiting).concern for line in lines]
        except msgspec.DecodeError:
            raise StopRun("FA510", "the safety outbox is of another version.", "Use the one that wrote it.") from None
        self.raise_concerns(concerns)

    def accesses(self) -> list[Access]:
        """Return what was read and written of clients' data since this was last asked."""
        delivery = self._delivery
        found = [*queried(delivery.seen, delivery.now), *written(delivery.sent, (), "", delivery.now)]
        delivery.seen.clear()
        delivery.sent.clear()
        return found

    def watch(self) -> None:
        """Count the reviews that stand open, and escalate those that nobody has taken in time."""
        watch_reviews(self._delivery, self._policy, self._keeps_out)

    def raise_concerns(self, concerns: Iterable[Concern]) -> None:
        """Open the urgent reviews that answers ask for; one that stands, stood or waits already is left as it is."""
        new = {key: concern for concern in concerns if (key := concern_key(concern)) not in self._tried}
        if not new:
            return
        self._tried |= new.keys()
        self._pending |= new
        known = self._delivery.known({concern.subject for concern in new.values()}, new)
        encounters = self._encounters(new.values())
        settings = self._settings(new, encounters)
        writes = []
        for key, concern in new.items():
            if is_of_program(encounters.get(concern.encounter), self._programs, self._delivery.store.base):
                concern = msgspec.structs.replace(concern, labels=union(concern.labels, (PART_2,)))
            review = plan_safety_review(
                concern, settings[key], known.by_value, self._policy, self._delivery.now, self._keeps_out
            )
            if review is None:
                self._delivery.summary.standing.add(f"safety {concern.response_key}")
            else:
                writes.append(new_task(review, key))
        left = self._delivery.send(writes, known)
        self._sent |= {key: self._pending.pop(key) for key in new if key not in left}

    def withdraw(self, withdrawals: Iterable[Withdrawal], record: Record) -> list[Write]:
        """Return the cancelling of reviews whose form was withdrawn; end those that were told as messages.

        What still waited for such a form waits no longer; nor does what stands there, though no answer said so.
        """
        withdrawals = [withdrawal for withdrawal in withdrawals if withdrawal.reference]  # no name names no other
        gone = {withdrawal.reference for withdrawal in withdrawals}
        self._pending = {
            key: concern
            for key, concern in self._pending.items()
            if concern.reference not in gone and key not in record.known.by_value
        }
        note = self._policy.staff().cancelled
        end_messages(self._delivery, withdrawals, note)
        return [
            changed_task(
                record.tasks[review.key],
                cancel_withdrawn(review, note),
                self._delivery.now,
                review.focus.rpartition("/")[2],
            )
            for review in record.reviews
            if review.kind is ReviewKind.SAFETY and review.status is ReviewStatus.OPEN and review.focus in gone
        ]

    def _encounters(self, concerns: Iterable[Concern]) -> dict[str, Resource]:
        """Return the sessions that the forms name, by reference, as far as they can be read."""
        store, named = self._delivery.store, {concern.encounter for concern in concerns} - {""}
        encounters = self._delivery.told(lambda: store.named("Encounter", named)) or []
        return {f"Encounter/{encounter.get('id')}": encounter for encounter in encounters}

    def _settings(self, concerns: Mapping[str, Concern], encounters: Mapping[str, Resource]) -> dict[str, Setting]:
        """Return what each review hangs on, by its key; what cannot be read stays empty, and no review waits for it."""
        store = self._delivery.store
        teams = self._delivery.about("CareTeam", {concern.subject for concern in concerns.values()})
        found = {}
        for key, concern in concerns.items():
            own = [team for team in teams if team.get("subject", {}).get("reference") == concern.subject]
            found[key] = setting_of(concern.subject, encounters.get(concern.encounter), (), (), own, store.base)
        return found

    def _save_what_was_sent(self, fault: BaseException) -> None:
        """Make durable what has been decided up to here, whatever stopped the run; what cannot be waits."""
        lost = self._sent
        if isinstance(fault, Exception):
            with suppress(Exception):  # the fault that stopped the run is told, not this one
                self._delivery.store.finish()
                lost = {}
        self._pending |= lost

    def _keep(self) -> None:
        """Bring the outbox to what waits now."""
        now, pending = self._delivery.now, self._pending
        self._outbox.keep({key: msgspec.json.encode(_Waiting(key, now, c)) for key, c in pending.items()})
        self._outbox.remove(self._tried - pending.keys())
        self._sent.clear()
        self._delivery.summary.reviews["waiting"] = len(self._outbox.waiting())
