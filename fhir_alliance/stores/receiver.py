"""Where notices come in: a small HTTP server that hears that something changed, and takes nothing else.

A notice is believed by its secret and makes the next pull come earlier; what stands in it is never read.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.subscription import NOTICE_HEADER

LONGEST_NOTICE: Final = 64 * 1024  # bytes; ours has none
AT_ONCE: Final = 16  # connections; a server sends one notice after the other
_SLOWEST_S: Final = 5.0  # between the bytes of a notice
_LOOK_S: Final = 0.2  # how often somebody who waits asks whether to stop


class Bell:
    """Rung by notices, heard by whoever waits."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        """Tell that something changed."""
        self._rung.set()

    def silence(self) -> None:
        """Forget what was rung until now."""
        self._rung.clear()

    @property
    def is_rung(self) -> bool:
        """Whether it was rung since it was silenced."""
        return self._rung.is_set()

    def wait(self, seconds: float, stop: Callable[[], bool]) -> bool:
        """Return whether it was rung within these seconds, as soon as it was, or somebody asked to stop."""
        return self._until(seconds, stop, self._rung)

    def rest(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Let these seconds pass, whatever rings, unless somebody asks to stop."""
        self._until(seconds, stop, threading.Event())

    def _until(self, seconds: float, stop: Callable[[], bool], event: threading.Event) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not stop():
            if event.wait(min(left, _LOOK_S)):
                return True
        return event.is_set()


class Receiver:
    """An open port for notices. secret: made anew for each run, never written down here."""

    def __init__(self, host: str, port: int, bell: Bell) -> None:
        """host, port: where to listen, port 0 for any that is free; raises StopRun FA457 where that cannot be."""
        self.secret = secrets.token_urlsafe(32)
        self.refused = 0
        receiver = self

        class Handler(_Handler):
            def is_known(self) -> bool:
                shown = self.headers.get(NOTICE_HEADER, "")
                is_known = hmac.compare_digest(shown.encode(), receiver.secret.encode())
                receiver.refused += not is_known
                return is_known

            def heard(self) -> None:
                bell.ring()

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise StopRun("FA457", f"no port for notices ({error.strerror}).", "Give another --port, --host.") from None
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """Takes a bounded number of connections at once; the others are closed unheard."""

    daemon_threads = True
    request_queue_size = AT_ONCE

    def __init__(self, *arguments: Any) -> None:
        self._free = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket.socket, client_address: Any) -> None:  # type: ignore[override]
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that broke off: a traceback could quote what it sent."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one notice, and says nothing of itself."""

    timeout = _SLOWEST_S
    server_version, sys_version = "fhir-alliance", ""
    error_message_format = ""

    def is_known(self) -> bool:
        """Return whether the secret is shown."""
        raise NotImplementedError

    def heard(self) -> None:
        """Take a notice."""
        raise NotImplementedError

    def log_message(self, *_: object) -> None:
        """Say nothing: a path can name a form."""

    def do_POST(self) -> None:
        """Take a notice. Its body is passed over; one that is chunked or too long is not waited for."""
        length = self.headers.get("Content-Length", "0")
        if not self.is_known():
            self._answer(403)
        elif not length.isdigit() or int(length) > LONGEST_NOTICE or "Transfer-Encoding" in self.headers:
            self.heard()
            self._answer(413)
        else:
            self.rfile.read(int(length))
            self.heard()
            self._answer(200)

    do_PUT = do_POST  # noqa: N815 - named so by http.server; HAPI puts where a payload was asked for

    def refuse(self) -> None:
        """Answer that nothing can be had here."""
        self._answer(405)

    do_GET = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = refuse  # noqa: N815

    def _answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()
