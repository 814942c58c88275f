"""The story of listening: a server's notices make the next sync come sooner, and none is needed for it to come.

A notice carries nothing, and every pull reads all that changed since the bookmark; so a lost, doubled or forged notice
costs time at most. What a heartbeat finds that no notice announced is told as a gap, and the Subscription made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from fhir_alliance.errors import AllianceError, Exit, RetryLater
from fhir_alliance.fhir.subscription import State
from fhir_alliance.runs.summary import Summary

_SCORES: Final = ("Observation", "DocumentReference")  # reviews may be news without any form: the calendar brings them


class Event(StrEnum):
    """What is told while listening."""

    ARMED = "armed"  # the Subscription stands, made or renewed
    NOTICE = "notice"  # something changed on the server
    HEARTBEAT = "heartbeat"  # no notice came for so long; all is read anyway
    SYNC = "sync"  # a sync ended
    LATER = "later"  # a sync, or a word to the server, has to wait
    GAP = "gap"  # notices were lost, or could have been
    REFUSED = "refused"  # notices without the secret
    OFF = "off"  # the Subscription is switched off, or stops at its end


class Rhythm(NamedTuple):
    """quiet_s: from a notice to the sync, for others to come.  heartbeat_s: the longest time without a sync.

    again_s: to the next attempt where a sync could not run; doubled each time, up to the heartbeat.
    """

    quiet_s: float
    heartbeat_s: float
    again_s: float = 30.0


class Bell(Protocol):
    """What notices ring."""

    @property
    def is_rung(self) -> bool:
        """Whether it was rung since it was silenced."""

    def silence(self) -> None:
        """Forget what was rung until now."""

    def wait(self, seconds: float, stop: Callable[[], bool]) -> bool:
        """Return whether it was rung within these seconds."""

    def rest(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Let these seconds pass."""


class Hook(Protocol):
    """The Subscription."""

    def arm(self, now: datetime) -> None:
        """Make it stand once."""

    def is_due(self, now: datetime) -> bool:
        """Return whether it has to be renewed."""

    def state(self) -> State:
        """Return what the server says of it."""

    def off(self) -> bool:
        """Return whether the server took it that it is off."""


class Listener:
    """One time of listening, from arming to switching off."""

    def __init__(
        self, hook: Hook, bell: Bell, pull: Callable[[], Summary], rhythm: Rhythm, *,
        clock: Callable[[], datetime], tell: Callable[[Event, dict[str, Any]], None], stop: Callable[[], bool],
        refused: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        """pull: one whole sync.  clock: aware.  stop: whether somebody asked to.  refused: notices without secret."""
        self._hook, self._bell, self._pull, self._rhythm = hook, bell, pull, rhythm
        self._clock, self._tell, self._stop, self._refused = clock, tell, stop, refused
        self._told_refused = 0

    def listen(self) -> Exit:
        """Return how the last sync ended, after somebody asked to stop.

        Raises StopRun where a person has to change something; the Subscription is switched off then, too.
        """
        try:
            self._arm()
            status = self._synced(is_announced=True)  # catches up with all that came before
            while not self._stop():
                is_notice = self._bell.wait(self._rhythm.heartbeat_s, self._stop)
                if self._stop():
                    break
                self._tell(Event.NOTICE if is_notice else Event.HEARTBEAT, {})
                if is_notice:
                    self._bell.rest(self._rhythm.quiet_s, self._stop)
                self._look()
                status = self._synced(is_announced=is_notice)
            return status
        finally:
            self._off()

    def _arm(self) -> None:
        """Make the Subscription stand; where the server does not answer, the heartbeat tries again."""
        try:
            self._hook.arm(self._clock())
        except RetryLater as fault:
            self._tell(Event.LATER, {"code": fault.code})
        else:
            self._tell(Event.ARMED, {})

    def _look(self) -> None:
        """Renew what is due; where the server says that it sends no notices any more, tell it and arm it again."""
        self._count_refused()
        try:
            state = self._hook.state() if not self._hook.is_due(self._clock()) else State.ACTIVE
        except RetryLater as fault:
            self._tell(Event.LATER, {"code": fault.code})
            return
        if state in (State.ERROR, State.OFF, State.GONE):
            self._tell(Event.GAP, {"reason": f"subscription {state}"})
            self._arm()
        elif self._hook.is_due(self._clock()):
            self._arm()

    def _synced(self, *, is_announced: bool) -> Exit:
        """Return how a sync ended, tried until it can run or somebody asks to stop."""
        wait = self._rhythm.again_s
        while True:
            self._bell.silence()  # what rings from now on may have come too late for this sync
            try:
                summary = self._pull()
            except RetryLater as fault:
                self._tell(Event.LATER, {"code": fault.code, "exit": int(fault.exit)})
                self._bell.rest(min(wait, self._rhythm.heartbeat_s), self._stop)
                wait *= 2
                if self._stop():
                    return fault.exit
                continue
            self._tell(Event.SYNC, summary.as_object() | {"exit": int(summary.exit)})
            if not is_announced and not self._bell.is_rung and _has_news(summary):
                self._tell(Event.GAP, {"reason": "unannounced"})
                self._arm()
            if summary.exit is not Exit.SAFETY_WAITING or self._stop():
                return summary.exit
            self._bell.rest(min(wait, self._rhythm.heartbeat_s), self._stop)  # such an answer waits for no heartbeat
            wait *= 2

    def _count_refused(self) -> None:
        count, self._told_refused = self._refused() - self._told_refused, self._refused()
        if count:
            self._tell(Event.REFUSED, {"count": count})

    def _off(self) -> None:
        is_off = False
        with suppress(AllianceError):
            is_off = self._hook.off()
        self._tell(Event.OFF, {"by": "us" if is_off else "its end"})


def _has_news(summary: Summary) -> bool:
    """Return whether a sync found forms that nothing had announced."""
    written = summary.created + summary.updated
    return any(written[kind] for kind in _SCORES)
