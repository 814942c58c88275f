"""`consent explain`: the decision and its path, and not a word about the client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fhir_alliance.cli import program
from fhir_alliance.testing import response_json

ANNA = "Patient/anna"
V3 = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


def consent(name: str, provision: dict[str, Any]) -> dict[str, Any]:
    """Return an active privacy Consent of Anna's."""
    return {
        "resourceType": "Consent",
        "id": name,
        "meta": {"versionId": "2"},
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "patient": {"reference": ANNA},
        "dateTime": "2026-01-01",
        "provision": provision,
    }


def member(reference: str, role: str) -> dict[str, Any]:
    """Return a participant of a care team."""
    return {"member": {"reference": reference}, "role": [{"text": role}]}


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """Return a folder with a client, her team, and a form that nobody should hear of."""
    team = [member("Practitioner/tom", "lead therapist"), member("Practitioner/lea", "Supervisor")]
    resources: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": "anna", "name": [{"family": "Canary"}]},
        {
            "resourceType": "CareTeam",
            "id": "t",
            "status": "active",
            "subject": {"reference": ANNA},
            "participant": team,
        },
        {
            "resourceType": "PractitionerRole",
            "id": "tom-here",
            "practitioner": {"reference": "Practitioner/tom"},
            "organization": {"reference": "Organization/clinic"},
        },
        response_json([1] * 9, name="q1", subject=ANNA, authored="2026-02-01T10:00:00Z"),
    ]
    return put(tmp_path, *resources)


def put(folder: Path, *resources: dict[str, Any]) -> Path:
    """Add resources to a folder."""
    for resource in resources:
        with (folder / f"{resource['resourceType']}.ndjson").open("a", encoding="utf-8") as file:
            file.write(json.dumps(resource) + "\n")
    return folder


def explained(folder: Path, *more: str, config: Path | None = None) -> Result:
    """Return what the command answers for Anna; what is given later counts."""
    start = ["--config", str(config)] if config else []
    arguments = [
        *start, "consent", "explain", "--store", str(folder), "--patient", ANNA, "--at", "2026-03-01T09:00:00Z", *more,
    ]  # fmt: skip
    return CliRunner().invoke(program, arguments)


def as_json(folder: Path, *more: str, config: Path | None = None) -> dict[str, Any]:
    """Return the JSON that the command prints."""
    told = explained(folder, "--json", *more, config=config)
    assert told.exit_code == 0, told.output
    found: dict[str, Any] = json.loads(told.stdout)
    return found


TOM = ("--recipient", "Practitioner/tom", "--purpose", "TREAT")


def test_the_therapist_may_see_scores(clinic: Path) -> None:
    """The client's therapist may see scores without any Consent, and is told by which row and version of the table."""
    said = as_json(clinic, *TOM, "--instrument", "phq-9")
    assert said["decision"] == "permit"
    assert said["reasons"] == ["Those who treat a client may see the client's course."]
    assert (said["consents"], said["policy"], said["row"]) == ([], "2026-11-25", "treating")


def test_a_refusal_says_which_consent_and_where(clinic: Path) -> None:
    """A deny names the Consent with its version, and the exception in it that decides."""
    deny = {"type": "deny", "actor": [{"reference": {"reference": "Practitioner/tom"}}]}
    put(clinic, consent("c1", {"type": "permit", "provision": [deny]}))
    said = as_json(clinic, *TOM)
    assert said["decision"] == "deny"
    assert said["reasons"] == ["Consent/c1/_history/2 forbids it (exception 1)."]
    assert said["consents"] == ["Consent/c1/_history/2"]


@pytest.mark.parametrize("name", ["Practitioner/tom", "PractitionerRole/tom-here"])
@pytest.mark.parametrize("denied", ["Practitioner/tom", "PractitionerRole/tom-here", "Organization/clinic"])
def test_a_person_is_known_by_all_names(clinic: Path, name: str, denied: str) -> None:
    """A rule about a person, about one of their roles or about their clinic is found whichever name is asked for."""
    put(clinic, consent("c1", {"type": "deny", "actor": [{"reference": {"reference": denied}}]}))
    assert as_json(clinic, "--recipient", name, "--purpose", "TREAT")["decision"] == "deny"


@pytest.mark.parametrize(
    ("recipient", "more", "decision"),
    [
        ("Practitioner/tom", ["--level", "item", "--instrument", "phq-9"], "permit"),
        ("Practitioner/tom", ["--level", "item", "--instrument", "alliance-checkin"], "deny"),
        ("Practitioner/lea", ["--instrument", "phq-9"], "permit"),
        ("Practitioner/lea", ["--level", "item", "--instrument", "phq-9"], "deny"),
        ("Practitioner/max", ["--instrument", "phq-9"], "deny"),
        ("Patient/anna", ["--level", "text", "--purpose", "PATRQT"], "permit"),
        ("Patient/ben", ["--purpose", "PATRQT"], "deny"),
        ("Organization/insurer", ["--purpose", "HPAYMT"], "deny"),
    ],
)
def test_the_team_and_the_level_count(clinic: Path, recipient: str, more: list[str], decision: str) -> None:
    """Who somebody is to the client comes from the care team; items and text are closer than scores."""
    assert as_json(clinic, "--recipient", recipient, "--purpose", "TREAT", *more)["decision"] == decision


def test_at_another_time(clinic: Path) -> None:
    """`--at` decides as of a moment: a Consent counts from the day that it was given."""
    put(clinic, consent("c1", {"type": "deny"}))
    assert as_json(clinic, *TOM)["decision"] == "deny"
    assert as_json(clinic, *TOM, "--at", "2025-12-31")["decision"] == "permit"


def test_the_sites_list_is_heard(clinic: Path, tmp_path: Path) -> None:
    """A person whom the site keeps out has no way in, and a role from the site's list counts."""
    (tmp_path / "roles.toml").write_text(
        """
        [[exclude]]
        who = "PractitionerRole/tom-here"
        client = "Patient/anna"
        reason = "dual-relationship"
        [[role]]
        who = "Practitioner/max"
        role = "treating"
        clients = ["Patient/anna"]
        [[restrict]]
        client = "Patient/anna"
        purposes = ["HOPERAT"]
        reason = "self-paid"
        """,
        encoding="utf-8",
    )
    config = tmp_path / "c.toml"
    config.write_text(f'[consent]\nroles = "{tmp_path / "roles.toml"}"\n', encoding="utf-8")
    put(clinic, consent("c1", {"type": "permit", "actor": [{"reference": {"reference": "Practitioner/tom"}}]}))
    said = as_json(clinic, *TOM, config=config)
    assert said["decision"] == "deny"
    assert said["reasons"] == ["The recipient is kept from this client's data (dual relationship)."]
    max_ = ("--recipient", "Practitioner/max", "--purpose")
    assert as_json(clinic, *max_, "TREAT", config=config)["decision"] == "permit"
    said = as_json(clinic, *max_, "HQUALIMP", "--level", "aggregate", "--people", "30", config=config)
    assert said["reasons"] == ["The site's list restricts this purpose for the client (self paid)."]


def test_a_table_of_the_sites_own(clinic: Path, tmp_path: Path) -> None:
    """A site's table takes the place of the shipped one, and its version and sentence are what is told."""
    (tmp_path / "table.toml").write_text(
        'version = "ours-1"\n[[row]]\nid = "shut"\nsays = "We ask first."\npermit = false\n', encoding="utf-8"
    )
    config = tmp_path / "c.toml"
    config.write_text(f'[consent]\ntable = "{tmp_path / "table.toml"}"\n', encoding="utf-8")
    said = as_json(clinic, *TOM, config=config)
    assert (said["decision"], said["reasons"], said["policy"]) == ("deny", ["We ask first."], "ours-1")


def test_nothing_clinical_is_told(clinic: Path) -> None:
    """The words for people hold the decision, the reason and the Consents; no name, score or answer."""
    put(clinic, consent("c1", {"type": "permit", "purpose": [{"system": V3, "code": "TREAT"}]}))
    told = explained(clinic, *TOM)
    assert told.exit_code == 0
    assert told.stdout.startswith("Permitted.\n  - Consent/c1/_history/2 permits it.\n")
    for secret in ("Canary", "LA656", "q1", "17"):
        assert secret not in told.output.replace("2026-11-25", "")[:300]


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        (["--purpose", "FUN"], 10, "FA323"),
        (["--recipient", "Tom"], 10, "FA322"),
        (["--recipient", "https://elsewhere.example/Practitioner/tom"], 10, "FA322"),
        (["--patient", "Practitioner/tom"], 10, "FA322"),
        (["--instrument", "none"], 10, "FA101"),
        (["--at", "tomorrow"], 2, "is no moment"),
        (["--at", "2026-03-01T09:00:00"], 2, "needs its zone"),
        (["--level", "soul"], 2, "soul"),
    ],
)  # fmt: skip
def test_a_wrong_question_is_told(clinic: Path, more: list[str], status: int, code: str) -> None:
    """A purpose, reference, instrument or time that does not exist is an error with a hint, never a decision."""
    told = explained(clinic, *TOM, *more)
    assert told.exit_code == status
    assert code in told.output
    assert "ermitted" not in told.stdout


def test_a_client_who_is_not_there(clinic: Path) -> None:
    """Of a client whom the store does not hold nothing is shared."""
    said = as_json(clinic, *TOM, "--patient", "Patient/nobody")
    assert said["decision"] == "deny"
    assert said["reasons"] == ["It is not known whose data these are."]


def test_unreadable_consents(clinic: Path) -> None:
    """Where a Consent cannot be read, nothing is decided: status 23."""
    (clinic / "Consent.ndjson").write_text("{broken\n", encoding="utf-8")
    told = explained(clinic, *TOM)
    assert told.exit_code == 23
    assert told.stdout == ""
