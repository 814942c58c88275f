"""Gets writes to a server on the best rung that it takes: a transaction, a batch, or one after the other.

A rung that the server refuses is remembered in the journal for a while and told in the summary; nothing is ever sent in
a lower way in silence, and in no way twice. Further rungs of an output (documents, files) begin where `Became` says
`UNSUPPORTED`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.errors import RetryLater, Unreachable
from fhir_alliance.fhir.difference import CANONICAL, Change, ChangeKind, Known
from fhir_alliance.fhir.outcome import Meaning
from fhir_alliance.stores.bundles import (
    IN_BUNDLES,
    batch_bundle,
    groups_of,
    is_company,
    said_of,
    transaction,
    waves_of,
)  # fmt: skip
from fhir_alliance.stores.capability import PUTS, Once, Rung, ServerProfile
from fhir_alliance.stores.conflicts import CHANGED, OURS, TIMES, decided_anew
from fhir_alliance.stores.http import Http, Reply, json_of
from fhir_alliance.stores.journal import Intent, Journal
from fhir_alliance.stores.lanes import in_lanes, lanes_of
from fhir_alliance.stores.singles import FIXED, NOT_AS_IT_IS, UNKNOWN, Became, Outcome, Singles, why_not
from fhir_alliance.stores.store import NOT_TAKEN, Refusal, Written

LOWER: Final = {
    Rung.BATCH: "sent in batches: the server takes no transactions, or does not keep them together",
    Rung.SINGLES: "sent one at a time: the server takes neither transactions nor batches that can be repeated safely",
}


class Delivery:
    """Sends changes to one server and keeps count of what became of them."""

    def __init__(self, http: Http, profile: ServerProfile, known: Known, journal: Journal) -> None:
        self._http, self._profile, self._known, self._journal = http, profile, known, journal
        self._singles = Singles(http, profile, known, journal)
        self._refused = journal.refusals(datetime.now(UTC))
        self._decided: Counter[str] = Counter()  # how often a group was decided anew
        self.written = Written()

    def send_all(self, changes: Sequence[Change]) -> None:
        """Send changes in batches, several at once where they are many; a group is never divided."""
        lanes = lanes_of(self._with_company(changes), self._profile.entries, self._http.side_by_side)
        if len(lanes) > 1:
            lanes = in_lanes(lanes, self._begun, partial(self._concluded, is_alone=False))
        for lane in lanes:
            for batch in lane:
                self.send(batch)

    def _begun(self, batch: Sequence[Change]) -> Callable[[], Reply] | None:
        """Return the request that sends a transaction; on a lower rung a batch is sent at once, and there is none."""
        if self.rung_of(batch) is not Rung.TRANSACTION:
            self.send(batch)
            return None
        return self._transaction(batch)

    def send(self, changes: Sequence[Change]) -> None:
        """Send changes that belong together as far as the server can keep them together."""
        rung = self.rung_of(changes)
        batch = self._with_company(changes)
        if rung is Rung.TRANSACTION:
            self._transact(batch)
            return
        self.written.lower.add(LOWER[rung])
        if rung is Rung.BATCH:
            self._send_batches(batch)
        else:
            self._send_singles(batch)

    def send_alone(self, change: Change) -> None:
        """Send one change by itself, whatever the server would take together."""
        self._send_singles([change])

    def rung_of(self, batch: Iterable[Change]) -> Rung:
        """Return the best rung for these changes: Bundles hold only what may be repeated."""
        rung = self._profile.rung(self._refused)
        created = [c.write for c in batch if c.kind is ChangeKind.CREATE and not is_company(c.write)]
        return rung if all(self._once(write) in IN_BUNDLES for write in created) else Rung.SINGLES

    def _with_company(self, changes: Sequence[Change]) -> list[Change]:
        """Return the changes with what only accompanies them (Provenance), where it can be sent so as to stand once."""
        left_out = {c.write.type for c in changes if is_company(c.write) and self._once(c.write) not in IN_BUNDLES}
        if left_out:
            self.written.lower.add(f"without {', '.join(sorted(left_out))}: the server cannot keep it single")
        return [change for change in changes if change.write.type not in left_out]

    def _once(self, write: Write) -> Once | None:
        is_canonical = write.system == CANONICAL
        return self._profile.once(write.type, write.mode, is_canonical=is_canonical, refused=self._refused)

    def _transact(self, batch: Sequence[Change]) -> None:
        self._concluded(batch, self._transaction(batch))

    def _transaction(self, batch: Sequence[Change]) -> Callable[[], Reply]:
        """Return the request that sends a transaction, which is noted."""
        self._intend(batch)
        return partial(self._http.post, "", transaction(batch, self._known, self._once))

    def _concluded(self, batch: Sequence[Change], answer: Callable[[], Reply], *, is_alone: bool = True) -> bool:
        """Take the answer to a transaction; where it is refused, find the group that it is refused for.

        is_alone: nothing of ours was sent beside it.  Returns False where it was not, and the refusal may come of that:
        HAPI answers 409 or 500 where two transactions make the same tag. Nothing of such a transaction stands.
        """
        try:
            reply = answer()
        except RetryLater:
            self._leave_unknown(batch)
            return True
        if reply.ok:
            self._count_all_or_nothing(batch, reply)
        elif reply.is_second and reply.meaning is Meaning.CONFLICT:  # perhaps by our own first attempt
            self._leave_unknown(batch)
        elif not is_alone and reply.meaning in (Meaning.CONFLICT, Meaning.FAULT):
            return False
        elif reply.status in (404, 405, 501):
            self._step_down(Rung.TRANSACTION, batch)
        else:
            self._divide(batch, reply)
        return True

    def _divide(self, batch: Sequence[Change], reply: Reply) -> None:
        groups = groups_of(batch)
        if len(groups) > 1:
            for group in groups:
                self._transact(group)
        elif reply.meaning is Meaning.TOO_LARGE:
            self.written.lower.add("a form's results sent one at a time: too large for the server together")
            self._send_singles(batch)
        elif (anew := self._anew(batch, reply)) is not None:
            self._journal.settle(change.write.value for change in batch)
            self._transact(anew)
        elif not self._sent_otherwise(batch, reply):
            self._refuse(batch[0], why_not(reply.meaning, reply.problem()))
            self._journal.settle(change.write.value for change in batch)

    def _anew(self, group: Sequence[Change], reply: Reply) -> list[Change] | None:
        """Return a group decided on what stands there now; None where that is no help, or people's to decide."""
        updates = [change for change in group if change.kind is ChangeKind.UPDATE]
        if reply.meaning is not Meaning.CONFLICT or not updates or self._decided[_group(group[0])] >= TIMES:
            return None
        self._decided[_group(group[0])] += 1
        stored = {c.write.value: self._singles.read(c.write.type, c.stored_id) for c in updates}
        moved = [c for c in updates if _version(stored[c.write.value]) not in ("", c.stored_version)]
        if not moved or any(change.write.type not in OURS for change in moved):
            return None
        names = {change.write.value for change in moved}
        anew = {name: decided_anew(c, stored[name] or {}) for c in moved for name in [c.write.value]}
        self.written.unchanged.update(c.write.type for c in moved if anew[c.write.value] is None)
        kept = [anew[c.write.value] if c.write.value in names else c for c in group]
        return [change for change in kept if change is not None]

    def _sent_otherwise(self, group: Sequence[Change], reply: Reply) -> bool:
        """Return whether a group that is not taken as it is was taken when nothing in it was put under an id of ours.

        Then ids of ours were the trouble, which is remembered; else it is what the group says.
        """
        puts = {f"{once}:{c.write.type}" for c in group if (once := self._put_by(c)) is not None}
        before = self._refused
        if reply.meaning is not Meaning.RECORD or not puts:
            return False
        self._refused = before | puts
        if self.rung_of(group) is Rung.TRANSACTION:
            try:
                again = self._transaction(group)()
            except RetryLater:
                self._refused = before
                self._leave_unknown(group)
                return True
            if again.ok:
                for what in sorted(puts):
                    self._refused = self._journal.refuse(what, datetime.now(UTC))
                self._count_all_or_nothing(group, again)
                return True
        self._refused = before
        return False

    def _put_by(self, change: Change) -> Once | None:
        once = self._once(change.write) if change.kind is ChangeKind.CREATE else None
        return once if once in PUTS else None

    def _step_down(self, rung: Rung, batch: Sequence[Change]) -> None:
        """Remember that the server refuses a rung, and send the changes on a lower one."""
        self._refused = self._journal.refuse(rung.value, datetime.now(UTC))
        self._journal.settle(change.write.value for change in batch)
        self.send(batch)

    def _count_all_or_nothing(self, batch: Sequence[Change], reply: Reply) -> None:
        """Count what a transaction's answer confirms; what it does not stays unknown.

        A server that refuses an entry and does the others (Medplum's router) keeps nothing together: it is sent none
        for a while, and each entry has an outcome of its own.
        """
        said = said_of(batch, _answered(reply)) or [(0, "", None)] * len(batch)
        if any(400 <= status < 500 for status, _, _ in said):
            self._refused = self._journal.refuse(Rung.TRANSACTION.value, datetime.now(UTC))
            self.written.lower.add("a transaction was done in part: the server does not keep together what is sent so")
        self._count((change, _outcome(change, *entry)) for change, entry in zip(batch, said, strict=True))

    def _send_batches(self, batch: Sequence[Change]) -> None:
        """Send batches in waves: an entry refers to nothing in its own batch. Each entry has an outcome of its own."""
        broken: set[str] = set()
        for wave in waves_of(batch):
            ready = [change for change in wave if self._may_go(change, broken)]
            if not ready:
                continue
            self._intend(ready)
            try:
                reply = self._http.post("", batch_bundle(ready, self._known, self._once))
            except RetryLater:
                self._leave_unknown(ready)
                broken |= {_group(change) for change in ready}
                continue
            if reply.status in (404, 405, 501):
                left = [change for change in batch if change.write.value not in self._known.by_value]
                self._step_down(Rung.BATCH, left or ready)
                return
            said = said_of(ready, _answered(reply)) if reply.ok else [(reply.status, "", None)] * len(ready)
            told = zip(ready, said or [(0, "", None)] * len(ready), strict=True)
            broken |= self._count((change, self._second(change, _outcome(change, *entry))) for change, entry in told)

    def _second(self, change: Change, outcome: Outcome) -> Outcome:
        """Return what became of an entry, by itself where it was refused for what can be decided or sent otherwise."""
        is_moved = outcome.code == CHANGED and change.kind is ChangeKind.UPDATE and change.write.type in OURS
        is_doubted = outcome.code == NOT_AS_IT_IS and self._put_by(change) is not None
        return self._singles.send(change) if is_moved or is_doubted else outcome

    def _send_singles(self, batch: Sequence[Change]) -> None:
        broken: set[str] = set()
        for wave in waves_of(batch):
            for change in wave:
                if self._may_go(change, broken):
                    broken |= self._count([(change, self._singles.send(change))])

    def _may_go(self, change: Change, broken: set[str]) -> bool:
        """Return whether a change may be sent; the rest of a group of which a part failed waits for the next run."""
        if _group(change) not in broken:
            return True
        if change.write.group not in {refused.group for refused in self.written.refused}:
            self.written.unknown.append(change.write)
        return False

    def _count(self, became: Iterable[tuple[Change, Outcome]]) -> set[str]:
        """Count what became of changes; return the groups of those that do not stand now."""
        told = list(became)
        self._journal.settle(change.write.value for change, outcome in told if outcome.became is not Became.UNKNOWN)
        return {_group(change) for change, outcome in told if not self._stands(change, outcome)}

    def _stands(self, change: Change, outcome: Outcome) -> bool:
        """Count what became of a change; return whether it stands now."""
        write = change.write
        if outcome.became is Became.UNKNOWN:
            self._leave_unknown([change])
            return False
        if outcome.became is Became.UNSUPPORTED and change.kind is ChangeKind.CREATE:
            self._learn(write)
        elif outcome.became is Became.UNSUPPORTED:
            self._refused = self._journal.refuse(f"update:{write.type}", datetime.now(UTC))
            outcome = Outcome(Became.REFUSED, change.stored_id, *FIXED)
        if outcome.became in (Became.REFUSED, Became.UNSUPPORTED):
            self._refuse(change, (outcome.code, outcome.reason))
            return False
        counters = {Became.CREATED: self.written.created, Became.UPDATED: self.written.updated}
        counters.get(outcome.became, self.written.unchanged)[write.type] += 1
        if outcome.id:
            self._known.by_value.setdefault(write.value, {"id": outcome.id})
        return True

    def _learn(self, write: Write) -> None:
        """Remember that new resources of a type are not taken in the way that was tried, where one was."""
        if (once := self._once(write)) is not None:
            what = once if once in PUTS else "create"
            self._refused = self._journal.refuse(f"{what}:{write.type}", datetime.now(UTC))

    def _refuse(self, change: Change, why: tuple[str, str]) -> None:
        refused = Refusal(change.write.group, *why)
        if refused not in self.written.refused:
            self.written.refused.append(refused)

    def _leave_unknown(self, changes: Iterable[Change]) -> None:
        self.written.unknown += [change.write for change in outcomes(changes)]

    def _intend(self, changes: Sequence[Change]) -> None:
        self._journal.intend(Intent(c.write.value, c.write.type, c.write.system) for c in outcomes(changes))


def outcomes(changes: Iterable[Change]) -> list[Change]:
    """Return the changes whose outcome has to be known."""
    return [change for change in changes if change.write.mode is not WriteMode.ACCOMPANY]


def _outcome(change: Change, status: int, name: str, outcome: Any) -> Outcome:
    """Return what an entry of an answer says."""
    if 200 <= status < 300 and status != 202:
        if change.kind is ChangeKind.UPDATE:
            return Outcome(Became.UPDATED, change.stored_id)
        return Outcome(Became.CREATED if status == 201 else Became.STANDS, name)
    said = Reply(status, orjson.dumps(outcome), {})
    meaning = said.meaning
    if status in (0, 202) or status >= 500 or meaning is Meaning.AGAIN:
        return UNKNOWN
    if meaning is Meaning.UNSUPPORTED:
        return Outcome(Became.UNSUPPORTED, "", NOT_TAKEN, f"the server takes no {change.write.type} from us")
    return Outcome(Became.REFUSED, "", *why_not(meaning, said.problem()))


def _version(stored: Mapping[str, Any] | None) -> str:
    meta = stored.get("meta") if stored is not None else None
    return str(meta.get("versionId", "")) if isinstance(meta, dict) else ""


def _group(change: Change) -> str:
    return change.write.group or change.write.value


def _answered(reply: Reply) -> Any:
    """Return what the server says it did, or nothing where its answer cannot be read: the write may have happened."""
    try:
        return json_of(reply)
    except Unreachable:
        return None
