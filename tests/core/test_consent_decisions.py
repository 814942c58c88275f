"""The page that a privacy officer reads, put to the program row by row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from fhir_alliance.core.boundaries import Boundaries, Exclusion, Reason, Restriction
from fhir_alliance.core.consent import Decision, decide
from fhir_alliance.core.consent_request import (
    AUTHOR_ONLY,
    Action,
    DataLevel,
    Datum,
    Recipient,
    Request,
    Role,
)
from fhir_alliance.core.consent_table import Row, Table
from fhir_alliance.fhir.consent import read_consent
from fhir_alliance.fhir.observation import datum_of
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.consent_files import load_table
from fhir_alliance.testing import make_form

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "consent-decisions.md"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ANSWERED = datetime(2026, 3, 1, 10, tzinfo=UTC)
CATALOG = load_catalog()
TABLE = load_table()
SHUT = Table("shut", (Row("all", "The community shares nothing without a Consent.", permit=False),))
FORM = msgspec.structs.replace(
    make_form({}), reference="QuestionnaireResponse/q1", subject="Patient/anna", encounter="Encounter/e1",
    performer="Patient/anna", when=ANSWERED,
)  # fmt: skip
INSTRUMENTS = {"PHQ-9": "phq-9", "check-in": "alliance-checkin"}
LEVELS = {"score": DataLevel.SCORE, "answers": DataLevel.ITEM, "text": DataLevel.TEXT}
ACTIONS = {"record": Action.USE, "quality": Action.USE, "Tom": Action.ACCESS, "Lea": Action.ACCESS}


class Asked(NamedTuple):
    """One row of the page."""

    number: str
    on_record: str
    who: str
    purpose: str
    what: str
    circumstance: str
    decision: str
    because: str


def tables() -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the title and the rows of each table on the page."""
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        lines = [line for line in body.splitlines() if line.startswith("| ")][2:]
        yield title, [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


WHO, CONSENT = "Who asks", "What is on record"
TABLES = dict(tables())
PEOPLE = {name: (refs.split(), orgs.split(), roles.split()) for name, _, refs, orgs, roles in TABLES[WHO]}
CONSENTS = {name: (provision, more) for name, _, provision, more in TABLES[CONSENT]}
ROWS = [
    Asked(*cells) for title, rows in TABLES.items() if title not in ("Who asks", "What is on record") for cells in rows
]


def consent_named(name: str) -> dict[str, Any]:
    """Return a Consent of the page as FHIR."""
    provision, more = CONSENTS[name]
    resource: dict[str, Any] = {
        "resourceType": "Consent",
        "id": name,
        "meta": {"versionId": "1"},
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "patient": {"reference": "Patient/anna"},
        "dateTime": "2026-01-05",
        "provision": json.loads(provision.strip("`")),
    }
    return resource | json.loads(more.strip("`") or "{}")


def datum_in(row: Asked) -> Datum:
    """Return what a row is about."""
    name, _, kind = row.what.partition(" ")
    datum = datum_of(CATALOG.instruments[INSTRUMENTS[name]])
    if kind.startswith("of "):
        return msgspec.structs.replace(datum, level=DataLevel.AGGREGATE, people=int(kind[3:]))
    datum = datum.about(FORM).at(LEVELS[kind])
    for word in row.circumstance.split(", "):
        datum = _changed(datum, word)
    return datum


def _changed(datum: Datum, word: str) -> Datum:
    """Return a datum in a circumstance."""
    change: dict[str, Any] = {}
    if word.startswith("label "):
        code = word.removeprefix("label ").removesuffix(" only")
        change["labels"] = frozenset({code}) if word.endswith(" only") else datum.labels | {code}
    elif word.startswith("kept from "):
        change["labels"] = datum.labels | {f"withheld-from-{word.removeprefix('kept from ')}"}
    elif word.startswith("author only"):
        change["labels"] = datum.labels | {AUTHOR_ONLY}
    elif word.startswith("written by "):
        change["authors"] = frozenset({word.removeprefix("written by ")})
    else:
        change = {
            "no labels": {"labels": frozenset()},
            "not finished": {"is_final": False},
            "from the whole day": {
                "first": ANSWERED.replace(hour=0), "last": ANSWERED.replace(hour=23, minute=59),
            },
            "from 2025 to 2026": {"first": datetime(2025, 12, 30, tzinfo=UTC)},
            "from an unknown time": {"first": None, "last": None},
        }.get(word, {})  # fmt: skip
    return msgspec.structs.replace(datum, **change)


def decided(row: Asked) -> Decision:
    """Return what the program decides of a row."""
    words = row.circumstance.split(", ")
    references, organizations, roles = PEOPLE[row.who]
    groups = [word.removeprefix("in ") for word in words if word.startswith("in ")]
    recipient = Recipient(
        frozenset({*references, *groups}),
        frozenset(organizations),
        frozenset(Role(role) for role in roles),
        bool(references),
    )
    site = _site(words)
    purpose = row.purpose.replace("\\|", "|")
    bars = site.bars(recipient, "Patient/anna", purpose)
    action = ACTIONS.get(row.who.partition(",")[0], Action.DISCLOSE)
    client = "" if "client unknown" in words else "Patient/anna"
    request = Request(client, action, recipient, purpose, datum_in(row), bars)
    names = [] if row.on_record == "none" else row.on_record.split(" + ")
    table = SHUT if "community" in words else TABLE.opt_in() if "asks first" in words else TABLE
    return decide(request, [read_consent(consent_named(name)) for name in names], table, NOW)


def _site(words: list[str]) -> Boundaries:
    """Return the site's list that a circumstance speaks of."""
    kept = [word.removeprefix("kept out: ") for word in words if word.startswith("kept out: ")]
    shut = [word.removeprefix("restricted: ") for word in words if word.startswith("restricted: ")]
    return Boundaries(
        exclusions=tuple(Exclusion(who, "Patient/anna", Reason.CLIENT_WISH) for who in kept),
        restrictions=tuple(Restriction("Patient/anna", (purpose,), Reason.SELF_PAID) for purpose in shut),
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}: {row.on_record}, {row.who}, {row.purpose}")
def test_each_row_of_the_page(row: Asked) -> None:
    """Each request of the page is decided as it says there, and for that reason."""
    found = decided(row)
    assert ("permit" if found.permitted else "deny", found.reasons) == (row.decision, found.reasons)
    assert any(row.because in reason for reason in found.reasons), found.reasons


def test_the_page_is_whole() -> None:
    """The page holds at least 200 requests, numbered through, and a row for each Consent and person on it."""
    assert [row.number for row in ROWS] == [str(n) for n in range(1, len(ROWS) + 1)]
    assert len(ROWS) >= 200
    assert {name for row in ROWS for name in row.on_record.split(" + ")} - {"none"} == set(CONSENTS)
    assert {row.who for row in ROWS} == set(PEOPLE)
    assert len(set(ROWS)) == len(ROWS)


def test_every_row_of_the_table_decides() -> None:
    """Each row of the shipped table is the ground of some decision on the page: none is dead."""
    reached = {decided(row).row for row in ROWS} - {"stop", "consent", "all"}
    assert reached == {row.id for row in TABLE.rows}


@pytest.mark.parametrize("row", [row for row in ROWS if row.decision == "permit"], ids=lambda row: row.number)
def test_a_further_denial_closes_each_permit(row: Asked) -> None:
    """Whatever is permitted on the page is denied once the client denies everything."""
    assert not decided(row._replace(on_record=row.on_record.replace("none", "no") + " + no")).permitted
