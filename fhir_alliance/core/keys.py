"""Keys that stay the same in every run: what an identifier is derived from."""

from __future__ import annotations

from hashlib import sha256

PANEL = "panel"


def derived(*parts: str) -> str:
    """Return the SHA-256 of the parts in hexadecimal: 64 characters, also a valid FHIR id."""
    return sha256("|".join(parts).encode()).hexdigest()


def score_key(response_key: str, instrument: str, scale: str, rater: str) -> str:
    """Return the key of a score. It holds no version: an amended form keeps its keys."""
    return derived("score", response_key, instrument, scale, rater)


def finding_key(rule: str, evidence: str) -> str:
    """Return the key of a finding, from the rule and what it rests on."""
    return derived("finding", rule, evidence)


def review_key(kind: str, subject: str, episode: str, ordinal: str) -> str:
    """Return the key of a review; `ordinal` tells the reviews of one client and episode apart."""
    return derived("review", kind, subject, episode, ordinal)
