"""How long to wait: what a server asks for, in all the forms it is said, and the pace that a site allows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from datetime import time as time_of_day
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from fhir_alliance.errors import RetryLater

LONGEST_WAIT_S: Final = 30.0  # of our own; as long as a server asks, but for what a request may take in all (75)
WHOLE_MINUTE_S: Final = 60.0
# draft-ietf-httpapi-ratelimit-headers: RateLimit: "default";r=0;t=12, and before its version 8: limit=1, reset=12
_RESET = re.compile(r"(?:^|[;,\s])(?:t|reset)\s*=\s*(\d{1,9})")
_SECONDS = re.compile(r"\s*\d{1,15}(?:\.\d{0,9})?\s*")


def wait_asked(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that a server asks us to wait, or None where it says nothing that makes sense.

    Retry-After as seconds, decimals or an HTTP date (RFC 9110, 10.2.3); x-ms-retry-after-ms, which Azure sends with it
    and means more exactly; RateLimit and RateLimit-Reset. now: aware. It may be long: who waits bounds it.
    """
    exact = headers.get("x-ms-retry-after-ms", "")
    if _SECONDS.fullmatch(exact):
        return float(exact) / 1000
    asked = headers.get("Retry-After", "")
    if _SECONDS.fullmatch(asked):
        return float(asked)
    until = _date(asked)
    if until is not None:
        return max(0.0, (until - now).total_seconds())
    reset = _RESET.search(headers.get("RateLimit", ""))
    alone = headers.get("RateLimit-Reset", "")
    if reset is not None:
        return float(reset[1])
    return float(alone) if _SECONDS.fullmatch(alone) else None


def back_off(attempt: int) -> float:
    """Return 0.5, 1, 2, 4 ... seconds for the attempts 1, 2, 3, 4 ..."""
    return min(0.5 * 2.0 ** (attempt - 1), LONGEST_WAIT_S)


def to_the_next_minute(now: datetime) -> float:
    """Return the seconds to the next full minute: eClinicalWorks counts calls by the minute and says nothing."""
    return WHOLE_MINUTE_S - now.second - now.microsecond / 1e6


def server_date(headers: Mapping[str, str]) -> datetime | None:
    """Return the server's clock as it says it, to the second."""
    return _date(headers.get("Date", ""))


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


class Quiet(msgspec.Struct, frozen=True):
    """Hours of a day in which a server is to be left in peace, from `start` up to `end`, also over midnight.

    zone: IANA name, or empty for this machine's.  per_s: requests a second in these hours; 0 for none at all.
    """

    start: time_of_day
    end: time_of_day
    zone: str = ""
    per_s: float = 0.0

    def holds(self, now: datetime) -> bool:
        """Return whether a moment lies in these hours."""
        at = now.astimezone(ZoneInfo(self.zone) if self.zone else None).time()
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end


class Pace:
    """A token bucket: a short burst is let through at once, and then so many requests a second.

    per_s: 0 for no limit.  burst: requests let through at once.  Vendors that publish no rate ask apps to throttle
    themselves (Epic, App Developer Guidelines), most of all in office hours.
    """

    def __init__(
        self,
        per_s: float = 0.0,
        quiet: Quiet | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        burst: int = 5,
    ) -> None:
        self._per_s, self._quiet, self._burst = per_s, quiet, float(burst)
        self._sleep, self._monotonic = sleep, monotonic
        self._tokens, self._at = float(burst), monotonic()
        self._lock = Lock()  # several connections share one pace

    def take(self, now: datetime) -> None:
        """Wait until one more request may be sent; raises RetryLater FA415 in hours that allow none."""
        with self._lock:
            self._take(now)

    def _take(self, now: datetime) -> None:
        per_s = self._per_s
        if self._quiet is not None and self._quiet.holds(now):
            per_s = self._quiet.per_s
            if per_s == 0:
                until = self._quiet.end.strftime("%H:%M")
                raise RetryLater("FA415", f"quiet hours of this server, until {until}.", "Run again after them.")
        if per_s == 0:
            return
        at = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (at - self._at) * per_s)
        self._at = at
        if self._tokens < 1:
            self._sleep((1 - self._tokens) / per_s)
            self._tokens, self._at = 1.0, self._monotonic()
        self._tokens -= 1
