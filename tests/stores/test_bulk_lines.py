"""Lines of an export that are too long to be held."""

from __future__ import annotations

import io
import tracemalloc

import pytest

from fhir_alliance.errors import Unreachable
from fhir_alliance.stores import bulk_lines
from fhir_alliance.stores.bulk_lines import Lines

KIND = "QuestionnaireResponse"
SHORT = b'{"resourceType":"QuestionnaireResponse","id":"a"}'
FILL = b"x" * 300


def taken(content: bytes, at_once: int, kind: str = KIND) -> tuple[bytes, list[tuple[int, str]]]:
    """Return what is kept of a file that comes in pieces of so many bytes, and what is left out, by line."""
    out = io.BytesIO()
    lines = Lines(out, kind, 1)
    for start in range(0, len(content), at_once):
        lines.take(content[start : start + at_once])
    lines.end(-1)
    return out.getvalue(), [(bad.line, bad.reason) for bad in lines.bad]


@pytest.mark.parametrize("at_once", [1, 7, 64, 100, 1000])
def test_only_the_long_line_is_left_out(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """However the bytes are divided: what is too long is told by its place, and the rest is kept."""
    monkeypatch.setattr(bulk_lines, "MAX_LINE", 100)
    fits = SHORT[:-1] + b" " * (100 - len(SHORT)) + b"}"
    content = b"\n".join([SHORT, FILL, fits, SHORT + FILL, b"", SHORT, b""])
    kept, bad = taken(content, at_once)
    assert kept == b"\n".join([SHORT, fits, SHORT, b""])
    assert bad == [(2, "is longer than 100 bytes"), (4, "is longer than 100 bytes")]


@pytest.mark.parametrize("at_once", [1, 7, 64, 1000])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (SHORT + b"\n" + FILL, KIND),
        (SHORT + b"\n" + FILL + b"\n" + SHORT, "Consent"),
        (SHORT + b'\n{"resourceType" : "Consent",' + FILL + b"}\n", KIND),
        (SHORT + b"\n{" + FILL + b'"resourceType":"Consent"}\n', KIND),
    ],
    ids=["cut off", "among Consents", "a Consent elsewhere", "a Consent that says so last"],
)
def test_what_may_forbid_still_stops(monkeypatch: pytest.MonkeyPatch, content: bytes, kind: str, at_once: int) -> None:
    """A long line that may say no, or may be half of one, is not left out: nothing lands."""
    monkeypatch.setattr(bulk_lines, "MAX_LINE", 100)
    with pytest.raises(Unreachable, match="FA447"):
        taken(content.replace(SHORT, SHORT.replace(KIND.encode(), kind.encode())), at_once, kind)


def test_a_long_line_is_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of 64 times the bound needs no more memory than one within it."""
    monkeypatch.setattr(bulk_lines, "MAX_LINE", 2**18)
    lines = Lines(io.BytesIO(), KIND, 1)
    piece = b"x" * 2**16
    tracemalloc.start()
    for _ in range(2**8):
        lines.take(piece)
    lines.take(b"\n" + SHORT)
    lines.end(-1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (lines.count, len(lines.bad)) == (1, 1)
    assert most < 2**20
