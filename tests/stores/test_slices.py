"""Files cut into slices hold what they hold in one piece, each record at its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fhir_alliance.stores.folder import response_records, response_slices, responses_in
from fhir_alliance.stores.slices import Lines, lines_before
from fhir_alliance.stores.store import Record

FORM = {"resourceType": "QuestionnaireResponse", "id": "r", "text": "ä"}
BUNDLE = {"resourceType": "Bundle", "entry": [{"resource": FORM}, {"resource": FORM}]}
LINES = st.sampled_from(
    [json.dumps(FORM).encode(), json.dumps(BUNDLE).encode(), b"", b"  ", b"{broken", b"\r", b"\xef\xbb\xbf{}"]
)


def in_slices(folder: Path, size: int) -> list[Record]:
    """Return the records of a folder, read slice by slice."""
    found: list[Record] = []
    before = 0
    for piece in response_slices([folder], size):
        before = before if piece.start else 0
        lines = Lines(piece)
        assert lines_before(piece) == before
        found += [replace(r, line=r.line + before) if r.line else r for r in responses_in(lines)]
        before += lines.read
    return found


@given(st.lists(st.lists(LINES, max_size=8), max_size=3), st.integers(1, 300), st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_slices_hold_what_the_files_hold(tmp_path: Path, files: list[list[bytes]], size: int, ends: bool) -> None:
    """However large a slice is, all records come once, in the same order, with the same file and line."""
    for path in tmp_path.iterdir():
        path.unlink()
    for number, lines in enumerate(files):
        text = b"\n".join(lines) + b"\n" * ends
        (tmp_path / f"QuestionnaireResponse.{number}.ndjson").write_bytes(b"\xef\xbb\xbf" * (number == 1) + text)
    (tmp_path / "one.json").write_text(json.dumps(BUNDLE, indent=1))
    assert in_slices(tmp_path, size) == list(response_records([tmp_path]))


@pytest.mark.parametrize(("size", "count"), [(1, 3), (10_000, 1)])
def test_a_file_is_cut_between_lines(tmp_path: Path, size: int, count: int) -> None:
    """A slice holds whole lines, at least one, and of a small file all."""
    path = tmp_path / "QuestionnaireResponse.ndjson"
    path.write_text((json.dumps(FORM) + "\n") * 3)
    assert [piece.end - piece.start for piece in response_slices([path], size)] == [
        path.stat().st_size // count
    ] * count
