"""Who is asked for a file of an export: the server as ourselves, or an allowed origin as nobody."""

from __future__ import annotations

from collections.abc import Callable

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.origin import origin_of


class Sources:
    """Sessions by what a file needs. api: the server, with who we are.  plain: a session with an origin, as nobody."""

    def __init__(self, api: Http, plain: Callable[[str], Http], allowed: tuple[str, ...]) -> None:
        self.api, self._plain = api, plain
        self._origins = {origin_of(each) for each in (api.base, *allowed)}
        self._open: dict[object, Http] = {}

    def of(self, url: str, *, needs_token: bool) -> Http:
        """Return the session for a file; raises StopRun FA401 for an origin that no one allowed."""
        if needs_token:
            self.api.url(url)
            return self.api
        origin = origin_of(url)
        if origin not in self._origins or not (origin.is_private or origin == origin_of(self.api.base)):
            raise StopRun(
                "FA401", "the manifest points to another origin; nothing was sent there.",
                "If it is the server's own storage, name it in [bulk] origins.",
            )  # fmt: skip
        if origin not in self._open:
            self._open[origin] = self._plain(f"{origin.scheme}://{origin.host}")
        return self._open[origin]

    def close(self) -> None:
        """Close all connections."""
        for http in (self.api, *self._open.values()):
            http.close()
