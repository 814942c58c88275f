"""Whether a client's own Consent keeps one person out: it denies to them what it does not deny to everybody."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from fhir_alliance.core.boundaries import Identity
from fhir_alliance.core.consent_request import Action, Datum, Recipient, Request, Role
from fhir_alliance.core.consent_rules import ConsentRecord, Verdict, judge
from fhir_alliance.core.purposes import TREAT

_REVIEW: Final = Datum(frozenset({"QuestionnaireResponse", "Observation", "Task"}), frozenset())
_SOMEBODY: Final = Recipient(frozenset({"Practitioner/-"}), roles=frozenset({Role.TREATING}), is_known=True)


def is_denied_by_name(consents: Iterable[ConsentRecord], who: Identity, client: str, now: datetime) -> bool:
    """Return whether one of the client's Consents denies treatment to somebody in particular.

    A denial to everybody is no such thing: it names nobody. Nor is one that is about single codes or forms only.
    """
    them = Recipient(who.references, who.organizations, frozenset({Role.TREATING}), is_known=True)
    return any(_denies(c, them, client, now) and not _denies(c, _SOMEBODY, client, now) for c in consents)


def _denies(record: ConsentRecord, recipient: Recipient, client: str, now: datetime) -> bool:
    request = Request(client, Action.ACCESS, recipient, TREAT, _REVIEW)
    return judge(record, request, now).verdict is Verdict.DENY
