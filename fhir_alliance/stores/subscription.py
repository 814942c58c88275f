"""Our Subscription on a server: asked for, renewed, looked at, switched off; one for each address of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import orjson

from fhir_alliance.errors import ServerRefuses, Unreachable
from fhir_alliance.fhir.outcome import Meaning
from fhir_alliance.fhir.subscription import State, is_ours, state_of, subscription, switched_off
from fhir_alliance.stores.http import Http, Reply, json_of
from fhir_alliance.stores.paging import found_by

KIND: Final = "Subscription"


class Hook:
    """The Subscription that sends notices to one address."""

    def __init__(self, http: Http, address: str, secret: str, lasts: timedelta) -> None:
        """lasts: from when on after it was asked for the server stops by itself; renewed when half of it is over."""
        self._http, self.address, self._secret, self._lasts = http, address, secret, lasts
        self._id = ""
        self._due: datetime | None = None

    def arm(self, now: datetime) -> None:
        """Make it stand once, with this run's secret, whatever stood there before.

        One that an earlier run left under the same address is taken over; a second one is switched off.
        Raises ServerRefuses FA455 where the server takes none.
        """
        ours = self._ours()
        wanted = subscription(self.address, self._secret, now + self._lasts)
        if ours:
            self._id = str(ours[0]["id"])
            self._put({**wanted, "id": self._id})
        else:
            once = {"If-None-Exist": f"url={quote(self.address, safe='')}"}
            reply = self._http.write("POST", KIND, orjson.dumps(wanted), once)
            self._checked(reply)
            self._id = _id_in(reply) or str(next(iter(self._ours()), {}).get("id", ""))
            if not self._id:
                raise ServerRefuses("FA455", "the server does not show the Subscription it took.", _INSTEAD)
        for left in ours[1:]:
            self._put(switched_off(left))
        self._due = now + self._lasts / 2

    def is_due(self, now: datetime) -> bool:
        """Return whether it has to be renewed."""
        return self._due is None or now >= self._due

    def state(self) -> State:
        """Return what the server says of it."""
        reply = self._http.get(f"{KIND}/{self._id}")
        if reply.meaning is Meaning.GONE:
            return State.GONE
        if not reply.ok:
            raise Unreachable("FA456", f"the Subscription cannot be read ({reply.problem()}).", "Asked again soon.")
        return state_of(_object(reply))

    def off(self) -> bool:
        """Return whether the server took it that it is off; it stops by itself at its end."""
        if not self._id:
            return True
        reply = self._http.get(f"{KIND}/{self._id}")
        if reply.meaning is Meaning.GONE:
            return True
        stored = _object(reply) if reply.ok else {}
        if not is_ours(stored, self.address):
            return False
        return self._http.write("PUT", f"{KIND}/{self._id}", orjson.dumps(switched_off(stored))).ok

    def _ours(self) -> list[Mapping[str, Any]]:
        found = found_by(self._http, KIND, {"url": self.address})
        return sorted((each for each in found if each.get("id") and is_ours(each, self.address)), key=_by_id)

    def _put(self, wanted: Mapping[str, Any]) -> None:
        self._checked(self._http.write("PUT", f"{KIND}/{wanted['id']}", orjson.dumps(wanted)))

    def _checked(self, reply: Reply) -> None:
        if not reply.ok:
            raise ServerRefuses("FA455", f"the server takes no Subscription ({reply.problem()}).", _INSTEAD)


_INSTEAD: Final = "Run sync by a timer instead."


def _by_id(stored: Mapping[str, Any]) -> str:
    return str(stored["id"])


def _id_in(reply: Reply) -> str:
    """Return the id in a Location, or in the resource that came back."""
    place = reply.headers.get("Location", "").partition("/_history")[0].rstrip("/")
    kind, _, name = place.rpartition("/")
    if kind.endswith(KIND):
        return name
    return str(_object(reply).get("id", "")) if reply.body else ""


def _object(reply: Reply) -> dict[str, Any]:
    held = json_of(reply)
    return held if isinstance(held, dict) and held.get("resourceType") == KIND else {}
