"""What somebody may see of a client's record, kind by kind, as the consent gate judges it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fhir_alliance.core.consent import ConsentPolicy, ConsentRecord, Datum, Verdict, judge


class Viewer(msgspec.Struct, frozen=True):
    """Somebody who looks at one client's record for the policy's purpose, with the client's Consents at that moment."""

    subject: str
    consents: Sequence[ConsentRecord]
    policy: ConsentPolicy
    now: datetime

    def objections(self, datum: Datum) -> tuple[str, ...]:
        """Return why a kind of record may not be seen; empty where it may.

        The order of combination is that of `core.consent.gate`, which clears forms and nothing else: any deny, then
        anything that cannot be evaluated, then a permit, then the site's default. A test holds the two together.
        """
        said = [(c, judge(c, self.subject, self.policy.purpose, datum, self.now)) for c in self.consents]
        for bad, words in ((Verdict.DENY, "forbids it"), (Verdict.UNDECIDED, "cannot be evaluated")):
            reasons = tuple(f"{consent.reference} {words}" for consent, verdict in said if verdict is bad)
            if reasons:
                return reasons
        if self.policy.default_permit or any(verdict is Verdict.PERMIT for _, verdict in said):
            return ()
        return ("no consent on record speaks to it, and the site asks for one",)
