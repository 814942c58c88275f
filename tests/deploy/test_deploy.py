"""What runs the job keeps its promises: one at a time, no more rights than it needs, secrets as files."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fhir_alliance.cli import program

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    """The CronJob."""
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "cronjob.yaml").read_text(encoding="utf-8")))
    found: dict[str, Any] = documents[0]["spec"]
    return found


def test_one_job_at_a_time_that_is_given_time_to_end(job: dict[str, Any]) -> None:
    """Two syncs never run at once, none is retried blindly, and SIGTERM leaves time for the page in hand."""
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert job["jobTemplate"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 300


def test_the_container_has_no_more_rights_than_it_needs(job: dict[str, Any]) -> None:
    """Not root, a root file system that is read-only, no capabilities, secrets mounted for the owner only."""
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    secrets = next(volume["secret"] for volume in pod["volumes"] if "secret" in volume)
    assert secrets["defaultMode"] == 0o400
    assert not any("value" in e and re.search("token|secret|key", e["name"], re.I) for e in container["env"])


def commands() -> list[str]:
    """Return the command lines that the files give, without what stands before the program's words."""
    service = configparser.RawConfigParser(strict=False, delimiters=("=",))
    service.optionxform = str  # type: ignore[assignment,method-assign]
    text = (DEPLOY / "systemd" / "fhir-alliance.service").read_text(encoding="utf-8").replace("\\\n", "")
    service.read_string(text)
    container = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    check = re.search(r"HEALTHCHECK.*CMD (\[.*\])", container)
    assert check
    return [service["Service"]["ExecStart"].partition(" ")[2], " ".join(yaml.safe_load(check[1])[1:])]


@pytest.mark.parametrize("line", commands())
def test_every_command_exists(line: str) -> None:
    """Commands and options in the files are those of the program."""
    words = [word for word in re.sub(r"--config \S+", "", line).split() if word != "-"]
    help_text = CliRunner().invoke(program, [words[0], "--help"]).output
    for option in (word for word in words if word.startswith("--")):
        assert option in help_text


def test_the_service_is_hardened() -> None:
    """The unit runs as nobody's user, sees no home, and takes its key as a credential."""
    text = (DEPLOY / "systemd" / "fhir-alliance.service").read_text(encoding="utf-8")
    for line in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "StateDirectoryMode=0700"):
        assert line in text.splitlines()
    assert "LoadCredential=" in text


def test_the_image_is_nobodys_root() -> None:
    """The container's last user is not root, and its state lies on the one volume."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (\S+)$", text, re.M)[-1] == "10001"
    assert re.findall(r"^VOLUME (\S+)$", text, re.M) == ["/var/lib/fhir-alliance"]
