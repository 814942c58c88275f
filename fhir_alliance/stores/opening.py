"""Opens the store that a person named, and finds the folder of its journal."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from fhir_alliance.config import Config
from fhir_alliance.errors import StopRun
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.stores.store import Store


def open_store(location: str, config: Config) -> Store:
    """Return the store at an http(s) base address or in a folder; raises StopRun FA114 where none is named."""
    place = location or config.store.location
    if not place:
        raise StopRun("FA114", "no store is named.", "Give --store URL_OR_FOLDER, or [store] location.")
    if not _is_address(place):
        return FolderStore(Path(place))
    if config.auth.kind == "bearer" and config.auth.token_file is None:
        raise StopRun("FA115", "[auth] kind is bearer, but no token_file is named.", "Name the token's file.")
    return ServerStore(place, config.auth.token_file if config.auth.kind == "bearer" else None)


def state_folder(store: Store, config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the store's journal lives."""
    if config.state.folder is not None:
        return config.state.folder
    if isinstance(store, FolderStore):
        return store.folder / ".fhir-alliance"
    home = Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "fhir-alliance" / sha256(store.name.encode()).hexdigest()[:16]


def _is_address(place: str) -> bool:
    return place.startswith(("http://", "https://"))
