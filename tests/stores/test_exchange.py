"""One exchange and its fate: not sent, refused, or unknown; and bounds that hold against a server that stalls."""

from __future__ import annotations

import gzip
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fhir_alliance.errors import Exit, RetryLater, StopRun, Unreachable
from fhir_alliance.stores.exchange import Limits, Way
from fhir_alliance.stores.http import Http, OutcomeUnknown, json_of
from fhir_alliance.stores.patience import Pace, Quiet

Serve: TypeAlias = Callable[..., Any]  # see conftest.py
Raw: TypeAlias = Callable[..., "RawServer"]

OK = (200, {"resourceType": "Bundle"}, {})
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 2\r\n\r\n{}"


class RawServer:
    """A port that does with each connection what a test says; `count` of connections that were spoken on."""

    def __init__(self, talk: Callable[[socket.socket, Event], None], context: ssl.SSLContext | None = None) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.05)
        self._talk, self._context = talk, context
        self.over, self.count = Event(), 0
        self._threads: list[Thread] = [Thread(target=self._accept)]
        self.port = self._listening.getsockname()[1]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            self._threads.append(Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with self._context.wrap_socket(connection, server_side=True) if self._context else connection as spoken:
                self.count += 1
                self._talk(spoken, self.over)
        except OSError:
            return

    def stop(self) -> None:
        """Close everything."""
        self.over.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()


@pytest.fixture
def raw() -> Iterator[Raw]:
    """A function that starts a raw server."""
    started: list[RawServer] = []

    def raw(*args: Any) -> RawServer:
        started.append(RawServer(*args))
        return started[-1]

    yield raw
    for server in started:
        server.stop()


def drip(text: bytes) -> Callable[[socket.socket, Event], None]:
    """Return a talk that sends a byte every now and then, for ever."""

    def talk(connection: socket.socket, over: Event) -> None:
        connection.recv(65536)
        connection.sendall(text)
        while not over.wait(0.02):
            connection.sendall(b"a")

    return talk


@pytest.mark.parametrize(
    "text", [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", WHOLE.replace(b"Length: 2", b"Length: 9999")],
    ids=["status line", "header", "body"],
)  # fmt: skip
def test_a_server_that_drips(raw: Raw, text: bytes) -> None:
    """Row 8: a byte now and then keeps no connection open beyond the time for all attempts."""
    server = raw(drip(text))
    http = Http(f"http://127.0.0.1:{server.port}/fhir", sleep=lambda _: None, limits=Limits(2, 2, 0.2))
    with pytest.raises(Unreachable, match="FA402"):
        http.get("Patient")
    http.close()


def test_a_write_that_was_not_sent_is_sent_again(serve: Serve) -> None:
    """Rows 1, 11: where nothing reached the server, a write that must not be done twice is tried again."""
    server = serve(OK)
    server.stop()
    waits: list[float] = []
    http = Http(server.base, sleep=waits.append)
    with pytest.raises(Unreachable, match="FA402"):
        http.write("POST", "Observation", b"{}", once=True)
    assert len(waits) == 3
    http.close()


def hang_up(connection: socket.socket, over: Event) -> None:
    """Read the request, and say nothing."""
    connection.recv(65536)


@pytest.mark.parametrize("once", [True, False])
def test_a_write_whose_answer_is_lost(raw: Raw, once: bool) -> None:
    """Row 10: where a write may have been done, it is sent again only if that is safe."""
    server = raw(hang_up)
    http = Http(f"http://127.0.0.1:{server.port}/fhir", sleep=lambda _: None)
    with pytest.raises(OutcomeUnknown if once else Unreachable):
        http.write("POST", "Observation", b"{}", once=once)
    assert server.count == (1 if once else 4)
    http.close()


@pytest.mark.parametrize(("status", "asked"), [(429, 4), (503, 1), (504, 1)])
def test_a_refused_write_is_no_unknown_one(serve: Serve, status: int, asked: int) -> None:
    """Rows 34, 39: a throttle means not done, and is asked again; a gateway that gave up says nothing of it."""
    server = serve((status, {}, {"Retry-After": "0"}))
    http = Http(server.base, sleep=lambda _: None)
    with pytest.raises(RetryLater) as told:
        http.write("POST", "Observation", b"{}", once=True)
    assert isinstance(told.value, OutcomeUnknown) == (asked == 1)
    assert len(server.requests) == asked
    http.close()


def test_what_the_server_says_comes_before_its_status(serve: Serve) -> None:
    """A throttle told in an OperationOutcome under status 400 is waited for like any other."""
    throttled = {"resourceType": "OperationOutcome", "issue": [{"code": "throttled"}]}
    server = serve((400, throttled, {}), OK)
    waits: list[float] = []
    http = Http(server.base, sleep=waits.append)
    assert http.get("Patient").ok
    assert waits == [0.5]
    http.close()


@pytest.mark.parametrize(
    ("body", "packed"),
    [(gzip.compress(b"{}" * 999)[:-9], "gzip"), (b"{}", "gzip"), (b"{}", "br"), (b"{}", "gzip, gzip")],
    ids=["cut", "not packed", "not asked for", "twice"],
)
def test_a_body_that_cannot_be_unpacked(serve: Serve, body: bytes, packed: str) -> None:
    """A body in an encoding that is broken, or was not asked for, is never taken for an answer."""
    server = serve((200, body, {"Content-Encoding": packed}))
    http = Http(server.base, sleep=lambda _: None)
    with pytest.raises(Unreachable, match="FA402"):
        http.get("Patient")
    assert server.requests[0].headers["Accept-Encoding"] == "gzip"
    http.close()


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_body_in_chunks(raw: Raw, is_packed: bool) -> None:
    """A body that comes in chunks, packed or not, is read to its end; one that breaks off is no answer."""
    body = gzip.compress(b'{"a": 1}') if is_packed else b'{"a": 1}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n"
    head += b"Content-Encoding: gzip\r\n" if is_packed else b""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:]))
    ends = [chunks, chunks + b"0\r\n\r\n"]

    def talk(connection: socket.socket, over: Event) -> None:
        connection.recv(65536)
        connection.sendall(head + b"\r\n" + ends.pop(0))

    server = raw(talk)
    http = Http(f"http://127.0.0.1:{server.port}/fhir", sleep=lambda _: None)
    assert json_of(http.get("Patient")) == {"a": 1}
    assert server.count == 2
    http.close()


def certificate(folder: Path, name: str, days: int) -> tuple[Path, ssl.SSLContext]:
    """Return a self-signed certificate's file, and a server's context with it. days: until it expires."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(7).not_valid_before(now - timedelta(days=9)).not_valid_after(now + timedelta(days=days))
        .add_extension(names, critical=False).add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file, private = folder / "cert.pem", folder / "key.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    return file, context


def answer(connection: socket.socket, over: Event) -> None:
    """Answer one request."""
    connection.recv(65536)
    connection.sendall(WHOLE)


@pytest.mark.parametrize(
    ("name", "days", "is_trusted", "said"),
    [
        ("127.0.0.1", 9, True, ""),
        ("127.0.0.1", 9, False, "ca_file"),
        ("127.0.0.1", -1, True, "expired"),
        ("ehr.example", 9, True, "another host name"),
    ],
    ids=["trusted", "unknown authority", "expired", "another name"],
)
def test_whom_we_trust(raw: Raw, tmp_path: Path, name: str, days: int, is_trusted: bool, said: str) -> None:
    """Rows 3-5: a certificate that does not hold ends the run with status 12, once, and without a hint to look away."""
    file, context = certificate(tmp_path, name, days)
    server = raw(answer, context)
    waits: list[float] = []
    way = Way(ca_file=file if is_trusted else None)
    http = Http(f"https://127.0.0.1:{server.port}/fhir", sleep=waits.append, way=way)
    if not said:
        assert http.get("Patient").ok
    else:
        with pytest.raises(Unreachable, match=f"FA416 .*{said}") as told:
            http.get("Patient")
        assert told.value.exit is Exit.UNREACHABLE
        assert "verify" not in str(told.value)
    assert waits == []
    http.close()


def refuse_version(connection: socket.socket, over: Event) -> None:
    """Answer a greeting of TLS as a server does that speaks older versions only (RFC 5246, alert 70)."""
    connection.recv(65536)
    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")


def test_row_6_old_tls(raw: Raw) -> None:
    """Row 6: a server that has no TLS 1.2 ends the run with status 12, once."""
    server = raw(refuse_version)
    http = Http(f"https://127.0.0.1:{server.port}/fhir", sleep=lambda _: None)
    with pytest.raises(Unreachable, match=r"FA416 .*TLS 1\.2") as told:
        http.get("Patient")
    assert (told.value.exit, server.count) == (Exit.UNREACHABLE, 1)
    http.close()


def test_row_42_no_way_down_to_http(raw: Raw, serve: Serve, tmp_path: Path) -> None:
    """Row 42: a redirect from https to http, be it on the same host, is refused, and nothing is sent there."""
    file, context = certificate(tmp_path, "127.0.0.1", 9)
    plain = serve(OK)

    def redirect(connection: socket.socket, over: Event) -> None:
        connection.recv(65536)
        head = f"HTTP/1.1 302 Found\r\nLocation: {plain.base}/Patient\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())

    server = raw(redirect, context)
    http = Http(f"https://127.0.0.1:{server.port}/fhir", sleep=lambda _: None, way=Way(ca_file=file))
    with pytest.raises(StopRun, match="FA405"):
        http.get("Patient")
    assert plain.requests == []
    http.close()


def test_a_file_of_authorities_that_is_none(tmp_path: Path) -> None:
    """A ca_file that cannot be read is a fault of the configuration."""
    (tmp_path / "ca.pem").write_text("nothing", encoding="utf-8")
    with pytest.raises(StopRun, match="FA118"):
        Http("https://ehr.example/fhir", way=Way(ca_file=tmp_path / "ca.pem"))


def test_the_pace_that_a_site_allows() -> None:
    """After a burst of five, two requests a second means half a second between them."""
    at, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        at[0] += seconds

    pace = Pace(2.0, sleep=sleep, monotonic=lambda: at[0])
    for _ in range(8):
        pace.take(datetime.now(UTC))
    assert waits == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("start", "end", "hour", "is_quiet"),
    [(7, 19, 7, True), (7, 19, 18, True), (7, 19, 19, False), (7, 19, 3, False), (22, 6, 23, True), (22, 6, 6, False)],
)
def test_quiet_hours(start: int, end: int, hour: int, is_quiet: bool) -> None:
    """In quiet hours without a rate nothing is sent; they are hours of the server's zone, also over midnight."""
    quiet = Quiet(time(start), time(end), "Asia/Kathmandu")
    now = datetime(2026, 6, 1, hour, 0, tzinfo=UTC) - timedelta(hours=5, minutes=45)
    pace = Pace(quiet=quiet)
    if is_quiet:
        with pytest.raises(RetryLater, match=r"FA415 .*until") as told:
            pace.take(now)
        assert told.value.exit is Exit.LATER
    else:
        pace.take(now)


def test_quiet_hours_with_a_rate() -> None:
    """A rate for quiet hours slows the run down then, and not at other times."""
    at, waits = [0.0], []
    quiet = Quiet(time(7), time(19), "UTC", 1.0)
    pace = Pace(quiet=quiet, sleep=waits.append, monotonic=lambda: at[0], burst=1)
    for hour in (3, 3, 3, 8, 8):
        pace.take(datetime(2026, 6, 1, hour, 0, tzinfo=UTC))
    assert waits == [1.0]
