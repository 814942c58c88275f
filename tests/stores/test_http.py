"""HTTP to one server and nowhere else: patience, one origin, bounded bodies, quiet messages."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from fhir_alliance.errors import AccessDenied, Exit, RetryLater, StopRun, Unreachable
from fhir_alliance.stores import exchange
from fhir_alliance.stores.auth import BearerFile
from fhir_alliance.stores.http import Http, Reply, json_of

Serve: TypeAlias = Callable[..., Any]  # see conftest.py
Connect: TypeAlias = Callable[..., Http]

TOKEN = "t0p-s3cret"  # noqa: S105 - invented
CANARY = "Zilpzalp"
OK = (200, {"resourceType": "Bundle"}, {})


@pytest.fixture
def waits() -> list[float]:
    """The pauses that were asked for; nobody sleeps."""
    return []


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A token in a file that only we can read."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n", encoding="utf-8")
    file.chmod(0o600)
    return file


@pytest.fixture
def connect(token: Path, waits: list[float]) -> Iterator[Connect]:
    """A function that opens a session with our token."""
    opened: list[Http] = []

    def connect(base: str) -> Http:
        opened.append(Http(base, BearerFile(token), waits.append))
        return opened[-1]

    yield connect
    for session in opened:
        session.close()


@pytest.mark.parametrize("status", [408, 502, 503, 504])
def test_it_waits_longer_each_time_and_goes_on(serve: Serve, connect: Connect, waits: list[float], status: int) -> None:
    """A server that asks for patience three times is asked four times, with growing pauses, and then is heard."""
    server = serve((status, {}, {}), (status, {}, {}), (status, {}, {}), OK)
    assert connect(server.base).get("Patient").ok
    assert len(server.requests) == 4
    assert waits == [0.5, 1.0, 2.0]


def test_a_throttle_that_does_not_say_how_long(serve: Serve, connect: Connect, waits: list[float]) -> None:
    """Row 37: a server that counts calls by the minute, and says nothing of it, is left alone until the next one."""
    assert connect(serve((429, {}, {}), OK).base).get("Patient").ok
    [waited] = waits
    assert waited == pytest.approx(60 - datetime.now(UTC).second, abs=2) or waited > 58


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-ms-retry-after-ms": "1250", "Retry-After": "2"}, 1.25),
        ({"x-ms-retry-after-ms": "x", "Retry-After": "2"}, 2),
        ({"RateLimit": '"default";r=0;t=7'}, 7),
        ({"RateLimit": "limit=10, remaining=0, reset=9"}, 9),
        ({"RateLimit-Reset": "4"}, 4),
        ({"RateLimit": '"default";r=0', "Retry-After": "3"}, 3),
    ],
)
def test_other_ways_to_ask_for_patience(
    serve: Serve, connect: Connect, waits: list[float], headers: dict[str, str], expected: float
) -> None:
    """Azure's milliseconds, which are the more exact, and the RateLimit headers are honoured as well."""
    assert connect(serve((429, {}, headers), OK).base).get("Patient").ok
    assert waits == [expected]


def test_patience_ends(serve: Serve, connect: Connect) -> None:
    """After four attempts the run ends as one to repeat later."""
    server = serve((503, {}, {}))
    with pytest.raises(RetryLater) as told:
        connect(server.base).get("Patient")
    assert (told.value.code, told.value.exit) == ("FA403", Exit.LATER)
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 404, 409, 410, 412, 422, 500, 501])
def test_what_will_not_change_is_asked_once(serve: Serve, connect: Connect, status: int) -> None:
    """An answer that patience does not change comes back as it is, at once."""
    server = serve((status, {}, {}))
    reply = connect(server.base).post("", b"{}")
    assert (reply.status, reply.ok, len(server.requests)) == (status, False, 1)


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("2", 2, 2),
        ("0", 0, 0),
        ("1.5", 0.5, 1.5),
        ("-5", 0.5, 0.5),
        ("abc", 0.5, 0.5),
        ("", 0.5, 0.5),
        ("nan", 0.5, 0.5),
        ("inf", 0.5, 0.5),
        ("45", 45, 45),
        ("590", 590, 590),
        ("Sun, 99 Foo 2026 99:99:99 GMT", 0.5, 0.5),
    ],
)
def test_how_long_the_server_asks_to_wait(
    serve: Serve, connect: Connect, waits: list[float], asked: str, least: float, most: float
) -> None:
    """Retry-After is honoured as seconds, over our own longest pause too; nonsense counts as not said."""
    server = serve((429, {}, {"Retry-After": asked}), OK)
    assert connect(server.base).get("Patient").ok
    [waited] = waits
    assert least <= waited <= most


@pytest.mark.parametrize(("ahead_s", "least", "most"), [(20, 5, 20), (-86_400, 0, 0.5), (300, 200, 300)])
def test_until_when_the_server_asks_to_wait(
    serve: Serve, connect: Connect, waits: list[float], ahead_s: int, least: float, most: float
) -> None:
    """Retry-After is honoured as an HTTP date too; one in the past means now."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True)
    assert connect(serve((429, {}, {"Retry-After": date}), OK).base).get("Patient").ok
    [waited] = waits
    assert least <= waited <= most


@pytest.mark.parametrize("asked", ["601", "99999999", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_more_patience_than_a_request_has(serve: Serve, connect: Connect, waits: list[float], asked: str) -> None:
    """A server that asks for more time than a request may take in all is left alone at once: try later, status 75."""
    server = serve((429, {}, {"Retry-After": asked}), OK)
    with pytest.raises(RetryLater, match="FA403") as told:
        connect(server.base).get("Patient")
    assert (told.value.exit, waits, len(server.requests)) == (Exit.LATER, [], 1)


def test_a_cut_answer_is_asked_for_again(serve: Serve, connect: Connect) -> None:
    """An answer that breaks off is never taken for a whole one."""
    server = serve((200, {"resourceType": "Bundle", "entry": []}, {"X-Cut": "1"}), OK)
    assert json_of(connect(server.base).get("Patient")) == OK[1]
    assert len(server.requests) == 2


def test_nobody_there(serve: Serve, connect: Connect, waits: list[float]) -> None:
    """A closed port is tried four times, and then named."""
    server = serve(OK)
    server.stop()
    with pytest.raises(Unreachable) as told:
        connect(server.base).get("Patient")
    assert (told.value.code, told.value.exit, len(waits)) == ("FA402", Exit.UNREACHABLE, 3)
    assert server.base.split("/")[2] in str(told.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("verb", ["get", "post", "search"])
def test_a_redirect_is_refused(serve: Serve, connect: Connect, status: int, verb: str) -> None:
    """No redirect is followed, so no token and no form goes where it leads."""
    other = serve(OK)
    server = serve((status, {}, {"Location": other.base + "/Patient"}))
    session = connect(server.base)
    call = {"get": lambda: session.get("P"), "post": lambda: session.post("", b"{}"), "search": lambda: search(session)}
    with pytest.raises(StopRun, match="FA405"):
        call[verb]()
    assert other.requests == []
    assert len(server.requests) == 1


def search(session: Http) -> Reply:
    """Return the answer to a search about one patient."""
    return session.search("Task", {"patient": "Patient/p1"})


@pytest.mark.parametrize(
    "link",
    [
        "http://{other}/fhir?page=2", "https://{own}/fhir?page=2", "http://{own}@{other}/fhir", "//{other}/fhir",
        "http://user@{own}/fhir", "http://[bad/fhir", "http://127.0.0.1:99999/fhir", "http://127.0.0.1:port/fhir",
        "file:///etc/passwd", "ftp://{own}/fhir",
    ],
)  # fmt: skip
def test_a_link_to_elsewhere_is_refused(serve: Serve, connect: Connect, link: str) -> None:
    """A `next` link of another origin, or of none, is refused; nothing is sent to anybody."""
    server, other = serve(OK), serve(OK)
    hosts = {"own": server.base.split("/")[2], "other": other.base.split("/")[2]}
    with pytest.raises(StopRun, match="FA401"):
        connect(server.base).get(link.format(**hosts))
    assert server.requests == other.requests == []


def test_a_link_of_its_own_is_followed(serve: Serve, connect: Connect) -> None:
    """Absolute and relative links of the same origin are followed as given, even with an address in their query."""
    server = serve(OK)
    session = connect(server.base)
    for link in (f"{server.base}?page=2", "?page=2", "Patient?from=http://example.org/x"):
        assert session.get(link).ok
    paths = [request.path for request in server.requests]
    assert paths == ["/fhir?page=2", "/fhir/?page=2", "/fhir/Patient?from=http://example.org/x"]


def test_a_base_with_a_password_does_not_open_every_origin(serve: Serve, connect: Connect) -> None:
    """An address with user information is refused: it is nobody's origin, so it must not equal another such."""
    server, other = serve(OK), serve(OK)
    hosts = [s.base.removeprefix("http://") for s in (server, other)]
    with pytest.raises(StopRun):
        connect(f"http://user:pass@{hosts[0]}").get(f"http://user:pass@{hosts[1]}/Patient")
    assert other.requests == []


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/fhir+xml", ""])
def test_an_answer_that_is_not_fhir(serve: Serve, connect: Connect, kind: str) -> None:
    """A login page or XML under status 200 is told as such, once, without its text."""
    server = serve((200, f"<html>{CANARY}</html>".encode(), {"Content-Type": kind}))
    with pytest.raises(Unreachable, match="FA407") as told:
        connect(server.base).get("Patient")
    assert CANARY not in str(told.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", f'"{CANARY}'.encode()])
def test_an_answer_that_is_not_json(serve: Serve, connect: Connect, body: bytes) -> None:
    """A body that does not parse is told without its text."""
    reply = connect(serve((200, body, {})).base).get("Patient")
    with pytest.raises(Unreachable, match="FA407") as told:
        json_of(reply)
    assert CANARY not in str(told.value)


def test_a_body_without_end(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """What matters is the size after unpacking: a small answer that unpacks to more than the limit is refused."""
    monkeypatch.setattr(exchange, "MAX_BODY", 1024 * 1024)
    bomb = gzip.compress(b" " * 16 * 1024 * 1024)
    assert len(bomb) < 64 * 1024
    headers = {"Content-Encoding": "gzip"}
    with pytest.raises(StopRun, match="FA404"):
        connect(serve((200, bomb, headers)).base).get("Patient")
    small = gzip.compress(json.dumps(OK[1]).encode())
    assert json_of(connect(serve((200, small, headers)).base).get("Patient")) == OK[1]


@pytest.mark.parametrize("status", [401, 403])
def test_access_denied(serve: Serve, connect: Connect, status: int) -> None:
    """A refusal of access ends with status 11, asked once, and the token is not in the message."""
    server = serve((status, {"issue": [{"code": "security", "diagnostics": CANARY + TOKEN}]}, {}))
    with pytest.raises(AccessDenied) as told:
        connect(server.base).get("Patient")
    assert (told.value.code, told.value.exit) == ("FA406", Exit.AUTHORISATION)
    assert f"HTTP {status} (security)" in str(told.value)
    assert TOKEN not in str(told.value)
    assert CANARY not in str(told.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        ({"issue": [{"code": "invalid", "diagnostics": CANARY, "expression": [CANARY]}]}, " (invalid)"),
        ({"issue": [{"code": "required"}, {"code": "invalid"}] * 2, "text": {"div": CANARY}}, " (invalid, required)"),
        ({"issue": [{"code": f"\x1b[31m{CANARY}\r\n"}]}, ""),
        ({"issue": [{"code": {"x": CANARY}}]}, ""),
        ({"issue": CANARY}, ""),
        ({"issue": 5}, ""),
        ({"issue": [5, None]}, ""),
        ([CANARY], ""),
        ("<html>" + CANARY, ""),
        (None, ""),
    ],
)
def test_a_problem_is_a_status_and_codes_of_fhir(body: Any, codes: str) -> None:
    """Whatever a server sends with an error, only its status and FHIR issue codes are told."""
    told = Reply(422, json.dumps(body).encode(), {}).problem()
    assert told.isprintable()
    assert CANARY not in told
    assert told == f"HTTP 422{codes}"


def test_a_search_keeps_patients_out_of_addresses(serve: Serve, connect: Connect) -> None:
    """A search is sent as a form: addresses end up in logs."""
    server = serve(OK)
    search(connect(server.base))
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/fhir/Task/_search")
    assert request.body == b"patient=Patient%2Fp1"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
