"""A real FHIR R4 server for tests and benchmarks: build it, start it, talk to it, stop it.

    with start() as server, FhirClient(server.base) as fhir:
        publish(fhir)
        fhir.put({"resourceType": "Patient", "id": "anna"})

The server listens on the loopback address only, keeps its data in memory unless `db` says otherwise, and
ends with the process that started it, however that one ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests
from filelock import FileLock

SOURCE = Path(__file__).parent / "hapi"
PROFILES = Path(__file__).parents[2] / "profiles"
CLASSPATH = SOURCE / "target" / "classpath.txt"
READY_WITHIN_S = 180  # eleven seconds on a quiet machine with two cores; a busy one needs many times that
_READY = re.compile(r"^READY (http://\S+)", re.MULTILINE)
# A profile that is missing when something is first validated stays missing to the validator: order matters.
_PUBLISHING_ORDER = ("CodeSystem", "ValueSet", "StructureDefinition", "Questionnaire")


def why_not() -> str:
    """Return why no server can run here, or "" when one can."""
    if missing := why_no_java():
        return missing
    if not _is_built() and shutil.which("mvn") is None:
        return "Maven is missing, and the server is not built yet"
    return ""


def why_no_java() -> str:
    """Return why nothing that needs Java 17 can run here, or ""."""
    major = _java_major()
    if major < 17:
        return "Java 17 is missing" if major == 0 else f"Java 17 is missing: java is version {major}"
    return ""


def build() -> Path:
    """Return the file that names the classpath of a current build; builds with Maven when there is none."""
    CLASSPATH.parent.mkdir(exist_ok=True)
    with FileLock(CLASSPATH.parent / "build.lock"):
        if not _is_built():
            done = subprocess.run(["mvn", "-q", "-B", "package"], cwd=SOURCE, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"Maven could not build {SOURCE}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
            CLASSPATH.touch()  # Maven leaves it alone when the dependencies are as before
    return CLASSPATH


def start(**options: Any) -> HapiServer:
    """Return a server that answers; `launch` lists the options.

    Raises RuntimeError with the end of the log when the server does not come up in time.
    """
    process, log = launch(**options)
    return _wait(process, log)


def launch(
    *, validate: bool = True, heap: str = "2g", db: str | None = None, strict: bool = False, port: int = 0
) -> tuple[subprocess.Popen[bytes], Path]:
    """Return the process of a server that begins to start, and its log.

    validate: refuse writes that break core rules or the profiles they claim.  strict: refuse unknown elements.
    heap: the JVM's -Xmx.  db: a JDBC URL (`jdbc:h2:file:/path`) that outlives the server; else memory.
    port: 0 takes a free one.
    """
    properties = {"port": str(port), "validate": _flag(validate), "strict": _flag(strict), "watch": "true"}
    if db:
        properties["db"] = db
    classpath = os.pathsep.join([str(SOURCE / "target" / "classes"), build().read_text()])
    command = [
        "java", f"-Xmx{heap}", "-XX:TieredStopAtLevel=1",
        *(f"-D{name}={value}" for name, value in properties.items()), "-cp", classpath, "alliance.TestServer",
    ]  # fmt: skip
    handle, path = tempfile.mkstemp(prefix="hapi-", suffix=".log")
    with os.fdopen(handle, "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
    return process, Path(path)


@dataclass
class HapiServer:
    """A running server. `base` is its FHIR address, without a slash at the end."""

    base: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Return the process id of the JVM."""
        return self.process.pid

    def stop(self) -> None:
        """End the server, its data in memory, and its log. Safe to call twice."""
        _end(self.process)
        self.log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class FhirError(AssertionError):
    """A request that the server refused, with the words of its OperationOutcome."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


class FhirClient:
    """The few requests that tests need, independent of the code under test."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy in the environment must not see the loopback address
        self._session.headers.update({"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"})

    def get(self, path: str, **params: str) -> Any:
        """Return the resource or Bundle at a path below the base, e.g. `get("Task", patient="Patient/1")`."""
        return self._send("GET", path, params=params)

    def put(self, resource: dict[str, Any]) -> Any:
        """Return the resource as stored under its own id."""
        return self._send("PUT", f"{resource['resourceType']}/{resource['id']}", resource)

    def post(self, resource: dict[str, Any], path: str | None = None) -> Any:
        """Return what the server made of it: at `path`, else at the base for a Bundle and at its type for the rest."""
        kind = resource["resourceType"]
        return self._send("POST", path if path is not None else "" if kind == "Bundle" else kind, resource)

    def delete(self, path: str) -> Any:
        """Return the server's outcome of a deletion."""
        return self._send("DELETE", path)

    def errors(self, resource: dict[str, Any]) -> list[str]:
        """Return what `$validate` calls an error, each as "place: message"; empty when the resource is valid."""
        outcome = self._answer("POST", f"{resource['resourceType']}/$validate", resource).json()
        wrong = [issue for issue in outcome["issue"] if issue["severity"] in ("error", "fatal")]
        return [f"{(issue.get('expression') or issue.get('location') or [''])[0]}: {_words(issue)}" for issue in wrong]

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, method: str, path: str, body: Any = None, params: dict[str, str] | None = None) -> Any:
        answer = self._answer(method, path, body, params)
        if not answer.ok:
            raise FhirError(answer.status_code, f"{method} {path}: {_reason(answer)}")
        return answer.json() if answer.content else {}

    def _answer(
        self, method: str, path: str, body: Any = None, params: dict[str, str] | None = None
    ) -> requests.Response:
        return self._session.request(method, f"{self.base}/{path}", json=body, params=params, timeout=120)


def publish(fhir: FhirClient) -> None:
    """Put this project's terminology and profiles on a server, each after what it builds on."""
    files = [path for path in PROFILES.glob("*.json") if ".example." not in path.name]
    found = [json.loads(path.read_text()) for path in (*files, PROFILES / "forms" / "score-sheet.json")]
    needed = [artefact for artefact in found if artefact["resourceType"] in _PUBLISHING_ORDER]
    for artefact in sorted(needed, key=_publishing_rank):
        fhir.put(artefact)


def _publishing_rank(artefact: dict[str, Any]) -> tuple[int, bool, bool]:
    of_ours = str(artefact.get("baseDefinition", "")).startswith("https://fhir-alliance.org/")
    is_extension = artefact.get("type") == "Extension"
    return _PUBLISHING_ORDER.index(artefact["resourceType"]), not is_extension, of_ours


def _java_major() -> int:
    """Return the major version of `java`, or 0 without one."""
    if shutil.which("java") is None:
        return 0
    said = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


def _is_built() -> bool:
    if not CLASSPATH.exists():
        return False
    sources = [SOURCE / "pom.xml", *(path for path in (SOURCE / "src").rglob("*") if path.is_file())]
    if CLASSPATH.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        return False
    return all(Path(jar).exists() for jar in CLASSPATH.read_text().split(os.pathsep))


def _wait(process: subprocess.Popen[bytes], log: Path) -> HapiServer:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        if ready := _READY.search(log.read_text(errors="replace")):
            return HapiServer(ready[1], log, process)
        time.sleep(0.1)
    state = "still starts" if process.poll() is None else f"ended with {process.returncode}"
    _end(process)
    raise RuntimeError(f"The server {state} after its time. {log} ends:\n{log.read_text(errors='replace')[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask first: a database in a file is closed cleanly then."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _reason(answer: requests.Response) -> str:
    try:
        issues: list[dict[str, Any]] = answer.json()["issue"]
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
    return "; ".join(_words(issue) for issue in issues if issue.get("severity") in ("error", "fatal", None))


def _words(issue: dict[str, Any]) -> str:
    return str(issue.get("diagnostics") or (issue.get("details") or {}).get("text") or issue.get("code"))


def _flag(value: bool) -> str:
    return "true" if value else "false"


if __name__ == "__main__":  # a server to try things on: python tests/servers/hapi_server.py
    with start() as running, FhirClient(running.base) as client:
        publish(client)
        print(running.base, "(Enter ends it)")
        input()
