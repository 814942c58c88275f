"""Versions of artefacts: which is newer, and which comes next."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from fhir_alliance.fhir.versions import order, raised

IN_ORDER = [
    "", "0.9", "1.0.0-draft", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.0.0.2", "1.0.0.10", "1.0.1-draft", "1.0.1",
    "1.2", "1.10", "2.0.0", "2024.1", "2024.12",
]  # fmt: skip


def test_versions_have_an_order() -> None:
    """Numbers count as numbers, more of them are later, and a preliminary version comes before its release."""
    shuffled = random.Random(7).sample(IN_ORDER, len(IN_ORDER))
    assert sorted(shuffled, key=order) == IN_ORDER
    assert all(order(earlier) < order(later) for earlier, later in pairwise(IN_ORDER))


@pytest.mark.parametrize(
    ("version", "following"), [("1.57.0", "1.57.1"), ("1.9", "1.10"), ("v3", "v4"), ("2.0-draft", "2.1-draft")]
)
def test_the_next_version_is_higher(version: str, following: str) -> None:
    """The last number is raised by one, and the result is newer."""
    assert raised(version) == following
    assert order(following) > order(version)
