"""Opens the store that a person named, with who we are to it, and finds the folder of its journal."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import time, timedelta
from hashlib import sha256
from pathlib import Path

from fhir_alliance.config import Config, HttpSection, StoreSection
from fhir_alliance.errors import StopRun
from fhir_alliance.stores.bulk_folder import ExportFolder
from fhir_alliance.stores.bulk_sources import Sources
from fhir_alliance.stores.capability import load_profile
from fhir_alliance.stores.exchange import Way
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.identity import authorised, limits_of, way_of
from fhir_alliance.stores.journal import lease
from fhir_alliance.stores.origin import origin_of
from fhir_alliance.stores.patience import Pace, Quiet
from fhir_alliance.stores.pull import Pull, PullPlan
from fhir_alliance.stores.scopes import Needs, of
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.stores.store import Store
from fhir_alliance.stores.subscription import Hook


def open_store(location: str, config: Config, needs: Needs = Needs()) -> Store:  # noqa: B008 - frozen
    """Return the store at an http(s) base address or in a folder; raises StopRun FA114 where none is named.

    needs: what the command does there; a server is asked for no further rights.
    """
    place = located(location, config)
    if not is_address(place):
        return FolderStore(Path(place))
    pinned = config.store.profile
    profile = load_profile(pinned, place.rstrip("/")) if pinned is not None else None
    return ServerStore(place, open_http(place, config, needs), profile, plan_of(config.store))


def plan_of(said: StoreSection) -> PullPlan:
    """Return how a person wants responses to be found."""
    return PullPlan(None if said.pull == "auto" else Pull(said.pull), said.roster, said.window_days)


def located(location: str, config: Config) -> str:
    """Return the place that is named on the command line or in the configuration; raises StopRun FA114."""
    place = location or config.store.location
    if not place:
        raise StopRun("FA114", "no store is named.", "Give --store URL_OR_FOLDER, or [store] location.")
    return place


def open_http(base: str, config: Config, needs: Needs) -> Http:
    """Return a session with a server, as the configuration says. Nothing is sent yet, but key files are read."""
    limits, way = limits_of(config.http), way_of(config.http)
    http = Http(base, authorised(base, config, needs), limits=limits, way=way)
    http.pace = _pace(config.http)
    return http


def open_sources(location: str, config: Config, types: Collection[str]) -> Sources:
    """Return the sessions that an export needs; raises StopRun FA127 where the store is a folder."""
    place = located(location, config)
    if not is_address(place):
        raise StopRun("FA127", "a folder has nothing to export from.", "Give --store URL.")
    limits, way = limits_of(config.http), Way(config.http.ca_file, config.http.proxy)  # a vendor's headers stay home
    api = open_http(place, config, Needs(reads=of(*types)))
    return Sources(api, lambda origin: Http(origin, limits=limits, way=way), config.bulk.origins)


@contextmanager
def open_hook(location: str, config: Config, address: str, secret: str, lasts: timedelta) -> Iterator[Hook]:
    """Yield the Subscription that sends notices of a server to an address of ours; nothing is sent yet.

    lasts: how long it stands unless it is renewed.  Raises StopRun FA128 (a folder), FA458 (a secret would travel
    where others can read it).
    """
    place = located(location, config)
    if not is_address(place):
        raise StopRun("FA128", "a folder tells nobody when it changes.", "Give --store URL.")
    if not origin_of(address).is_private:
        raise StopRun("FA458", "notices would travel unencrypted.", "Give --address https://..., of a proxy with TLS.")
    http = open_http(place, config, Needs(reads=of("Subscription"), writes=of("Subscription")))
    try:
        yield Hook(http, address, secret, lasts)
    finally:
        http.close()


@contextmanager
def export_folder(folder: Path, config: Config) -> Iterator[ExportFolder]:
    """Yield a folder to export into; no sync of it runs meanwhile."""
    opened = ExportFolder(folder)
    lock = lease(config.state.folder or folder / ".fhir-alliance")
    try:
        yield opened
    finally:
        lock.release()


def state_folder(store: Store, config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the store's journal lives."""
    if config.state.folder is not None:
        return config.state.folder
    if isinstance(store, FolderStore):
        return store.folder / ".fhir-alliance"
    home = Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "fhir-alliance" / sha256(store.name.encode()).hexdigest()[:16]


def state_folder_of(location: str, config: Config) -> Path:
    """Return where the journal of the store at a place lives, without a word to the store."""
    return state_folder(_silent(location, config), config)


def store_name_of(location: str, config: Config) -> str:
    """Return the name under which a journal knows the store at a place."""
    return _silent(location, config).name


def _silent(location: str, config: Config) -> Store:
    place = located(location, config)
    return ServerStore(place) if is_address(place) else FolderStore(Path(place))


def is_address(place: str) -> bool:
    """Return whether a place is a server's address and no folder."""
    return place.startswith(("http://", "https://"))


def _pace(said: HttpSection) -> Pace:
    if not said.quiet_hours:
        return Pace(said.requests_per_s)
    start, _, end = said.quiet_hours.partition("-")
    hours = (time.fromisoformat(start), time.fromisoformat(end))
    return Pace(said.requests_per_s, Quiet(*hours, said.quiet_zone, said.quiet_requests_per_s))
