"""A way to a real server that fails by chance, the same chance every time: throttles, gateways that give up, cuts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from threading import Lock
from typing import TypeAlias
from urllib.parse import urlsplit

from tests.servers.loopback import Port, Quiet

CUT_BEFORE = "cut before"  # the connection breaks, and the server never hears of the request
CUT_AFTER = "cut after"  # the server has done it, and its answer is lost
BUSY_AFTER = "503 after"  # the server has done it, and a gateway says that it is busy
FAULTS = ("429", "503", CUT_BEFORE, CUT_AFTER, BUSY_AFTER)
Answer: TypeAlias = tuple[int, bytes, list[tuple[str, str]]]
_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


class FaultProxy:
    """The way. met: how often each fault happened.  on_request: is told the number of each request before it is passed.

    rate: of requests that meet a fault.  page: the most entries that a page of forms has, whatever is asked for.
    """

    def __init__(self, target: str, seed: int, rate: float, page: int) -> None:
        self._target, self._chance, self._rate, self._page = urlsplit(target), random.Random(seed), rate, page
        self._lock = Lock()
        self.met: Counter[str] = Counter()
        self.count = 0
        self.on_request: Callable[[int], None] = lambda count: None
        self.base = ""

    def fault(self) -> str:
        """Return what happens to the next request, "" for nothing."""
        with self._lock:
            self.count += 1
            fault = self._chance.choice(FAULTS) if self._chance.random() < self._rate else ""
            self.met[fault] += 1
            self.on_request(self.count)
            return fault

    def passed(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        """Return status, body and headers of the server's own answer; the name of this way stands in its links."""
        if "QuestionnaireResponse?" in path:
            path = path.replace("_count=500", f"_count={self._page}")
        connection = HTTPConnection(self._target.netloc, timeout=120)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(), [h for h in answer.getheaders() if h[0].lower() not in _HOP]
        finally:
            connection.close()


@contextmanager
def started(target: str, *, seed: int, rate: float, page: int) -> Iterator[FaultProxy]:
    """Yield a way to the server at an address."""
    proxy = FaultProxy(target, seed, rate, page)

    class Handler(Quiet):
        def handle_all(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.fault()
            status, content, headers = int(fault[:3]) if fault[:3].isdigit() else 0, b"", [("Retry-After", "0")]
            if not status or fault == BUSY_AFTER:
                if fault != CUT_BEFORE:
                    try:
                        passed = proxy.passed(self.command, self.path, self.headers, body)
                    except (OSError, HTTPException):
                        self.close_connection = True
                        return
                    if not fault:
                        status, content, headers = passed
                if fault in (CUT_BEFORE, CUT_AFTER):
                    self.close_connection = True
                    return
            try:
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # whoever asked has been killed
                self.close_connection = True

        do_GET = do_POST = do_PUT = handle_all  # noqa: N815 - named so by http.server

    port = Port(Handler)
    proxy.base = port.base
    try:
        yield proxy
    finally:
        port.stop()
