"""A measure's report on paper: the same words and numbers as the page, without its pictures' finer points.

Drawn by fpdf2 (optional extra `pdf`): pure Python, typed, alive, no system libraries. The same input gives the same
bytes: the document's date is the report's data cut. `paper_text` is what stands on it, for whoever has to look into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Final

import msgspec

from fhir_alliance.core.measures.bad_input import RULES
from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.model import Part, Tally
from fhir_alliance.errors import StopRun
from fhir_alliance.views.report_page import (
    POPULATIONS,
    Told,
    cells,
    comparison_words,
    head_words,
    left_out_words,
    note,
    rate_words,
    said,
    strata_of,
    stratum_rate,
    stratum_words,
    unknown_words,
)
from fhir_alliance.views.report_pictures import timeliness

if TYPE_CHECKING:
    from fpdf import FPDF

_MARGIN: Final = 16  # mm
_LINE: Final = 5  # mm


class Block(msgspec.Struct, frozen=True):
    """A heading, a paragraph, or a table with its head as the first row."""

    heading: str = ""
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


def paper(measure: Measure, tally: Tally, told: Told) -> tuple[Block, ...]:
    """Return what stands on the paper, from top to bottom."""
    head = ("", *POPULATIONS.values(), "Rate")
    strata = sorted(strata_of(tally), key=lambda part: (part.stratum, part.group))
    return (
        Block(measure.title, head_words(measure, tally, told)),
        Block(text=" ".join(measure.description.split())),
        *(Block("This report restates an earlier one", " ".join(told.restates)) for _ in told.restates[:1]),
        Block(
            "Result",
            note(told),
            (head, *((part.title, *cells(part), rate_words(part.counts)) for part in tally.parts if not part.stratum)),
        ),
        Block("Who is not in it", left_out_words(tally)),
        *(Block(drawn.title, rows=(drawn.table.head, *drawn.table.rows)) for drawn in timeliness(measure, tally)),
        *(
            Block(
                "Strata",
                f"{comparison_words(strata)} {unknown_words(tally)}",
                (head, *(_stratum(part) for part in strata)),
            )
            for _ in strata[:1]
        ),
        *(Block("Odd in the record", f"{said(n)}: {RULES.get(rule, rule)}") for rule, n in tally.odd.items()),
        Block("What this report does not claim", "\n".join(measure.does_not_claim)),
        Block("Sources", "\n".join(measure.source)),
        Block(text=f"Measure {measure.id} {measure.version}; fhir_alliance {told.software}; data up to {told.cut}."),
        Block(text=f"Input (SHA-256): {told.inputs}"),
    )


def paper_text(blocks: Sequence[Block]) -> str:
    """Return all that stands on the paper, as text."""
    return "\n".join("\n".join((b.heading, b.text, *("\t".join(row) for row in b.rows))) for b in blocks)


def report_pdf(blocks: Sequence[Block], day: date) -> bytes:
    """Return the PDF. day: the document's date.  Raises StopRun FA719 where fpdf2 is not installed."""
    pdf = pdf_writer()(format="A4")
    pdf.set_creation_date(datetime.combine(day, time(), UTC))
    pdf.set_title(_latin(blocks[0].heading))
    pdf.set_lang("en")
    pdf.set_margin(_MARGIN)
    pdf.set_auto_page_break(auto=True, margin=_MARGIN)
    pdf.add_page()
    for number, block in enumerate(blocks):
        _draw(pdf, block, is_first=not number)
    return bytes(pdf.output())


def pdf_writer() -> type[FPDF]:
    """Return what draws; raises StopRun FA719 where fpdf2 is not installed."""
    try:
        from fpdf import FPDF
    except ImportError:
        raise StopRun("FA719", "PDF needs fpdf2.", "Run: pip install 'fhir-alliance[pdf]'") from None
    return FPDF


def is_drawable(text: str) -> bool:
    """Return whether the PDF's own fonts have all letters of a text."""
    return text == _latin(text)


def _draw(pdf: FPDF, block: Block, *, is_first: bool) -> None:
    if block.heading:
        pdf.ln(0 if is_first else 3)
        pdf.set_font("Helvetica", "B", 16 if is_first else 12)
        pdf.multi_cell(0, 8 if is_first else 6, _latin(block.heading), new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", "", 10)
    if block.text:
        pdf.multi_cell(0, _LINE, _latin(block.text), new_x="LMARGIN", new_y="NEXT")
    if block.rows:
        pdf.set_font("Helvetica", "", 8)
        wide = (2, *(1 for _ in block.rows[0][1:]))
        with pdf.table(col_widths=wide, line_height=_LINE, text_align="LEFT") as table:
            for row in block.rows:
                table.row([_latin(cell) for cell in row])


def _stratum(part: Part) -> tuple[str, ...]:
    return (stratum_words(part), *cells(part), stratum_rate(part))


def _latin(text: str) -> str:
    """Return a text in the letters that the PDF's own fonts have; others become question marks."""
    return text.encode("latin-1", "replace").decode("latin-1")
