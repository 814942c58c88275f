"""What a server means by an answer: its OperationOutcome first, its HTTP status after.

A vendor's own codes say more than the status: Epic answers 400 both for a broken Observation and for a flowsheet that
the site has not set up, and only the second is nobody's mistake here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import orjson


class Meaning(StrEnum):
    """What follows from an answer."""

    DONE = "done"
    AGAIN = "again"  # the same request may succeed later
    SITE = "site"  # the site has to set something up first; never tried again by itself
    UNSUPPORTED = "unsupported"  # the server does not do this at all
    ACCESS = "access"  # who we are, or what we may do
    RESTRICTED = "restricted"  # this patient's record is closed to us
    DUPLICATE = "duplicate"  # it stands there already
    CONFLICT = "conflict"  # somebody changed it in the meantime, or several match
    GONE = "gone"  # not there, or no longer
    TOO_LARGE = "too large"
    RECORD = "record"  # this resource is not taken as it is
    FAULT = "fault"  # the server failed


# Epic on FHIR, Specifications, error codes (fhir.epic.com/Specifications), as of May 2026.
_EPIC: Final[Mapping[str, Meaning]] = {
    "59187": Meaning.SITE,  # the patient has no flowsheet for patient-entered data
    "59188": Meaning.SITE,  # no single flowsheet row stands for the codes
    "59189": Meaning.SITE,  # the reading could not be filed
    "40000": Meaning.SITE,  # the customer has no mapping table
    "59141": Meaning.DUPLICATE,
    "59144": Meaning.RECORD,  # a reference was not found
    "59159": Meaning.RECORD,  # a business rule
    "59105": Meaning.RECORD,
    "59108": Meaning.RECORD,
    "59111": Meaning.RECORD,
    "4118": Meaning.ACCESS,
    "4130": Meaning.RESTRICTED,  # break-the-glass
    "4131": Meaning.RESTRICTED,
    "4113": Meaning.GONE,  # the paging session has expired: search again from the start
    "4103": Meaning.GONE,
}
# FHIR R4 IssueType (hl7.org/fhir/R4/valueset-issue-type.html), where it says more than the status does.
_ISSUE_TYPES: Final[Mapping[str, Meaning]] = {
    "throttled": Meaning.AGAIN,
    "lock-error": Meaning.AGAIN,
    "timeout": Meaning.AGAIN,
    "duplicate": Meaning.DUPLICATE,
    "not-supported": Meaning.UNSUPPORTED,
    "too-costly": Meaning.TOO_LARGE,
    "multiple-matches": Meaning.CONFLICT,
}
_STATUS: Final[Mapping[int, Meaning]] = {
    401: Meaning.ACCESS,
    403: Meaning.ACCESS,
    404: Meaning.GONE,
    405: Meaning.UNSUPPORTED,
    408: Meaning.AGAIN,
    409: Meaning.CONFLICT,
    410: Meaning.GONE,
    412: Meaning.CONFLICT,
    413: Meaning.TOO_LARGE,
    429: Meaning.AGAIN,
    501: Meaning.UNSUPPORTED,
    502: Meaning.AGAIN,
    503: Meaning.AGAIN,
    504: Meaning.AGAIN,
}


def meaning_of(status: int, body: bytes) -> Meaning:
    """Return what an answer means for us. status: HTTP.  body: an OperationOutcome, or anything else."""
    if 200 <= status < 400:
        return Meaning.DONE
    return _said(issues_of(body)) or _by_status(status)


def issues_of(body: bytes | Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each issue's type and its vendor's own code ("" where none); empty for what is no OperationOutcome."""
    try:
        outcome = orjson.loads(body) if isinstance(body, bytes) else body
        return [(_text(issue.get("code")), _own_code(issue)) for issue in outcome.get("issue") or ()]
    except (ValueError, AttributeError, TypeError):
        return []


def _said(issues: list[tuple[str, str]]) -> Meaning | None:
    own = [_EPIC[code] for _, code in issues if code in _EPIC]
    typed = [_ISSUE_TYPES[kind] for kind, _ in issues if kind in _ISSUE_TYPES]
    return next(iter(own or typed), None)


def _by_status(status: int) -> Meaning:
    return _STATUS.get(status, Meaning.FAULT if status >= 500 else Meaning.RECORD)


def _own_code(issue: Mapping[str, Any]) -> str:
    details = issue.get("details")
    codings = details.get("coding") if isinstance(details, dict) else None
    found = [_text(coding.get("code")) for coding in codings or () if isinstance(coding, dict)]
    return next((code for code in found if code), "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
