"""Who we are to a server: a bearer token from a file, or one that is asked for by SMART Backend Services or a secret.

Tokens live in memory only. None of them, no key and no assertion ever stands in a message.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote
from uuid import uuid4

import orjson

from fhir_alliance.errors import AccessDenied, RetryLater, Unreachable
from fhir_alliance.stores.discovery import Endpoint
from fhir_alliance.stores.exchange import Answer, Ask, Broken, Exchange
from fhir_alliance.stores.keys import KeySet
from fhir_alliance.stores.patience import LONGEST_WAIT_S, back_off, server_date, wait_asked
from fhir_alliance.stores.scopes import Needs, asked, missing
from fhir_alliance.stores.secret_files import read_secret

RENEW_S: Final = 10  # before a token ends, as bulk-data-client does
SHORT_S: Final = 60  # a server that does not say how long a token lasts is not believed for longer
ASSERTION_S: Final = 240  # SMART App Launch 2.2 allows five minutes; one is left for clocks that differ
SKEW_S: Final = 30  # below this, clocks that differ explain nothing
ATTEMPTS: Final = 3
_ERRORS: Final = (  # RFC 6749, 5.2; anything else could be anybody's text
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope",
)  # fmt: skip


class BearerFile:
    """A token that somebody else keeps fresh in a file."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises StopRun FA112, FA113."""
        self._path = path
        self._token = read_secret(path)

    def header(self) -> str:
        """Return what to show to the server."""
        return f"Bearer {self._token}"

    def renew(self) -> bool:
        """Read the file again; return whether another token stands in it now."""
        before, self._token = self._token, read_secret(self._path)
        return self._token != before


class Proof(Protocol):
    """How a client proves who it is when it asks for a token."""

    def form(self, token_url: str, now: float) -> dict[str, str]:
        """Return what the proof adds to the form."""

    def headers(self) -> dict[str, str]:
        """Return what the proof adds to the headers."""


class Assertion:
    """`private_key_jwt`: a statement signed by our key, good for minutes and for one use."""

    def __init__(self, client_id: str, keys: KeySet) -> None:
        self._client_id, self._keys = client_id, keys

    def form(self, token_url: str, now: float) -> dict[str, str]:
        """Return a new assertion; its `jti` is never used twice."""
        who = self._client_id
        claims = {"iss": who, "sub": who, "aud": token_url, "exp": int(now) + ASSERTION_S, "jti": str(uuid4())}
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return {"client_assertion_type": kind, "client_assertion": self._keys.sign(claims)}

    def headers(self) -> dict[str, str]:
        """Return nothing: the proof stands in the form."""
        return {}


class Secret:
    """A client secret, shown by HTTP Basic as RFC 6749, 2.3.1 prefers."""

    def __init__(self, client_id: str, secret: str) -> None:
        self._pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"

    def form(self, token_url: str, now: float) -> dict[str, str]:
        """Return nothing: the proof stands in the headers."""
        return {}

    def headers(self) -> dict[str, str]:
        """Return the header that carries the secret."""
        return {"Authorization": "Basic " + b64encode(self._pair.encode()).decode()}


class _Token(NamedTuple):
    value: str
    good_until: float  # monotonic
    renew_at: float


class ClientCredentials:
    """A token that is asked for when it is needed, kept in memory, and renewed before it ends."""

    def __init__(
        self,
        proof: Proof,
        endpoint: Callable[[], Endpoint],
        needs: Needs,
        exchange: Exchange,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """proof: who we are.  endpoint: finds where tokens come from, asked once.  needs: of the command.

        exchange: connections of its own, so that nothing meant for the store goes to the authorisation server.
        """
        self._proof, self._find, self._needs = proof, endpoint, needs
        self._exchange, self._sleep = exchange, sleep
        self._endpoint: Endpoint | None = None
        self._token: _Token | None = None
        self.granted = ""

    def header(self) -> str:
        """Return a token that is good for some seconds at least.

        Raises AccessDenied FA423 (refused), FA426 (fewer rights than the command needs), RetryLater FA427.
        """
        held = self._token
        if held is not None and time.monotonic() < held.renew_at:
            return f"Bearer {held.value}"
        try:
            self._token = self._asked(is_again=held is not None)
        except RetryLater:
            if held is None or time.monotonic() >= held.good_until:
                raise
            return f"Bearer {held.value}"  # renewing was early: this one is still good
        return f"Bearer {self._token.value}"

    def renew(self) -> bool:
        """Forget the token that the server refused; return that a new one may be taken."""
        self._token = None
        self._token = self._asked(is_again=True)
        return True

    def _asked(self, *, is_again: bool) -> _Token:
        if self._endpoint is None:
            self._endpoint = self._find()
        scope = asked(self._needs, is_v2=self._endpoint.is_v2)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._exchange.once(self._ask(self._endpoint.token_url, scope), 60.0)
            except Broken as broken:
                if attempt == ATTEMPTS:
                    raise Unreachable("FA427", f"the token address does not answer ({broken.kind}).") from None
                wait = back_off(attempt)
            else:
                if answer.status == 200:
                    return self._taken(answer, scope)
                # Epic answers a bare 400 now and then when a client authorises again
                is_flaky = is_again and attempt == 1 and answer.status == 400 and not _error(answer)
                if not is_flaky and answer.status not in (408, 429, 500, 502, 503, 504):
                    raise _refused(answer)
                if attempt == ATTEMPTS:
                    raise RetryLater("FA427", f"the token address asks for patience (HTTP {answer.status}).")
                said = wait_asked(answer.headers, datetime.now(UTC))
                wait = min(back_off(attempt) if said is None else said, LONGEST_WAIT_S)
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, token_url: str, scope: str) -> Ask:
        proof = self._proof.form(token_url, time.time())  # a new one for each attempt: it may be used once
        form = {"grant_type": "client_credentials", "scope": scope, **proof}
        return Ask("POST", token_url, form=form, headers={"Accept": "application/json", **self._proof.headers()})

    def _taken(self, answer: Answer, scope: str) -> _Token:
        content = _object(answer)
        value, kind = content.get("access_token"), str(content.get("token_type", ""))
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or kind.lower() != "bearer":
            raise AccessDenied("FA423", "the token address gives no bearer token.", "Is it the right address?")
        self.granted = content["scope"] if isinstance(content.get("scope"), str) else scope  # RFC 6749, 5.1
        lacking = missing(self._needs, self.granted)
        if lacking:
            raise AccessDenied(
                "FA426", f"the server grants less than this command needs; missing: {', '.join(lacking)}.",
                "Ask the site's administrator for these scopes. Nothing was written.",
            )  # fmt: skip
        lasts = content.get("expires_in")
        lasts_s = float(lasts) if isinstance(lasts, int | float) and 0 < lasts < 1e9 else float(SHORT_S)
        now = time.monotonic()
        return _Token(value, now + lasts_s, now + lasts_s - min(RENEW_S, lasts_s / 2))


def _refused(answer: Answer) -> AccessDenied:
    """Return why no token was given: the standard's error code, and whether the clocks differ."""
    error = _error(answer)
    said = f"HTTP {answer.status}" + (f", {error}" if error else "")
    told = f"the server gives us no token ({said}).{_skew(answer.headers)}"
    return AccessDenied("FA423", told, _HINTS.get(error, ""))


_HINTS: Final = {
    "invalid_client": "Is client_id registered, and does the server know the key (fhir-alliance keys jwks)?",
    "invalid_scope": "Ask the site's administrator to allow the scopes that doctor lists.",
    "unauthorized_client": "Ask the site's administrator to allow client credentials for this client.",
}


def _skew(headers: Mapping[str, str]) -> str:
    date = server_date(headers)
    ahead = (datetime.now(UTC) - date).total_seconds() if date is not None else 0.0
    if abs(ahead) < SKEW_S:
        return ""
    return f" This machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's: set it."


def _error(answer: Answer) -> str:
    error = _object(answer).get("error")
    return error if isinstance(error, str) and error in _ERRORS else ""


def _object(answer: Answer) -> dict[str, Any]:
    try:
        content = orjson.loads(answer.body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
