"""Twelve weeks of the example clinic, day by day, end in the same state as one run over everything."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any, Final, TypeAlias

from fhir_alliance.core.model import ReviewKind, ReviewStatus
from fhir_alliance.core.reviews import live
from fhir_alliance.fhir.task import read_review

Site: TypeAlias = Any  # folder or server: see conftest.py
CLINIC: Final = Path(__file__).parents[2] / "examples" / "clinic"
KINDS: Final = (
    "Organization", "Patient", "Practitioner", "EpisodeOfCare", "Goal", "CareTeam", "CarePlan",
    "Consent", "Encounter",
)  # fmt: skip
# from mild to severe; a rupture and its repair; from in person to video; an answer about safety; an amended form
CLIENTS: Final = ("02", "03", "05", "08", "19")
FEW: Final = ("03", "08")  # on a server, which takes some 40 ms to validate each Observation
EVERYBODY: Final = tuple(f"{n:02}" for n in range(1, 41))  # with WHOLE_CLINIC=1, which takes many minutes
ZONE: Final = timezone(timedelta(hours=1))


def clinic(kind: str, clients: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the clinic's resources of a kind that are about the chosen clients, or about nobody."""
    for file in (*CLINIC.glob(f"{kind}.ndjson"), *sorted(CLINIC.glob(f"{kind}.0*.ndjson"))):
        for line in file.read_text(encoding="utf-8").splitlines():
            named = {part[:2] for part in line.split("client-")[1:]}
            if named <= set(clients):
                yield json.loads(line)


def days(clients: Sequence[str]) -> list[tuple[date, list[dict[str, Any]]]]:
    """Return the forms by the day on which they were filled in, in their order."""
    found: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for form in clinic("QuestionnaireResponse", clients):
        if not form["id"].startswith("faulty"):
            found[date.fromisoformat(form["authored"][:10])].append(form)
    return sorted(found.items())


def state(site: Site) -> dict[str, Any]:
    """Return every score, every open goal review with what it stands on, and every form with a safety review."""
    reviews = [review for task in site.all("Task") if (review := read_review(task)) is not None]
    return {
        "scores": {
            o["identifier"][0]["value"]: (o["status"], o.get("valueQuantity", {}).get("value"))
            for o in site.all("Observation")
        },
        "open": {
            (r.subject, r.focus, r.episode): sorted(reason.key for reason in live(r.evidence))
            for r in reviews
            if r.kind is ReviewKind.GOAL and r.status is ReviewStatus.OPEN
        },
        "safety": sorted(r.focus for r in reviews if r.kind is ReviewKind.SAFETY),
    }


def test_day_by_day_ends_as_one_run_over_everything(site: Site) -> None:
    """The scores, the open reviews with the reasons that they stand on, and the safety reviews are the same."""
    clients = EVERYBODY if os.environ.get("WHOLE_CLINIC") else FEW if hasattr(site, "fhir") else CLIENTS
    for kind in KINDS:
        site.load(*clinic(kind, clients))
    weeks = days(clients)
    for day, forms in weeks:
        site.load(*forms)
        site.sync(now=datetime.combine(day, time(20), ZONE))
    end = datetime.combine(weeks[-1][0], time(22), ZONE)
    assert not site.sync(now=end).updated
    step_by_step = state(site)
    assert len(step_by_step["open"]) >= 1
    assert step_by_step["safety"]
    site.clear()
    site.sync(now=end)
    assert state(site) == step_by_step
