"""Where a server's tokens come from: its SMART configuration, or the security part of its CapabilityStatement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.http import Http, Reply
from fhir_alliance.stores.origin import NOWHERE, origin_of

_OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


class Endpoint(msgspec.Struct, frozen=True):
    """Where tokens come from, and which scopes the server knows."""

    token_url: str
    is_v2: bool = False


def discovered(http: Http, named: str, issuer: str = "") -> Endpoint:
    """Return where tokens come from. http: a session without authorisation.  named: [auth] token_url, or "".

    issuer: [auth] issuer, or "": the only one from which the site wants tokens (compared as RFC 8414, 3.3 says).

    What we send there proves who we are, and a client secret is readable for whoever gets it. So the address that a
    server gives is used only on its own origin; another one has to be named in the configuration.
    Raises StopRun FA420 (none found), FA421 (another origin, not named), FA422 (not TLS), FA428 (another issuer).
    """
    configuration = smart_configuration(http)
    if issuer and configuration.get("issuer") != issuer:
        said = "another issuer" if configuration.get("issuer") else "no issuer"
        raise StopRun(
            "FA428", f"the server's SMART configuration names {said}, not that of [auth] issuer.",
            "Nothing was sent. Ask the site's administrator which is right.",
        )  # fmt: skip
    found = str(configuration.get("token_endpoint") or "") or next(_statement_urls(_object(http.peek("metadata"))), "")
    token_url = named or found
    if not token_url:
        raise StopRun("FA420", "the server does not say where tokens come from.", "Set [auth] token_url.")
    if origin_of(token_url) == NOWHERE:
        raise StopRun("FA420", "the token address is none that a server can have.", "Set [auth] token_url.")
    if not named and origin_of(token_url) != origin_of(http.base):
        raise StopRun(
            "FA421", f"the server names {origin_of(token_url).host} for tokens, which is another origin.",
            "If that is your authorisation server, set [auth] token_url to its full address.",
        )  # fmt: skip
    if not origin_of(token_url).is_private:
        raise StopRun("FA422", "the token address is not https.", "Ask the site for an address with TLS.")
    return Endpoint(token_url, "permission-v2" in (configuration.get("capabilities") or ()))


def smart_configuration(http: Http) -> Mapping[str, Any]:
    """Return `.well-known/smart-configuration`, empty where the server has none."""
    return _object(http.peek(f"{http.base}/.well-known/smart-configuration"))


def _object(reply: Reply) -> Mapping[str, Any]:
    try:
        content = orjson.loads(reply.body) if reply.ok else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _statement_urls(statement: Mapping[str, Any]) -> Iterator[str]:
    """Yield the token addresses in a CapabilityStatement (SMART App Launch 1.0; older servers say it only there)."""
    for rest in _objects(statement.get("rest")):
        for extension in _objects((rest.get("security") or {}).get("extension")):
            if extension.get("url") == _OAUTH_URIS:
                uris = _objects(extension.get("extension"))
                yield from (str(uri.get("valueUri")) for uri in uris if uri.get("url") == "token")


def _objects(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
