"""Servers that behave as vendors say theirs do, and the plan that the check-up makes for each.

Each `*.toml` here holds facts about one vendor's server with their source. Letters of a type: C create, R read,
S search, U update. A type that a file does not name, or names without `search`, is one of whose searches nothing is
known: they find nothing. A parameter that a type does not list is ignored in silence, as FHIR lets servers do. Of
platforms it is taken that they search by what R4 defines. `keeps_together` stands where somebody has tried what
becomes of a transaction that fails in part. `python -m tests.vendors.vendors` writes the plans.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from fhir_alliance.config import Config
from fhir_alliance.runs.doctor import doctor
from tests.servers.loopback import read_together
from tests.stores.conftest import Answer, Loopback, Request

HERE: Final = Path(__file__).parent
PLANS: Final = HERE / "plans"
NAMES: Final = sorted(file.stem for file in HERE.glob("*.toml"))
_LETTERS: Final = {"C": "create", "R": "read", "S": "search-type", "U": "update"}


def facts(name: str) -> dict[str, Any]:
    """Return what is known of a vendor's server."""
    return tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))


def statement(known: dict[str, Any]) -> dict[str, Any]:
    """Return the CapabilityStatement that these facts make."""
    resources = [
        {
            "type": kind,
            "interaction": [{"code": _LETTERS[letter]} for letter in held["can"]],
            "searchParam": [{"name": name} for name in held.get("search", ())],
            **known.get("flags", {}),
        }
        for kind, held in known["types"].items()
        if held["can"]
    ]
    rest = {"mode": "server", "interaction": [{"code": code} for code in known["system"]], "resource": resources}
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}


class Vendor:
    """Answers requests as the vendor's server does, of which nobody is a patient but one."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        url = urlsplit(request.path)
        if url.path == "/fhir/metadata":
            return 200, statement(self.known), {}
        if url.path.strip("/") == "fhir":
            return self._together(json.loads(request.body))
        kind = url.path.split("/")[2]
        held = self.known["types"].get(kind)
        if "smart-configuration" in url.path or (held is not None and "S" not in held["can"]):
            return 404, {"resourceType": "OperationOutcome", "issue": [{"code": "not-supported"}]}, {}
        asked = {key.partition(":")[0] for key in parse_qs(f"{url.query}&{request.body.decode()}")}
        return self._searched(kind, held, asked) if held is not None and "search" in held else _page()

    def _together(self, bundle: dict[str, Any]) -> Answer:
        """Answer a transaction; of servers that nobody has tried nothing is known, and they serve none of reads."""
        keeps = self.known.get("keeps_together")
        return (keeps is not None and read_together(bundle, in_part=not keeps)) or (400, {}, {})

    def _searched(self, kind: str, held: dict[str, Any], asked: set[str]) -> Answer:
        if held.get("required") and not any(asked >= set(each.split("+")) for each in held["required"]):
            code = {"coding": [{"code": held.get("required_code", "")}]}
            return 400, {"resourceType": "OperationOutcome", "issue": [{"code": "required", "details": code}]}, {}
        used = asked & {*held["search"], "_id"}
        return _page() if used else _page({"resourceType": kind, "id": "somebody"})


def _page(*resources: dict[str, Any]) -> Answer:
    return 200, {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in resources]}, {}


def plan(name: str) -> dict[str, Any]:
    """Return the routes that the check-up chooses for a vendor's server, what stands in the way, and how it ends."""
    server = Loopback(Vendor(facts(name)))
    try:
        with TemporaryDirectory() as folder:
            found = doctor(server.base, Config.model_validate({"state": {"folder": f"{folder}/state"}}))
    finally:
        server.stop()
    told = {
        "exit": int(found.exit),
        "pull": f"{found.pull.how}: {found.pull.why}" if found.pull is not None else "",
        "routes": [route._asdict() for route in found.routes],
        "not the best": {check.name: check.what for check in found.checks if check.standing != "ok"},
        "to allow": list(found.to_allow),
    }
    again: dict[str, Any] = json.loads(json.dumps(told, ensure_ascii=False).replace(server.base, "BASE"))
    return again


def text(name: str) -> str:
    """Return a vendor's plan as its golden file holds it."""
    return json.dumps(plan(name), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PLANS.mkdir(exist_ok=True)
    for each in NAMES:
        (PLANS / f"{each}.json").write_text(text(each), encoding="utf-8")
