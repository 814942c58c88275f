"""The story of ordering: who is in care, what they were asked and have answered, what to ask now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import orjson

from fhir_alliance.core.deceased import has_died
from fhir_alliance.core.model import FormStatus, Response, Write
from fhir_alliance.core.ordering import Answered, Cadence, Client, Request, plan_requests
from fhir_alliance.fhir.difference import Known, difference
from fhir_alliance.fhir.inbound import Forms
from fhir_alliance.fhir.request import (
    changed_request,
    clients_of,
    new_request,
    read_request,
    request_identifier,
    wish_for_fewer,
)
from fhir_alliance.runs.audit import Tell, queried, untold, written
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.merged import people_of
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.turn import Post
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Store

CLIENTS_AT_ONCE = 200


def order(
    store: Store, catalog: Catalog, journal: Journal, cadences: Sequence[Cadence], now: datetime, *,
    dry_run: bool = False, tell: Tell = untold,
) -> Summary:  # fmt: skip
    """Return what was done so that every client in care is asked for the forms that are due; a second time nothing is.

    cadences: of the clinic.  now: aware.  tell: is told every access to a client's data.
    """
    summary = Summary()
    post = Post(store, journal, summary, dry_run)
    tell = untold if dry_run else tell
    forms = Forms(catalog.instruments, catalog.questionnaires)
    canonicals = {name: f"{i.url}|{i.version}" for name, i in catalog.instruments.items()}
    urls = {instrument.url: name for name, instrument in catalog.instruments.items()}
    named = _with_plans(cadences, clients := _clients(store, urls))
    for start in range(0, len(clients), CLIENTS_AT_ONCE):
        page = clients[start : start + CLIENTS_AT_ONCE]
        subjects = [client.subject for client in page]
        tell(queried(subjects, now))
        died = {subject for subject, death in people_of(store, subjects).deaths.items() if has_died(death, now)}
        summary.deceased |= died
        quiet = wish_for_fewer(store.about("Flag", subjects), store.base)
        tasks = {request_identifier(t): t for t in store.about("Task", subjects) if request_identifier(t)}
        requests = [r for t in tasks.values() if (r := read_request(t, urls, store.base)) is not None]
        answers = _answers(store, forms, subjects, now)
        writes: list[Write] = []
        for client in page:
            mine = [request for request in requests if request.subject == client.subject]
            client = msgspec.structs.replace(client, paused=client.subject in quiet, has_died=client.subject in died)
            plans = plan_requests(client, named, canonicals, mine, answers.get(client.subject, ()), now)
            writes += [_write(request, tasks, now) for request in plans]
            changed = {request.key for request in plans}
            summary.unchanged["Task"] += sum(request.key not in changed for request in mine)
        changes, _ = difference(writes, Known(tasks.values()))
        became = post.send(changes, Known(tasks.values()), {write.value for write in writes})
        tell(written(changes, (), "", now))
        summary.refused += became.refused
    if not dry_run:
        store.finish()
    return summary


def _clients(store: Store, urls: Mapping[str, str]) -> list[Client]:
    return clients_of(store.active("EpisodeOfCare"), store.active("CarePlan"), urls, store.base)


def _with_plans(cadences: Sequence[Cadence], clients: Sequence[Client]) -> list[Cadence]:
    """Return the clinic's cadences, and one for each form that only care plans ask for: off for everybody else."""
    mine = {cadence.instrument for cadence in cadences}
    others = sorted({name for client in clients for name in client.own} - mine)
    return [*cadences, *(Cadence(name, 0) for name in others)]


def _answers(store: Store, forms: Forms, subjects: Sequence[str], now: datetime) -> dict[str, list[Answered]]:
    """Return the clients' finished forms, by client."""
    found: dict[str, list[Answered]] = {}
    for resource in store.about("QuestionnaireResponse", subjects):
        form = forms.read(orjson.dumps(resource), now, store.base)
        if isinstance(form, Response) and form.status in (FormStatus.COMPLETED, FormStatus.AMENDED):
            found.setdefault(form.subject, []).append(Answered(form.reference, form.instrument, form.when))
    return found


def _write(request: Request, tasks: Mapping[str, Mapping[str, Any]], now: datetime) -> Write:
    return changed_request(tasks[request.key], request, now) if request.stored else new_request(request)
