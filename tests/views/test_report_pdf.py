"""A report on paper: the pictures of its page, in words too, the same bytes every time."""

from __future__ import annotations

import logging
import re
import zlib
from datetime import date

import pytest

from fhir_alliance.core.measures.publication import protected
from fhir_alliance.core.measures.tallying import Tallying
from fhir_alliance.views.drawing import Shape, legible, point, words
from fhir_alliance.views.palette import LIGHT, MARKS, PRINTED
from fhir_alliance.views.picture import Drawn, Picture, Table
from fhir_alliance.views.report_page import report_page
from fhir_alliance.views.report_pdf import Block, is_drawable, paper, paper_text, report_pdf
from tests.views.test_report_pictures import OUTCOME, TIMELY, TOLD, YEAR, client, tally_of

DAY = date(2026, 12, 31)
MONTHS = {"2026-01": (40, 20), "2026-02": (40, 3), "2026-03": (40, 20), "2026-04": (40, 25)}


def content(pdf: bytes) -> str:
    """Return what the pages' streams say, unpacked."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.S)
    return "".join(zlib.decompress(stream).decode("cp1252", "replace") for stream in streams)


def sign(name: str = "sign", text: str = "Sign", kind: str = "dot-first") -> Picture:
    """Return a picture of one point with a word beside it."""
    marks = [point((20, 20), Shape.CROSS, kind), words((40, 24), text)]
    return Picture(name, text, f"A point beside {text}.", Drawn(200, 40, marks), Table("", ("a", "b"), ()))


def test_paper_has_every_picture_of_the_page() -> None:
    """Flow, scatter and run chart stand on both, and each goes with the same words on both."""
    clients = [client(n, 16, 9) for n in range(12)]
    for measure, tally, people in ((OUTCOME, Tallying(OUTCOME, YEAR).tally(), clients), (TIMELY, tally_of(MONTHS), [])):
        html, blocks = report_page(measure, tally, TOLD, people), paper(measure, tally, TOLD, people)
        drawn = [block.picture for block in blocks if block.picture is not None]
        assert len(drawn) == html.count('role="img"') == 2
        assert all(picture.description in html for picture in drawn)
        pdf = report_pdf(blocks, DAY)
        assert pdf.count(b"/Alt (") == 2
        assert pdf.count(drawn[0].description[:20].encode()) == 1


def test_letters_of_a_picture_can_be_searched_on_paper() -> None:
    """They are text with a font and not outlines, in the colours of paper: blue for the points, no dark ground."""
    drawn = content(report_pdf((Block("Title", picture=sign(text="a “quote” of 5 € and more…")),), DAY))
    assert "(a “quote” of 5 € and more...) Tj" in drawn
    blue = " ".join(f"{int(LIGHT['first'][at : at + 2], 16) / 255:.4g}" for at in (1, 3, 5))
    assert f"{blue} rg" in drawn


def test_the_same_report_is_the_same_paper() -> None:
    """Nothing of the day on which it was drawn stands in it."""
    blocks = (Block("Title", "text", ("line",), sign()),)
    assert report_pdf(blocks, DAY) == report_pdf(blocks, DAY)
    assert b"20261231000000" in report_pdf(blocks, DAY)


def test_nothing_of_a_picture_is_lost_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """What draws tells of elements and styles that it leaves out; of ours there are none."""
    with caplog.at_level(logging.WARNING):
        report_pdf([Block("Marks", picture=sign(f"mark-{n}", kind=kind)) for n, kind in enumerate(MARKS)], DAY)
        report_pdf(paper(OUTCOME, Tallying(OUTCOME, YEAR).tally(), TOLD, [client(n, 9, 5) for n in range(11)]), DAY)
        report_pdf(paper(TIMELY, tally_of(MONTHS), TOLD), DAY)
    assert not caplog.records
    assert "var(" not in PRINTED


def test_hostile_letters_stay_letters_on_paper() -> None:
    """Markup, controls and letters that the fonts do not have come out as text or as question marks."""
    text = "</text><script>(x) Tj\\ \x1b]8;; 漢字 \ud800"
    drawn = content(
        report_pdf((Block(text, text, (text,), sign(text=text), (Table(text, (text,), ((text,),)),)),), DAY)
    )
    assert "漢" not in drawn
    assert drawn.count("</text><script>\\(x\\) Tj\\\\") >= 5
    assert not is_drawable("漢")
    assert is_drawable("Is it “so”? Yes…")
    assert legible(text) != text


def test_who_may_not_see_people_gets_no_shape_of_one_on_paper() -> None:
    """A masked month is nowhere on the paper of a quality team, and there is no scatter without people."""
    hidden = paper_text(paper(TIMELY, protected(TIMELY, tally_of(MONTHS)), TOLD))
    assert "2026-02\thidden" in hidden
    assert "\t7.5\t" not in hidden
    assert "first and last score" not in paper_text(paper(OUTCOME, Tallying(OUTCOME, YEAR).tally(), TOLD))


def test_all_that_is_drawn_can_be_looked_into() -> None:
    """The text of a paper has what stands in the drawing too, so that nothing of the alliance passes in a picture."""
    assert "Trust" in paper_text((Block(picture=sign(text="Trust")),))
    assert "Trust" in paper_text((Block(picture=Picture("n", "", "", sign(text="Trust").drawn, Table("", (), ()))),))
