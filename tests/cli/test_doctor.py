"""`fhir-alliance doctor`: a page for people, one object for machines, and a file to pin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import responses
from click.testing import Result

from fhir_alliance.config import Config
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.opening import state_folder_of
from tests.servers.loopback import read_together

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]

EHR = "https://ehr.example/fhir"


@pytest.fixture
def ehr() -> Iterator[responses.RequestsMock]:
    """A server that states transactions and conditional creation, and has nobody in it."""
    interactions = [{"code": code} for code in ("read", "search-type", "create", "update")]
    held = {"interaction": interactions, "conditionalCreate": True, "searchParam": [{"name": "identifier"}]}
    rest = {
        "interaction": [{"code": "transaction"}],
        "resource": [{"type": kind, **held} for kind in ("Observation", "Task", "Questionnaire")],
    }
    statement = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}
    kind = "application/fhir+json"
    with responses.RequestsMock(assert_all_requests_are_fired=False) as server:
        server.get(f"{EHR}/metadata", json=statement, content_type=kind)
        smart = {"token_endpoint": "https://ehr.example/token", "capabilities": ["permission-v2"]}
        server.get(f"{EHR}/.well-known/smart-configuration", json=smart)
        for name in ("Questionnaire", "QuestionnaireResponse"):
            server.get(f"{EHR}/{name}", json={"resourceType": "Bundle"}, content_type=kind)
        for name in ("Observation", "Task", "Consent", "Goal", "CarePlan", "CareTeam", "Encounter", "Communication"):
            server.post(f"{EHR}/{name}/_search", json={"resourceType": "Bundle"}, content_type=kind)
        server.add_callback("POST", f"{EHR}/", callback=_together, content_type=kind)
        yield server


def _together(request: Any) -> tuple[int, dict[str, str], str]:
    status, body, headers = read_together(json.loads(request.body)) or (400, {}, {})
    return status, headers, json.dumps(body)


def test_a_page_for_people(run: Run, ehr: responses.RequestsMock) -> None:
    """The page shows what was looked at, what the server can do, how forms are found, and each output's way."""
    done = run("doctor", "--store", EHR)
    assert done.exit_code == 0, done.stdout
    for told in (
        "FHIR 4.0.1 (R4)",
        "transaction, conditional-create",
        "read Consent",
        "it creates only what",
        "last-updated: the",
    ):
        assert told in done.stdout


def test_one_object_for_machines(run: Run, ehr: responses.RequestsMock) -> None:
    """--json prints one object with checks, pull, routes, what has to be allowed, and the profile."""
    said = json.loads(run("doctor", "--store", EHR, "--json").stdout)
    assert {"checks", "routes", "pull", "to_allow", "profile", "store"} == set(said)
    assert said["pull"]["way"] == "last-updated"
    assert {check["standing"] for check in said["checks"]} == {"ok"}
    assert said["profile"]["transaction"] is True


def test_a_profile_is_saved_and_pinned(run: Run, here: Path, ehr: responses.RequestsMock) -> None:
    """--save writes what [store] profile takes."""
    assert run("doctor", "--store", EHR, "--save", "profile.json").exit_code == 0
    (here / "fhir-alliance.toml").write_text("[store]\nprofile = 'profile.json'\n", encoding="utf-8")
    done = run("doctor", "--store", EHR)
    assert "the server does what the profile says" in done.stdout
    assert done.exit_code == 0


def test_what_the_scopes_have_to_be(run: Run, here: Path, ehr: responses.RequestsMock) -> None:
    """Where tokens are asked for, the page lists the scopes that the site has to allow for each command and way."""
    run("keys", "new", "keys.json")
    auth = "[auth]\nkind = 'smart-backend'\nclient_id = 'c'\nkey_file = 'keys.json'\n"
    allowed = "[delivery]\nreviews = ['task', 'request']\n"
    (here / "fhir-alliance.toml").write_text(auth + allowed, encoding="utf-8")
    ehr.post("https://ehr.example/token", status=400, json={"error": "invalid_scope"})
    done = run("doctor", "--store", EHR)
    assert done.exit_code == 11
    assert "FA423" in done.stdout
    assert "system/Consent.rs" in done.stdout.replace("\n", " ")
    assert "system/ServiceRequest.cru" in done.stdout.replace("\n", " ")


def test_a_folder(run: Run, clinic: Clinic) -> None:
    """A folder is looked at too; one that is not there is a fault of the configuration."""
    assert run("doctor", "--store", clinic()).exit_code == 0
    assert run("doctor", "--store", "nowhere").exit_code == 10


def test_offline(run: Run) -> None:
    """--offline sends nothing: the health check of a container."""
    with responses.RequestsMock() as nobody:
        assert run("doctor", "--store", EHR, "--offline").exit_code == 0
        assert len(nobody.calls) == 0


def test_what_was_refused_lately_is_shown_and_can_be_forgotten(run: Run, here: Path) -> None:
    """What runs have learnt that the server refuses is shown with its end; --forget lets the next run ask again."""
    state = state_folder_of(EHR, Config())
    journal = Journal(state, EHR)
    journal.refuse("create:Observation", datetime.now(UTC))
    assert run("doctor", "--store", EHR, "--offline", "--forget").exit_code == 75  # a run holds the lease
    journal.close()

    def told(*words: str) -> list[str]:
        said = json.loads(run("doctor", "--store", EHR, "--offline", "--json", *words).stdout)
        return [check["what"] for check in said["checks"] if check["name"] == "refused lately"]

    assert [what.partition(" (until")[0] for what in told()] == ["create:Observation"]
    assert told("--forget") == []
    assert told() == []
