"""A measure's report on paper: the words, numbers and pictures of its page.

Drawn by fpdf2 (optional extra `pdf`): pure Python, typed, alive, no system libraries. A picture is the page's own SVG,
which fpdf2 sets as lines, areas and text that can be searched, with the picture's description as its alternative text.
The same input gives the same bytes: the document's date is the report's data cut. `paper_text` is what stands on it,
for whoever has to look into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Final

import msgspec

from fhir_alliance.core.measures.definition import Measure
from fhir_alliance.core.measures.evaluation import Shown
from fhir_alliance.core.model import Tally
from fhir_alliance.errors import StopRun
from fhir_alliance.views.drawing import legible
from fhir_alliance.views.palette import LIGHT
from fhir_alliance.views.picture import Picture, Table
from fhir_alliance.views.report_pictures import flows, scatters, timeliness
from fhir_alliance.views.report_words import (
    SINGLE,
    Told,
    head_words,
    left_out_words,
    odd_table,
    result_table,
    said,
    strata_tables,
    strata_words,
)

if TYPE_CHECKING:
    from fpdf import FPDF

_MARGIN: Final = 16  # mm
_LINE: Final = 5  # mm
_LEAST: Final = 30  # mm: what a heading or the head of a table keeps with it
_NARROWEST, _WIDEST = 13, 40  # letters of a column
_PIXEL: Final = 25.4 / 96  # mm, as CSS has it


class Block(msgspec.Struct, frozen=True):
    """A heading, paragraphs, lines of a list, a picture, and tables: each where there is one, in this order."""

    heading: str = ""
    text: str = ""
    lines: tuple[str, ...] = ()
    picture: Picture | None = None
    tables: tuple[Table, ...] = ()


def paper(measure: Measure, tally: Tally, told: Told, people: Iterable[Shown] = ()) -> tuple[Block, ...]:
    """Return what stands on the paper, from top to bottom. people: whom the reader may see one by one."""
    left_out = tuple(f"{said(count)}: {reason}" for reason, count in tally.withheld.items())
    months = tuple(Block(picture=picture, tables=(picture.table,)) for picture in timeliness(measure, tally))
    strata, odd = strata_tables(tally), (odd_table(tally),) if tally.odd else ()
    sets = "; ".join(f"{url}|{version}" for url, version in told.value_sets)
    return (
        Block(measure.title, f"{head_words(measure, tally, told)}\n{' '.join(measure.description.split())}"),
        *(Block("This report restates an earlier one", lines=told.restates) for _ in told.restates[:1]),
        Block("Result", tables=(result_table(measure, tally, told),)),
        Block("Who is not in it", left_out_words(tally), left_out),
        *(Block(picture=picture) for picture in flows(tally)),
        *_headed("What became of the clients", SINGLE, [Block(picture=drawn) for drawn in scatters(measure, people)]),
        *_headed("Month by month", "", months),
        *_headed(
            "Does it reach everybody alike?", "\n".join(strata_words(tally)), [Block(tables=(t,)) for t in strata]
        ),
        *(Block("What was odd in the record, and what was done", tables=odd) for _ in odd),
        Block("What this report does not claim", lines=measure.does_not_claim),
        Block("Sources", lines=measure.source),
        Block(text=f"Measure {measure.id} {measure.version}; fhir_alliance {told.software}; data up to {told.cut}."),
        Block(text=f"Input (SHA-256): {told.inputs}" + (f"\nValueSets: {sets}" if sets else "")),
    )


def _headed(heading: str, text: str, blocks: Sequence[Block]) -> list[Block]:
    """Return blocks with a heading and a text over the first one; nothing where there are none."""
    return [msgspec.structs.replace(b, heading=heading, text=text) if not n else b for n, b in enumerate(blocks)]


def paper_text(blocks: Sequence[Block]) -> str:
    """Return all that stands on the paper, as text; of a picture, what it is drawn from and what it says."""
    found: list[str] = []
    for block in blocks:
        found += [block.heading, block.text, *block.lines]
        if block.picture is not None:
            found += [block.picture.title, block.picture.description, block.picture.printed()]
        for table in block.tables:
            found += [table.caption, *("\t".join(row) for row in (table.head, *table.rows))]
    return "\n".join(found)


def report_pdf(blocks: Sequence[Block], day: date) -> bytes:
    """Return the PDF. day: the document's date.  Raises StopRun FA719 where fpdf2 is not installed."""
    pdf = pdf_writer()(format="A4")
    pdf.set_creation_date(datetime.combine(day, time(), UTC))
    pdf.set_title(legible(blocks[0].heading))
    pdf.set_lang("en")
    pdf.set_margin(_MARGIN)
    pdf.set_auto_page_break(auto=True, margin=_MARGIN + _LINE)
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

    class Paper(FPDF):
        """A document whose pages are numbered, so that a lost one is missed."""

        def footer(self) -> None:
            """Write the page's number at its foot."""
            self.set_y(-_MARGIN)
            self.set_font("Helvetica", "", 8)
            self.set_text_color(LIGHT["muted"])
            self.cell(0, _LINE, _letters(f"{self.title}, page {self.page_no()} of {{nb}}"), align="R")
            self.set_text_color(LIGHT["ink"])

    return Paper


def is_drawable(text: str) -> bool:
    """Return whether the PDF's own fonts have all letters of a text."""
    return "?" not in _letters(text.replace("?", ""))


def _draw(pdf: FPDF, block: Block, *, is_first: bool) -> None:
    pdf.set_text_color(LIGHT["ink"])
    if block.heading:
        pdf.ln(0 if is_first else 4)
        if pdf.will_page_break(_LEAST + (0 if block.picture is None else _size(pdf, block.picture)[1])):
            pdf.add_page()
        pdf.set_font("Helvetica", "B", 16 if is_first else 12)
        _write(pdf, block.heading, 8 if is_first else 7)
    pdf.set_font("Helvetica", "", 10)
    if block.text:
        _write(pdf, block.text)
    for line in block.lines:
        pdf.cell(4, _LINE, _letters("\u2022"))
        _write(pdf, line)
    if block.picture is not None:
        _draw_picture(pdf, block.picture)
    for table in block.tables:
        _draw_table(pdf, table)


def _write(pdf: FPDF, text: str, height: float = _LINE) -> None:
    pdf.multi_cell(0, height, _letters(text), align="L", new_x="LMARGIN", new_y="NEXT")


def _size(pdf: FPDF, picture: Picture) -> tuple[float, float]:
    """Return a picture's width and height in mm: its own, or as wide as the page lets it be."""
    width = min(pdf.epw, picture.drawn.width * _PIXEL)
    return width, width * picture.drawn.height / picture.drawn.width


def _draw_picture(pdf: FPDF, picture: Picture) -> None:
    """Draw a picture with its title above it on the same page."""
    width, height = _size(pdf, picture)
    pdf.ln(2)
    if pdf.will_page_break(height + 2 * _LINE):
        pdf.add_page()
    pdf.set_font("Helvetica", "B", 10)
    _write(pdf, picture.title)
    said, name = legible(picture.description), legible(picture.title)
    pdf.image(_letters(picture.printed()).encode(), w=width, h=height, alt_text=said, title=name)


def _draw_table(pdf: FPDF, told: Table) -> None:
    pdf.ln(2)
    if pdf.will_page_break(_LEAST):
        pdf.add_page()
    pdf.set_font("Helvetica", "", 8)
    pdf.set_text_color(LIGHT["muted"])
    _write(pdf, told.caption, 4)
    pdf.set_text_color(LIGHT["ink"])
    pdf.set_draw_color(LIGHT["faint"])
    rows = (told.head, *told.rows)
    wide = [min(_WIDEST, max(_NARROWEST, *map(len, column))) for column in zip(*rows, strict=True)]
    with pdf.table(
        col_widths=wide, line_height=4.2, padding=0.7, text_align="LEFT", borders_layout="HORIZONTAL_LINES"
    ) as table:
        for row in rows:
            table.row([_letters(cell) for cell in row])


def _letters(text: str) -> str:
    """Return a text in the letters that the PDF's own fonts have, by their codes; others become question marks.

    The fonts have Windows-1252, and fpdf2 writes each code as it is given one. An ellipsis becomes three dots: its code
    is a line end to Python, and would be cut off.
    """
    return text.replace("\u2026", "...").encode("cp1252", "replace").decode("latin-1")
