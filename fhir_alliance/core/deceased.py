"""A client who has died: nothing more is asked of them and no goal is reviewed, and nothing of theirs is given away.

What they told stands: forms that come are scored as consent says, and an answer about safety is looked at as ever. The
form may be older than the death, a death by suicide has to be looked into, and the record may be wrong. HIPAA protects
the record for 50 years after (45 CFR 160.103, 164.502(f)); who may have it then is for a personal representative and
the law of the place (164.502(g)(4)), and no Consent on record can say that.
"""

from __future__ import annotations

from datetime import datetime

from fhir_alliance.core.consent_request import Action
from fhir_alliance.core.measures.people import Death


def has_died(death: Death, now: datetime) -> bool:
    """Return whether a client is dead. now: aware; a date that lies ahead is a slip, and counts for nothing."""
    return death.happened and (death.when is None or death.when.first <= now)


def death_bars(death: Death, action: Action, now: datetime, *, gives: bool) -> tuple[str, ...]:
    """Return, as sentences, what a death forbids: to give anything to others. gives: the site's choice."""
    is_barred = action is Action.DISCLOSE and not gives and has_died(death, now)
    return ("The client has died; who may have the record now is decided by a person.",) if is_barred else ()
