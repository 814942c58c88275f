"""Ways to another origin: a second server listens, and hears nothing of us, whichever way ours points to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import orjson
import pytest

from fhir_alliance.config import Config
from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.errors import AllianceError
from fhir_alliance.fhir.difference import Change, ChangeKind, Known
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.keys import Algorithm, new_keys
from fhir_alliance.stores.opening import open_http
from fhir_alliance.stores.scopes import Needs, of
from fhir_alliance.stores.server import ServerStore

Serve: TypeAlias = Callable[..., Any]  # see conftest.py
Answer: TypeAlias = tuple[int, Any, dict[str, str]]

TOKEN = "t0p-s3cret"  # noqa: S105 - invented
HEADERS = {"Epic-Client-ID": "our-client"}
EMPTY: Answer = (200, {"resourceType": "Bundle", "type": "searchset"}, {})


class Way(NamedTuple):
    """How a server points elsewhere, and what we do there. status: of the answer to what we do."""

    does: Callable[[ServerStore, Http, Journal, str], object]
    status: int = 200
    body: Callable[[str], Any] = lambda other: EMPTY[1]
    headers: Callable[[str], dict[str, str]] = lambda other: {}


def created(key: str) -> Change:
    """Return the creation of an Observation."""
    body = {"resourceType": "Observation", "identifier": [{"system": "https://x.example", "value": key}]}
    made = Write("Observation", "https://x.example", key, WriteMode.KEEP_CURRENT, orjson.dumps(body), key)
    return Change(made, ChangeKind.CREATE)


def page(link: str) -> Callable[[str], Any]:
    """Return the body of a page whose next one is elsewhere."""
    return lambda other: EMPTY[1] | {"link": [{"relation": "next", "url": link.format(other=other, host=other[7:])}]}


def reads(store: ServerStore, http: Http, journal: Journal, other: str) -> object:
    """Read forms, and other resources by a search."""
    return list(store.responses("", ())), store.about("Task", ["Patient/p1"])


def searches(store: ServerStore, http: Http, journal: Journal, other: str) -> object:
    """Search by a form."""
    return store.about("Task", ["Patient/p1"])


def writes(store: ServerStore, http: Http, journal: Journal, other: str) -> object:
    """Write twice, the second time with a reference to the first."""
    known = Known([])
    return store.put([created("a")], known, journal), store.put([created("b")], known, journal)


def asks(store: ServerStore, http: Http, journal: Journal, other: str) -> object:
    """Follow an address that stood in a resource: an attachment, or a job's Content-Location."""
    return http.get(f"{other}/Binary/1")


def location(other: str) -> dict[str, str]:
    """Return the header of a redirect, or of what was created."""
    return {"Location": f"{other}/Observation/1", "Content-Location": f"{other}/job/1"}


def transacted(other: str) -> Any:
    """Return a transaction's response whose location is elsewhere."""
    return {"resourceType": "Bundle", "entry": [{"response": {"status": "201", "location": f"{other}/Observation/1"}}]}


WAYS = {
    "next": Way(reads, body=page("{other}?page=2")),
    "next with user information": Way(reads, body=page("http://user@{host}")),
    "next without a scheme": Way(reads, body=page("//{host}")),
    "next of a search by form": Way(searches, body=page("{other}?page=2")),
    "Link header": Way(reads, headers=lambda other: {"Link": f'<{other}?page=2>; rel="next"'}),
    "Refresh and Alt-Svc headers": Way(
        reads, headers=lambda other: {"Refresh": f"0; url={other}", "Alt-Svc": f'http="{other[7:-5]}"'}
    ),
    **{f"redirect {n} of a read": Way(reads, n, headers=location) for n in (301, 302, 303, 307, 308)},
    **{f"redirect {n} of a search": Way(searches, n, headers=location) for n in (302, 307, 308)},
    **{f"redirect {n} of a write": Way(writes, n, headers=location) for n in (302, 307, 308)},
    "Location of what was created": Way(writes, 201, transacted, location),
    "Content-Location of a job": Way(asks, headers=location),
    "attachment": Way(asks),
}  # fmt: skip


@pytest.fixture
def opened(tmp_path: Path, serve: Serve) -> Callable[..., Http]:
    """A function that opens a session with a token and a vendor's header."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(TOKEN, encoding="utf-8")

    def opened(base: str, **said: Any) -> Http:
        content = {"auth": {"kind": "bearer", "token_file": file} | said, "http": {"headers": HEADERS}}
        return open_http(base, Config.model_validate(content), Needs(of("Task")))

    return opened


@pytest.mark.parametrize("way", WAYS)
def test_nothing_leaves_home(serve: Serve, opened: Callable[..., Http], journal: Journal, way: str) -> None:
    """Wherever the store points, no request, token or vendor's header of ours goes to another origin."""
    other = serve(EMPTY)
    chosen = WAYS[way]
    home = serve((chosen.status, chosen.body(other.base), chosen.headers(other.base)))
    http = opened(home.base)
    store = ServerStore(home.base, http)
    with suppress(AllianceError):
        chosen.does(store, http, journal, other.base)
    store.close()
    assert other.requests == []
    for request in home.requests:  # there was something to leak
        if request.path == "/fhir/metadata" and "Authorization" not in request.headers:
            continue
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["Epic-Client-ID"] == "our-client"
    assert home.requests or chosen.does is asks


def test_a_redirect_at_home_is_followed(serve: Serve, opened: Callable[..., Http]) -> None:
    """Row 40: a read is led on at the same origin, at most three times, and what is written is never sent elsewhere."""
    steps = [(302, {}, {"Location": "/fhir/b"}), (307, {}, {"Location": "c"}), (301, {}, {"Location": "/fhir/d"})]
    home = serve(*steps, EMPTY)
    http = opened(home.base)
    assert http.get("a").ok
    assert [request.path for request in home.requests] == ["/fhir/a", "/fhir/b", "/fhir/c", "/fhir/d"]
    http.close()


def test_redirects_in_a_circle_end(serve: Serve, opened: Callable[..., Http]) -> None:
    """Row 44: a circle of redirects ends after three."""
    home = serve((302, {}, {"Location": "/fhir/a"}))
    http = opened(home.base)
    with pytest.raises(AllianceError, match="FA405"):
        http.get("a")
    assert len(home.requests) == 4
    http.close()


SMART_WAYS = ("token_endpoint", "redirect of the discovery", "oauth-uris", "redirect of the token address")


@pytest.mark.parametrize("kind", ["client-secret", "smart-backend"])
@pytest.mark.parametrize("way", SMART_WAYS)
def test_no_proof_of_who_we_are_leaves_home(
    serve: Serve, opened: Callable[..., Http], tmp_path: Path, way: str, kind: str
) -> None:
    """Row 154: neither a client secret nor an assertion goes to a token address that another origin is."""
    other = serve((200, {"access_token": "x", "token_type": "bearer", "expires_in": 60}, {}))
    file, secret = tmp_path / "keys.json", tmp_path / "secret"
    new_keys(Algorithm.ES384).write(file)
    secret.touch(mode=0o600)
    secret.write_text(TOKEN, encoding="utf-8")

    def answer(request: Any) -> Answer:
        own = f"http://{request.headers['Host']}"
        if request.path == "/token":
            return 307, {}, {"Location": other.base}
        if "smart" in request.path and way == "redirect of the discovery":
            return 302, {}, {"Location": other.base + "/.well-known/smart-configuration"}
        if "smart" in request.path and way != "oauth-uris":
            return 200, {"token_endpoint": other.base if way == "token_endpoint" else f"{own}/token"}, {}
        if "metadata" in request.path and way == "oauth-uris":
            url = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
            outer = {"url": url, "extension": [{"url": "token", "valueUri": other.base}]}
            return 200, {"rest": [{"security": {"extension": [outer]}}]}, {}
        return 404, {}, {}

    http = opened(serve(answer).base, kind=kind, client_id="c", key_file=file, secret_file=secret)
    with pytest.raises(AllianceError, match=r"FA42[013]"):
        http.get("Task")
    assert other.requests == []


def test_a_token_address_that_the_site_names(serve: Serve, opened: Callable[..., Http], tmp_path: Path) -> None:
    """An authorisation server elsewhere is used where the site names it; a vendor's header stays with the store."""
    given = (200, {"access_token": "x", "token_type": "bearer", "expires_in": 60, "scope": "system/Task.rs"}, {})
    other, home = serve(given), serve(EMPTY)
    file = tmp_path / "keys.json"
    new_keys(Algorithm.ES384).write(file)
    http = opened(home.base, kind="smart-backend", client_id="c", key_file=file, token_url=other.base + "/token")
    assert http.get("Task").ok
    [request] = other.requests
    assert "Epic-Client-ID" not in request.headers
    assert home.requests[-1].headers["Authorization"] == "Bearer x"


@pytest.mark.parametrize(
    ("said", "is_taken"),
    [({"issuer": "https://id.example.org"}, True), ({"issuer": "https://id.example.org/"}, False), ({}, False)],
    ids=["the site's", "another", "none"],
)
def test_only_the_issuer_that_the_site_names(
    serve: Serve, opened: Callable[..., Http], tmp_path: Path, said: dict[str, str], is_taken: bool
) -> None:
    """Row 155: where the site names an issuer, a configuration with another stops the run before any proof is sent."""
    token = (200, {"access_token": "x", "token_type": "bearer", "expires_in": 60, "scope": "system/Task.rs"}, {})
    other, file = serve(token), tmp_path / "keys.json"
    new_keys(Algorithm.ES384).write(file)
    home = serve(lambda request: (200, said, {}) if "smart" in request.path else EMPTY)
    http = opened(
        home.base, kind="smart-backend", client_id="c", key_file=file, token_url=f"{other.base}/token",
        issuer="https://id.example.org",
    )  # fmt: skip
    if is_taken:
        assert http.get("Task").ok
        return
    with pytest.raises(AllianceError, match="FA428"):
        http.get("Task")
    assert other.requests == []


@pytest.mark.parametrize("named", [False, True])
def test_what_the_machine_says_is_passed_over(
    serve: Serve, opened: Callable[..., Http], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """Rows 45, 46: proxies and .netrc of the machine neither lead us elsewhere nor change who we are."""
    other, home = serve(EMPTY), serve(EMPTY)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, other.base)
    for name in [name for name in os.environ if name.lower() == "no_proxy"]:
        monkeypatch.delenv(name)
    (tmp_path / "netrc").write_text("default login me password other\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    address = home.base if not named else home.base.replace("127.0.0.1", "localhost")
    http = opened(address)
    assert http.get("Task").ok
    assert other.requests == []
    assert home.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    http.close()
