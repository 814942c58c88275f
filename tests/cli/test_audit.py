"""The audit trail as a person meets it: kept by every run, verified, accounted for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import Result

from fhir_alliance.config import AuditSection
from fhir_alliance.core.audit import Access, Action, Ground
from fhir_alliance.runs.audit import tell_of
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.testing import START

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]
CONSENT = {
    "resourceType": "Consent", "id": "c", "meta": {"versionId": "4"}, "status": "active",
    "scope": {"coding": [{"code": "patient-privacy"}]}, "patient": {"reference": "Patient/p1"},
    "provision": {"type": "permit"},
}  # fmt: skip


def events(folder: Path) -> list[dict[str, Any]]:
    """Return the events in a folder's audit file."""
    lines = (folder / ".fhir-alliance" / "audit.ndjson").read_bytes().splitlines()
    return [json.loads(line)["event"] for line in lines]


def told(folder: Path, *accesses: Access) -> None:
    """Keep accesses as a story does."""
    tell_of(FolderStore(folder), AuditSection(), folder / ".fhir-alliance")(accesses)


def test_a_sync_leaves_its_trail(run: Run, clinic: Clinic) -> None:
    """Reading and writing are kept, with the consent decision; a second run reads and writes nothing new."""
    folder = clinic()
    (folder / "Consent.ndjson").write_text(json.dumps(CONSENT), encoding="utf-8")
    assert run("sync", "--store", folder).exit_code == 0
    first = events(folder)
    assert [event["action"] for event in first] == ["E", "C", "E", "C"]  # the safety path, then the forms
    [patient, data, decision] = first[3]["entity"]
    assert patient["what"]["reference"] == "Patient/p1"
    assert decision["what"]["reference"] == "Consent/c/_history/4"
    stored = (folder / "Observation.fhir-alliance.ndjson").read_bytes().splitlines()
    named = {data["what"]["identifier"]["value"], *(d["valueString"].rpartition("/")[2] for d in data["detail"])}
    assert {json.loads(line)["id"] for line in stored} <= named
    assert [entity["type"]["code"] for entity in first[1]["entity"]] == ["1", "2"]  # safety waits for no consent
    assert run("sync", "--store", folder).exit_code == 0
    assert {event["action"] for event in events(folder)[4:]} == {"E"}
    assert run("audit", "verify", "--store", folder).exit_code == 0


def test_a_dry_run_leaves_none(run: Run, clinic: Clinic) -> None:
    """A rehearsal shows nobody a client's data and leaves no trace."""
    folder = clinic()
    assert run("sync", "--store", folder, "--dry-run").exit_code == 0
    assert not (folder / ".fhir-alliance").exists()


def test_off(run: Run, clinic: Clinic) -> None:
    """A site may keep its trail elsewhere."""
    folder = clinic()
    assert run("sync", "--store", folder, FHIR_ALLIANCE_AUDIT__TO="off").exit_code == 0
    assert not (folder / ".fhir-alliance" / "audit.ndjson").exists()


def test_without_a_trail_nothing_is_scored(run: Run, clinic: Clinic) -> None:
    """10: where the trail cannot be kept, nothing is scored; an answer about safety waits for no trail."""
    folder = clinic()
    done = run("sync", "--store", folder, FHIR_ALLIANCE_AUDIT__FILE=str(folder))
    assert (done.exit_code, done.stderr[:5]) == (10, "FA804")
    assert [file.name for file in folder.glob("*.fhir-alliance.ndjson")] == ["Task.fhir-alliance.ndjson"]


def test_a_changed_line_is_named(run: Run, clinic: Clinic) -> None:
    """25: a line that was changed breaks the chain; its number is told, its content is not."""
    folder = clinic()
    run("sync", "--store", folder)
    file = folder / ".fhir-alliance" / "audit.ndjson"
    kept = json.loads(run("audit", "verify", "--file", file, "--json").stdout)
    lines = file.read_bytes().splitlines(keepends=True)
    assert kept["lines"] == len(lines)
    file.write_bytes(b"".join([lines[0], lines[1].replace(b"Patient/p1", b"Patient/p2"), *lines[2:]]))
    done = run("audit", "verify", "--file", file)
    assert (done.exit_code, done.stderr[:5]) == (25, "FA806")
    assert "line 2 " in done.stderr
    assert "Patient" not in done.output
    file.write_bytes(lines[0])
    assert run("audit", "verify", "--file", file).exit_code == 0  # a chain cannot tell what is cut off its end,
    assert run("audit", "verify", "--file", file, "--head", kept["head"]).exit_code == 25  # but a hash kept elsewhere


def test_no_file(run: Run, clinic: Clinic) -> None:
    """10: a trail that is not there does not hold."""
    done = run("audit", "verify", "--store", clinic())
    assert (done.exit_code, done.stderr[:5]) == (10, "FA807")


def test_the_accounting_of_disclosures(run: Run, clinic: Clinic) -> None:
    """A client is told of the payer's report and the supervisor's look; of nothing refused, and nobody else's."""
    folder = clinic()
    given = Access(
        Action.DISCLOSE, "Patient/p1", START, ("Observation/1", "Observation/2"), "HPAYMT", "Organization/payer",
        ground=Ground(True, ("Consent/c/_history/4",), "1"),
    )  # fmt: skip
    seen = Access(
        Action.READ, "Patient/p1", START, ("Observation/1",), "TRAIN", "Practitioner/sue", "supervisor",
        Ground(policy="1"),
    )  # fmt: skip
    refused = Access(Action.DISCLOSE, "Patient/p1", START, (), "HRESCH", "Organization/uni", ground=Ground(False))
    other = Access(Action.READ, "Patient/p2", START, ("Observation/9",), recipient="Practitioner/sue")
    told(folder, given, seen, refused, other)
    done = run("audit", "disclosures", "--store", folder, "--patient", "Patient/p1", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["patient"] == "Patient/p1"
    assert [(d["recipient"], d["action"], d["consents"]) for d in found["disclosures"]] == [
        ("Organization/payer", "disclose", ["Consent/c/_history/4"]),
        ("Practitioner/sue", "read", []),
    ]
    text = run("audit", "disclosures", "--store", folder, "--patient", "Patient/p1").stdout
    for words in ("Organization/payer", "payment", "2 Observation", "Practitioner/sue", "supervisor", "shown", "given"):
        assert words in text
    assert "Organization/uni" not in text
    none = run("audit", "disclosures", "--store", folder, "--patient", "Patient/p3").stdout
    assert "Nobody outside this program" in none


def test_a_question_about_consent_is_kept(run: Run, clinic: Clinic) -> None:
    """Who asks what consent says has read the client's Consents, and the trail knows."""
    folder = clinic()
    asked = ("--patient", "Patient/p1", "--recipient", "Organization/x", "--purpose", "HPAYMT")
    assert run("consent", "explain", "--store", folder, *asked).exit_code == 0
    [told] = events(folder)
    assert (told["action"], told["entity"][0]["what"]["reference"]) == ("E", "Patient/p1")


def test_a_supervisors_report_is_in_the_accounting(run: Run, clinic: Clinic) -> None:
    """A report that shows people to a supervisor is a look at each; one of numbers alone was shown of nobody."""
    folder = clinic()
    run("sync", "--store", folder)
    words = ("report", "run", "outcome-by-mode", "--store", folder, "--period", "2026")
    for audience in ("quality", "supervisor"):
        done = run(*words, "--as", audience, "--out", f"out-{audience}")
        assert done.exit_code == 0, done.stderr
        told = run("audit", "disclosures", "--store", folder, "--patient", "Patient/p1", "--json")
        shown = [d["role"] for d in json.loads(told.stdout)["disclosures"]]
        assert shown == (["supervisor"] if audience == "supervisor" else [])


def test_counts_that_went_to_a_reader_are_kept(run: Run, clinic: Clinic) -> None:
    """That an insurer or the quality team was given counts stands in the trail, once, and of no single client."""
    folder = clinic()
    run("sync", "--store", folder)
    for audience in ("quality", "insurer:Sickness Fund"):
        done = run(
            "report", "run", "outcome-by-mode", "--store", folder, "--period", "2026", "--as", audience, "--out", "out"
        )
        assert done.exit_code == 0, done.stderr
        [given] = [e for e in events(folder) if e["type"]["code"] == "110106"][-1:]
        assert {entity["type"]["code"] for entity in given["entity"]} == {"2", "Consent"}
        assert given["agent"][1]["who"] == {"display": audience.replace(":", ": ")}


@pytest.mark.parametrize(
    "words",
    [("caseload", "--on", "2026-04-20"), ("accreditation", "--period", "2026"), ("assessments", "--period", "2026")],
)
def test_whatever_shows_people_to_a_supervisor_is_in_the_accounting(
    run: Run, clinic: Clinic, words: tuple[str, ...]
) -> None:
    """The caseload, an accreditor's evidence and the list of assessments are looks that a client is told of."""
    folder = clinic()
    run("sync", "--store", folder)
    done = run("report", *words, "--store", folder, "--out", "out")
    assert done.exit_code == 0, done.stderr
    told = run("audit", "disclosures", "--store", folder, "--patient", "Patient/p1", "--json")
    assert [d["role"] for d in json.loads(told.stdout)["disclosures"]] == ["supervisor"]
