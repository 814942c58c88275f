"""Pages of a search, to their end, on one server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
import orjson

from fhir_alliance.errors import RetryLater, Unreachable
from fhir_alliance.fhir.outcome import Meaning
from fhir_alliance.stores.deep import resources_in, without_entries
from fhir_alliance.stores.exchange import Ask
from fhir_alliance.stores.http import Http, Reply

Follow: TypeAlias = Callable[[Callable[[], Reply]], Callable[[], Reply]]
MAX_PAGES: Final = 100_000
_NOT_SO: Final = (Meaning.RECORD, Meaning.UNSUPPORTED, Meaning.GONE)  # Epic: 59108, a parameter is missing
RESTARTS: Final = 5  # of one search in a run; a run that ends after them goes on from its bookmark


class Entry(msgspec.Struct):
    """Bundle.entry."""

    resource: msgspec.Raw = msgspec.Raw()
    search: dict[str, Any] = {}


class Link(msgspec.Struct):
    """Bundle.link."""

    relation: str = ""
    url: str = ""


class Bundle(msgspec.Struct):
    """A page."""

    entry: list[Entry] = []
    link: list[Link] = []
    total: Any = None  # servers put anything there; it is looked at only where a page may not be the last


class Expired(RetryLater):
    """The server no longer knows the pages of a search of which it gave the first: the search has to begin anew."""


class SearchRefused(Unreachable):
    """The server answers, but does not search in this way."""


def pages(http: Http, ask: Callable[[], Reply]) -> Iterator[Bundle]:
    """Yield the pages of a search; where the server forgets them midway, the search begins anew.

    ask: sends the search, each time it begins; pages then come twice, and whoever reads them passes over what it had.
    Raises Expired FA454 after five new beginnings, and what `_pages` raises.
    """
    return _begun_anew(http, ask, lambda request: request)


def pages_ahead(http: Http, ask: Callable[[], Reply]) -> Iterator[Bundle]:
    """Yield pages as `pages` does; each is asked for on a connection of its own while the one before is worked on."""
    with ThreadPoolExecutor(1) as reader:
        yield from _begun_anew(http, ask, lambda request: reader.submit(request).result)


def _begun_anew(http: Http, ask: Callable[[], Reply], follow: Follow) -> Iterator[Bundle]:
    for left in range(RESTARTS, -1, -1):
        try:
            yield from _pages(http, ask(), follow)
            return
        except Expired:
            if not left:
                raise


def _pages(http: Http, reply: Reply, follow: Follow) -> Iterator[Bundle]:
    """Yield the pages of a search, following `next` on this server only, and never in a circle.

    A server that fills a page, says that it has found more, and names no next page is asked for the rest by `_offset`.
    follow: is given the request for the next page before this one is yielded; what it returns then gives it.
    Raises Expired FA454, Unreachable FA407 and FA409, RetryLater FA410 and FA411.
    """
    seen: set[str] = set()
    given = 0
    before: list[bytes] = []
    for _ in range(MAX_PAGES):
        if not reply.ok and seen and reply.meaning is Meaning.GONE:  # HAPI: 410; Epic: 4113
            raise Expired("FA454", "the server keeps forgetting the pages of a search.", "Run again later.")
        if not reply.ok:
            kind = SearchRefused if not seen and reply.meaning in _NOT_SO else Unreachable
            raise kind("FA409", f"a search failed ({reply.problem()}).", "Check what the server supports.")
        bundle = _bundle(reply)
        following = next((link.url for link in bundle.link if link.relation == "next"), "")
        page = matches(bundle)
        if page and page == before:  # a server that knows no offset gives the same page again
            raise RetryLater("FA410", "the server's pages lead in a circle.", "Ask the vendor how to page.")
        given, before = given + len(page), []
        request = partial(http.get, following)
        if not following and (ask := _cut_short(bundle, reply, given)) is not None:
            following, before = f"_offset={given}", page
            request = partial(http.further, ask, given)
        if not following or following in seen:
            yield bundle
            if not following:
                return
            raise RetryLater("FA410", "the server's pages lead in a circle.", "Run again later.")
        seen.add(following)
        answer = follow(request)
        yield bundle
        reply = answer()
    raise RetryLater("FA411", f"more than {MAX_PAGES} pages.", "Run again: it goes on from the bookmark.")


def _cut_short(bundle: Bundle, reply: Reply, given: int) -> Ask | None:
    """Return the search of which a server has found more than it gives, by its own account, on a page that is full."""
    ask = reply.ask
    count = (ask.form or ask.params or {}).get("_count", "") if ask is not None else ""
    is_full = count.isdecimal() and 0 < int(count) <= len(matches(bundle))
    return ask if is_full and isinstance(bundle.total, int) and bundle.total > given else None


def matches(bundle: Bundle) -> list[bytes]:
    """Return the resources that were searched for; outcomes and included ones are left out."""
    return [
        bytes(entry.resource)
        for entry in bundle.entry
        if bytes(entry.resource) and entry.search.get("mode", "match") == "match"
    ]


def found(http: Http, ask: Callable[[], Reply]) -> list[Mapping[str, Any]]:
    """Return all resources on all pages, of the last beginning where the search began anew. ask: as for `pages`."""
    held: list[Mapping[str, Any]] = []

    def begin() -> Reply:
        held.clear()
        return ask()

    try:
        for bundle in pages(http, begin):
            held += [orjson.loads(body) for body in matches(bundle)]
        return held
    except ValueError:  # nested too deep, or no JSON; what it would say is not known, so nothing may rest on it
        raise Unreachable("FA434", "a record of a search cannot be read.", "Correct that record.") from None


def found_by(http: Http, kind: str, params: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return all resources of a type that a search finds."""
    resources = found(http, lambda: http.search(kind, params))
    return [resource for resource in resources if isinstance(resource, dict) and resource.get("resourceType") == kind]


def of_client(kind: str, patients: str) -> dict[str, str]:
    """Return what the resources of a type about some patients are searched by; Epic wants the category too (59108)."""
    survey = {"category": "survey"} if kind == "Observation" else {}
    return {"patient": patients, **survey}


def _bundle(reply: Reply) -> Bundle:
    try:
        return msgspec.json.decode(reply.body, type=Bundle)
    except RecursionError:
        return _taken_apart(reply.body)
    except msgspec.DecodeError:
        raise _no_bundle() from None


def _no_bundle() -> Unreachable:
    return Unreachable("FA407", "the answer is not a FHIR Bundle.", "Is this a FHIR base address?")


def _taken_apart(body: bytes) -> Bundle:
    """Return the page's entries as they stand, so that one that is nested too deep is parked by itself."""
    try:
        empty = msgspec.json.decode(without_entries(body), type=Bundle)
    except (msgspec.DecodeError, RecursionError):
        raise _no_bundle() from None
    return Bundle([Entry(msgspec.Raw(resource)) for resource in resources_in(body)], empty.link)
