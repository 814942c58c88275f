"""A caseload as a FHIR List: the clients whom somebody should look at, safety answers first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from fhir_alliance.core.measures.supervision import CaseRow
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.elements import software
from fhir_alliance.fhir.measure_report import derived_id


def case_list(rows: Iterable[CaseRow], day: date) -> dict[str, Any]:
    """Return the List as of a day; each entry's flags say why, and no entry says how a client is."""
    entries = [_entry(row) for row in rows if row.needs_a_look]
    resource: dict[str, Any] = {
        "resourceType": "List",
        "id": derived_id("caseload", day.isoformat()),
        "status": "current",
        "mode": "snapshot",
        "title": "Caseload: clients to look at",
        "date": day.isoformat(),
        "source": software(),
    }
    if entries:
        resource["entry"] = entries
    else:
        # no code of FHIR's fits: "nilknown" would be a clinician's judgement that there is nothing
        resource["emptyReason"] = {"text": "Nothing is open in the record. This is no all-clear."}
    return resource


def _entry(row: CaseRow) -> dict[str, Any]:
    reasons = (
        (bool(row.unreviewed_safety), "unreviewed-safety"),
        (bool(row.off_track), "not-on-track"),
        (bool(row.overdue), "review-overdue"),
        (row.is_missing, "measure-missing"),
    )
    flags = [{"system": ids.TERMS, "code": code} for is_so, code in reasons if is_so]
    return {"flag": {"coding": flags}, "item": {"reference": row.subject}}
