"""Where an address leads: scheme, host and port. What is meant for one origin goes to no other."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Origin(NamedTuple):
    """Scheme, and host with port. NOWHERE equals no origin that something is sent to."""

    scheme: str
    host: str

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent: TLS, or this machine itself."""
        return self.scheme == "https" or _is_loopback(self.host.rpartition(":")[0])


NOWHERE = Origin("", "")


def origin_of(url: str) -> Origin:
    """Return the origin of an http(s) address; an address with user information, or with none to it, is nobody's."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return NOWHERE
    if "@" in parts.netloc or parts.scheme not in ("http", "https") or not parts.hostname:
        return NOWHERE
    return Origin(parts.scheme, f"{parts.hostname}:{port or (443 if parts.scheme == 'https' else 80)}")


def joined(base: str, link: str) -> str:
    """Return the address of a link in an answer that came from `base`; what looks absolute is left as it is."""
    return link if _ABSOLUTE.match(link) else urljoin(base, link)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
