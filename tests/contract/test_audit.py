"""AuditEvents on a real server that validates them; where it takes none, the local file does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhir_alliance.config import AuditSection
from fhir_alliance.core.audit import Access, Action, Ground
from fhir_alliance.runs.audit import disclosures, opened_file, tell_of
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import START

PATIENT = "Patient/audited"


@pytest.fixture
def server(fhir: Any) -> ServerStore:
    """The server, with a client, a payer, a Consent and a score on it."""
    fhir.put({"resourceType": "Patient", "id": "audited"})
    fhir.put({"resourceType": "Organization", "id": "payer", "name": "Payer"})
    fhir.put({"resourceType": "Practitioner", "id": "sue"})
    fhir.put({"resourceType": "Observation", "id": "score", "status": "final", "code": {"text": "score"}})
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    optin = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}
    fhir.put(
        {
            "resourceType": "Consent", "id": "audited", "status": "active", "scope": {"coding": [scope]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "policyRule": {"coding": [optin]}, "patient": {"reference": PATIENT}, "dateTime": "2026-01-01",
        }
    )  # fmt: skip
    return ServerStore(fhir.base)


def access(action: Action, **elements: Any) -> Access:
    """Return an access to the client's data, by Consent."""
    ground = Ground(True, ("Consent/audited/_history/1",), "1", ("Consent/audited permits it.",))
    given = {"what": ("Observation/score",), "ground": ground} | elements
    return Access(action, PATIENT, START, **given)


EVERY = [
    access(Action.QUERY, what=("Observation", "Task")),
    access(Action.READ, recipient="Practitioner/sue", role="supervisor", purpose="TRAIN"),
    access(Action.CREATE, what=("Observation/score", "Observation/" + "a" * 64)),
    access(Action.UPDATE),
    access(Action.DISCLOSE, recipient="Organization/payer", purpose="HPAYMT"),
    access(Action.DISCLOSE, recipient="Organization/payer", ground=Ground(False, (), "1", ("No.",))),
]


def test_a_server_takes_every_kind(server: ServerStore, fhir: Any, tmp_path: Path) -> None:
    """Every kind of AuditEvent is valid R4 to a validating server, and can be accounted for."""
    before = fhir.get("AuditEvent", _summary="count")["total"]
    tell_of(server, AuditSection(to="server"), tmp_path)(EVERY)
    assert fhir.get("AuditEvent", _summary="count")["total"] == before + len(EVERY)
    assert not (tmp_path / "audit.ndjson").exists()
    found = disclosures(server, opened_file(tmp_path / "audit.ndjson"), PATIENT)
    assert {(a.action, a.recipient) for a in found} == {
        (Action.READ, "Practitioner/sue"),
        (Action.DISCLOSE, "Organization/payer"),
    }


def test_what_a_server_refuses_is_kept_here(server: ServerStore, tmp_path: Path) -> None:
    """An event that names somebody whom the server does not know is not lost: the file takes it."""
    tell_of(server, AuditSection(to="server"), tmp_path)([access(Action.DISCLOSE, recipient="Organization/nobody")])
    found = disclosures(server, opened_file(tmp_path / "audit.ndjson"), PATIENT)
    assert "Organization/nobody" in {a.recipient for a in found}
    assert (tmp_path / "audit.ndjson").exists()


def test_a_folder_takes_none(tmp_path: Path) -> None:
    """The trail of a folder store is the file, wherever the site wants it."""
    (tmp_path / "clinic").mkdir()
    tell_of(FolderStore(tmp_path / "clinic"), AuditSection(to="server"), tmp_path)(EVERY)
    assert len((tmp_path / "audit.ndjson").read_bytes().splitlines()) == len(EVERY)
