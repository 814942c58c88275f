"""What somebody may see of a client's record, kind by kind, as the consent gate judges it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fhir_alliance.core.consent import Action, ConsentPolicy, ConsentRecord, Datum, Request
from fhir_alliance.core.ways_out import Grounds, Refused, ViewPass, to_clinic


class Viewer(msgspec.Struct, frozen=True):
    """Somebody who looks at one client's record for the policy's purpose, with the client's Consents at that moment."""

    subject: str
    consents: Sequence[ConsentRecord]
    policy: ConsentPolicy
    now: datetime

    def let_see(self, datum: Datum) -> ViewPass | Refused:
        """Return what lets a kind of record be seen, or why it may not be."""
        policy = self.policy
        request = Request(self.subject, Action.ACCESS, policy.recipient, policy.purpose, datum)
        return to_clinic(request, Grounds(self.consents, policy.defaults, self.now))

    def objections(self, datum: Datum) -> tuple[str, ...]:
        """Return why a kind of record may not be seen; empty where it may."""
        return objections_of(self.let_see(datum))


def objections_of(answer: ViewPass | Refused) -> tuple[str, ...]:
    """Return why something may not be seen; empty where it may."""
    return answer.decision.reasons if isinstance(answer, Refused) else ()
