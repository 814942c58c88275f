"""Scores as HL7 v2 messages: every segment held to the letter, no delimiter let through, no name sent."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.model import Code, Rater
from fhir_alliance.fhir.hl7v2 import Envelope, Patient, content_digest, control_id, escaped, moment, oru
from fhir_alliance.fhir.score_sheet import Line, Sheet, void_sheet
from fhir_alliance.runs.catalog import load_catalog

GOLDEN = Path(__file__).parents[1] / "golden" / "oru-r01.hl7"
ENVELOPE = Envelope(datetime(2026, 2, 2, 18, 0, tzinfo=UTC), "NORTH & SOUTH", "ENGINE", "HOSPITAL")
ANNA = Patient("10|07", "CLINIC")
LOINC = Code("http://loinc.org", "44261-6", "PHQ-9 total")
OWN = Code("https://fhir-alliance.org/fhir/CodeSystem/scores", "phq-9-total", "PHQ-9 total")
SHEET = Sheet(
    "a" * 64, "final", "Patient/anna", (LOINC, OWN), "PHQ-9",
    (
        Line("b" * 64, (LOINC, OWN), "PHQ-9 total", "12.5", "", "moderate", ("Read as A^B\nand C.",)),
        Line("c" * 64, (OWN,), "Function", "", "masked", "", ("An answer is withheld.",)),
    ),
    "2026-01-05T10:00:00+01:00",
)  # fmt: skip
DELIMITERS = {*"|^&~", *map(chr, range(32))}


def message(sheet: Sheet) -> list[str]:
    """Return the message's segments."""
    text = oru(sheet, ANNA, ENVELOPE, control_id(content_digest(sheet, ANNA), ""))
    assert text.endswith("\r")
    return text.split("\r")[:-1]


def test_the_message_to_the_letter() -> None:
    """A message with a score, a score that is none, and texts full of delimiters is exactly this one."""
    text = "\n".join(message(SHEET)) + "\n"
    if os.environ.get("REWRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_what_is_no_score_has_no_value() -> None:
    """A score that there is none of is told as not obtainable, with the reason, and never as a number."""
    fields = next(s for s in message(SHEET) if s.startswith("OBX|2")).split("|")
    assert (fields[2], fields[5], fields[11]) == ("", "", "X")
    assert any(s.endswith("No score: masked") for s in message(SHEET))


@pytest.mark.parametrize(("status", "order", "result"), [("final", "F", "F"), ("corrected", "C", "C")])
def test_a_correction_says_so(status: str, order: str, result: str) -> None:
    """A form that was amended is sent as a correction, in the order and in each result."""
    segments = message(msgspec.structs.replace(SHEET, status=status))
    assert segments[2].split("|")[25] == order
    assert segments[3].split("|")[11] == result


def test_a_withdrawn_form_is_taken_back() -> None:
    """A form entered in error is sent without any value, each of its scores marked as wrong."""
    phq = load_catalog().find("phq-9")
    segments = message(void_sheet(phq, Rater.CLIENT, "form", "Patient/anna"))
    results = [s.split("|") for s in segments if s.startswith("OBX")]
    assert len(results) == len(phq.scales)
    assert {(r[5], r[11]) for r in results} == {("", "W")}
    assert segments[2].split("|")[25] == "X"


@given(st.text())
def test_no_delimiter_is_left(text: str) -> None:
    """Whatever a text holds, no delimiter of HL7 is left in it, and a receiver reads the same text again."""
    sent = escaped(text)
    assert not DELIMITERS & set(sent)
    plain = dict(zip("FSTRE", "|^&~\\", strict=True))
    back = re.sub(r"\\([FSTRE])\\|\\X([0-9A-F]{2})\\", lambda m: plain[m[1]] if m[1] else chr(int(m[2], 16)), sent)
    assert back == text


def test_the_control_id_follows_the_content() -> None:
    """The same content has the same MSH-10; another content or another predecessor has another; 20 characters."""
    digest = content_digest(SHEET, ANNA)
    changed = content_digest(msgspec.structs.replace(SHEET, status="amended"), ANNA)
    ids = {control_id(digest, ""), control_id(digest, "X"), control_id(changed, "")}
    assert control_id(digest, "") == control_id(content_digest(SHEET, ANNA), "")
    assert [len(each) for each in ids] == [20, 20, 20]


@pytest.mark.parametrize(
    ("authored", "sent"),
    [
        ("2026-01-05", "20260105"), ("2026-01-05T10:00:00+05:45", "20260105100000+0545"),
        ("2026-01-05T10:00:00Z", "20260105100000+0000"), ("", ""), ("2026-01-05T25:00:00Z", ""),
    ],
)  # fmt: skip
def test_moments_keep_their_offset(authored: str, sent: str) -> None:
    """A day stays a day, a time keeps its own offset, and what is no time is left out."""
    assert moment(authored) == sent
