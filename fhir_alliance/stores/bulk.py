"""FHIR Bulk Data Access, the client's side: kick-off, polling, manifest, files, and the end of the job.

Source: HL7 FHIR Bulk Data Access IG 2.0.0, https://hl7.org/fhir/uv/bulkdata/STU2/export.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

import msgspec

from fhir_alliance.errors import AllianceError, RetryLater, ServerRefuses, StopRun, Unreachable
from fhir_alliance.fhir.outcome import issues_of
from fhir_alliance.stores.exchange import Sink
from fhir_alliance.stores.http import ATTEMPTS, Http, Reply
from fhir_alliance.stores.patience import back_off, wait_asked

LONGEST_POLL_S: Final = 600.0  # Oracle asks for as much; more is a slip, and asking again costs one request
FIRST_POLL_S: Final = 5.0
SHORTEST_POLL_S: Final = 0.2  # a server that says 0 is not asked in a tight circle
MAX_FILES: Final = 10_000
MAX_FILE: Final = 8 * 1024**3  # decoded bytes; servers divide long before
TYPE: Final = re.compile(r"[A-Z][A-Za-z]{1,60}")  # becomes part of a file's name
_OF_LISTS: Final = ("Bundle", "OperationOutcome")  # what "deleted" and "error" hold, and never "output"
_IN_A_WAY: Final = (429, 502, 503, 504)  # of the gateway or of the moment, not of the job


class Order(msgspec.Struct, frozen=True):
    """What is asked for. path: `$export`, `Patient/$export`, `Group/ID/$export`.  filters: `_typeFilter` queries."""

    path: str
    types: tuple[str, ...]
    filters: tuple[str, ...] = ()

    def kick_off(self, since: str) -> str:
        """Return path and query. since: FHIR instant, or empty for all."""
        asked = {"_outputFormat": "application/fhir+ndjson", "_type": ",".join(self.types)}
        if since:
            asked["_since"] = since
        if self.filters:
            asked["_typeFilter"] = ",".join(self.filters)
        return f"{self.path}?{urlencode(asked)}"


class Output(msgspec.Struct, frozen=True):
    """One file of a manifest. count: lines, -1 where the server does not say."""

    url: str
    type: str = ""
    count: int = -1


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """What a job made. requires_access_token: where nothing is said, only the server itself is trusted with ours."""

    transaction_time: datetime
    requires_access_token: bool = True
    output: tuple[Output, ...] = ()
    deleted: tuple[Output, ...] = ()
    error: tuple[Output, ...] = ()
    link: tuple[dict[str, str], ...] = ()


class JobFailed(StopRun):
    """The server gave the job up."""


class Gone(RetryLater):
    """The job is no longer there: finished long ago, deleted or expired."""


def start(http: Http, order: Order, since: str) -> str:
    """Return the address at which the new job is asked for its state.

    A kick-off whose answer was lost is sent again; the job that nobody knows of then expires on the server.
    Raises ServerRefuses FA442, RetryLater FA441, StopRun FA401 (an address elsewhere).
    """
    said = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
    reply = patiently(http, lambda: http.look(order.kick_off(since), said))
    if reply.status != 202:
        raise ServerRefuses(
            "FA442", f"the server starts no export ({reply.problem()}).", "Ask for other --type, or another level."
        )
    place = reply.headers.get("Content-Location", "")
    if not place:
        raise ServerRefuses("FA442", "the server does not say where its job is.", "Its Content-Location is missing.")
    return http.url(place)


def patiently(http: Http, ask: Callable[[], Reply]) -> Reply:
    """Return the answer after at most four attempts, as far apart as the server asks; raises RetryLater FA441."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            reply = ask()
        except Unreachable:
            if attempt == ATTEMPTS:
                raise
            http.sleep(back_off(attempt))
            continue
        if reply.status not in _IN_A_WAY:
            return reply
        if attempt < ATTEMPTS:
            http.sleep(pause(reply, attempt))
    raise RetryLater("FA441", f"the server asks for patience ({reply.problem()}).", "Run again later: it goes on.")


def pause(reply: Reply, attempt: int) -> float:
    """Return how many seconds to wait: what the server asks for, else 5, 10, 20 ... up to ten minutes."""
    asked = wait_asked(reply.headers, datetime.now(UTC))
    wait = FIRST_POLL_S * 2.0 ** min(attempt - 1, 10) if asked is None else asked
    return min(max(wait, SHORTEST_POLL_S), LONGEST_POLL_S)


def state(http: Http, job: str) -> Manifest | Reply:
    """Return the manifest of a job that is done, or the answer that asks to wait.

    Raises Gone FA443, JobFailed FA444, Unreachable FA402.
    """
    reply = http.look(job, {"Accept": "application/json"})
    if reply.status == 200:
        return read_manifest(reply.body)
    if reply.status in (404, 410):
        raise Gone("FA443", "the server no longer knows the job.", "Run again: a new one is started.")
    if reply.status == 202 or reply.status in _IN_A_WAY or _is_passing(reply):
        return reply
    raise JobFailed("FA444", f"the export failed on the server ({reply.problem()}).", "Ask its administrator.")


def read_manifest(body: bytes) -> Manifest:
    """Return a manifest; raises Unreachable FA440 where it is none that can be used whole."""
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except (msgspec.DecodeError, RecursionError):
        raise Unreachable("FA440", "the manifest is not one of Bulk Data.", "Nothing was taken from it.") from None
    if manifest.transaction_time.tzinfo is None:
        raise Unreachable("FA440", "the manifest's time has no zone.", "Nothing was taken from it.")
    if any(each.get("relation") == "next" for each in manifest.link):
        raise Unreachable("FA440", "the manifest has more pages, which were not asked for.", "Nothing was taken.")
    files = (*manifest.output, *manifest.deleted, *manifest.error)
    if len(files) > MAX_FILES:
        raise Unreachable("FA440", f"the manifest names more than {MAX_FILES} files.", "Export smaller groups.")
    if not all(TYPE.fullmatch(each.type) and each.type not in _OF_LISTS for each in manifest.output):
        raise Unreachable("FA440", "the manifest names a type that FHIR does not have.", "Nothing was taken from it.")
    return manifest


def fetch(http: Http, output: Output, take: Callable[[bytes], None]) -> None:
    """Give a file's bytes to `take`, once; raises Unreachable FA445 where the server does not give it whole."""
    reply = http.look(output.url, {"Accept": "application/fhir+ndjson"}, Sink(take, MAX_FILE))
    if reply.status in _IN_A_WAY:
        raise Unreachable("FA445", f"a file is not ready ({reply.problem()}).", "Run again: it goes on.")
    if reply.status != 200:
        raise StopRun("FA446", f"the server does not give a file ({reply.problem()}).", "Try export --restart.")


def finish(http: Http, job: str) -> bool:
    """Return whether the server took it that the job may be thrown away; nothing depends on it."""
    with suppress(AllianceError):
        return http.write("DELETE", job, b"").status in (200, 202, 204, 404, 410)
    return False


def _is_passing(reply: Reply) -> bool:
    return reply.status >= 500 and "transient" in {code for code, _ in issues_of(reply.body)}
