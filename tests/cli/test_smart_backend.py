"""A sync as a hospital runs it: SMART Backend Services from the configuration to the Observation, no secret told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import jwt
import pytest
from click.testing import Result

from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]

TOKEN = "t0ken-Zilpzalp"  # noqa: S105 - invented


@pytest.fixture
def guarded(start_server: Callable[..., Any]) -> Any:
    """A server that gives tokens for a good assertion, and answers nobody without one; `.asked` keeps the forms."""
    server = start_server(system=("transaction",), conditional_create=True)
    server.load(response_json([1] * 9, name="r1", meta={"versionId": "1", "lastUpdated": "2026-01-05T10:00:00Z"}))
    answer, server.asked, server.jwks, server.scope = server.answer, [], {"keys": []}, None

    def guard(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if path.endswith("/.well-known/smart-configuration"):
            where = server.base.removesuffix("/fhir") + "/token"
            return 200, {"token_endpoint": where, "capabilities": ["permission-v2"]}, {}
        if path == "/token":
            form = {key: value[0] for key, value in parse_qs(body.decode()).items()}
            [key] = [jwt.PyJWK(key) for key in server.jwks["keys"]]
            where = server.base.removesuffix("/fhir") + "/token"
            jwt.decode(form["client_assertion"], key.key, ["ES384"], audience=where)
            server.asked.append(form)
            scope = form["scope"] if server.scope is None else server.scope
            return 200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": 300, "scope": scope}, {}
        if headers.get("Authorization") != f"Bearer {TOKEN}" and not path.endswith("/metadata"):
            return 401, {}, {}
        return answer(method, path, headers, body)

    server.answer = guard
    return server


@pytest.fixture
def configured(run: Run, here: Path, guarded: Any) -> Any:
    """The server, with our public key registered there and a configuration that names it."""
    run("keys", "new", "keys.json")
    guarded.jwks = json.loads(run("keys", "jwks", "keys.json").stdout)
    (here / "fhir-alliance.toml").write_text(
        f"[store]\nlocation = '{guarded.base}'\n"
        "[auth]\nkind = 'smart-backend'\nclient_id = 'c1'\nkey_file = 'keys.json'\n",
        encoding="utf-8",
    )
    return guarded


def test_from_the_configuration_to_the_observation(run: Run, here: Path, configured: Any, tmp_path: Path) -> None:
    """A sync gets its token by our key and writes the scores; token, key and assertion stand nowhere afterwards."""
    done = run("-v", "sync", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["created"]["Observation"] == 2
    private = json.loads((here / "keys.json").read_text(encoding="utf-8"))["keys"][0]["d"]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "keys.json"]
    for secret in (TOKEN, private, configured.asked[0]["client_assertion"]):
        assert secret not in done.stdout + done.stderr
        assert not any(secret.encode() in content for content in written)


def test_a_dry_run_holds_no_right_to_write(run: Run, configured: Any) -> None:
    """A dry run asks for no scope that writes, a sync for those of scores and reviews, publish for neither."""
    run("sync", "--dry-run")
    run("sync")
    rehearsal, sync = (set(form["scope"].split()) for form in configured.asked)
    assert not any(set(scope.rpartition(".")[2]) & set("cud") for scope in rehearsal)
    assert {"system/Observation.crus", "system/Consent.rs"} <= sync
    assert not any("d" in scope.rpartition(".")[2] for scope in sync)


def test_a_plan_without_the_right_to_write_does_not_start(run: Run, configured: Any) -> None:
    """11: where the server grants reading only, nothing is read and nothing is written, and the scopes are named."""
    configured.scope = "system/*.rs"
    done = run("sync")
    assert done.exit_code == 11
    assert "system/Observation.cu" in done.stderr
    assert configured.writes == []


def test_a_run_without_rights_leaves_nothing(run: Run, here: Path, configured: Any) -> None:
    """The journal of a run that was granted nothing holds nothing, and the next run, with rights, does all."""
    configured.scope = ""
    assert run("sync").exit_code == 11
    [journal] = list((here.parent / "state").rglob("journal.db"))
    with closing(sqlite3.connect(journal)) as opened:
        assert opened.execute("SELECT count(*) FROM intent").fetchone() == (0,)
    configured.scope = None
    assert run("sync").exit_code == 0
