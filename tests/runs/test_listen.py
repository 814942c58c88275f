"""Listening: notices make the sync come sooner, and whatever becomes of them, it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest

from fhir_alliance.errors import Exit, RetryLater, ServerRefuses, StopRun
from fhir_alliance.fhir.subscription import State
from fhir_alliance.runs.listen import Listener, Rhythm
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.receiver import Bell, Receiver
from fhir_alliance.stores.subscription import Hook
from fhir_alliance.testing import response_json

Start: TypeAlias = Callable[..., Any]
Next: TypeAlias = Callable[[], Any]

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
AT_ONCE = Rhythm(quiet_s=0.0, heartbeat_s=0.0, again_s=0.0)


class Site:
    """A server with Subscriptions, our receiver, and what happened. then: by event, what happens next, in turn."""

    def __init__(self, server: Any, receiver: Receiver, bell: Bell) -> None:
        self.server, self.receiver, self.bell = server, receiver, bell
        self.address = f"http://127.0.0.1:{receiver.port}/"
        self.events: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.now, self.is_over = NOW, False

    @property
    def hooks(self) -> list[dict[str, Any]]:
        """The Subscriptions on the server."""
        found: list[dict[str, Any]] = self.server.all("Subscription")
        return found

    def hook(self, secret: str = "") -> Hook:
        """Return our Subscription."""
        return Hook(
            Http(self.server.base, sleep=lambda _: None),
            self.address,
            secret or self.receiver.secret,
            timedelta(days=1),
        )

    def end(self) -> None:
        """Ask the listener to stop."""
        self.is_over = True

    def listen(self, pulls: list[Any], *then: Next) -> Exit:
        """Listen until asked to stop. pulls: what each sync gives or raises.  then: what happens after each sync."""
        left, acts = list(pulls), list(then)

        def pull() -> Summary:
            given = left.pop(0)
            if isinstance(given, Exception):
                raise given
            assert isinstance(given, Summary)
            return given

        def tell(event: Any, told: dict[str, Any]) -> None:
            self.events.append(str(event))
            self.told.append(told)
            if event == "sync":
                (acts.pop(0) if acts else self.end)()

        return Listener(
            self.hook(), self.bell, pull, AT_ONCE, clock=lambda: self.now, tell=tell, stop=lambda: self.is_over,
            refused=lambda: self.receiver.refused,
        ).listen()  # fmt: skip


@pytest.fixture
def site(start_server: Start) -> Iterator[Site]:
    """A site."""
    bell = Bell()
    receiver = Receiver("127.0.0.1", 0, bell)
    yield Site(start_server(more=("Subscription",), conditional_create=True), receiver, bell)
    receiver.close()


def news(kind: str = "Observation") -> Summary:
    """Return what a sync did that found something new."""
    summary = Summary()
    summary.created[kind] = 1
    return summary


def nothing() -> None:
    """Let the heartbeat come."""


def test_a_notice_brings_a_sync_and_the_end_switches_off(site: Site) -> None:
    """A notice of the server is followed by a sync; at the end the Subscription is off, and its secret gone."""
    status = site.listen([Summary(), news(), Summary()], site.server.notify, nothing)
    assert status is Exit.DONE
    assert site.events == ["armed", "sync", "notice", "sync", "heartbeat", "sync", "off"]
    (left,) = site.hooks
    assert (left["status"], left["channel"]) == ("off", {"type": "rest-hook", "endpoint": site.address})
    assert site.told[-1] == {"by": "us"}


def test_what_is_asked_for_carries_no_content(site: Site) -> None:
    """The Subscription asks for no payload, ends by itself, and shows this run's secret and no other."""
    seen: list[dict[str, Any]] = []
    site.listen([Summary()], lambda: (seen.extend(site.hooks), site.end()))
    (hook,) = seen
    assert hook["criteria"] == "QuestionnaireResponse?"
    assert set(hook["channel"]) == {"type", "endpoint", "header"}
    assert hook["channel"]["header"] == [f"X-FHIR-Alliance-Notice: {site.receiver.secret}"]
    assert hook["end"] == "2026-06-02T08:30:00Z"


def test_a_sync_comes_without_any_notice(site: Site) -> None:
    """The heartbeat syncs regardless; one that finds nothing new, or only what the calendar brings, is no gap."""
    site.listen([Summary(), Summary(), news("Task")], nothing, nothing)
    assert site.events == ["armed", "sync", "heartbeat", "sync", "heartbeat", "sync", "off"]


def test_what_no_notice_announced_is_a_gap(site: Site) -> None:
    """Scores of which no notice had come are told as a gap, and the Subscription is asked for again."""
    site.listen([news(), news(), Summary()], nothing, nothing)
    assert site.events == ["armed", "sync", "heartbeat", "sync", "gap", "armed", "heartbeat", "sync", "off"]
    assert {"reason": "unannounced"} in site.told


def test_a_notice_that_comes_during_the_sync_is_heard_after_it(site: Site) -> None:
    """A notice that a heartbeat's own sync overtook is no gap, and is followed by one more sync."""
    announced = news()
    site.listen([Summary(), announced, Summary()], nothing, site.server.notify)
    assert site.events == ["armed", "sync", "heartbeat", "sync", "notice", "sync", "off"]


@pytest.mark.parametrize("state", ["error", "off", "gone"])
def test_a_subscription_that_the_server_gave_up_is_made_anew(site: Site, state: str) -> None:
    """Where the server has ended our Subscription, that is told, it is armed again, and there is one of ours."""

    def give_up() -> None:
        (hook,) = site.hooks
        site.server.drop("Subscription", hook["id"]) if state == "gone" else hook.update(status=state)

    site.listen([Summary(), Summary(), Summary()], give_up, lambda: site.server.notify() == [200] or site.end())
    assert site.events == ["armed", "sync", "heartbeat", "gap", "armed", "sync", "notice", "sync", "off"]
    assert {"reason": f"subscription {state}"} in site.told
    assert [hook["status"] for hook in site.hooks] == ["off"]


def test_it_is_renewed_before_it_ends(site: Site) -> None:
    """When half of its time is over it is asked for again, in place, with a later end; that is no gap."""
    site.listen([Summary(), Summary()], lambda: setattr(site, "now", NOW + timedelta(hours=13)))
    assert site.events == ["armed", "sync", "heartbeat", "armed", "sync", "off"]
    assert [hook["end"] for hook in site.hooks] == ["2026-06-02T21:30:00Z"]


def test_what_an_earlier_run_left_is_taken_over(site: Site) -> None:
    """Of several of ours under one address one stays, with the new secret; what belongs to others is not touched."""
    site.hook("old").arm(NOW)
    (first,) = site.hooks
    theirs = first | {"id": "theirs", "meta": {}, "status": "active"}
    elsewhere = first | {"id": "x", "channel": first["channel"] | {"endpoint": "http://127.0.0.1:1/"}}
    site.server.load(first | {"id": "zz"}, theirs, elsewhere)
    site.hook("new").arm(NOW)
    held = {hook["id"]: hook for hook in site.hooks}
    assert held["theirs"] == theirs
    assert held["x"] == elsewhere
    assert held[first["id"]]["channel"]["header"] == ["X-FHIR-Alliance-Notice: new"]
    assert (held["zz"]["status"], "header" in held["zz"]["channel"]) == ("off", False)
    assert len(held) == 4


@pytest.mark.parametrize("lost", ["CUT_AFTER", "BUSY_AFTER"])
def test_a_lost_answer_makes_no_second_one(site: Site, start_server: Start, lost: str) -> None:
    """Where the answer to its creation is lost, there is one Subscription all the same."""
    site.server.faults.append(start_server.faults[lost])
    site.listen([Summary()])
    assert [hook["status"] for hook in site.hooks] == ["off"]


def test_a_sync_that_cannot_run_is_tried_again(site: Site) -> None:
    """Where another run holds the lease, or the server is away, the notice is not forgotten."""
    status = site.listen([RetryLater("FA501", "held."), RetryLater("FA402", "away."), news()])
    assert site.events == ["armed", "later", "later", "sync", "off"]
    assert [told["code"] for told in site.told if "code" in told] == ["FA501", "FA402"]
    assert status is Exit.DONE


def test_a_safety_answer_that_waits_is_not_left_until_the_heartbeat(site: Site) -> None:
    """Where a sync ends with answers in the outbox, the next attempt follows without notice or heartbeat."""
    waiting = Summary()
    waiting.reviews["waiting"] = 1
    site.listen([waiting, Summary()], nothing)
    assert site.events == ["armed", "sync", "sync", "off"]


def test_the_status_is_that_of_the_last_sync(site: Site) -> None:
    """Whoever stops the listener sees how the last sync ended."""
    unknown = Summary()
    unknown.unknown = 1
    assert site.listen([unknown]) is Exit.UNKNOWN


def test_a_server_without_subscriptions_is_refused(start_server: Start, site: Site) -> None:
    """Where the server takes no Subscription, that is said at once, with what to do instead."""
    site.server.can.refused = ("Subscription",)
    with pytest.raises(ServerRefuses, match="FA455") as told:
        site.listen([])
    assert told.value.exit is Exit.REFUSED
    assert "timer" in told.value.hint


def test_what_a_person_has_to_mend_ends_it_and_switches_off(site: Site) -> None:
    """An error that waiting does not heal ends the listener, not leaving the Subscription behind."""
    with pytest.raises(StopRun, match="FA1"):
        site.listen([StopRun("FA122", "configuration.")])
    assert [hook["status"] for hook in site.hooks] == ["off"]


def test_a_server_that_is_away_at_the_start_is_asked_again(site: Site, start_server: Start) -> None:
    """Where the server cannot be told at first, the sync runs all the same, and the next look arms."""
    site.server.faults += [start_server.faults.CUT_BEFORE] * 4
    site.listen([Summary(), Summary()], nothing)
    assert site.events == ["later", "sync", "heartbeat", "armed", "sync", "off"]


@pytest.mark.hapi
def test_a_real_server_tells_that_a_form_came(fhir: Any) -> None:
    """HAPI FHIR takes the Subscription, turns it on, rings for a new form without a word of it, and lets it be off."""
    bell = Bell()
    receiver = Receiver("127.0.0.1", 0, bell)
    hook = Hook(Http(fhir.base), f"http://127.0.0.1:{receiver.port}/", receiver.secret, timedelta(days=1))
    try:
        hook.arm(datetime.now(UTC))
        hook.arm(datetime.now(UTC))  # what stands is taken over
        until = time.monotonic() + 60
        while hook.state() is not State.ACTIVE and time.monotonic() < until:
            bell.rest(0.2, lambda: False)
        fhir.put({"resourceType": "Patient", "id": "listen"})
        fhir.put(response_json([1] * 9, name="listen", subject="Patient/listen", encounter=None))
        assert bell.wait(60, lambda: False)
        assert hook.off()
        assert hook.state() is State.OFF
        (held,) = [entry["resource"] for entry in fhir.get("Subscription", url=hook.address)["entry"]]
        assert "header" not in held["channel"]
    finally:
        receiver.close()
    assert receiver.refused == 0


def test_states_are_read_as_they_are_said() -> None:
    """What is no status of FHIR counts as an error, so that it is armed again."""
    from fhir_alliance.fhir.subscription import state_of

    assert [state_of({"status": said}) for said in ("active", "requested", "gone", 5, None)] == [
        State.ACTIVE, State.REQUESTED, State.ERROR, State.ERROR, State.ERROR,
    ]  # fmt: skip
