"""One exchange over HTTP: a request goes out once, and what is known of its fate comes back.

No redirect is followed here, no proxy or .netrc of the machine is used, and time and size of an answer are bounded.
"""

from __future__ import annotations

import codecs
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter

from fhir_alliance.errors import StopRun, Unreachable

MAX_BODY: Final = 128 * 1024 * 1024  # decoded bytes; a page of 500 large forms is a tenth of it
CONNECTIONS: Final = 5  # EHRs are busy; cumulus-fhir-support keeps to the same number
_CHUNK: Final = 256 * 1024
_PIECE: Final = 4 * 1024 * 1024


class Limits(msgspec.Struct, frozen=True):
    """Time and size of one exchange. connect_s: to connect.  read_s: between bytes.  total_s: attempts included."""

    connect_s: float = 10.0
    read_s: float = 120.0
    total_s: float = 600.0
    connections: int = CONNECTIONS


class Way(msgspec.Struct, frozen=True):
    """How requests leave this machine. ca_file: of a private authority.  proxy: only the one that is named here."""

    ca_file: Path | None = None
    proxy: str = ""
    headers: dict[str, str] = {}


class Ask(msgspec.Struct, frozen=True):
    """One request. is_repeatable: doing it twice does what doing it once does."""

    method: str
    url: str
    params: Mapping[str, str] | None = None
    body: bytes | None = None
    form: Mapping[str, str] | None = None
    headers: dict[str, str] = {}
    is_repeatable: bool = True


class Sink(msgspec.Struct, frozen=True):
    """Where a large body goes piece by piece. at_most: decoded bytes."""

    take: Callable[[bytes], None]
    at_most: int


class Answer(msgspec.Struct, frozen=True):
    """What came back: status, headers, decoded body."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Fate(StrEnum):
    """What became of a request that was not answered."""

    NOT_SENT = "not sent"  # nothing reached the server
    UNKNOWN = "unknown"  # it may have been done


class Broken(Exception):
    """An exchange that ended without a whole answer. kind: the error's type, for messages."""

    def __init__(self, fate: Fate, kind: str) -> None:
        super().__init__(kind)
        self.fate, self.kind = fate, kind


class Exchange:
    """Connections to servers, used by whoever has checked that a request may go where it goes."""

    def __init__(self, limits: Limits = Limits(), way: Way = Way()) -> None:  # noqa: B008 - both are frozen
        self._limits = limits
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.clear()
        self._session.headers.update({"Accept-Encoding": "gzip", "User-Agent": "fhir-alliance", **way.headers})
        self._session.proxies = {"http": way.proxy, "https": way.proxy} if way.proxy else {}
        if way.ca_file is not None:
            self._session.verify = str(_readable(way.ca_file))
        adapter = _Adapter(pool_connections=1, pool_maxsize=limits.connections, pool_block=True, max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def once(self, ask: Ask, within_s: float, into: Sink | None = None) -> Answer:
        """Return the answer; raises Broken, StopRun FA404 (too large), Unreachable FA416 (no trust, no retry).

        into: takes the body of a 200 piece by piece, and the answer then has none; every other body is kept.
        """
        end = time.monotonic() + within_s
        try:
            with _within(within_s) as is_cut, self._session.request(
                ask.method, ask.url, params=ask.params, data=ask.body if ask.form is None else ask.form,
                headers=ask.headers, timeout=(self._limits.connect_s, self._limits.read_s),
                allow_redirects=False, stream=True,
            ) as response:  # fmt: skip
                pieces = _pieces(response.raw, end, into.at_most if into and response.status_code == 200 else MAX_BODY)
                if into is None or response.status_code != 200:
                    answer = Answer(
                        response.status_code, b"".join(pieces).removeprefix(codecs.BOM_UTF8), response.headers
                    )
                else:
                    for piece in pieces:
                        into.take(piece)
                    answer = Answer(response.status_code, b"", response.headers)
            if is_cut.is_set():  # http.client takes headers that break off for whole ones
                raise Broken(Fate.UNKNOWN, "too slow")
            return answer
        except requests.exceptions.SSLError as error:
            raise _distrust(error) from None
        except requests.RequestException as error:
            raise Broken(_fate(error), type(error).__name__) from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # while reading the body
            raise Broken(Fate.UNKNOWN, type(error).__name__) from None

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


def _pieces(raw: Any, end: float, at_most: int) -> Iterator[bytes]:
    """Yield the decoded body as it comes, so that neither a slow nor an endless one outlasts the limits."""
    packed = raw.headers.get("Content-Encoding", "").strip().lower()
    if packed not in ("", "identity", "gzip", "x-gzip"):
        raise Broken(Fate.UNKNOWN, "encoding that was not asked for")
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if packed.endswith("gzip") else None
    size = 0
    while chunk := raw.read1(_CHUNK, decode_content=False):
        if time.monotonic() > end:
            raise Broken(Fate.UNKNOWN, "too slow")
        for piece in [chunk] if unpack is None else _unpacked(unpack, chunk):
            size += len(piece)
            if size > at_most:
                raise StopRun("FA404", f"an answer is larger than {at_most} bytes.", "Ask for less at once.")
            yield piece
    if unpack is not None and size and not unpack.eof:
        raise Broken(Fate.UNKNOWN, "broken gzip")


def _unpacked(unpack: Any, packed: bytes) -> Iterator[bytes]:
    """Yield what gzip holds, a little at a time: a few bytes of it can stand for gigabytes."""
    while packed:
        try:
            piece = unpack.decompress(packed, _PIECE)
        except zlib.error:
            raise Broken(Fate.UNKNOWN, "broken gzip") from None
        if piece:
            yield piece
        packed = unpack.unconsumed_tail


def _fate(error: requests.RequestException) -> Fate:
    """Return whether anything can have reached the server. In doubt it has."""
    if isinstance(error, requests.ConnectTimeout):
        return Fate.NOT_SENT
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", None)  # of urllib3's MaxRetryError
    never = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ProxyError)
    return Fate.NOT_SENT if isinstance(reason, never) else Fate.UNKNOWN


def _distrust(error: Exception) -> Exception:
    """Return what is wrong with the server's certificate, and what to do, which is never to look away."""
    text = str(error)
    if "expired" in text:
        told = ("the server's certificate has expired.", "Its administrator has to renew it.")
    elif "ostname mismatch" in text or "doesn't match" in text or "IP address mismatch" in text:
        told = ("the server's certificate is for another host name.", "Use the name that stands in it.")
    elif "self-signed" in text or "local issuer" in text:
        told = ("the server's certificate is from an authority unknown here.", "Name its file in [http] ca_file.")
    elif any(sign in text for sign in ("CERTIFICATE", "HANDSHAKE", "PROTOCOL", "VERSION")):
        told = ("no safe connection: TLS failed.", "The server has to speak TLS 1.2 or newer.")
    else:
        return Broken(Fate.UNKNOWN, "SSLError")  # a connection that broke off after it was made
    return Unreachable("FA416", *told)


def _readable(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError):
        raise StopRun("FA118", "[http] ca_file is no readable file of certificates (PEM).", "Check its path.") from None
    return path


class _Waiting(threading.local):
    """The connection that this thread waits on."""

    connection: Any = None


_waiting = _Waiting()


class _HttpConnection(urllib3.connection.HTTPConnection):
    """A connection that says when it is waited on."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        _waiting.connection = self
        super().request(*args, **kwargs)


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    """The same over TLS."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        _waiting.connection = self
        super().request(*args, **kwargs)


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    """Pools of connections that can be cut from another thread."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


@contextmanager
def _within(seconds: float) -> Iterator[threading.Event]:
    """Cut the connection that is waited on when the time is up: a byte now and then would keep it open for ever."""
    waiting = _waiting.__dict__  # this thread's, to be read from the timer's
    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        held = getattr(waiting.get("connection"), "sock", None)
        if held is not None:
            with suppress(OSError):
                socket.socket.shutdown(held, socket.SHUT_RDWR)  # of the socket below TLS, which wakes its reader

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield is_cut
    finally:
        timer.cancel()
        _waiting.connection = None
