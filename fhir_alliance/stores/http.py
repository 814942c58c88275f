"""HTTP to one FHIR server and nowhere else: one origin, no redirects, bounded bodies, bounded time."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import orjson
import requests

from fhir_alliance.errors import AccessDenied, RetryLater, StopRun, Unreachable

TIMEOUT_S: Final = (10.0, 120.0)  # to connect, between bytes
MAX_BODY: Final = 128 * 1024 * 1024  # decoded bytes; a page of 500 large forms is a tenth of it
ATTEMPTS: Final = 4
LONGEST_WAIT_S: Final = 30.0
_ISSUE_CODE = re.compile(r"[a-z-]{1,30}")  # anything else could be a patient's data
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_AGAIN = frozenset({408, 429, 502, 503, 504})


class Reply:
    """Status and decoded body of an answer."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.status = status
        self.is_second = False  # an earlier attempt may have been done, and its answer lost
        self.body = body
        self.headers = headers

    @property
    def ok(self) -> bool:
        """Whether the server did what was asked."""
        return 200 <= self.status < 300

    def problem(self) -> str:
        """Return what the server says is wrong, as issue codes only: diagnostics may quote a patient's data."""
        try:
            issues = orjson.loads(self.body).get("issue") or []
            said = {issue.get("code") for issue in issues if isinstance(issue, dict)}
            codes = sorted(code for code in said if isinstance(code, str) and _ISSUE_CODE.fullmatch(code))
        except (ValueError, AttributeError, TypeError):
            codes = []
        return f"HTTP {self.status}" + (f" ({', '.join(codes)})" if codes else "")


class Http:
    """A session with one server.

    sleep: how to wait between attempts; given, so that tests need not.
    """

    def __init__(self, base: str, token_file: Path | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self.base = base.rstrip("/")
        self._origin = _origin(self.base)
        if not self._origin[1]:
            raise StopRun("FA117", "the store's address is none that a server can have.", "Write http(s)://host/fhir.")
        self._sleep = sleep
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc: a token goes where the configuration says
        self._session.headers.update({"Accept": "application/fhir+json", "Cache-Control": "no-cache"})
        if token_file is not None:
            self._session.headers["Authorization"] = f"Bearer {_secret(token_file)}"

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """Return the answer to a read; tried again while the server asks for patience."""
        return self._patiently("GET", self.url(path), params=params)

    def post(self, path: str, body: bytes) -> Reply:
        """Return the answer to a write that is safe to repeat (conditional, or guarded by a version)."""
        return self._patiently("POST", self.url(path), data=body)

    def search(self, kind: str, params: Mapping[str, str]) -> Reply:
        """Return the first page of a search sent as a form, so that patient ids stay out of server logs."""
        return self._patiently("POST", self.url(f"{kind}/_search"), form=params)

    def url(self, path: str) -> str:
        """Return the address of a path, or of a link that the server gave; refuses any other origin."""
        url = path if _ABSOLUTE.match(path) else urljoin(self.base + "/", path)
        if _origin(url) != self._origin:
            raise StopRun(
                "FA401",
                "the server points to another origin; nothing was sent there.",
                "Check the server's base address.",
            )
        return url

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _patiently(
        self, method: str, url: str, params: Mapping[str, str] | None = None, data: bytes | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Reply:  # fmt: skip
        is_lost = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                reply = self._once(method, url, params, data, form)
            except requests.RequestException as error:
                if attempt == ATTEMPTS:
                    raise Unreachable(
                        "FA402", f"{self._origin[1]} does not answer ({type(error).__name__}).", "Is the server up?"
                    ) from None
                self._sleep(0.5 * 2 ** (attempt - 1))
                is_lost = True
                continue
            if reply.status not in _AGAIN:
                reply.is_second = is_lost
                return self._admitted(reply)
            is_lost = is_lost or reply.status != 429
            if attempt < ATTEMPTS:
                self._sleep(_wait(reply.headers.get("Retry-After", ""), attempt))
        raise RetryLater("FA403", f"the server asks for patience ({reply.problem()}).", "Run again later.")

    def _once(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        form: Mapping[str, str] | None,
    ) -> Reply:
        headers = {"Content-Type": "application/fhir+json"} if data is not None else None
        with self._session.request(
            method, url, params=params, data=data if form is None else form, headers=headers,
            timeout=TIMEOUT_S, allow_redirects=False, stream=True,
        ) as response:  # fmt: skip
            body = bytearray()
            for chunk in response.iter_content(65536):
                body += chunk
                if len(body) > MAX_BODY:
                    raise StopRun("FA404", f"an answer is larger than {MAX_BODY} bytes.", "Ask for smaller pages.")
            return Reply(response.status_code, bytes(body), response.headers)

    def _admitted(self, reply: Reply) -> Reply:
        if 300 <= reply.status < 400:
            raise StopRun("FA405", "the server redirects; it was not followed.", "Set the address it redirects to.")
        if reply.status in (401, 403):
            raise AccessDenied(
                "FA406", f"the server refuses access ({reply.problem()}).", "Check [auth] and its scopes."
            )
        if reply.ok and reply.body and "json" not in reply.headers.get("Content-Type", ""):
            raise Unreachable("FA407", "the answer is not FHIR JSON.", "Is this a FHIR base address, or a login page?")
        return reply


def json_of(reply: Reply) -> Any:
    """Return the parsed body."""
    try:
        return orjson.loads(reply.body)
    except ValueError:
        raise Unreachable("FA407", "the answer is not FHIR JSON.", "Is this a FHIR base address?") from None


def _origin(url: str) -> tuple[str, str]:
    """Return scheme and host with port; an address with user information is nobody's origin."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ("", "")
    if parts.username is not None or parts.scheme not in ("http", "https") or not parts.hostname:
        return ("", "")
    return (parts.scheme, f"{parts.hostname}:{port or (443 if parts.scheme == 'https' else 80)}")


def _wait(asked: str, attempt: int) -> float:
    """Return seconds to wait: what the server asks for where that is a sane number, else growing, never long."""
    try:
        seconds = float(asked)
    except ValueError:
        seconds = _seconds_until(asked)
    return min(seconds if seconds >= 0 else 0.5 * 2 ** (attempt - 1), LONGEST_WAIT_S)


def _seconds_until(asked: str) -> float:
    """Return the seconds until an HTTP date, none where it has passed, and -1 for what is no date."""
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return -1.0


def _secret(path: Path) -> str:
    """Return what a secret file holds; refuses one that others can read."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StopRun("FA112", f"the secret file cannot be read ({error.strerror}).", "Check its path.") from None
    except UnicodeDecodeError:
        raise StopRun("FA112", "the secret file holds no token.", "It takes one line of plain characters.") from None
    if mode & 0o077:
        raise StopRun("FA113", "the secret file can be read by others.", "Run: chmod 600 on it.")
    if _TOKEN.fullmatch(text) is None:
        raise StopRun("FA112", "the secret file holds no token.", "It takes one line of plain characters.")
    return text
