"""Informed consent as a form: what was chosen, and whether whoever signed may decide."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Final

import msgspec


class Choice(msgspec.Struct, frozen=True):
    """One purpose that the form asks about. recipient: a reference, or "" for whoever has the role."""

    purpose: str
    permitted: bool
    role: str
    recipient: str = ""


class Intake(msgspec.Struct, frozen=True):
    """One answered form.

    key: of the form, the same over its versions.  signer: the reference of who answered.
    until: the last day, None for until changed.  is_read: whether the text was confirmed as read.
    """

    key: str
    reference: str
    version: str
    subject: str
    signer: str
    authored: str
    when: datetime
    choices: tuple[Choice, ...]
    until: date | None = None
    is_read: bool = False


class Signer(StrEnum):
    """Who a signer is to the client."""

    CLIENT = "client"
    GUARDIAN = "guardian"
    OTHER = "other"


class SignerPolicy(msgspec.Struct, frozen=True):
    """Who may decide, by the site's law. Everybody else may not.

    adult_at: age in years from which a client decides alone.  guardians: whether a parent or guardian decides for one
    who is younger.  proxies: whether one may for an adult.
    """

    adult_at: int = 18
    guardians: bool = False
    proxies: bool = False


NOT_READ: Final = "the text was not confirmed as read"
NOBODY: Final = "it does not say who answered"
AGE_UNKNOWN: Final = "the client's date of birth is not known, so nobody can tell whether they decide alone"
MINOR: Final = "the client is younger than the age at which this site lets them decide alone"
NOT_FOR_ADULT: Final = "somebody else answered for an adult, which this site does not allow"
NOT_GUARDIAN: Final = "whoever answered is no parent or guardian of the client in the record"


def objection(intake: Intake, signer: Signer, born: date | None, policy: SignerPolicy) -> str:
    """Return why a form is no consent, or "" where it is one. born: None where it is not known to the day."""
    if not intake.is_read:
        return NOT_READ
    if not intake.signer:
        return NOBODY
    if born is None:
        return AGE_UNKNOWN
    is_adult = _years(born, intake.when.date()) >= policy.adult_at
    if signer is Signer.CLIENT:
        return "" if is_adult else MINOR
    if is_adult and not policy.proxies:
        return NOT_FOR_ADULT
    if not is_adult and not policy.guardians:
        return MINOR
    return "" if signer is Signer.GUARDIAN else NOT_GUARDIAN


def _years(born: date, on: date) -> int:
    """Return the age in whole years on a day."""
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))
