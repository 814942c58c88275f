"""The story of a check-up: what a store can do, which way each output takes there, and what a site has to allow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fhir_alliance.config import Config
from fhir_alliance.core.model import WriteMode
from fhir_alliance.errors import AllianceError, Exit
from fhir_alliance.runs.needs import ALL, ORDERING, PUBLISHING, SYNC, delivering
from fhir_alliance.runs.routes import Route, minute, routes_of
from fhir_alliance.stores.capability import Once, ServerProfile, load_profile
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.identity import authorised
from fhir_alliance.stores.journal import Journal, refuse_open_folder
from fhir_alliance.stores.opening import (
    is_address,
    located,
    open_http,
    open_store,
    plan_of,
    state_folder_of,
    store_name_of,
)
from fhir_alliance.stores.probe import Check, Probed, Standing, probe
from fhir_alliance.stores.pull import PULL_HINT, Chosen, Pull, chosen
from fhir_alliance.stores.scopes import asked


class CheckUp(NamedTuple):
    """All that was found. profile: of a server; None for a folder, or where it was not asked.

    pull: how changed forms are found there.
    """

    store: str
    checks: list[Check]
    profile: ServerProfile | None = None
    routes: tuple[Route, ...] = ()
    to_allow: tuple[str, ...] = ()
    pull: Chosen | None = None

    @property
    def exit(self) -> Exit:
        """How a sync would end, as far as this shows it: the first fault counts."""
        return next((check.exit for check in self.checks if check.standing is Standing.FAULT), Exit.DONE)

    def as_object(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "store": self.store,
            "checks": [c._asdict() | {"standing": c.standing.value, "exit": int(c.exit)} for c in self.checks],
            "routes": [route._asdict() for route in self.routes],
            "pull": {"way": self.pull.how.value, "reason": self.pull.why} if self.pull is not None else None,
            "to_allow": list(self.to_allow),
            "profile": self.profile.model_dump(mode="json") if self.profile is not None else None,
        }


def doctor(location: str, config: Config, *, offline: bool = False, forget: bool = False) -> CheckUp:
    """Return what works and what does not. offline: only what can be seen without the server.

    forget: let the next run ask again for what the server has lately refused; takes the lease for it.
    """
    place = located(location, config)
    checks = [*_configured(place, config), _state(place, config)]
    if all(check.standing is not Standing.FAULT for check in checks):
        if forget:
            _forget(location, config)
        checks += _learnt(place, config)
    if not is_address(place) or offline or any(check.standing is Standing.FAULT for check in checks):
        return CheckUp(place, checks)
    http = open_http(place, config, ALL.without_writes())
    try:
        found = probe(http, SYNC)
    except AllianceError as error:
        return CheckUp(place, [*checks, _fault("server", error)])
    finally:
        http.close()
    return _judged(place, [*checks, *found.checks], found, config)


def _judged(place: str, checks: list[Check], found: Probed, config: Config) -> CheckUp:
    """Return the check-up with routes, and what a site's administrator has to allow. A pinned profile outranks."""
    profile = found.profile
    if config.store.profile is not None:
        pinned = load_profile(config.store.profile, place.rstrip("/"))
        checks.append(_compared(pinned, profile))
        profile = pinned
    routes = tuple(routes_of(profile, config.delivery, _refused(place, config)))
    is_v2 = "permission-v2" in (found.smart.get("capabilities") or ())
    to_allow = tuple(_to_allow(profile, checks))
    if found.smart and config.auth.kind in ("smart-backend", "client-secret"):
        to_allow += (f"Scopes for sync: {asked(SYNC.joined(delivering(config)), is_v2=is_v2)}",)
        to_allow += (f"Scopes for order: {asked(ORDERING, is_v2=is_v2)}",)
        to_allow += (f"Scopes for publish: {asked(PUBLISHING, is_v2=is_v2)}",)
    checks += [
        Check(f"write {route.type}", Standing.FAULT, f"{route.reason}.", "See what has to be allowed.", Exit.REFUSED)
        for route in routes
        if not route.route and route.output != "forms"  # where forms stand already, nothing has to be published
    ]
    pull = chosen(plan_of(config.store), lambda: profile)
    if not found.finds_changes and pull.how is not Pull.ROSTER:
        what = "the server lets nobody search for changed forms without naming a client."
        checks.append(Check("pull", Standing.FAULT, what, PULL_HINT, Exit.REFUSED))
    if {"create", "update"} <= set(profile.of("Subscription").interactions):
        checks.append(Check("notices", Standing.OK, "the server takes Subscriptions: listen can wait for forms."))
    return CheckUp(place, checks, profile, routes, to_allow, pull)


def _configured(place: str, config: Config) -> Iterator[Check]:
    """Yield whether the configuration holds together, and its secret files are private and usable."""
    yield Check("configuration", Standing.OK, "is understood.")
    if not is_address(place):
        yield _tried("store", "is a folder.", lambda: open_store(place, config).close())
        return
    yield _tried("address", "is one that a server can have.", lambda: Http(place).close())
    what = {"none": "none is configured."}.get(config.auth.kind, f"{config.auth.kind}: files are private and usable.")
    yield _tried("credentials", what, lambda: authorised(place, config, SYNC))
    if config.store.profile is not None:
        path = config.store.profile
        yield _tried("profile", "is pinned.", lambda: load_profile(path, place.rstrip("/")))


def _state(place: str, config: Config) -> Check:
    """Return whether the state folder is private and can be written; nothing is made there."""
    try:
        folder = state_folder_of(place, config)
        refuse_open_folder(folder)
        beside = folder if folder.exists() else next(p for p in folder.absolute().parents if p.exists())
        if not beside.is_dir() or not os.access(beside, os.W_OK):
            return Check("state", Standing.FAULT, *_UNWRITABLE)
        Journal.rehearsal(folder).close()
    except AllianceError as error:
        return _fault("state", error)
    return Check("state", Standing.OK, "the journal is private and sound." if folder.exists() else "not made yet.")


def _forget(location: str, config: Config) -> None:
    folder = state_folder_of(location, config)
    if folder.exists():
        with closing(Journal(folder, store_name_of(location, config))) as journal:
            journal.forget_refusals()


def _refused(place: str, config: Config) -> dict[str, str]:
    """Return what the server has refused to runs of late, each with the moment until which it is not asked again."""
    with closing(Journal.rehearsal(state_folder_of(place, config))) as journal:
        return dict(journal.lately_refused(datetime.now(UTC)))


def _learnt(place: str, config: Config) -> Iterator[Check]:
    """Yield what the server has refused to runs of late, where it has; the routes are those without it."""
    found = _refused(place, config)
    if found:
        what = "; ".join(f"{what} (until {minute(until)})" for what, until in found.items())
        hint = "Once the site has mended it: fhir-alliance doctor --forget."
        yield Check("refused lately", Standing.NOTE, f"{what}.", hint)


_UNWRITABLE = ("the state folder cannot be written.", "Set [state] folder.", Exit.CONFIGURATION)


def _tried(name: str, what: str, does: Any) -> Check:
    try:
        does()
    except AllianceError as error:
        return _fault(name, error)
    return Check(name, Standing.OK, what)


def _fault(name: str, error: AllianceError) -> Check:
    return Check(name, Standing.FAULT, f"{error.code} {error.message}", error.hint, error.exit)


def _compared(pinned: ServerProfile, found: ServerProfile) -> Check:
    """Return whether a pinned profile still says what the server does."""
    kinds = sorted(SYNC.reads | SYNC.writes)
    changed = [kind for kind in kinds if pinned.of(kind).model_copy(update={"once": None}) != found.of(kind)]
    is_same = (pinned.transaction, pinned.batch) == (found.transaction, found.batch)
    is_kept = found.keeps_together in (None, pinned.keeps_together)
    changed += ["transactions"] if not is_same or not is_kept else []
    if not changed:
        return Check("pinned profile", Standing.OK, "the server does what the profile says.")
    what = f"the server has changed, or was overridden: {', '.join(changed)}."
    return Check("pinned profile", Standing.NOTE, what, "Compare with: doctor --save FILE, without the pinned one.")


def _to_allow(profile: ServerProfile, checks: list[Check]) -> Iterator[str]:
    for check in checks:
        if check.standing is Standing.FAULT and check.name.startswith("read ") and check.exit is Exit.REFUSED:
            yield f"Search of {check.name.removeprefix('read ')}, by patient or change."
    for kind in sorted(SYNC.writes):
        lacking = [each for each in ("create", "update") if each not in profile.of(kind).interactions]
        if lacking:
            yield f"{' and '.join(lacking).capitalize()} of {kind}."
        elif profile.once(kind, WriteMode.CREATE_ONCE) in (Once.BY_CONTENT, Once.JOURNAL_ONLY):
            yield f"Search of {kind} by identifier, or conditional create."
