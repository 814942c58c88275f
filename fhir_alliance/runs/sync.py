"""The story of a sync: settle, pull, raise safety, gate, score, judge, review, write the difference."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from fhir_alliance.core.model import Write
from fhir_alliance.errors import Unreachable
from fhir_alliance.fhir.identifiers import SCORE_FORM, local
from fhir_alliance.fhir.inbound import Withdrawal
from fhir_alliance.fhir.observation import rests_on, withdrawn
from fhir_alliance.fhir.wire import questionnaire_of
from fhir_alliance.runs.audit import Tell, queried, untold, written
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.decisions import carry_out
from fhir_alliance.runs.given import given
from fhir_alliance.runs.intake import beside as proofs
from fhir_alliance.runs.intake import signed
from fhir_alliance.runs.kept_out import keeper
from fhir_alliance.runs.ladder import Ladder
from fhir_alliance.runs.planning import Page, plan_page
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.programs import labelled
from fhir_alliance.runs.provenance import provenances
from fhir_alliance.runs.reading import Parts, read_page
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.reviews import News, review_tasks
from fhir_alliance.runs.rounds import is_wanted, rounds
from fhir_alliance.runs.safety import SafetyPath
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.turn import Left, Turn
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Page as Portion
from fhir_alliance.stores.store import Store

LOG: Final = logging.getLogger("fhir_alliance.sync")
_NO_SEARCH: Final = "FA409"
_NO_ROUND: Final = "Clients who sent nothing were not looked at: what was left as files cannot be read back."


def sync(
    store: Store, catalog: Catalog, journal: Journal, policy: Policy, now: datetime, *,
    dry_run: bool = False, only: Collection[str] = (), explain: str = "",
    watch: Callable[[int], None] = lambda count: None, stop: Callable[[], bool] = lambda: False, tell: Tell = untold,
) -> Summary:  # fmt: skip
    """Return what was done to bring the store to what it should say.

    stop: asked after each page, which is finished first; what is left is for the next run.

    only: references of the responses to read, where not all that changed are wanted; the bookmark then stays.
    now: aware; the run's clock.  watch: told after each page how many forms were read.
    explain: a client's reference, whose changes are told as a story.
    tell: is told every access to a client's data.  A dry run plans everything, sends nothing and tells nothing.
    """
    summary = Summary(explain)
    tell = untold if dry_run else tell
    desk = Desk(catalog, policy)
    ladder = Ladder(store, journal, policy.delivery, now, dry_run=dry_run)
    with SafetyPath(
        store, journal, policy.safety, summary, now, dry_run=dry_run,
        keeps_out=keeper(store, policy.boundaries, now), programs=policy.part2_programs,
    ) as safety:  # fmt: skip
        safety.deliver()
        safety.watch()
        tell(safety.accesses())
        finder, parts = learn(desk, store), Parts()
        again = {parked.reference for parked in journal.parked()}
        seen: set[str] = set()
        for portion in store.again(only) if only else store.responses(journal.bookmark(), again, journal.seen):
            finder.find(portion)
            reading = read_page(portion, desk, store, now, summary)
            safety.raise_concerns(reading.concerns)
            tell(safety.accesses())
            reading = reading._replace(forms=labelled(reading.forms, store, policy.part2_programs))
            tell(queried(reading.subjects, now))
            seen |= reading.subjects
            parked, left = list(reading.parked), Left(journal, summary, now, dry_run=dry_run)
            for part in parts.of(reading, store):
                record = Record(store, part.subjects, desk.instruments, ladder.carried(part.subjects), part.people)
                parts.learn(record)
                turn = Turn(store, record, journal, summary, now, dry_run, left)
                consents = signed(part.intakes, part.withdrawals, store, policy.intake)
                record.known.by_value |= consents.known
                summary.parked += consents.parked
                parked += consents.parked
                signings = turn.put(consents.writes, beside=partial(proofs, intakes=consents.intakes, now=now))
                tell(written(signings, (), "", now))
                voided = withdraw(part.withdrawals, record, store.base)
                ended = safety.withdraw(part.withdrawals, record)
                plan = plan_page(Page(part.forms, voided, record), store, desk, now, dry_run=dry_run)
                summary.take(plan.summary)
                beside = partial(provenances, cleared=plan.cleared, desk=desk, now=now)
                sent = ladder.put(turn, record, [*plan.writes, *voided, *ended], beside)
                sent += ladder.void(turn, part.withdrawals, desk.instruments.values())
                tell(written(sent, plan.cleared, policy.consent.version, now))
                turn.confirm()
            left.settle(portion, parked, reading.read, reading.places)
            watch(summary.read)
            LOG.info("page", extra={"summary": summary})
            if stop():
                summary.stopped = True
                break
        summary.notes += [f"Forms were found by {store.pulled_by}."] if not only and store.pulled_by else []
        if not summary.stopped:
            look = not only and not ladder.is_blind()
            if is_wanted(policy.rules) and ladder.is_blind():
                summary.notes.append(_NO_ROUND)
            for record, theirs in rounds(store, desk, seen, now, ladder.carried) if look else ():
                tell(queried(set(record.subjects), now))
                due = review_tasks(News((), (), (), record.subjects, theirs), record, desk, now, summary)
                sent = ladder.put(Turn(store, record, journal, summary, now, dry_run), record, due)
                tell(written(sent, (), policy.consent.version, now))
            # last: what people decided can wait for the next run, an answer that is not read yet cannot
            tell(written(carry_out(store, journal, summary, now, dry_run=dry_run), (), "", now))
        if not dry_run:
            store.finish()
    return summary


def learn(desk: Desk, store: Store) -> Finder:
    """Take in the site's own Questionnaires, so that their responses are recognised; return who finds others.

    Where a server does not list them (Oracle takes no search without an id), each is asked for when a form names it.
    """
    try:
        listed = store.canonicals("Questionnaire", ())
    except Unreachable as fault:
        if fault.code != _NO_SEARCH:
            raise
        listed = []
    desk.learn(listed, lambda kind, urls: _terminology(store, kind, urls))
    return Finder(desk, store)


class Finder:
    """Asks the store for the Questionnaires that responses name and nobody knows, each once in a run."""

    def __init__(self, desk: Desk, store: Store) -> None:
        self._desk, self._store = desk, store
        self._asked: set[str] = set()

    def find(self, page: Portion) -> None:
        """Take in the Questionnaires that a page's responses name."""
        named = {questionnaire_of(record.body) for record in page.records} - {"", SCORE_FORM} - self._asked
        unknown = {url for url in named if not self._desk.forms.known.is_known(url)}
        self._asked |= named
        if not unknown:
            return
        store = self._store
        urls = sorted({url.partition("|")[0] for url in unknown})
        found = [form for form in _terminology(store, "Questionnaire", urls) if form.get("url") in urls]
        ids = [local(url, store.base) for url in urls]
        found += _held(store, [name for name in ids if name.startswith("Questionnaire/")])
        self._desk.learn(found, lambda kind, names: _terminology(store, kind, names))


def _held(store: Store, references: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return the Questionnaires at these references, none from a server that does not give them."""
    return given(lambda: store.named("Questionnaire", references) if references else ()) or ()


def _terminology(store: Store, kind: str, urls: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return Questionnaires, ValueSets or CodeSystems by url, none from a server that cannot be searched for them.

    Without them, the forms that need them are parked with the names of their items.
    """
    return given(lambda: store.canonicals(kind, urls)) or ()


def withdraw(withdrawals: Iterable[Withdrawal], record: Record, base: str) -> list[Write]:
    """Return the writes that mark as entered in error whatever rests on a withdrawn form."""
    return [
        withdrawn(observation, withdrawal.key)
        for withdrawal in withdrawals
        for observation in record.observations.values()
        if rests_on(observation, withdrawal.reference, withdrawal.key, base)
    ]
