"""What supervisors asked for, on disk: pages, tables, and FHIR where there is a shape for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import orjson

from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.supervision import Assessment, CaseRow
from fhir_alliance.core.measures.therapists import Estimates
from fhir_alliance.fhir.case_list import case_list
from fhir_alliance.runs.supervision import Evidence
from fhir_alliance.stores.files import new_file, new_folder
from fhir_alliance.views.csv_text import csv_text, for_people
from fhir_alliance.views.supervision_page import (
    CASE_HEAD,
    EVIDENCE_HEAD,
    case_cells,
    caseload_page,
    evidence_cells,
    evidence_page,
    therapists_page,
)

NO_BILL: Final = "evidence of assessments; not a bill, and no advice on billing"
_PRETTY: Final = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def write_caseload(rows: Sequence[CaseRow], day: date, folder: Path) -> dict[str, Any]:
    """Write the caseload as a page, a table and a FHIR List; return its counts."""
    looked = [row for row in rows if row.needs_a_look]
    files = {
        "caseload.html": caseload_page(rows, day).encode(),
        "caseload.csv": for_people(csv_text(CASE_HEAD, [case_cells(row) for row in looked])),
        "caseload.json": orjson.dumps(case_list(rows, day), option=_PRETTY),
    }
    _write(files, folder)
    return {
        "day": day.isoformat(),
        "clients": len(rows),
        "to_look_at": len(looked),
        "not_on_track": sum(bool(row.off_track) for row in rows),
        "overdue_reviews": sum(row.overdue for row in rows),
        "unreviewed_safety": sum(row.unreviewed_safety for row in rows),
        "missing_measures": sum(row.is_missing for row in rows),
        "withheld": sum(row.is_withheld for row in rows),
        "files": sorted(files),
    }


def write_therapists(title: str, told: Estimates, left_out: int, period: Days, folder: Path) -> dict[str, Any]:
    """Write the therapists' shares as a page and a table; return them, by reference.

    How many clients each has is in none: beside the funnel it would give each point a name.
    """
    rows = [(one.therapist, round(one.share, 4), round(one.low, 4), round(one.high, 4)) for one in told.told]
    files = {
        "therapists.html": therapists_page(title, told, left_out, (period.first, period.last)).encode(),
        "therapists.csv": csv_text(("therapist", "share", "low", "high"), rows).encode(),
    }
    _write(files, folder)
    estimates = [
        {"therapist": name, "share": float(share), "interval": [float(low), float(high)]}
        for name, share, low, high in rows
    ]
    whole = float(round(told.overall, 4))
    return {
        "overall": whole,
        "therapists": estimates,
        "refused": told.refused,
        "withheld": left_out,
        "files": sorted(files),
    }


def write_evidence(found: Evidence, period: Days, folder: Path) -> dict[str, Any]:
    """Write an accreditor's evidence as a page and a table; return its counts."""
    head = tuple(name.lower() for name in EVIDENCE_HEAD)
    rows = [evidence_cells(link) for link in found.links]
    files = {
        "accreditation.html": evidence_page(
            found.links, found.counts, found.withheld, (period.first, period.last)
        ).encode(),
        "accreditation.csv": for_people(csv_text(head, rows)),
    }
    _write(files, folder)
    return {"counts": found.counts, "withheld": found.withheld, "files": sorted(files)}


def write_assessments(found: Sequence[Assessment], left_out: int, folder: Path) -> dict[str, Any]:
    """Write the assessments done (CPT 96127: instrument, score, interpretation, review) as a table; never a bill."""
    head = ("day", "client", "instrument", "score", "interpretation", "observation", "review", "what this is")
    rows = [
        (a.day.isoformat(), a.subject, a.instrument, str(a.score), a.interpretation, a.observation, a.review, NO_BILL)
        for a in found
    ]
    files: Mapping[str, bytes] = {"assessments.csv": for_people(csv_text(head, rows))}
    _write(files, folder)
    without = sum(not a.interpretation or not a.review for a in found)
    return {
        "assessments": len(found),
        "without_interpretation_or_review": without,
        "withheld": left_out,
        "what_this_is": NO_BILL,
        "files": sorted(files),
    }


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    new_folder(folder)
    for name, content in files.items():
        with new_file(folder / name) as out:
            out.write(content)
