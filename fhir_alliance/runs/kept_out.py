"""Who is kept from a client's data: by the site's list or the client's own Consent, in any of the client's records."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from fhir_alliance.core.boundaries import Boundaries
from fhir_alliance.core.consent_rules import ConsentRecord
from fhir_alliance.core.exclusion import is_denied_by_name
from fhir_alliance.core.safety_reviews import KeepsOut
from fhir_alliance.errors import AccessDenied, ConsentUnreachable, Unreachable
from fhir_alliance.runs.merged import Kindred, families_of
from fhir_alliance.runs.record import consents_of
from fhir_alliance.stores.store import Store

_ALONE = Kindred("", frozenset())


def is_kept_out(
    who: str, client: str, boundaries: Boundaries, family: Kindred, consents: Sequence[ConsentRecord], now: datetime
) -> bool:
    """Return whether somebody is kept from a client's data. family, consents: the client's."""
    own = boundaries.of_person(family.ids)
    return own.is_excluded(who, client) or is_denied_by_name(consents, own.names_of(who), client, now)


def keeper(store: Store, boundaries: Boundaries, now: datetime) -> KeepsOut:
    """Return what tells it for the safety path, which waits for nothing: Consents that cannot be read say nothing.

    Raises Unreachable FA402 where the store does not answer.
    """
    known: dict[str, tuple[Kindred, list[ConsentRecord]]] = {}

    def keeps_out(who: str, client: str) -> bool:
        if client not in known:
            families = families_of(store, {client})
            known[client] = (families.get(client, _ALONE), [])
            with suppress(ConsentUnreachable, AccessDenied, Unreachable):
                known[client] = (known[client][0], consents_of(store, {client}, families).get(client, []))
        return is_kept_out(who, client, boundaries, *known[client], now)

    return keeps_out
