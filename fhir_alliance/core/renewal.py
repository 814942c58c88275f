"""Consents that run out: when a person has to ask for a new one, and when nobody has to any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from fhir_alliance.core.consent import ConsentRecord
from fhir_alliance.core.keys import derived

_PERMIT: Final = "permit"
_ANY: Final = "*"


class RenewalStatus(StrEnum):
    """Open: somebody is asked. Closed: a Consent stands again, or the old one was ended. Left: as people left it."""

    OPEN = "open"
    CLOSED = "closed"
    LEFT = "left"


class Renewal(msgspec.Struct, frozen=True):
    """A Consent that runs out, and the request to renew it.

    key: from client, Consent and its end: once per Consent and term.  consent: reference without a version.
    ends: the Consent's last moment.  stored: the Task's id, empty when it is new.
    """

    key: str
    subject: str
    consent: str
    ends: datetime
    status: RenewalStatus = RenewalStatus.OPEN
    stored: str = ""


def plan_renewals(
    consents: Sequence[ConsentRecord], standing: Iterable[Renewal], now: datetime, days_before: int, *,
    has_died: bool = False,
) -> list[Renewal]:  # fmt: skip
    """Return the requests of one client that have to be opened or closed.

    consents: all of the client's.  standing: the requests that the store holds.  days_before: of the end, from when on
    somebody is asked.  has_died: the client, who cannot be asked any more.
    """
    due = {} if has_died else {renewal.key: renewal for renewal in _due(consents, now, days_before)}
    held = {renewal.key: renewal for renewal in standing}
    opened = [renewal for key, renewal in due.items() if key not in held]
    open_ones = [renewal for renewal in held.values() if renewal.status is RenewalStatus.OPEN]
    closed = [msgspec.structs.replace(r, status=RenewalStatus.CLOSED) for r in open_ones if r.key not in due]
    return [*opened, *closed]


def _due(consents: Sequence[ConsentRecord], now: datetime, days_before: int) -> Iterable[Renewal]:
    permits = [consent for consent in consents if _permits(consent)]
    for consent in permits:
        ends = consent.root.ends
        if ends is None or ends - timedelta(days=days_before) > now:
            continue
        if any(_replaces(other, consent, now) for other in permits if other is not consent):
            continue
        reference = consent.reference.partition("/_history/")[0]
        key = derived("renewal", consent.subject, reference, ends.isoformat())
        yield Renewal(key, consent.subject, reference, ends)


def _permits(consent: ConsentRecord) -> bool:
    """Return whether a Consent that stands, or stood until it ran out, permits anything at all."""
    if consent.unreadable or consent.status != "active" or consent.scope != "patient-privacy":
        return False
    nested = any(rule.type == _PERMIT for rule in consent.root.provisions)
    return nested or (consent.root.type or consent.base) == _PERMIT


def _replaces(other: ConsentRecord, consent: ConsentRecord, now: datetime) -> bool:
    """Return whether another Consent goes on where this one ends: it is in force, lasts longer, and is as wide.

    As wide: it names no purpose, or all that this one names. What it says of recipients is for the person who renews.
    """
    mine, theirs = consent.root, other.root
    starts = theirs.starts or other.given
    lasts = theirs.ends is None or (mine.ends is not None and theirs.ends > mine.ends)
    begun = starts is None or starts <= max(now, mine.ends or now)
    wide = _purposes(other)
    return lasts and begun and (_ANY in wide or _purposes(consent) <= wide)


def _purposes(consent: ConsentRecord) -> frozenset[str]:
    """Return the purposes that a Consent permits, or that it permits any."""
    root = consent.root
    permits = [rule.purposes for rule in root.provisions if rule.type == _PERMIT]
    if (root.type or consent.base) == _PERMIT:
        permits.append(root.purposes)
    return frozenset(purpose for purposes in permits for purpose in purposes or (_ANY,))
