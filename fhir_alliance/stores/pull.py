"""How changed responses are found on a server: by the best of three ways that it offers, and the reason for it.

Many certified EHRs cannot be searched by `_lastUpdated`. Some can by `authored`; with all others each client of a
roster is asked for. What was read before, and is the same, is then left out by a digest of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fhir_alliance.errors import ServerRefuses, StopRun, Unreachable
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.stores.capability import PAGE_SIZE, ServerProfile
from fhir_alliance.stores.deep import id_of
from fhir_alliance.stores.http import Http, Reply, json_of
from fhir_alliance.stores.paging import SearchRefused, matches, pages_ahead
from fhir_alliance.stores.patience import server_date
from fhir_alliance.stores.pull_order import OVERLAP_S, Handed, Order
from fhir_alliance.stores.store import Page, Record, Seen

_SINCE_START: Final = timedelta(hours=1)  # the bookmark never passes the time at which the run began
KIND: Final = "QuestionnaireResponse"
_INSTEAD: Final = "name a [store] roster, or use export"
PULL_HINT: Final = f"{_INSTEAD.capitalize()}."
_PATIENT: Final = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}")
_GROUP: Final = re.compile(r"Group/[A-Za-z0-9\-.]{1,64}")


class Pull(StrEnum):
    """How changed responses are found, the best first."""

    LAST_UPDATED = "last-updated"
    AUTHORED = "authored"
    ROSTER = "roster"


class PullPlan(msgspec.Struct, frozen=True):
    """What a person chose. by: None for what the server can.  roster: a file, or Group/ID.

    window_days: how far before the last run the search by authored begins.  page_size: forms asked for at once.
    """

    by: Pull | None = None
    roster: str = ""
    window_days: int = 90
    page_size: int = PAGE_SIZE


class Stub(msgspec.Struct, rename="camel"):
    """What every resource says of itself."""

    id: str = ""
    meta: dict[str, Any] = {}
    resource_type: str = ""


class Chosen(NamedTuple):
    """How to pull, and why, for people. is_best: nothing has to be said of it, all that changes is found in time."""

    how: Pull
    why: str
    is_best: bool = False


def ways(plan: PullPlan, profile: Callable[[], ServerProfile]) -> list[Chosen]:
    """Return how to pull, the best way first; the others are for a server that refuses what it states.

    profile: asked only where nobody has chosen.
    """
    if plan.by is not None:
        return [Chosen(plan.by, "[store] pull says so", plan.by is Pull.LAST_UPDATED)]
    held = profile()
    search = held.of(KIND).search
    found = []
    if "_lastUpdated" in search or KIND not in held.types:
        found.append(Chosen(Pull.LAST_UPDATED, "the server can be searched by _lastUpdated", is_best=True))
    if "authored" in search:
        window = f"(the last {plan.window_days} days are read)"
        found.append(Chosen(Pull.AUTHORED, f"the server offers no search by _lastUpdated {window}"))
    if plan.roster:
        found.append(Chosen(Pull.ROSTER, "the server can be searched by patient only"))
    why = f"the server states no search that finds changes: {_INSTEAD}"
    return found or [Chosen(Pull.LAST_UPDATED, why)]


def chosen(plan: PullPlan, profile: Callable[[], ServerProfile]) -> Chosen:
    """Return the best way to pull."""
    return ways(plan, profile)[0]


def pulled_somehow(
    http: Http, plan: PullPlan, profile: Callable[[], ServerProfile], since: str, seen: Seen
) -> tuple[Chosen, Iterator[Page]]:
    """Return the best way that the server takes, and its pages; a way that it refuses at once is passed over.

    Raises ServerRefuses FA459 where it takes none, and nobody has named a roster; arguments as for `pulled`.
    """
    found = ways(plan, profile)
    for way in found:
        given = pulled(http, plan, way.how, since, seen)
        try:
            first = next(given, None)
        except SearchRefused as refused:
            if plan.by is not None or way.how is Pull.ROSTER:
                raise
            if way is found[-1]:
                raise ServerRefuses(
                    "FA459", f"no changed forms can be asked for: {refused.message}", PULL_HINT
                ) from None
        else:
            break
    return way, chain([first] if first is not None else [], given)


def pulled(http: Http, plan: PullPlan, how: Pull, since: str, seen: Seen) -> Iterator[Page]:
    """Yield pages of responses that are new or changed. since: the bookmark.  seen: gives digests of what was read."""
    if how is Pull.LAST_UPDATED:
        yield from _by_last_updated(http, since, plan.page_size)
    elif how is Pull.AUTHORED:
        yield from _authored(http, since, plan, seen)
    else:
        for patient in roster_of(http, plan.roster):
            params = {"patient": patient, "_count": str(plan.page_size)}
            yield from _changed(http, partial(http.search, KIND, params), seen)


def _by_last_updated(http: Http, since: str, page_size: int) -> Iterator[Page]:
    """Yield pages, oldest change first; the bookmark waits for the end where a server does not sort as it was asked.

    With pages in descending order (Oracle), a bookmark after the first would pass over all that follow. A search that
    the server forgets begins anew at the last mark that was given.
    """
    order, given, latest, safe = Order(), Handed(), "", since

    def ask() -> Reply:
        order.begin()
        params = {"_sort": "_lastUpdated", "_count": str(page_size)}
        if safe:
            params["_lastUpdated"] = f"ge{_earlier(safe, timedelta(seconds=OVERLAP_S))}"
        return http.get(KIND, params)

    for bundle in pages_ahead(http, ask):
        records = []
        for body in matches(bundle):
            stub = stub_of(body)
            if stub.resource_type == KIND:
                at = str(stub.meta.get("lastUpdated", ""))
                latest = at if order.takes(at) else latest
                if not stub.id or given.adds(f"{KIND}/{stub.id}", sha256(body).digest()):
                    records.append(Record(f"{KIND}/{stub.id}", body))
        is_last = all(link.relation != "next" for link in bundle.link)
        yield Page(records, latest if order.is_rising or is_last else "")
        if order.has_fallen:
            safe = since
        elif order.is_rising:
            safe = latest
            given.pass_by(order.latest)


def _authored(http: Http, since: str, plan: PullPlan, seen: Seen) -> Iterator[Page]:
    """Yield what is new or changed among the forms authored since `plan.window_days` before the last whole run.

    A form that is entered later than that, or an old one that is amended, is not found: such sites choose a roster.
    The bookmark is the time at which the search was answered, and moves when all pages are done.
    """
    params = {"_count": str(plan.page_size)}
    if since:
        params["authored"] = f"ge{_earlier(since, timedelta(days=plan.window_days))[:10]}"
    started: list[datetime] = []

    def ask() -> Reply:
        reply = http.get(KIND, params)
        now = datetime.now(UTC)
        started.append(min(server_date(reply.headers) or now, now) - _SINCE_START)
        return reply

    yield from _changed(http, ask, seen)
    yield Page([], started[0].isoformat(timespec="seconds"))


def _changed(http: Http, ask: Callable[[], Reply], seen: Seen) -> Iterator[Page]:
    """Yield pages of what is not as it was when it was read and its scores were confirmed."""
    given = Handed()
    for bundle in pages_ahead(http, ask):
        records, digests = [], {}
        for body in matches(bundle):
            stub = stub_of(body)
            place = f"{KIND}/{stub.id}"
            digest = sha256(body)
            is_new = not stub.id or (seen(place) != digest.hexdigest() and given.adds(place, digest.digest()))
            if stub.resource_type == KIND and is_new:
                records.append(Record(place, body))
                digests[place] = digest.hexdigest()
        if records:
            yield Page(records, "", digests)


def roster_of(http: Http, roster: str) -> list[str]:
    """Return the patients of a roster, each once. roster: `Group/ID`, or a file with one Patient/ID in a line.

    Raises StopRun FA434 (none named, or not readable as one), Unreachable FA409 (no such Group).
    """
    if _GROUP.fullmatch(roster):
        reply = http.get(roster)
        if not reply.ok:
            raise Unreachable("FA409", f"the Group cannot be read ({reply.problem()}).", "Check [store] roster.")
        found = list(_members(json_of(reply), http.base))
    else:
        found = _lines(roster)
    if not all(_PATIENT.fullmatch(each) for each in found):
        raise StopRun("FA434", "the roster names what is no Patient/ID.", "One reference in each line; # is a comment.")
    return list(dict.fromkeys(found))


def _members(group: Mapping[str, Any], base: str) -> Iterator[str]:
    for member in group.get("member", ()):
        if not member.get("inactive"):
            yield local(str(member["entity"]["reference"]), base)


def _lines(roster: str) -> list[str]:
    try:
        text = Path(roster).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise StopRun("FA434", "the roster cannot be read.", "Name a file, or Group/ID, in [store] roster.") from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def stub_of(body: bytes) -> Stub:
    """Return what a resource says of itself; nothing where it cannot be read."""
    try:
        return msgspec.json.decode(body, type=Stub)
    except RecursionError:  # its type cannot be told either; whoever reads it parks it
        return Stub(id_of(body), {}, KIND)
    except msgspec.DecodeError:
        return Stub()


def _earlier(mark: str, by: timedelta) -> str:
    return (datetime.fromisoformat(mark) - by).isoformat()
