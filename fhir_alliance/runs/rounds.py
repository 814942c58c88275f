"""The round at the end of a sync: clients in care from whom nothing came are looked at by the calendar alone.

Somebody who stops coming sends no form, and no page of forms would ever bring them up. The round is made only where the
site has chosen a rule that needs it: it reads the charts of all clients in care.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from fhir_alliance.core.consent_request import Datum
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.errors import AccessDenied
from fhir_alliance.fhir.request import clients_of
from fhir_alliance.runs.record import Consents, Record, consents_of
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.viewer import Viewer
from fhir_alliance.stores.store import Store

CLIENTS_AT_ONCE: Final = 200
Carried: TypeAlias = Callable[[Collection[str]], Collection[Mapping[str, Any]]]
_REVIEW: Final = Datum(frozenset({"Task"}), frozenset())


def is_wanted(rules: RuleSettings) -> bool:
    """Return whether a rule is on that only a look at everybody in care can answer."""
    return bool(rules.missed_sessions or rules.silent_days or rules.review_every_days)


def rounds(
    store: Store,
    desk: Desk,
    seen: Collection[str],
    now: datetime,
    carried: Carried = lambda subjects: (),
) -> Iterator[tuple[Record, Consents]]:
    """Yield the charts of clients in care who were not seen in this run, as far as their Consents let us, with these.

    carried: gives the scores of some clients that stand in documents.

    In care: an active episode of care or care plan.  Raises ConsentUnreachable where Consents cannot be read.
    """
    if not is_wanted(desk.policy.rules):
        return
    clients = clients_of(_active(store, "EpisodeOfCare"), _active(store, "CarePlan"), {}, store.base)
    waiting = sorted({client.subject for client in clients} - set(seen))
    for start in range(0, len(waiting), CLIENTS_AT_ONCE):
        subjects = waiting[start : start + CLIENTS_AT_ONCE]
        consents = consents_of(store, set(subjects))
        viewers = (Viewer(s, consents.get(s, ()), desk.policy.consent, now) for s in subjects)
        allowed = [viewer.subject for viewer in viewers if not viewer.objections(_REVIEW)]
        if allowed:
            yield Record(store, allowed, desk.instruments, carried(allowed)), consents


def _active(store: Store, kind: str) -> list[Mapping[str, Any]]:
    """Return what is active, nothing where we may not read it: the other kind can still tell who is in care."""
    try:
        return store.active(kind)
    except AccessDenied:
        return []
