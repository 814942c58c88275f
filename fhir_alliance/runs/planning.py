"""What a page of forms brings: planned on the clients' consents, and once more on fresh ones before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from fhir_alliance.core.model import Cleared, Response, Write
from fhir_alliance.runs.gating import asked, gate_all, score_all
from fhir_alliance.runs.record import Consents, Record
from fhir_alliance.runs.reviews import News, review_tasks
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.store import Store


class Page(NamedTuple):
    """Forms to be scored, what of their clients is made void meanwhile, and what the store holds about them."""

    forms: Sequence[Response]
    voided: Sequence[Write]
    record: Record


class Plan(NamedTuple):
    """What a page brings. summary: its counts alone; nothing is sent yet."""

    cleared: list[Cleared]
    writes: list[Write]
    summary: Summary


def plan_page(page: Page, store: Store, desk: Desk, now: datetime, *, dry_run: bool) -> Plan:
    """Return what may be sent of a page, with the consents as they are right before it is.

    Planning takes a while, and a client may withdraw a consent in that time: the consents are read once more, and where
    any has changed, all of it is planned anew. A dry run sends nothing and asks once.
    Raises ConsentUnreachable FA302-FA304 where they cannot be read, also the second time: then nothing is sent.
    """
    consents = asked(page.forms, store, page.record.families)
    plan = _planned(page, consents, desk, now)
    if dry_run or not plan.cleared:
        return plan
    fresh = asked(page.forms, store, page.record.families)
    return plan if fresh == consents else _planned(page, fresh, desk, now)


def _planned(page: Page, consents: Consents, desk: Desk, now: datetime) -> Plan:
    summary = Summary()
    passed = gate_all(page.forms, consents, desk, now)
    scored = score_all(passed, desk, summary)
    news = News(passed.cleared, scored.scores, page.voided, (), consents)
    tasks = review_tasks(news, page.record, desk, now, summary)
    return Plan(passed.cleared, [*scored.writes, *tasks], summary)
