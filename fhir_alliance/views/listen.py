"""What happens while listening, in one line each, for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_WORDS: Final = {
    "armed": "The server tells us when forms change.",
    "notice": "A notice: forms have changed.",
    "heartbeat": "No notice for a while; everything is read anyway.",
    "sync": "Sync: {read:,} forms read, {scored:,} scored, status {exit}.",
    "later": "Not now ({code}); tried again.",
    "gap": "Notices were lost: {reason}. The Subscription is made anew.",
    "refused": "Notices refused, because they did not show the secret: {count:,}.",
    "off": "The Subscription {by}.",
}
_MEANT: Final[Mapping[Any, str]] = {
    "unannounced": "forms had come of which no notice did",
    "subscription error": "the server says that its notices fail",
    "subscription off": "the server has switched the Subscription off",
    "subscription gone": "the Subscription is gone from the server",
    "us": "is switched off",
    "its end": "could not be switched off; it stops at its end",
}


def event_text(event: str, told: Mapping[str, Any]) -> str:
    """Return a sentence for an event. told: what belongs to it; of a sync, its counts."""
    meant = {name: _MEANT.get(value, value) for name, value in told.items() if isinstance(value, str | int)}
    return _WORDS[event].format(**meant)
