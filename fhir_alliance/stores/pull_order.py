"""What a pull knows of the search that it reads: in which order it comes, and what it gave already."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

OVERLAP_S: Final = 120  # a server may commit a little out of the order of its own clock


class Handed:
    """What a pull gave, so that a search that begins anew gives only the rest.

    In two generations: what the search would no longer find is forgotten, and a long first run stays small.
    """

    def __init__(self) -> None:
        self._older: dict[str, bytes] = {}
        self._recent: dict[str, bytes] = {}
        self._since: datetime | None = None

    def adds(self, place: str, digest: bytes) -> bool:
        """Return whether this is new or changed; from then on it is neither."""
        if self._recent.get(place, self._older.get(place)) == digest:
            return False
        self._recent[place] = digest
        return True

    def pass_by(self, moment: datetime | None) -> None:
        """Let go of what a search from this moment on, overlap included, cannot find."""
        if moment is None:
            return
        self._since = self._since or moment
        if moment - self._since > timedelta(seconds=OVERLAP_S):
            self._older, self._recent, self._since = self._recent, {}, moment


class Order:
    """Whether moments come in the order that was asked for."""

    def __init__(self) -> None:
        self._first: datetime | None = None
        self._last: datetime | None = None
        self.latest: datetime | None = None
        self.has_fallen = False

    def begin(self) -> None:
        """Look at a search that begins anew: earlier moments come again. What fell once is never trusted again."""
        self._first = self._last = None

    @property
    def is_rising(self) -> bool:
        """Whether they rose, and never fell; equal ones say nothing."""
        return not self.has_fallen and self._first is not None and self._first != self._last

    def takes(self, at: str) -> bool:
        """Return whether this is the latest so far; what is no moment is none."""
        try:
            moment = datetime.fromisoformat(at)
            self.has_fallen = self.has_fallen or (self._last is not None and moment < self._last)
            is_latest = self.latest is None or moment >= self.latest
        except (ValueError, TypeError):  # text, or a moment without a zone among others with one
            return False
        self._first, self._last = self._first or moment, moment
        self.latest = moment if is_latest else self.latest
        return is_latest
