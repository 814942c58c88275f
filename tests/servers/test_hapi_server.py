"""The test server is a fair judge: it keeps what was sent, refuses what is wrong, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.hapi

FORM = {"resourceType": "QuestionnaireResponse", "id": "kept-version", "status": "completed"}
STARTER = """
import sys
sys.path.insert(0, sys.argv[1])
import hapi_server
process, log = hapi_server.launch(heap="1g")
print(process.pid, log, flush=True)
sys.stdin.read()
"""


def _observation(name: str, source: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"text": "mood"},
        "derivedFrom": [{"reference": source}],
    }


def test_the_version_of_a_source_is_kept(fhir: Any) -> None:
    """A score goes on naming the version of its form after a newer one came, and is still found by the form."""
    fhir.put(FORM)
    fhir.put(FORM | {"status": "amended"})
    fhir.put(_observation("kept-version", "QuestionnaireResponse/kept-version/_history/1"))
    stored = fhir.get("Observation/kept-version")
    assert stored["derivedFrom"] == [{"reference": "QuestionnaireResponse/kept-version/_history/1"}]
    found = fhir.get("Observation", **{"derived-from": "QuestionnaireResponse/kept-version"})
    assert [entry["resource"]["id"] for entry in found["entry"]] == ["kept-version"]


def test_a_wrong_write_is_refused(fhir: Any) -> None:
    """A write that lacks a required element is refused with the element's name."""
    with pytest.raises(AssertionError, match=r"422 PUT Observation/codeless: .*Observation\.code"):
        fhir.put({"resourceType": "Observation", "id": "codeless", "status": "final"})


def test_a_write_that_breaks_its_profile_is_refused(fhir: Any) -> None:
    """The server holds every write to the profile that it claims."""
    claims = {"profile": ["https://fhir-alliance.org/fhir/StructureDefinition/alliance-panel"]}
    with pytest.raises(AssertionError, match="fa-family"):
        fhir.put(_observation("claims", "QuestionnaireResponse/1") | {"meta": claims})


def test_it_listens_on_the_loopback_address_only(hapi: Any) -> None:
    """No other machine can reach the server."""
    assert hapi.base.startswith("http://127.0.0.1:")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the process in /proc")
def test_it_ends_with_a_killed_parent() -> None:
    """A server ends when the run that started it is killed, even while it still boots: nothing is left behind."""
    command = [sys.executable, "-c", STARTER, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, log = parent.stdout.readline().split()
        time.sleep(1)  # Java needs a moment until it can watch
        assert _lives(int(pid))
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while _lives(int(pid)) and time.monotonic() < until:
        time.sleep(0.1)
    Path(log).unlink()
    assert not _lives(int(pid))


def _lives(pid: int) -> bool:
    """Return whether the process runs; a dead one that nobody waited for does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
