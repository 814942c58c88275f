"""Half a year of a larger invented clinic, and every report and picture of it.

    python examples/half_year.py FOLDER

The clinic of `generate.py`, with 100 clients of eight therapists who fill in a PHQ-9 every other week. At each month's
end its forms are scored, reviews are opened, and invented people carry out most of them, some too late. Then each
report is made as a person would make it, into FOLDER/reports. FOLDER has to be new. Nobody in it exists.
"""

from __future__ import annotations

import json
import re
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import date, datetime, timedelta, timezone
from io import StringIO
from pathlib import Path
from typing import Any, Final

from fhir_alliance.cli import program
from fhir_alliance.config import AuditSection
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.fhir.identifiers import TERMS
from fhir_alliance.runs.audit import tell_of
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.publish import publish
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.journal import Journal

Resource = dict[str, Any]
CLIENTS: Final = 100
MONTHS: Final = 6
EVERY_OTHER: Final = re.compile(r"phq9-\d+-\d[13579]")
ZONE: Final = timezone(timedelta(hours=1))
# A review each month even where no score asks for one, as many clinics agree with their clients.
POLICY: Final = Policy(rules=RuleSettings(sd_units=2.0, review_every_days=7))
YEAR: Final = ("--period", "2026")
REPORTS: Final = {
    "outcomes": ("run", "outcome-by-mode", *YEAR, "--as", "supervisor"),
    "outcomes-for-quality": ("run", "outcome-by-mode", *YEAR, "--as", "quality"),
    "reviews": ("run", "reviews-in-time", *YEAR, "--as", "supervisor"),
    "therapists": ("therapists", "outcome-by-mode", *YEAR),
    "caseload": ("caseload", "--on", "2026-06-30"),
    "evidence": ("accreditation", *YEAR),
}
TO_OPEN: Final = """
Open in a browser, in {folder}:
  outcomes/report.html              flow of the populations; first against last scores, with the corridor of change
  outcomes-for-quality/report.html  the same for readers who may see nobody: small counts are masked
  reviews/report.html               reviews done in time, month by month
  therapists/therapists.html        the funnel, without names
  client.html                       one client's course, with bands of severity
  caseload/caseload.html, evidence/accreditation.html"""


def half_year(folder: Path, clients: int = CLIENTS, months: int = MONTHS) -> None:
    """Write the clinic into a new folder, month by month, as its forms came in and its people worked."""
    clinic = runpy.run_path(str(Path(__file__).parent / "clinic" / "generate.py"))["Clinic"](
        2026, clients, max(12, months * 52 // 12)
    )
    clinic.make()
    folder.mkdir(parents=True)
    forms = [form for form in clinic.resources.pop("QuestionnaireResponse") if EVERY_OTHER.fullmatch(form["id"])]
    for kind, resources in clinic.resources.items():
        _write(folder / f"{kind}.ndjson", resources)
    catalog = load_catalog()
    for month in range(1, months + 1):
        end = datetime(2026, month + 1, 1, 7, tzinfo=ZONE)
        came = [form for form in forms if form["meta"]["lastUpdated"] < end.isoformat()]
        forms = [form for form in forms if form["meta"]["lastUpdated"] >= end.isoformat()]
        _write(folder / f"QuestionnaireResponse.{month:03}.ndjson", came)
        _sync(folder, catalog, end)
        _work(folder / "Task.fhir-alliance.ndjson", month)


def _sync(folder: Path, catalog: Any, now: datetime) -> None:
    store, state = FolderStore(folder), folder / ".fhir-alliance"
    journal = Journal(state, store.name)
    try:
        if not (folder / "Questionnaire.fhir-alliance.ndjson").exists():
            publish(store, catalog, journal)
        sync(store, catalog, journal, POLICY, now, tell=tell_of(store, AuditSection(), state))
    finally:
        store.close()
        journal.close()


def _work(path: Path, month: int) -> None:
    """Carry out the reviews that are due: more of them in time from month to month, the others six days late.

    Four of five note what client and therapist decided about the goal.
    """
    tasks = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number, task in enumerate(tasks):
        due = task.get("restriction", {}).get("period", {}).get("end")
        if task["status"] != "requested" or not due:
            continue
        late = 6 if (number * 7) % 10 >= 4 + month * 0.8 else -2
        done = date.fromisoformat(due[:10]) + timedelta(days=late)
        task |= {"status": "completed", "executionPeriod": {"end": done.isoformat()}}
        if task.get("focus", {}).get("reference", "").startswith("Goal/") and number % 5:
            reached = month > 2 and not number % 13
            task["output"] = [
                _output("decision", valueCodeableConcept=_term("goal-reached" if reached else "goal-kept"))
            ]
            if reached:  # the client wants the goal itself to say so
                task["output"].append(_output("confirmed-by", valueReference=task["for"]))
    _write(path, tasks)


def _output(kind: str, **value: Any) -> Resource:
    return {"type": _term(kind), **value}


def _term(code: str) -> Resource:
    return {"coding": [{"system": TERMS, "code": code}]}


def _write(path: Path, resources: list[Resource]) -> None:
    lines = (json.dumps(resource, separators=(",", ":"), ensure_ascii=False) + "\n" for resource in resources)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def main() -> None:
    """Make the clinic and its reports, and say where they are."""
    folder = Path(sys.argv[1])
    print(f"Half a year of an invented clinic of {CLIENTS} clients; this takes a while.", flush=True)
    half_year(folder)
    for name, words in REPORTS.items():
        _run("report", *words, "--store", str(folder), "--out", str(folder / "reports" / name))
    _run("show", "client-02", "--store", str(folder), "--html", str(folder / "reports" / "client.html"))
    print(TO_OPEN.format(folder=folder / "reports"))


def _run(*words: str) -> None:
    """Say a command as one would type it, and run it; what it prints stands in its files, too."""
    print("fhir-alliance", *words, flush=True)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        program([*words], standalone_mode=False)


if __name__ == "__main__":
    main()
