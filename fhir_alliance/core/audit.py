"""What is kept of every access to a client's data: who, when, what, why, on what ground. Never an answer or a score."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec


class Action(StrEnum):
    """What was done. The words are those of FHIR's interactions; a disclosure hands data to somebody outside."""

    QUERY = "query"
    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DISCLOSE = "disclose"


class Ground(msgspec.Struct, frozen=True):
    """The consent decision behind an access.

    consents: references with their versions.  policy: the version of the site's default table.
    reasons: sentences without clinical content.
    """

    permitted: bool = True
    consents: tuple[str, ...] = ()
    policy: str = ""
    reasons: tuple[str, ...] = ()


class Access(msgspec.Struct, frozen=True):
    """One access to the data of one client, or to what is about nobody (subject empty).

    what: references (`Type/id`), or of a query the resource types.
    purpose: a code of v3-ActReason.  recipient: the reference of the person or organization that got to see it; empty
    for this program itself.  role: in which role they did, in the site's words.
    """

    action: Action
    subject: str
    when: datetime
    what: tuple[str, ...]
    purpose: str = "TREAT"
    recipient: str = ""
    role: str = ""
    ground: Ground = Ground()


def accounting(accesses: Iterable[Access], subject: str) -> list[Access]:
    """Return what a client may ask for: every time that somebody was shown or given their data, the oldest first.

    A supervisor's look counts as a payer's report does. What the program read and wrote by itself was shown to nobody,
    and what was refused went nowhere; neither is in it.
    """
    seen = [a for a in accesses if a.subject == subject and a.recipient and a.ground.permitted]
    shown = [a for a in seen if a.action in (Action.READ, Action.DISCLOSE)]
    return sorted(shown, key=lambda access: (access.when, access.recipient, access.what))
