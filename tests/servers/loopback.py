"""A port on the loopback interface on which a test's own server listens."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Quiet(BaseHTTPRequestHandler):
    """A handler that keeps the test's output clean."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Port:
    """An open port. base: the address of the FHIR server on it."""

    def __init__(self, handler: type[Quiet]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.base = f"http://127.0.0.1:{self._server.server_port}/fhir"

    def stop(self) -> None:
        """Close the port and end the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def read_together(bundle: Any, *, in_part: bool = False) -> tuple[int, Any, dict[str, str]] | None:
    """Return the answer to a transaction that only reads: as HAPI's, which fails where one read cannot be served.

    in_part: as Medplum's router's, entry by entry.  None where the Bundle writes.
    """
    requests = [entry["request"] for entry in bundle["entry"]]
    if bundle["type"] != "transaction" or any(request["method"] != "GET" for request in requests):
        return None
    statuses = ["404 Not Found" if request["url"].startswith("FhirAlliance") else "200 OK" for request in requests]
    if not in_part and len(set(statuses)) > 1:
        return 404, {}, {}
    entries = [{"response": {"status": status}} for status in statuses]
    return 200, {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}, {}
