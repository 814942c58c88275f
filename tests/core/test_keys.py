"""Keys: fixed for ever, valid as FHIR ids, and different for whatever is not the same thing."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.keys import PANEL, derived, finding_key, review_key, score_key
from fhir_alliance.fhir.identifiers import FHIR_ID

PARTS = st.lists(st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"]), max_size=8), max_size=5)

FIXED = {
    "score": (score_key("r1", "phq-9", "total", "client"), "score|r1|phq-9|total|client"),
    "panel": (score_key("r1", "phq-9", PANEL, "client"), "score|r1|phq-9|panel|client"),
    "finding": (finding_key("caseness-crossing", "s1"), "finding|caseness-crossing|s1"),
    "review": (review_key("goal-review", "Patient/p1", "", "0"), "review|goal-review|Patient/p1||0"),
}


@pytest.mark.parametrize("kind", FIXED)
def test_a_key_is_the_digest_of_its_parts(kind: str) -> None:
    """A key is the SHA-256 of its kind and parts: another way of writing it would store everything a second time."""
    key, text = FIXED[kind]
    assert key == sha256(text.encode()).hexdigest()


def test_keys_of_one_record_never_changed() -> None:
    """The key of a known score is the one that earlier versions gave it, letter by letter."""
    assert score_key("r1", "phq-9", "total", "client") == (
        "292ed151e7699d0728844411aa06d5244f14dcf643ac0271f70c9030f4302cf7"
    )


@given(PARTS)
def test_a_key_is_a_fhir_id(parts: list[str]) -> None:
    """Whatever it is derived from, a key can be used as a resource id."""
    assert FHIR_ID.fullmatch(derived(*parts))
    assert len(derived(*parts)) == 64


@given(PARTS, PARTS)
def test_other_parts_give_another_key(left: list[str], right: list[str]) -> None:
    """Two keys are equal only where all parts are, in their order; an empty part counts."""
    assert (derived("x", *left) == derived("x", *right)) == (left == right)


@pytest.mark.parametrize("changed", range(4))
def test_every_part_of_a_score_key_counts(changed: int) -> None:
    """Another response, instrument, scale or rater is another score."""
    parts = ["r1", "phq-9", "total", "client"]
    other = [part + "x" if place == changed else part for place, part in enumerate(parts)]
    assert score_key(*parts) != score_key(*other)


@pytest.mark.parametrize("changed", range(4))
def test_every_part_of_a_review_key_counts(changed: int) -> None:
    """Another kind, client, episode or ordinal is another review."""
    parts = ["goal-review", "Patient/p1", "EpisodeOfCare/e1", "0"]
    other = [part + "x" if place == changed else part for place, part in enumerate(parts)]
    assert review_key(*parts) != review_key(*other)


def test_kinds_do_not_share_keys() -> None:
    """A finding and a score, or a review and a finding, never have the same key, whatever they rest on."""
    assert (
        len({derived("a", "b"), finding_key("a", "b"), score_key("a", "b", "", ""), review_key("a", "b", "", "")}) == 4
    )
