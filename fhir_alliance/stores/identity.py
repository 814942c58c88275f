"""Makes of the configuration who we are to a server, and how it is spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fhir_alliance.config import AuthSection, Config, HttpSection
from fhir_alliance.errors import StopRun
from fhir_alliance.stores.exchange import Exchange, Limits, Way
from fhir_alliance.stores.http import Auth, Http
from fhir_alliance.stores.scopes import Needs

if TYPE_CHECKING:
    from fhir_alliance.stores.auth import Proof

_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "none": (),
    "bearer": ("token_file",),
    "client-secret": ("client_id", "secret_file"),
    "smart-backend": ("client_id", "key_file"),
}


def authorised(base: str, config: Config, needs: Needs) -> Auth | None:
    """Return who we are, None for nobody. Secret files are read; nothing is sent yet.

    Raises StopRun FA115 (a key of [auth] is missing), FA112, FA113, FA425 (the files).
    """
    said = config.auth
    for name in _NEEDED[said.kind]:
        if not getattr(said, name):
            raise StopRun("FA115", f"[auth] kind is {said.kind}, but no {name} is named.", "Name it in [auth].")
    if said.kind == "none":
        return None
    from fhir_alliance.stores.auth import BearerFile, ClientCredentials  # which load cryptography
    from fhir_alliance.stores.discovery import discovered

    if said.kind == "bearer":
        return BearerFile(_named(said.token_file))
    limits, way = limits_of(config.http), way_of(config.http)
    unsigned = Http(base, limits=limits, way=way)
    tokens = Exchange(limits, Way(way.ca_file, way.proxy))  # a vendor's headers stay with the store
    return ClientCredentials(_proof(said), lambda: discovered(unsigned, said.token_url, said.issuer), needs, tokens)


def limits_of(said: HttpSection) -> Limits:
    """Return the bounds of one exchange."""
    return Limits(said.connect_s, said.read_s, said.total_s, said.connections)


def way_of(said: HttpSection) -> Way:
    """Return how requests leave this machine."""
    return Way(said.ca_file, said.proxy, dict(said.headers))


def _proof(said: AuthSection) -> Proof:
    from fhir_alliance.stores.auth import Assertion, Secret
    from fhir_alliance.stores.keys import read_keys
    from fhir_alliance.stores.secret_files import read_secret

    if said.kind == "client-secret":
        return Secret(said.client_id, read_secret(_named(said.secret_file)))
    return Assertion(said.client_id, read_keys(_named(said.key_file), said.key_id))


def _named(path: Path | None) -> Path:
    return path or Path()
