"""Tokens by SMART Backend Services and by a client secret, from an authorisation server that checks everything."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fhir_alliance.config import Config
from fhir_alliance.errors import AccessDenied, Exit, RetryLater, StopRun
from fhir_alliance.stores import auth
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.keys import Algorithm, KeySet, new_keys, read_keys
from fhir_alliance.stores.opening import open_http
from fhir_alliance.stores.scopes import Needs, asked, missing, of

Serve: TypeAlias = Callable[..., Any]  # see conftest.py
Connect: TypeAlias = Callable[..., Http]

CLIENT = "client-7"
NEEDS = Needs(of("Consent", "Observation"), of("Observation"))


class AuthorisationServer:
    """A SMART server: discovery, tokens for whoever proves who it is, and resources for whoever shows a token.

    clock_s: how far its clock is ahead of ours.  lasts_s: of its tokens, None to say nothing.
    """

    def __init__(self, jwks: dict[str, Any] | None = None, secret: str = "") -> None:
        self.jwks, self.secret = jwks or {"keys": []}, secret
        self.capabilities = ["client-confidential-asymmetric", "permission-v2"]
        self.token_endpoint = ""
        self.audience = ""
        self.clock_s, self.lasts_s = 0.0, 300
        self.granted: str | None = None
        self.instead: list[Any] = []  # answers to token requests, before any is checked
        self.seen: set[str] = set()
        self.tokens: list[str] = []
        self.asked: list[dict[str, str]] = []
        self.faults: list[str] = []

    def __call__(self, request: Any) -> Any:
        """Answer a request."""
        own = f"http://{request.headers['Host']}"
        date = {"Date": format_datetime(datetime.now(UTC) + timedelta(seconds=self.clock_s), usegmt=True)}
        if request.path == "/fhir/.well-known/smart-configuration":
            where = self.token_endpoint or f"{own}/token"
            return 200, {"token_endpoint": where, "capabilities": self.capabilities}, {}
        if request.path == "/token":
            self.audience = f"{own}/token"
            status, body, headers = self.instead.pop(0) if self.instead else self._token(request)
            return status, body, date | headers
        is_known = request.headers.get("Authorization", "") in {f"Bearer {token}" for token in self.tokens}
        return (200, {"resourceType": "Bundle"}, {}) if is_known else (401, {}, {})

    def _token(self, request: Any) -> Any:
        form = {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
        self.asked.append(form)
        fault = self._fault(form, request.headers.get("Authorization", ""))
        if fault:
            self.faults.append(fault)
            return 400, {"error": "invalid_client", "error_description": f"Zilpzalp {fault}"}, {}
        self.tokens.append(f"token-{len(self.tokens)}")
        said = {} if self.lasts_s is None else {"expires_in": self.lasts_s}
        scope = form["scope"] if self.granted is None else self.granted
        return 200, {"access_token": self.tokens[-1], "token_type": "Bearer", "scope": scope, **said}, {}

    def _fault(self, form: dict[str, str], shown: str) -> str:
        """Return what is wrong with a client's proof, as a strict server would see it."""
        if form.get("grant_type") != "client_credentials":
            return "grant"
        if self.secret:
            return "" if shown == "Basic " + base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode() else "secret"
        header = jwt.get_unverified_header(form["client_assertion"])
        keys = [key for key in self.jwks["keys"] if key["kid"] == header["kid"]]
        if not keys or header["alg"] not in ("RS384", "ES384") or header["alg"] != keys[0]["alg"]:
            return "kid"
        try:
            claims = jwt.decode(
                form["client_assertion"], jwt.PyJWK(keys[0]).key, [header["alg"]], audience=self.audience,
                options={"require": ["iss", "sub", "aud", "exp", "jti"], "verify_exp": False},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            return type(error).__name__
        left_s = claims["exp"] - (time.time() + self.clock_s)
        if not 0 < left_s <= 300 or claims["iss"] != CLIENT or claims["sub"] != CLIENT:
            return "exp" if not 0 < left_s <= 300 else "iss"
        if claims["jti"] in self.seen:
            return "jti"
        self.seen.add(claims["jti"])
        return ""


def saved(keys: KeySet, path: Path) -> Path:
    """Return the path that keys were written to."""
    keys.write(path)
    return path


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with one new key."""
    return saved(new_keys(Algorithm.ES384), tmp_path / "keys.json")


@pytest.fixture
def connect(key_file: Path) -> Iterator[Connect]:
    """A function that opens a session with a server as `client-7`; further keys of [auth] may be given."""
    opened: list[Http] = []

    def connect(base: str, needs: Needs = NEEDS, **said: Any) -> Http:
        said = {"kind": "smart-backend", "key_file": key_file, "client_id": CLIENT} | said
        opened.append(open_http(base, Config.model_validate({"auth": said}), needs))
        return opened[-1]

    yield connect
    for session in opened:
        session.close()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; nobody sleeps."""
    waited: list[float] = []
    original = auth.ClientCredentials.__init__

    def quick(self: Any, *args: Any) -> None:
        original(self, *args[:4], waited.append)

    monkeypatch.setattr(auth.ClientCredentials, "__init__", quick)
    return waited


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_token_by_our_own_key(serve: Serve, connect: Connect, tmp_path: Path, algorithm: Algorithm) -> None:
    """A strict server takes our assertion: signature, kid, audience, and an end within five minutes."""
    keys = new_keys(algorithm)
    server = AuthorisationServer(keys.public())
    session = connect(serve(server).base, key_file=saved(keys, tmp_path / "own.json"))
    assert session.get("Consent").ok
    assert session.get("Observation").ok
    assert (server.faults, len(server.tokens)) == ([], 1)  # one token serves many requests
    assert jwt.get_unverified_header(server.asked[0]["client_assertion"]) == {
        "alg": algorithm.value, "kid": keys.signing, "typ": "JWT",
    }  # fmt: skip


def test_no_assertion_is_used_twice(serve: Serve, connect: Connect, key_file: Path) -> None:
    """Each request for a token carries an assertion of its own; a server that remembers `jti` never meets one again."""
    server = AuthorisationServer(read_keys(key_file).public())
    server.lasts_s = 1
    session = connect(serve(server).base)
    for _ in range(3):
        assert session.get("Consent").ok
        session._auth._token = session._auth._token._replace(renew_at=0.0)  # type: ignore[attr-defined]
    assert (server.faults, len(server.seen), len(server.tokens)) == ([], 3, 3)


def test_a_key_that_the_server_does_not_know(serve: Serve, connect: Connect) -> None:
    """An unknown key ends with status 11 and a hint; nothing of the server's own text is told."""
    server = AuthorisationServer(new_keys(Algorithm.ES384).public())
    with pytest.raises(AccessDenied, match=r"FA423 .*invalid_client.*keys jwks") as told:
        connect(serve(server).base).get("Consent")
    assert told.value.exit is Exit.AUTHORISATION
    assert "Zilpzalp" not in str(told.value)
    assert server.faults == ["kid"]


def test_rotation(serve: Serve, connect: Connect, key_file: Path) -> None:
    """Publish, sign, retire: a server that has the set published before never meets a signature unknown to it."""
    keys, server = read_keys(key_file), AuthorisationServer()
    base, signers = serve(server).base, []
    steps: list[Callable[[KeySet], KeySet]] = [
        lambda held: held, lambda held: held.with_new_key(Algorithm.RS384), KeySet.signing_with_newest, KeySet.retired,
    ]  # fmt: skip
    for step in steps:
        keys = step(keys)
        server.jwks = {"keys": server.jwks["keys"]} if step is KeySet.signing_with_newest else keys.public()
        saved(keys, key_file)
        assert connect(base).get("Consent").ok
        signers.append(jwt.get_unverified_header(server.asked[-1]["client_assertion"])["kid"])
    assert server.faults == []
    assert signers[0] == signers[1] != signers[2] == signers[3]
    assert keys.ids == [signers[3]]


def test_nothing_private_is_published() -> None:
    """The public set holds what a signature is checked with, and no member of the private half."""
    for algorithm in Algorithm:
        [key] = new_keys(algorithm).public()["keys"]
        assert not {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(key)
        assert (key["alg"], key["use"]) == (algorithm.value, "sig")


def pem(key: Any) -> bytes:
    """Return a private key as people make it with openssl."""
    made: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made


def test_a_key_as_pem(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    """A PEM key signs too, under the kid that the site has registered."""
    file = tmp_path / "key.pem"
    file.touch(mode=0o600)
    file.write_bytes(pem(ec.generate_private_key(ec.SECP384R1())))
    server = AuthorisationServer(read_keys(file, "k1").public())
    assert connect(serve(server).base, key_file=file, key_id="k1").get("Consent").ok
    with pytest.raises(StopRun, match=r"FA425 .*key_id"):
        read_keys(file)


WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - has to be refused


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'{"keys": []}', b'{"keys": [5]}', b'{"kty": "oct", "k": "AAAA", "kid": "a"}',
        pem(WEAK), pem(ec.generate_private_key(ec.SECP256R1())), b"-----BEGIN PRIVATE KEY-----",
        json.dumps({"keys": [{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "d": "AA", "kid": "a"}]}).encode(),
        json.dumps(new_keys(Algorithm.ES384).public()).encode(),
    ],
    ids=["empty", "cut", "list", "no key", "number", "symmetric", "RSA 1024", "P-256", "PEM cut", "broken", "public"],
)  # fmt: skip
def test_a_key_file_that_cannot_be_used(tmp_path: Path, content: bytes) -> None:
    """Row 158: a key that no SMART server takes is a fault of the configuration, told before anything is sent."""
    file = tmp_path / "keys"
    file.touch(mode=0o600)
    file.write_bytes(content)
    with pytest.raises(StopRun, match="FA425") as told:
        read_keys(file, "a")
    assert told.value.exit is Exit.CONFIGURATION


def test_a_key_file_that_others_can_read(key_file: Path) -> None:
    """Row 157: a key file that is open to others is refused; one that we write never is."""
    assert key_file.stat().st_mode & 0o077 == 0
    key_file.chmod(0o644)
    with pytest.raises(StopRun, match="FA113"):
        read_keys(key_file)


def test_a_client_secret(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    """A secret from a file is shown to the token address only, by HTTP Basic."""
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text("s3cr3t\n", encoding="utf-8")
    server = AuthorisationServer(secret="s3cr3t")  # noqa: S106 - invented
    loopback = serve(server)
    session = connect(loopback.base, kind="client-secret", secret_file=file)
    assert session.get("Consent").ok
    assert server.faults == []
    shown = [r.path for r in loopback.requests if r.headers.get("Authorization", "").startswith("Basic")]
    assert shown == ["/token"]


def test_a_token_is_renewed_before_it_ends(serve: Serve, connect: Connect, key_file: Path) -> None:
    """Row 161: a token with less than ten seconds to live is not used any more, and the run goes on with another."""
    server = AuthorisationServer(read_keys(key_file).public())
    session = connect(serve(server).base)
    session.get("Consent")
    held = session._auth._token  # type: ignore[attr-defined]
    assert held.good_until - held.renew_at == pytest.approx(10)
    session._auth._token = held._replace(renew_at=0.0)  # type: ignore[attr-defined]
    assert session.get("Consent").ok
    assert len(server.tokens) == 2


def test_a_token_that_does_not_say_how_long_it_lasts(serve: Serve, connect: Connect, key_file: Path) -> None:
    """Row 159: without `expires_in` a token is used for less than a minute."""
    server = AuthorisationServer(read_keys(key_file).public())
    server.lasts_s = None  # type: ignore[assignment]
    session = connect(serve(server).base)
    session.get("Consent")
    assert session._auth._token.renew_at - time.monotonic() <= 50  # type: ignore[attr-defined]


def test_once_after_a_401(serve: Serve, connect: Connect, key_file: Path) -> None:
    """Row 20: a token that the server forgot is replaced once, and a write is sent again, for it was not done."""
    server = AuthorisationServer(read_keys(key_file).public())
    loopback = serve(server)
    session = connect(loopback.base)
    session.get("Consent")
    server.tokens[0] = "forgotten"
    assert session.post("", b"{}").ok
    assert len(server.asked) == 2


def test_not_twice_after_a_401(serve: Serve, connect: Connect, key_file: Path) -> None:
    """Row 21: a server that refuses a fresh token means it: status 11, after two attempts."""
    server = AuthorisationServer(read_keys(key_file).public())

    def refuse(request: Any) -> Any:
        return server(request) if "token" in request.path or "smart" in request.path else (401, {}, {})

    loopback = serve(refuse)
    with pytest.raises(AccessDenied, match="FA406"):
        connect(loopback.base).get("Consent")
    assert [r.path for r in loopback.requests].count("/fhir/Consent") == 2
    assert len(server.tokens) == 2


def test_a_token_file_is_read_again_after_a_401(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    """Where something else keeps a token fresh in a file, the new one is taken; where it is the same, the run ends."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("old")
    server = AuthorisationServer()
    server.tokens = ["old"]
    loopback = serve(server)
    session = connect(loopback.base, kind="bearer", token_file=file)
    assert session.get("Consent").ok
    server.tokens = ["new"]
    file.write_text("new")
    assert session.get("Consent").ok
    server.tokens = []
    before = len(loopback.requests)
    with pytest.raises(AccessDenied, match="FA406"):
        session.get("Consent")
    assert len(loopback.requests) == before + 1


@pytest.mark.parametrize("ahead_s", [412, -412])
def test_clocks_that_differ_are_told(serve: Serve, connect: Connect, key_file: Path, ahead_s: int) -> None:
    """Row 163: where the server's clock explains the refusal, the message says by how many seconds and which way."""
    server = AuthorisationServer(read_keys(key_file).public())
    server.clock_s = ahead_s
    with pytest.raises(AccessDenied, match=r"clock is 41\d s " + ("behind" if ahead_s > 0 else "ahead of")):
        connect(serve(server).base).get("Consent")
    assert server.faults == ["exp"]


@pytest.mark.parametrize(
    ("granted", "lacks"),
    [
        ("system/Consent.rs system/Observation.rs", "system/Observation.cu"),
        ("system/Observation.cruds", "system/Consent.rs"),
        ("", "system/Consent.rs, system/Observation.rs, system/Observation.cu"),
        ("system/Consent.rs?status=active system/Observation.cruds", "system/Consent.rs"),
        (
            "patient/Consent.rs user/Observation.cruds",
            "system/Consent.rs, system/Observation.rs, system/Observation.cu",
        ),
    ],
)
def test_a_grant_that_is_less_than_needed(
    serve: Serve, connect: Connect, key_file: Path, granted: str, lacks: str
) -> None:
    """Row 160: a write plan never starts without the right to write: status 11, with the scopes that are missing."""
    server = AuthorisationServer(read_keys(key_file).public())
    server.granted = granted
    loopback = serve(server)
    with pytest.raises(AccessDenied, match="FA426") as told:
        connect(loopback.base).get("Consent")
    assert f"missing: {lacks}." in str(told.value)
    assert "/fhir/Consent" not in [request.path for request in loopback.requests]


@pytest.mark.parametrize(
    "granted",
    [
        "system/*.cruds", "system/*.*", "system/*.read system/Observation.write", "openid system/*.rs system/*.cu",
        "system/Consent.rs system/Observation.cu system/Observation.rs?category=http://x.example|survey",
    ],
)  # fmt: skip
def test_a_grant_that_covers_more(granted: str) -> None:
    """Whatever way a server says it, a grant that covers the needs is enough."""
    assert missing(NEEDS, granted) == []


def test_the_least_scopes() -> None:
    """Each type is asked for by itself, writing only where something is written, and deleting never."""
    assert asked(NEEDS, is_v2=True) == "system/Consent.rs system/Observation.crus"
    assert asked(NEEDS, is_v2=False) == "system/Consent.read system/Observation.read system/Observation.write"
    assert asked(NEEDS.without_writes(), is_v2=True) == "system/Consent.rs system/Observation.rs"
    either = Needs(reads_if_allowed=of("ValueSet"), writes_if_allowed=of("AuditEvent"))
    assert asked(either, is_v2=True) == "system/AuditEvent.cu system/ValueSet.rs"
    assert missing(either, "") == []


@pytest.mark.parametrize("is_v2", [True, False])
def test_scopes_in_the_words_of_the_server(serve: Serve, connect: Connect, key_file: Path, is_v2: bool) -> None:
    """Scopes are asked for as v2 where the server advertises it, and otherwise as v1."""
    server = AuthorisationServer(read_keys(key_file).public())
    server.capabilities = ["permission-v2"] if is_v2 else ["permission-v1"]
    connect(serve(server).base).get("Consent")
    assert server.asked[0]["scope"] == asked(NEEDS, is_v2=is_v2)


def test_a_busy_token_address(serve: Serve, connect: Connect, key_file: Path, waits: list[float]) -> None:
    """Row 162: a token address that asks for patience is asked again, and an old token that is still good is kept."""
    server = AuthorisationServer(read_keys(key_file).public())
    server.instead = [(429, {}, {"Retry-After": "7"}), (503, {}, {})]
    session = connect(serve(server).base)
    assert session.get("Consent").ok
    assert waits == [7.0, 1.0]
    session._auth._token = session._auth._token._replace(renew_at=0.0)  # type: ignore[attr-defined]
    server.instead = [(503, {}, {})] * 3
    assert session.get("Consent").ok  # with the token that it has
    session._auth._token = session._auth._token._replace(good_until=0.0)  # type: ignore[attr-defined]
    server.instead = [(503, {}, {})] * 3
    with pytest.raises(RetryLater, match="FA427"):
        session.get("Consent")


def test_a_bare_400_when_authorising_again(serve: Serve, connect: Connect, key_file: Path) -> None:
    """Epic's bare 400 is asked again when a token is renewed, and means no the first time."""
    server = AuthorisationServer(read_keys(key_file).public())
    session = connect(serve(server).base)
    session.get("Consent")
    server.tokens, server.instead = [], [(400, {}, {})]
    assert session.get("Consent").ok
    server.instead = [(400, {}, {})]
    with pytest.raises(AccessDenied, match="FA423"):
        connect(session.base).get("Consent")


@pytest.mark.parametrize(
    "reply",
    [
        {}, [], "x", {"access_token": 5, "token_type": "bearer"}, {"access_token": "a", "token_type": "mac"},
        {"access_token": "a\r\nX-Evil: 1", "token_type": "bearer"}, {"access_token": "ü", "token_type": "bearer"},
    ],
)  # fmt: skip
def test_an_answer_without_a_token(serve: Serve, connect: Connect, reply: Any) -> None:
    """What is no bearer token is never sent anywhere."""
    server = AuthorisationServer()
    server.instead = [(200, reply, {})]
    with pytest.raises(AccessDenied, match="FA423"):
        connect(serve(server).base).get("Consent")


@pytest.mark.parametrize(
    ("said", "missing_key"),
    [
        ({"kind": "smart-backend", "key_file": None}, "key_file"),
        ({"client_id": ""}, "client_id"),
        ({"kind": "client-secret"}, "secret_file"),
        ({"kind": "bearer"}, "token_file"),
    ],
)
def test_a_configuration_that_is_not_whole(connect: Connect, said: dict[str, Any], missing_key: str) -> None:
    """A kind of authorisation without what it needs is told by the key that is missing."""
    with pytest.raises(StopRun, match=f"FA115 .*{missing_key}"):
        connect("https://ehr.example/fhir", **said)


def test_no_token_travels_unencrypted(connect: Connect) -> None:
    """With authorisation, a store's address is https, or this machine itself."""
    with pytest.raises(StopRun, match="FA119"):
        connect("http://ehr.example/fhir")


def test_the_older_way_to_say_where_tokens_come_from(serve: Serve, connect: Connect, key_file: Path) -> None:
    """A server without smart-configuration says it in its CapabilityStatement, and v1 scopes are asked for."""
    server = AuthorisationServer(read_keys(key_file).public())

    def older(request: Any) -> Any:
        if "smart" in request.path:
            return 404, {}, {}
        if request.path != "/fhir/metadata":
            return server(request)
        uris = [{"url": "token", "valueUri": f"http://{request.headers['Host']}/token"}]
        outer = {"url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": uris}
        return 200, {"resourceType": "CapabilityStatement", "rest": [{"security": {"extension": [outer]}}]}, {}

    assert connect(serve(older).base).get("Consent").ok
    assert ".read" in server.asked[0]["scope"]


def test_no_way_to_a_token(serve: Serve, connect: Connect) -> None:
    """A server that does not say where tokens come from is told as such."""
    with pytest.raises(StopRun, match="FA420"):
        connect(serve((404, {}, {})).base).get("Consent")


@pytest.mark.parametrize("form", ["json", "log"])
def test_no_secret_is_told(serve: Serve, connect: Connect, key_file: Path, form: str, caplog: Any) -> None:
    """Row 166: neither token nor key nor assertion stands in a message, in `repr`, or in a log at its loudest."""
    caplog.set_level("DEBUG")
    server = AuthorisationServer(read_keys(key_file).public())
    session = connect(serve(server).base)
    session.get("Consent")
    private = json.loads(key_file.read_text(encoding="utf-8"))["keys"][0]["d"]
    told = caplog.text + repr(session) + repr(session._auth) + repr(vars(session._auth)["_proof"])
    for secret in (server.tokens[0] if form == "log" else private, server.asked[0]["client_assertion"]):
        assert secret not in told
