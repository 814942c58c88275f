"""Which way each output takes into a store, and why: as the next run would choose it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from fhir_alliance.config import DeliverySection, ReviewRoute, ScoreRoute
from fhir_alliance.core.model import WriteMode
from fhir_alliance.runs.carriers import TAKEN_AS
from fhir_alliance.runs.review_carriers import REVIEWS_AS
from fhir_alliance.stores.bundles import IN_BUNDLES
from fhir_alliance.stores.capability import Once, Rung, ServerProfile
from fhir_alliance.stores.journal import REFUSED_DAYS


class Route(NamedTuple):
    """How an output gets into a store, and why in this way. route: empty where there is none."""

    output: str
    type: str
    route: str
    reason: str


class _Output(NamedTuple):
    name: str
    kind: str
    mode: WriteMode
    is_canonical: bool


_OUTPUTS: Final = (
    _Output("scores", "Observation", WriteMode.KEEP_CURRENT, is_canonical=False),
    _Output("reviews", "Task", WriteMode.CREATE_ONCE, is_canonical=False),
    _Output("forms", "Questionnaire", WriteMode.KEEP_CURRENT, is_canonical=True),
)


def routes_of(profile: ServerProfile, delivery: DeliverySection, refused: Mapping[str, str]) -> Iterator[Route]:
    """Yield the way of each output.

    refused: what the server has lately refused, as the journal names it, each with the moment until which it is not
    asked again; a way that is another for it says so.
    """
    for output in _OUTPUTS:
        taken = _route(output, profile, delivery, refused.keys())
        told = [
            f"the server refused {_named(what)} on {_day(until)}; until {minute(until)}"
            for what, until in refused.items()
            if _matters(what, output, profile, delivery, refused.keys())
        ]
        yield taken._replace(reason="; ".join([taken.reason, *told]))


def minute(until: str) -> str:
    """Return a moment of the journal as people read it, to the minute in UTC."""
    return f"{until[:16].replace('T', ' ')} UTC"


def _matters(
    what: str, output: _Output, profile: ServerProfile, delivery: DeliverySection, refused: Collection[str]
) -> bool:
    """Return whether a refusal changes an output's way: by itself, or beside the others."""
    others = set(refused) - {what}

    def way(held: Collection[str]) -> Route:
        return _route(output, profile, delivery, held)

    return way(()) != way({what}) or way(others) != way(others | {what})


def _day(until: str) -> str:
    return (datetime.fromisoformat(until) - timedelta(days=REFUSED_DAYS)).date().isoformat()


def _named(what: str) -> str:
    """Return what was refused in words. what: a rung, or how something was tried, and its type."""
    how, _, kind = what.partition(":")
    if not kind:
        return "transactions, or did them in part" if how == Rung.TRANSACTION else "batches"
    return {"create": f"new {kind}", "update": f"changes of {kind}"}.get(how, f"{kind} by {how}")


def _route(output: _Output, profile: ServerProfile, delivery: DeliverySection, refused: Collection[str]) -> Route:
    lower = None
    if output.name == "scores":
        lower = _lower(profile, delivery.scores, refused)
    elif output.name == "reviews":
        lower = _listed(profile, delivery.reviews, refused)
    if lower is not None:
        return lower
    once = profile.once(output.kind, output.mode, is_canonical=output.is_canonical, refused=refused)
    if once is None:
        reason = f"the server takes no {output.kind}: neither create, nor update with ids of ours"
        return Route(output.name, output.kind, "", reason)
    rung = profile.rung(refused) if once in IN_BUNDLES else Rung.SINGLES
    how = f"{output.kind} in a {rung}" if rung is not Rung.SINGLES else f"{output.kind}, one at a time"
    return Route(output.name, output.kind, f"{how}, {once}", f"{_why(rung, profile)}; {_WHY_ONCE[once]}")


def _why(rung: Rung, profile: ServerProfile) -> str:
    if rung is Rung.TRANSACTION:
        held = "all of a form stands or none of it"
        return held if profile.keeps_together else f"a form is sent as one; whether {held} is not known"
    if rung is Rung.BATCH:
        return "no transactions that are kept together; each entry has an outcome of its own"
    return "neither transactions nor batches that could be repeated safely"


_WHY_ONCE: Final = {
    Once.CLIENT_ID: "it takes ids of ours, so that a write can be repeated",
    Once.CONDITIONAL_UPDATE: "it updates by identifier, so that a write can be repeated",
    Once.CONDITIONAL_CREATE: "it creates only what is not there yet",
    Once.SEARCH_FIRST: "it can be searched by identifier, before and after a write",
    Once.BY_CONTENT: "it cannot be searched by identifier; what the client has is compared by content",
    Once.JOURNAL_ONLY: "nothing can be read back; a write whose answer is lost waits for a person",
}


def _lower(profile: ServerProfile, allowed: Sequence[ScoreRoute], refused: Collection[str]) -> Route | None:
    """Return the way of the scores where it is another than Observations; None where it is these, or there is none."""
    for route in allowed:
        if route.is_file:
            return Route("scores", route, f"{route} files in the drop folder", _because(allowed, route))
        once = profile.once(TAKEN_AS[route], WriteMode.KEEP_CURRENT, refused=refused)
        if once is not None and route is ScoreRoute.OBSERVATION:
            return None
        if once is not None:
            how = f"{TAKEN_AS[route]}, {once}"
            return Route("scores", TAKEN_AS[route], how, f"{_because(allowed, route)}; {_WHY_ONCE[once]}")
    return None


def _listed(profile: ServerProfile, allowed: Sequence[ReviewRoute], refused: Collection[str]) -> Route | None:
    """Return the way of the reviews where it is another than Tasks; None where it is these, or there is none."""
    for route in allowed:
        if route is ReviewRoute.WORKLIST:
            return Route("reviews", route, "worklist in the drop folder", _because(allowed, route))
        once = profile.once(REVIEWS_AS[route], WriteMode.CREATE_ONCE, refused=refused)
        if once is not None and route is ReviewRoute.TASK:
            return None
        if once is not None:
            kind, changes = REVIEWS_AS[route], profile.takes_updates(REVIEWS_AS[route], refused)
            why = f"{_because(allowed, route)}; {_WHY_ONCE[once]}"
            fixed = "" if changes else f"; it takes no changes, so that what joins a review is a further {route}"
            return Route("reviews", kind, f"{kind}, {once}", why + fixed)
    return None


def _because(allowed: Sequence[StrEnum], route: StrEnum) -> str:
    return "so [delivery] says" if route is allowed[0] else "the server takes nothing better that is allowed"
