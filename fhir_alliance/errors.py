"""Errors, classed by what the reader has to do next.

Every error has a stable code (``FA203``), a sentence on what happened and where,
and a hint on what to do. None carries patient data, answers or tokens.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit status of the command line; the numbers are a contract."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    CONFIGURATION = 10
    AUTHORISATION = 11
    UNREACHABLE = 12
    PARKED = 20
    UNKNOWN = 21
    REFUSED = 22
    CONSENT_UNREACHABLE = 23
    SAFETY_WAITING = 24
    AUDIT_BROKEN = 25
    DENIED = 26
    LATER = 75


class AllianceError(Exception):
    """The root of all errors raised on purpose.

    code: stable, never reused.  message: what and where.  hint: what to do next.
    """

    exit = Exit.INTERNAL

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{code} {message}" + (f" {hint}" if hint else ""))
        self.code = code
        self.message = message
        self.hint = hint


class StopRun(AllianceError):
    """A person must change something (configuration, credentials, an instrument) before a new run."""

    exit = Exit.CONFIGURATION


class AccessDenied(StopRun):
    """The server does not accept who we are, or what we may do."""

    exit = Exit.AUTHORISATION


class ServerRefuses(StopRun):
    """The server cannot take what the command has to write."""

    exit = Exit.REFUSED


class AuditBroken(StopRun):
    """The audit file is not as this program wrote it."""

    exit = Exit.AUDIT_BROKEN


class ConsentRefuses(StopRun):
    """Consent does not allow what was asked for; nothing was shared."""

    exit = Exit.DENIED


class RetryLater(AllianceError):
    """Nothing is wrong here: the same command may succeed later."""

    exit = Exit.LATER


class Unreachable(RetryLater):
    """The server did not answer, or not in FHIR."""

    exit = Exit.UNREACHABLE


class ConsentUnreachable(RetryLater):
    """Consents could not be read, so nothing was shared."""

    exit = Exit.CONSENT_UNREACHABLE


class SafetyWaiting(RetryLater):
    """The run was stopped, and answers that a clinician has to see wait in the local outbox."""

    exit = Exit.SAFETY_WAITING


class ParkItem(AllianceError):
    """One record cannot be used. It is kept with its reason; the rest goes on."""

    exit = Exit.PARKED
