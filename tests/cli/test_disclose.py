"""A disclosure carries what consent allows and no more, with consent, labels, notice and hashes; the trail knows."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import Result
from fhir.resources.R4B import get_fhir_model_class

from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]
PAYER, OTHER = "Organization/payer", "Organization/other"
CANARY = "Zilpzalp"


def consent(*purposes: str, name: str = "c", kind: str = "permit", to: str = PAYER, **elements: Any) -> dict[str, Any]:
    """Return a Consent that lets a payer have scores for purposes, for some years."""
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    reasons = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": code} for code in purposes]
    rule = {
        "type": kind, "purpose": reasons, "actor": [{"role": role, "reference": {"reference": to}}],
        "period": {"start": "2020-01-01", "end": "2099-01-01"},
    }  # fmt: skip
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    return {
        "resourceType": "Consent", "id": name, "meta": {"versionId": "3"}, "status": "active",
        "scope": {"coding": [scope]}, "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/p1"}, "dateTime": "2020-01-01",
        "policy": [{"uri": "https://example.org/policy"}], "provision": {"provision": [rule]},
    } | elements  # fmt: skip


def form(points: int, name: str, **elements: Any) -> dict[str, Any]:
    """Return a PHQ-9 of a day, with a canary in what must never go out."""
    authored = f"2026-01-{points + 5:02}T10:00:00+01:00"
    who = {"reference": "Patient/p1", "display": CANARY}
    return response_json([points] * 8 + [0], name=name, authored=authored, source=who, **elements)


@pytest.fixture
def synced(run: Run, clinic: Clinic) -> Callable[..., Path]:
    """A function that makes a scored clinic with these resources beside two forms of one client."""

    def synced(*resources: dict[str, Any], **environment: str) -> Path:
        orgs = [{"resourceType": "Organization", "id": name.partition("/")[2]} for name in (PAYER, OTHER)]
        folder = clinic(form(1, "a1"), form(2, "a2"), *orgs, *resources)
        assert run("sync", "--store", folder, **environment).exit_code == 0
        return folder

    return synced


def disclose(run: Run, folder: Path, *words: str, to: str = PAYER, purpose: str = "HPAYMT") -> Result:
    """Disclose the client's scores into the folder `out`."""
    return run(
        "disclose", "--store", folder, "--patient", "Patient/p1", "--recipient", to, "--purpose", purpose,
        "--out", "out", *words,
    )  # fmt: skip


def last_event(folder: Path) -> dict[str, Any]:
    """Return the newest event of the trail."""
    lines = (folder / ".fhir-alliance" / "audit.ndjson").read_bytes().splitlines()
    event: dict[str, Any] = json.loads(lines[-1])["event"]
    return event


def test_what_consent_allows_goes(run: Run, synced: Callable[..., Path], here: Path) -> None:
    """Bundle, scope and manifest stand in a private folder; every hash is right, and the client is told of it."""
    folder = synced(consent("HPAYMT"))
    done = disclose(run, folder, "--json")
    assert done.exit_code == 0, done.stderr
    out = here / "out"
    assert {path.name for path in out.iterdir()} == {"bundle.json", "scope.txt", "manifest.json"}
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    manifest = json.loads((out / "manifest.json").read_bytes())
    for file in manifest["files"]:
        content = (out / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(content), sha256(content).hexdigest())
    assert {file["name"] for file in manifest["files"]} == {"bundle.json", "scope.txt"}
    assert manifest["consents"] == ["Consent/c/_history/3"]
    assert manifest["labels"] == ["R", "PSY"]
    bundle = json.loads((out / "bundle.json").read_bytes())
    get_fhir_model_class("Bundle").model_validate(bundle)
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert kinds.count("Observation") == manifest["scores"] == json.loads(done.stdout)["scores"] == 2
    assert kinds.count("Consent") == 1
    assert last_event(folder)["subtype"][0]["code"] == "disclose"
    told = run("audit", "disclosures", "--store", folder, "--patient", "Patient/p1", "--json")
    assert [d["recipient"] for d in json.loads(told.stdout)["disclosures"]] == [PAYER]


def test_only_the_minimum_goes(run: Run, synced: Callable[..., Path], here: Path) -> None:
    """Score, date and band; nobody's name, no item, no remark, no inner reference; each score says it is a subset."""
    synced_folder = synced(consent("HPAYMT"), FHIR_ALLIANCE_WRITE__ITEM_OBSERVATIONS="true")
    assert disclose(run, synced_folder).exit_code == 0
    bundle = json.loads((here / "out" / "bundle.json").read_bytes())
    scores = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Observation"]
    assert [score["valueQuantity"]["value"] for score in scores] == [8, 16]
    allowed = {
        "resourceType", "id", "meta", "identifier", "status", "category", "code", "subject", "effectiveDateTime",
        "valueQuantity", "interpretation", "method",
    }  # fmt: skip
    for score in scores:
        assert set(score) <= allowed
        assert [tag["code"] for tag in score["meta"]["tag"]] == ["SUBSETTED"]
    assert CANARY not in "".join(path.read_text(encoding="utf-8") for path in (here / "out").iterdir())


@pytest.mark.parametrize(
    ("held", "to", "purpose"),
    [
        ((), PAYER, "HPAYMT"),
        ((consent("HRESCH"),), PAYER, "HPAYMT"),
        ((consent("HPAYMT"),), OTHER, "HPAYMT"),
        ((consent("HPAYMT"),), PAYER, "HRESCH"),
        ((consent("HPAYMT"), consent("HPAYMT", name="d", kind="deny")), PAYER, "HPAYMT"),
        ((consent("HPAYMT", status="inactive"),), PAYER, "HPAYMT"),
    ],
    ids=["none", "other purpose", "other payer", "other use", "denied beside it", "revoked"],
)
def test_what_consent_does_not_allow_stays(
    run: Run, synced: Callable[..., Path], here: Path, held: tuple[dict[str, Any], ...], to: str, purpose: str
) -> None:
    """26: nothing is written, the refusal is kept in the trail, and the client's accounting has no disclosure."""
    folder = synced(*held)
    done = disclose(run, folder, to=to, purpose=purpose)
    assert (done.exit_code, done.stderr[:5]) == (26, "FA330")
    assert not (here / "out").exists()
    event = last_event(folder)
    assert (event["subtype"][0]["code"], event["outcome"]) == ("disclose", "8")
    told = run("audit", "disclosures", "--store", folder, "--patient", "Patient/p1", "--json")
    assert json.loads(told.stdout)["disclosures"] == []


def test_a_death_ends_what_is_given(run: Run, synced: Callable[..., Path], here: Path) -> None:
    """What a Consent would let go stays once the client has died (26), until the site has chosen otherwise."""
    folder = synced(consent("HPAYMT"), {"resourceType": "Patient", "id": "p1", "deceasedBoolean": True})
    assert (done := disclose(run, folder)).exit_code == 26, done.stderr
    words = ("--patient", "Patient/p1", "--recipient", PAYER, "--purpose", "HPAYMT", "--instrument", "phq-9")
    assert "has died" in run("consent", "explain", "--store", folder, *words).stdout
    assert not (here / "out").exists()
    (here / "fhir-alliance.toml").write_text("[consent]\ngives_after_death = true\n", encoding="utf-8")
    assert disclose(run, folder).exit_code == 0


def test_the_alliance_never_reaches_a_payer(run: Run, synced: Callable[..., Path], here: Path) -> None:
    """What of an alliance form was scored is left out, and the rest says that it is not everything."""
    system = "https://fhir-alliance.org/fhir/CodeSystem/answers"
    links = ["understood", "trust", "warmth", "goals-shared", "goals-right", "tasks-sense", "pace", "hope", "respect"]
    items = [
        {"linkId": link, "answer": [{"valueCoding": {"system": system, "code": "checkin-4"}}]}
        for link in [*links, "held-back"]
    ]
    url = "https://fhir-alliance.org/fhir/Questionnaire/alliance-checkin|1.0.0"
    rated = response_json([None] * 9, name="b1", questionnaire=url, item=items)
    assert disclose(run, synced(rated, consent("HPAYMT"))).exit_code == 0
    text = "".join(path.read_text(encoding="utf-8") for path in (here / "out").iterdir())
    assert "alliance-checkin" not in text
    bundle = json.loads((here / "out" / "bundle.json").read_bytes())
    assert "REDACTED" in {label["code"] for label in bundle["meta"]["security"]}
    assert json.loads((here / "out" / "manifest.json").read_bytes())["complete"] is False
    assert "not everything" in (here / "out" / "scope.txt").read_text(encoding="utf-8")


def test_part_2_data_carry_their_notice(run: Run, synced: Callable[..., Path], here: Path) -> None:
    """Data of a Part 2 program go with the notice against redisclosure, with its regulation, and their label."""
    (here / "fhir-alliance.toml").write_text('[consent]\npart2_programs = ["*"]\n', encoding="utf-8")
    folder = synced(consent("HPAYMT", "TREAT"))
    done = disclose(run, folder)
    assert done.exit_code == 0, done.stderr
    notice = (here / "out" / "notice.txt").read_text(encoding="utf-8")
    assert "42 CFR 2.32" in notice
    assert "42CFRPart2" in json.loads((here / "out" / "manifest.json").read_bytes())["labels"]
    assert "notice.txt" in (here / "out" / "manifest.json").read_text(encoding="utf-8")


def test_very_restricted_data_stay(run: Run, synced: Callable[..., Path], here: Path) -> None:
    """A score of a form that the record keeps very restricted is left out, though consent would allow it."""
    very = [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]
    folder = synced(form(3, "v", meta={"versionId": "1", "security": very}), consent("HPAYMT"))
    assert disclose(run, folder).exit_code == 0
    assert json.loads((here / "out" / "manifest.json").read_bytes())["scores"] == 2
    assert '"value": 24' not in (here / "out" / "bundle.json").read_text(encoding="utf-8")


def test_a_folder_with_something_in_it(run: Run, synced: Callable[..., Path], here: Path) -> None:
    """10: two disclosures are never mixed."""
    (here / "out").mkdir()
    (here / "out" / "mine").write_text("x", encoding="utf-8")
    done = disclose(run, synced(consent("HPAYMT")))
    assert (done.exit_code, done.stderr[:5]) == (10, "FA331")
    assert [path.name for path in (here / "out").iterdir()] == ["mine"]
