"""What may go to somebody outside: scores that consent lets through, group by group, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fhir_alliance.core.consent import Decision, Obligation
from fhir_alliance.core.labels import OUTSIDE, PART_2, Ceiling, lifted


class Judged(msgspec.Struct, frozen=True):
    """One group of scores (of one instrument, with the same labels) and the decision about it.

    title: of the instrument.  names: of the scores, as `Observation/ID`.
    """

    title: str
    labels: tuple[str, ...]
    names: tuple[str, ...]
    decision: Decision


class Disclosure(msgspec.Struct, frozen=True):
    """What was decided about one client's scores and one recipient.

    given, withheld: groups that may go, and that may not.  silenced: scores that may go by consent, but are labelled
    above what anything that leaves may carry.
    """

    subject: str
    recipient: str
    purpose: str
    given: tuple[Judged, ...]
    withheld: tuple[Judged, ...]
    silenced: int = 0

    @property
    def consents(self) -> tuple[str, ...]:
        """The Consents that permit what goes, with their versions."""
        return tuple(dict.fromkeys(consent for group in self.given for consent in group.decision.consents))

    @property
    def needs_notice(self) -> bool:
        """Whether the notice against redisclosure goes with it."""
        return any(Obligation.NOTICE in group.decision.obligations or PART_2 in group.labels for group in self.given)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, in sentences without clinical content: of what goes, else of what does not."""
        groups = self.given or self.withheld
        return tuple(dict.fromkeys(reason for group in groups for reason in group.decision.reasons))

    @property
    def left_out(self) -> int:
        """How many scores the recipient does not get."""
        return sum(len(group.names) for group in self.withheld) + self.silenced


def ceiling_of(group: Judged) -> Ceiling:
    """Return what a permitted group may carry: Part 2 data only where they were decided about as such."""
    return lifted(OUTSIDE, PART_2) if PART_2 in group.labels else OUTSIDE


def scope_text(disclosure: Disclosure, when: str) -> str:
    """Return the explanation that travels along: what was given to whom, what for, and on what ground.

    when: the moment, as it should stand there.
    """
    lines = [
        "What this is, and on what ground",
        "",
        f"For: {disclosure.recipient}",
        f"Purpose (HL7 v3-ActReason): {disclosure.purpose}",
        f"Given on: {when}",
        "What: the score, its date and its published band; no answers, no remarks, nothing that was said.",
        "",
    ]
    for group in disclosure.given:
        lines.append(f"{group.title}: {len(group.names)} scores, labelled {', '.join(group.labels)}.")
        lines += [f"  {reason}" for reason in group.decision.reasons]
    if disclosure.left_out:
        lines += ["", "This is not everything: other data exist that may not be given for this purpose."]
    consents = disclosure.consents
    lines += ["", f"Consents: {', '.join(consents)}. Copies stand in the bundle." if consents else _NO_CONSENT]
    return "\n".join([*lines, "Consent may be revoked; then nothing more is given. It does not reach back.", ""])


def titles(groups: Iterable[Judged]) -> tuple[str, ...]:
    """Return the titles of groups, each once."""
    return tuple(dict.fromkeys(group.title for group in groups))


_NO_CONSENT = "Consents: none was needed; the site's table of defaults permits it, as said above."
