"""The story of a change: what was, what is, and why, in words that name nobody else."""

from __future__ import annotations

import json
from typing import Any

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir.difference import Change, ChangeKind
from fhir_alliance.fhir.story import told

SCORE = {"system": "https://fhir-alliance.org/fhir/sid/score", "value": "k"}
SUBJECT = {"reference": "https://x.example/r4/Patient/a"}
BASE = "https://x.example/r4"


def change(**elements: Any) -> Change:
    """Return the change to an Observation of a total."""
    body = {
        "resourceType": "Observation", "status": "final", "identifier": [SCORE], "code": {"text": "Total"},
        "subject": SUBJECT, "effectiveDateTime": "2026-01-05T10:00:00Z", "valueQuantity": {"value": 7},
    } | elements  # fmt: skip
    return Change(Write("Observation", "", "k", WriteMode.KEEP_CURRENT, json.dumps(body).encode()), ChangeKind.UPDATE)


def test_a_score_is_told_with_its_band_or_its_reason() -> None:
    """A number comes with its band, a missing one with its reason, a new one has no past."""
    passage = told(change(interpretation=[{"text": "mild"}]), None, BASE)
    assert passage is not None
    assert (passage.subject, passage.when, passage.was, passage.now) == ("Patient/a", "2026-01-05", "", "7 (mild)")
    absent = change(valueQuantity=None, note=[{"text": "7 of 9 answered; rule needs 9."}])
    passage = told(absent, {"valueQuantity": {"value": 9}}, BASE)
    assert passage is not None
    assert (passage.was, passage.now) == ("9", "no score (7 of 9 answered; rule needs 9)")


def test_the_reason_is_the_one_that_is_new() -> None:
    """Why a score was corrected is what its newest note says; older notes have been told."""
    before = {"valueQuantity": {"value": 9}, "note": [{"text": "Old."}]}
    passage = told(change(status="corrected", note=[{"text": "Old."}, {"text": "Weight of item 3."}]), before, BASE)
    assert passage is not None
    assert passage.why == "Weight of item 3"
    passage = told(change(status="corrected"), before, BASE)
    assert passage is not None
    assert "corrected" in passage.why


def test_what_has_no_story_tells_none() -> None:
    """A panel, and what others wrote, are not told."""
    assert told(change(hasMember=[{"reference": "Observation/1"}]), None) is None
    assert told(change(identifier=[{"system": "urn:other", "value": "x"}]), None) is None
    other = Write("Questionnaire", "", "q", WriteMode.KEEP_CURRENT, b'{"resourceType":"Questionnaire"}')
    assert told(Change(other, ChangeKind.CREATE), None) is None
