"""HTTP to one FHIR server and nowhere else: one origin, bounded bodies, bounded time, patience where it helps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, Protocol

import orjson
from msgspec import structs

from fhir_alliance.errors import AccessDenied, RetryLater, StopRun, Unreachable
from fhir_alliance.fhir.outcome import Meaning, issues_of, meaning_of
from fhir_alliance.stores.exchange import Answer, Ask, Broken, Exchange, Fate, Limits, Sink, Way
from fhir_alliance.stores.origin import NOWHERE, joined, origin_of
from fhir_alliance.stores.patience import Pace, back_off, to_the_next_minute, wait_asked

ATTEMPTS: Final = 4
REDIRECTS: Final = 3
_ISSUE_CODE = re.compile(r"[a-z-]{1,30}")  # anything else could be a patient's data


class Auth(Protocol):
    """Who we are to a server."""

    def header(self) -> str:
        """Return the value of the Authorization header, or "" for none."""

    def renew(self) -> bool:
        """Return whether asking again makes sense after the server refused what `header` gave."""


class Open:
    """No authorisation."""

    def header(self) -> str:
        """Return nothing to show."""
        return ""

    def renew(self) -> bool:
        """Return that nothing can be renewed."""
        return False


class Reply:
    """Status and decoded body of an answer."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.status = status
        self.is_second = False  # an earlier attempt may have been done, and its answer lost
        self.body = body
        self.headers = headers
        self.ask: Ask | None = None  # of a search: what was asked

    @property
    def ok(self) -> bool:
        """Whether the server did what was asked."""
        return 200 <= self.status < 300

    @property
    def meaning(self) -> Meaning:
        """What the answer means for us: what the server says of it comes before the status."""
        return meaning_of(self.status, self.body)

    def problem(self) -> str:
        """Return what the server says is wrong, as issue codes only: diagnostics may quote a patient's data."""
        said = {code for code, _ in issues_of(self.body)}
        codes = sorted(code for code in said if _ISSUE_CODE.fullmatch(code))
        return f"HTTP {self.status}" + (f" ({', '.join(codes)})" if codes else "")


class OutcomeUnknown(RetryLater):
    """A write that must not be sent twice may have been done; whoever asked has to look before sending it again."""


class Http:
    """A session with one server."""

    def __init__(
        self,
        base: str,
        auth: Auth | None = None,
        sleep: Callable[[float], None] = time.sleep,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        way: Way = Way(),  # noqa: B008 - frozen
    ) -> None:
        """base: the FHIR base address.  sleep: how to wait between attempts; given, so that tests need not.

        Raises StopRun FA117 (no address), FA119 (a token would travel where others can read it).
        """
        self.base = base.rstrip("/")
        self._origin = origin_of(self.base)
        if self._origin == NOWHERE:
            raise StopRun("FA117", "the store's address is none that a server can have.", "Write http(s)://host/fhir.")
        if auth is not None and not isinstance(auth, Open) and not self._origin.is_private:
            raise StopRun("FA119", "a token would travel unencrypted.", "Give the store's address with https.")
        self._auth = auth or Open()
        self.sleep = sleep
        self._limits = limits
        self.pace = Pace(sleep=sleep)
        self._exchange = Exchange(limits, way)
        self._who = Lock()  # one thread at a time asks for a token

    @property
    def side_by_side(self) -> int:
        """How many requests may be made at once, while one connection stays free to read ahead."""
        return max(1, self._limits.connections - 1)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """Return the answer to a read; tried again while the server asks for patience."""
        return self._searched(Ask("GET", self.url(path), params=params))

    def peek(self, path: str) -> Reply:
        """Return the answer to a read that says nothing of who we are, whatever its status."""
        return _reply(self._patiently(Ask("GET", self.url(path)), Open())[0])

    def look(self, path: str, said: Mapping[str, str], into: Sink | None = None) -> Reply:
        """Return the answer to one attempt at a read, whatever its status: who asks so waits in a way of its own.

        path: with its query.  said: headers of this request.  into: takes the body of a 200.
        Raises Unreachable FA402, AccessDenied FA406.
        """
        ask = Ask("GET", self.url(path), headers=dict(said))
        for is_last in (False, True):
            self.pace.take(datetime.now(UTC))
            try:
                answer = self._exchange.once(self._signed(ask, self._auth), self._limits.total_s, into)
            except Broken as broken:
                raise Unreachable("FA402", f"{self._origin.host} does not answer ({broken.kind}).") from None
            if answer.status != 401 or is_last or not self._auth.renew():
                break
        reply = _reply(answer)
        if reply.status in (401, 403):
            raise AccessDenied(
                "FA406", f"the server refuses access ({reply.problem()}).", "Check [auth] and its scopes."
            )
        return reply

    def post(self, path: str, body: bytes) -> Reply:
        """Return the answer to a write that is safe to repeat (conditional, or guarded by a version)."""
        return self.write("POST", path, body)

    def write(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None = None, *, once: bool = False
    ) -> Reply:
        """Return the answer to a write.

        once: it must not be sent twice; raises OutcomeUnknown FA414 where it may have been done, and, whether once or
        not, where the server says that it does it later (202). A client's record that is closed to us is the answer's
        affair, and no refusal of all that we are.
        """
        said = {"Content-Type": "application/fhir+json", **(headers or {})}
        ask = Ask(method, self.url(path), body=body, headers=said, is_repeatable=not once)
        answer, is_lost = self._patiently(ask)
        if answer.status == 202 and method != "DELETE":
            raise OutcomeUnknown("FA414", "a write is done later (HTTP 202).", "The next run looks for it.")
        reply = _reply(answer, is_lost)
        return reply if reply.meaning is Meaning.RESTRICTED else self._admitted(answer, is_lost)

    def search(self, kind: str, params: Mapping[str, str]) -> Reply:
        """Return the first page of a search sent as a form, so that patient ids stay out of server logs."""
        return self._searched(Ask("POST", self.url(f"{kind}/_search"), form=params))

    def further(self, ask: Ask, offset: int) -> Reply:
        """Return the rest of what a search finds, for servers that name no next page (Medplum's router)."""
        more = {"_offset": str(offset)}
        form, params = ({**said, **more} if said is not None else None for said in (ask.form, ask.params))
        return self._searched(structs.replace(ask, form=form, params=params))

    def _searched(self, ask: Ask) -> Reply:
        reply = self._followed(ask) if ask.method == "GET" else self._admitted(*self._patiently(ask))
        reply.ask = ask
        return reply

    def url(self, path: str) -> str:
        """Return the address of a path, or of a link that the server gave; refuses any other origin."""
        url = joined(self.base + "/", path)
        if origin_of(url) != self._origin:
            raise StopRun(
                "FA401",
                "the server points to another origin; nothing was sent there.",
                "Check the server's base address.",
            )
        return url

    def close(self) -> None:
        """Close all connections."""
        self._exchange.close()

    def _followed(self, ask: Ask) -> Reply:
        """Return the answer to a read, through at most three redirects on the same origin."""
        for _ in range(REDIRECTS + 1):
            answer, is_lost = self._patiently(ask)
            target = answer.headers.get("Location", "")
            if answer.status not in (301, 302, 303, 307, 308) or not target:
                return self._admitted(answer, is_lost)
            ask = Ask("GET", joined(ask.url, target))
            if origin_of(ask.url) != self._origin:
                break
        raise StopRun("FA405", "the server redirects; it was not followed.", "Set the address it redirects to.")

    def _patiently(self, ask: Ask, auth: Auth | None = None) -> tuple[Answer, bool]:
        """Return the answer, and whether an earlier attempt may have been done as well."""
        effort = _Effort(ask, self._limits.total_s)
        who = auth or self._auth
        while True:
            self.pace.take(datetime.now(UTC))
            try:
                answer = self._exchange.once(self._signed(ask, who), effort.left_s())
            except Broken as broken:
                wait = effort.after_break(broken, self._origin.host)
            else:
                if answer.status == 401 and effort.may_renew() and self._renewed(who):
                    continue
                if meaning_of(answer.status, answer.body) is not Meaning.AGAIN:
                    return answer, effort.is_lost
                wait = effort.after_refusal(answer)
            self.sleep(wait)

    def _signed(self, ask: Ask, who: Auth) -> Ask:
        with self._who:
            shown = who.header()
        common = {"Accept": "application/fhir+json", "Cache-Control": "no-cache"}
        signed = {"Authorization": shown} if shown else {}
        return Ask(ask.method, ask.url, ask.params, ask.body, ask.form, {**common, **ask.headers, **signed})

    def _renewed(self, who: Auth) -> bool:
        with self._who:
            return who.renew()

    def _admitted(self, answer: Answer, is_lost: bool) -> Reply:
        reply = _reply(answer, is_lost)
        if 300 <= reply.status < 400 and reply.status != 304:
            raise StopRun("FA405", "the server redirects; it was not followed.", "Set the address it redirects to.")
        if reply.status in (401, 403):
            raise AccessDenied(
                "FA406", f"the server refuses access ({reply.problem()}).", "Check [auth] and its scopes."
            )
        if reply.ok and reply.body and "json" not in reply.headers.get("Content-Type", ""):
            raise Unreachable("FA407", "the answer is not FHIR JSON.", "Is this a FHIR base address, or a login page?")
        return reply


class _Effort:
    """The attempts at one request: how many, how long, and whether one of them may have been done."""

    def __init__(self, ask: Ask, total_s: float) -> None:
        self._ask = ask
        self._end = time.monotonic() + total_s
        self._attempt = 0
        self._is_renewed = False
        self.is_lost = False

    def left_s(self) -> float:
        """Return the seconds that are left for all attempts together."""
        return max(1.0, self._end - time.monotonic())

    def may_renew(self) -> bool:
        """Return True once: a token may have ended while it was in use; a second refusal is meant."""
        is_first, self._is_renewed = not self._is_renewed, True
        return is_first

    def after_break(self, broken: Broken, host: str) -> float:
        """Return how long to wait after an exchange that broke off; raises where it is not to be repeated."""
        self._attempt += 1
        if broken.fate is Fate.UNKNOWN:
            self._lose(f"{host} broke off ({broken.kind})")
        if self._attempt == ATTEMPTS or self.left_s() <= 1.0:
            raise Unreachable("FA402", f"{host} does not answer ({broken.kind}).", "Is the server up?")
        return back_off(self._attempt)

    def after_refusal(self, answer: Answer) -> float:
        """Return how long to wait after an answer that asks for patience."""
        self._attempt += 1
        problem = _reply(answer).problem()
        is_throttle = answer.status == 429
        if not is_throttle:  # a gateway that gave up says nothing of the server behind it
            self._lose(problem)
        now = datetime.now(UTC)
        asked = wait_asked(answer.headers, now)
        if asked is not None:
            wait = asked
        elif is_throttle and "Retry-After" not in answer.headers:
            wait = to_the_next_minute(now)
        else:
            wait = back_off(self._attempt)
        if self._attempt == ATTEMPTS or wait > self.left_s():
            raise RetryLater("FA403", f"the server asks for patience ({problem}).", "Run again later.")
        return wait

    def _lose(self, what: str) -> None:
        self.is_lost = True
        if not self._ask.is_repeatable:
            raise OutcomeUnknown("FA414", f"a write may have been done ({what}).", "The next run looks for it.")


def json_of(reply: Reply) -> Any:
    """Return the parsed body."""
    try:
        return orjson.loads(reply.body)
    except ValueError:
        raise Unreachable("FA407", "the answer is not FHIR JSON.", "Is this a FHIR base address?") from None


def _reply(answer: Answer, is_lost: bool = False) -> Reply:
    reply = Reply(answer.status, answer.body, answer.headers)
    reply.is_second = is_lost
    return reply
