"""A Bulk Data server on the loopback interface: it says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.servers.loopback import Port, Quiet

JOB = "/fhir/jobs/1"
TIME = "2026-05-01T10:00:00+00:00"


@dataclass
class BulkServer:
    """The server. files: path to bytes.  polls: status and headers before the manifest.  changes: keys of the manifest.

    cut: paths whose body breaks off, so many times.  token: what a request for a file has to show, if anything.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    polls: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    deleted: dict[str, bytes] = field(default_factory=dict)
    errors: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    is_gone: bool = False
    kick_off: tuple[int, dict[str, str]] = (202, {})
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    base: str = ""

    def paths(self, method: str = "GET") -> list[str]:
        """Return the paths that were asked for, without their queries."""
        return [path.partition("?")[0] for asked, path, _ in self.asked if asked == method]

    def manifest(self) -> dict[str, Any]:
        """Return the manifest of all files."""
        root = self.base.removesuffix("/fhir")

        def listed(files: dict[str, bytes]) -> list[dict[str, Any]]:
            return [{"type": path.split("/")[-1].partition(".")[0], "url": root + path} for path in files]

        told = {"transactionTime": TIME, "request": self.base, "requiresAccessToken": True}
        lists = {"output": self.files, "deleted": self.deleted, "error": self.errors}
        return told | {name: listed(files) for name, files in lists.items()} | self.changes

    def answer(self, method: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers."""
        place = path.partition("?")[0]
        if method == "DELETE":
            return 202, b"", {}
        if place.endswith("$export"):
            status, headers = self.kick_off
            return status, b"", {"Content-Location": self.base.removesuffix("/fhir") + JOB} | headers
        if place == JOB:
            if self.is_gone:
                return 404, b"", {}
            if self.polls:
                status, headers = self.polls.pop(0)
                return status, b"", headers
            return 200, json.dumps(self.manifest()).encode(), {"Content-Type": "application/json"}
        body = (self.files | self.deleted | self.errors).get(place)
        if body is None:
            return 404, b"", {}
        return 200, body, {"Content-Type": "application/fhir+ndjson"}


@contextmanager
def started(server: BulkServer) -> Iterator[BulkServer]:
    """Yield the server, listening."""

    class Handler(Quiet):
        def handle_all(self) -> None:
            server.asked.append((self.command, self.path, dict(self.headers)))
            status, body, headers = server.answer(self.command, self.path)
            is_cut = server.cut.get(self.path, 0) > 0
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if is_cut:
                server.cut[self.path] -= 1
                self.close_connection = True
            self.wfile.write(body[: len(body) // 2] if is_cut else body)

        do_GET = do_DELETE = handle_all  # noqa: N815 - named so by http.server

    port = Port(Handler)
    server.base = port.base
    try:
        yield server
    finally:
        port.stop()


def ndjson(*resources: dict[str, Any]) -> bytes:
    """Return resources as lines."""
    return b"".join(json.dumps(resource).encode() + b"\n" for resource in resources)
