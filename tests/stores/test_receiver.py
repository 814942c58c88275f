"""Notices: the secret alone is believed, nothing of a notice is kept, and nobody can hold the port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.receiver import AT_ONCE, LONGEST_NOTICE, Bell, Receiver

HEADER = "X-FHIR-Alliance-Notice"


@pytest.fixture
def bell() -> Bell:
    """A bell that nobody rang."""
    return Bell()


@pytest.fixture
def receiver(bell: Bell) -> Iterator[Receiver]:
    """An open port."""
    opened = Receiver("127.0.0.1", 0, bell)
    yield opened
    opened.close()


def ask(
    receiver: Receiver, method: str, headers: dict[str, str], body: bytes = b"", path: str = "/"
) -> tuple[int, bytes]:
    """Return status and body of an answer."""
    connection = HTTPConnection("127.0.0.1", receiver.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", ["/", "/QuestionnaireResponse/anna-smith", "/../../etc?x=y"])
def test_a_notice_with_the_secret_rings(
    receiver: Receiver, bell: Bell, capfd: pytest.CaptureFixture[str], method: str, path: str
) -> None:
    """A notice rings, whatever stands in it and wherever it goes; nothing of it is told anywhere."""
    body = b'{"resourceType":"QuestionnaireResponse","id":"anna-smith"}'
    assert ask(receiver, method, {HEADER: receiver.secret}, body, path) == (200, b"")
    assert bell.is_rung
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shown", ["", "x", "{secret}x", "{short}", "Bearer {secret}", "\u00e4"])
def test_nothing_else_rings(receiver: Receiver, bell: Bell, shown: str) -> None:
    """Without exactly the secret of this run nothing happens, but that it is counted."""
    said = shown.format(secret=receiver.secret, short=receiver.secret[:-1])
    headers = {HEADER: said} if shown else {}
    assert ask(receiver, "POST", headers, b"{}") == (403, b"")
    assert (bell.is_rung, receiver.refused) == (False, 1)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_had(receiver: Receiver, bell: Bell, method: str) -> None:
    """Only POST and PUT are taken; with the secret, too, there is nothing to read."""
    assert ask(receiver, method, {HEADER: receiver.secret}) == (405, b"")
    assert not bell.is_rung


@pytest.mark.parametrize("length", [str(LONGEST_NOTICE + 1), "9" * 30, "-1", "many"])
def test_a_long_notice_is_not_waited_for(receiver: Receiver, bell: Bell, length: str) -> None:
    """Of a notice that says it is long, nothing is read; it rings all the same."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as raw:
        raw.sendall(f"POST / HTTP/1.1\r\n{HEADER}: {receiver.secret}\r\nContent-Length: {length}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.0 413")
    assert bell.is_rung


def test_connections_are_bounded(receiver: Receiver) -> None:
    """Whoever holds connections open cannot make this program hold more than a few."""
    held = [socket.create_connection(("127.0.0.1", receiver.port), timeout=10) for _ in range(AT_ONCE + 1)]
    try:
        assert held[-1].recv(1) == b""
    finally:
        for each in held:
            each.close()


def test_what_breaks_off_is_passed_over(receiver: Receiver, bell: Bell, capfd: pytest.CaptureFixture[str]) -> None:
    """Nonsense and half notices end nothing and say nothing."""
    for said in (b"\x16\x03\x01\x02", b"GET", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n", b"A" * 70_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as raw:
            raw.sendall(said)
    assert ask(receiver, "POST", {HEADER: receiver.secret}) == (200, b"")
    assert bell.is_rung
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_told(receiver: Receiver, bell: Bell) -> None:
    """Where the port cannot be had, that is a matter of configuration."""
    with pytest.raises(StopRun, match="FA457"):
        Receiver("127.0.0.1", receiver.port, bell)


def test_secrets_are_made_anew(receiver: Receiver, bell: Bell) -> None:
    """Each run has a secret of its own, too long to guess."""
    other = Receiver("127.0.0.1", 0, bell)
    other.close()
    assert other.secret != receiver.secret
    assert len(receiver.secret) >= 43
