"""What somebody may see of a client's record, kind by kind, as the consent gate judges it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fhir_alliance.core.consent import Action, ConsentPolicy, ConsentRecord, Datum, Request, decide


class Viewer(msgspec.Struct, frozen=True):
    """Somebody who looks at one client's record for the policy's purpose, with the client's Consents at that moment."""

    subject: str
    consents: Sequence[ConsentRecord]
    policy: ConsentPolicy
    now: datetime

    def objections(self, datum: Datum) -> tuple[str, ...]:
        """Return why a kind of record may not be seen; empty where it may."""
        policy = self.policy
        request = Request(self.subject, Action.ACCESS, policy.recipient, policy.purpose, datum)
        decision = decide(request, self.consents, policy.defaults, self.now)
        return () if decision.permitted else decision.reasons
