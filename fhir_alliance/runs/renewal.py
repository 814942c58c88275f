"""The story of renewing consent: whose Consent runs out, who was asked already, what to ask now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from fhir_alliance.core.consent import ConsentRecord
from fhir_alliance.core.deceased import has_died
from fhir_alliance.core.model import Write
from fhir_alliance.core.renewal import RenewalStatus, plan_renewals
from fhir_alliance.fhir.difference import Known, difference
from fhir_alliance.fhir.elements import is_shaped
from fhir_alliance.fhir.renewal import (
    OPEN,
    RENEW_CONSENT,
    closed_renewal,
    new_renewal,
    read_renewal,
    renewal_identifier,
)
from fhir_alliance.runs.audit import Tell, queried, untold, written
from fhir_alliance.runs.merged import people_of
from fhir_alliance.runs.record import relied_on
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.turn import Post
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Store

CLIENTS_AT_ONCE: Final = 200


def renew(
    store: Store, journal: Journal, days_before: int, now: datetime, *, dry_run: bool = False, tell: Tell = untold
) -> Summary:
    """Return what was done so that every Consent that runs out is asked for anew; a second time nothing is.

    days_before: of a Consent's end, from when on a Task asks for a new one.  now: aware.
    tell: is told every access to a client's data.
    """
    summary = Summary()
    post = Post(store, journal, summary, dry_run)
    tell = untold if dry_run else tell
    consents: dict[str, list[ConsentRecord]] = {}
    for resource in store.active("Consent"):
        record = relied_on(resource, store.base)
        consents.setdefault(record.subject, []).append(record)
    asked = [read_renewal(task, store.base) for task in store.tasks(RENEW_CONSENT, sorted(OPEN))]
    clients = sorted({*consents, *(renewal.subject for renewal in asked)} - {""})
    for start in range(0, len(clients), CLIENTS_AT_ONCE):
        page = clients[start : start + CLIENTS_AT_ONCE]
        tell(queried(page, now))
        known, writes = _planned(page, consents, store, days_before, now)
        changes, _ = difference(writes, known)
        became = post.send(changes, known, {write.value for write in writes})
        tell(written(changes, (), "", now))
        summary.refused += became.refused
    if not dry_run:
        store.finish()
    return summary


def _planned(
    clients: Sequence[str], consents: Mapping[str, Sequence[ConsentRecord]], store: Store, days_before: int,
    now: datetime,
) -> tuple[Known, list[Write]]:  # fmt: skip
    """Return the requests that stand for these clients, and the writes that bring them to what they should say."""
    held = [task for task in store.about("Task", clients) if is_shaped(task) and renewal_identifier(task)]
    tasks = {renewal_identifier(task): task for task in held}
    standing = [read_renewal(task, store.base) for task in tasks.values()]
    deaths, writes = people_of(store, clients).deaths, list[Write]()
    for client in clients:
        own = [renewal for renewal in standing if renewal.subject == client]
        died = client in deaths and has_died(deaths[client], now)
        for renewal in plan_renewals(consents.get(client, ()), own, now, days_before, has_died=died):
            is_new = renewal.status is RenewalStatus.OPEN
            writes.append(new_renewal(renewal, now) if is_new else closed_renewal(tasks[renewal.key], renewal, now))
    return Known(tasks.values()), writes
