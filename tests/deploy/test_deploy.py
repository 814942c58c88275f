"""What runs the job keeps its promises: one at a time, no more rights than it needs, secrets as files."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fhir_alliance.cli import program
from fhir_alliance.errors import Exit

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = ("fhir-alliance.service", "fhir-alliance-listen.service")


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


def started_by(unit: str) -> str:
    """Return the command line of a unit, without what stands before the program's words."""
    service = configparser.RawConfigParser(strict=False, delimiters=("=",))
    service.optionxform = str  # type: ignore[assignment,method-assign]
    service.read_string((DEPLOY / "systemd" / unit).read_text(encoding="utf-8").replace("\\\n", ""))
    return service["Service"]["ExecStart"].partition(" ")[2]


def commands() -> list[str]:
    """Return the command lines that the files give."""
    container = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    check = re.search(r"HEALTHCHECK.*CMD (\[.*\])", container)
    assert check
    return [*map(started_by, UNITS), " ".join(yaml.safe_load(check[1])[1:])]


@pytest.mark.parametrize("line", commands())
def test_every_command_exists(line: str) -> None:
    """Commands and options in the files are those of the program."""
    words = [word for word in re.sub(r"--config \S+", "", line).split() if word != "-"]
    help_text = CliRunner().invoke(program, [words[0], "--help"]).output
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}(?![\w-])", help_text), option


@pytest.mark.parametrize("unit", UNITS)
def test_the_service_is_hardened(unit: str) -> None:
    """A unit runs as nobody's user, sees no home, and takes its key as a credential, wherever systemd puts it."""
    lines = (DEPLOY / "systemd" / unit).read_text(encoding="utf-8").splitlines()
    for line in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "StateDirectoryMode=0700"):
        assert line in lines
    assert "LoadCredential=key:/etc/fhir-alliance/secrets/key.json" in lines
    assert "Environment=FHIR_ALLIANCE_AUTH__KEY_FILE=%d/key" in lines


def test_the_units_share_what_they_must() -> None:
    """Both have the same rights, and one user: of two dynamic users, each start would take the state from the other."""
    one, other = ((DEPLOY / "systemd" / unit).read_text(encoding="utf-8").splitlines() for unit in UNITS)
    assert one[one.index("CapabilityBoundingSet=") :] == other[other.index("CapabilityBoundingSet=") :]
    for line in ("User=fhir-alliance", "StateDirectory=fhir-alliance", "TimeoutStopSec=300"):
        assert line in one
        assert line in other


def test_listening_is_not_tried_again_where_a_person_is_needed() -> None:
    """The listener starts again after any end but those that no start can mend: options, configuration, no way."""
    text = (DEPLOY / "systemd" / "fhir-alliance-listen.service").read_text(encoding="utf-8")
    assert "Restart=always" in text.splitlines()
    [prevented] = re.findall(r"^RestartPreventExitStatus=(.*)$", text, re.M)
    assert prevented.split() == ["2", str(int(Exit.CONFIGURATION)), str(int(Exit.REFUSED))]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """systemd has nothing to say against any of them, but that the program is not installed here."""
    files = []
    for unit in (*UNITS, "fhir-alliance.timer"):
        text = (DEPLOY / "systemd" / unit).read_text(encoding="utf-8")
        files.append(tmp_path / unit)
        files[-1].write_text(text.replace("/opt/fhir-alliance/bin/fhir-alliance", "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "fhir-alliance" in line] == []
    assert done.returncode == 0


def test_the_image_is_nobodys_root() -> None:
    """The container's last user is not root, and its state lies on the one volume."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (\S+)$", text, re.M)[-1] == "10001:10001"
    assert re.findall(r"^VOLUME (\S+)$", text, re.M) == ["/var/lib/fhir-alliance"]


def test_the_image_is_built_from_all_that_the_program_is_made_of() -> None:
    """What goes to the builder holds every folder that the wheel takes, and no state, secret or history beside them."""
    kept = (DEPLOY.parent / ".dockerignore").read_text(encoding="utf-8").splitlines()
    target = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    wheel = target["targets"]["wheel"]
    needed = {"pyproject.toml", "README.md", *wheel["packages"], *(p.partition("/")[0] for p in wheel["force-include"])}
    assert "*" in kept
    assert {line[1:] for line in kept if line.startswith("!")} >= needed
    assert {".git", ".venv", "tests"}.isdisjoint(line[1:] for line in kept)
