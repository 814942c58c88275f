"""Scores in a document as PDF: what the text says, for records that show no plain text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from fhir_alliance.core.model import Write
from fhir_alliance.fhir.score_document import document, text_of
from fhir_alliance.fhir.score_sheet import Sheet
from fhir_alliance.views.report_pdf import Block, is_drawable, pdf_writer, report_pdf


def paper_writer() -> Callable[[Sheet, str], Write]:
    """Return what writes such documents; raises StopRun FA719 where none can be drawn, before anything is sent."""
    pdf_writer()
    return _on_paper


def _on_paper(sheet: Sheet, group: str) -> Write:
    """Return the write of a document whose text is a PDF, or plain where a letter in it cannot be drawn.

    The same sheet gives the same bytes: the paper's date is the day on which the form was answered.
    """
    text, day = text_of(sheet), sheet.authored[:10]
    if not is_drawable(text) or len(day) < 10:
        return document(sheet, group)
    title, _, rest = text.partition("\n")
    return document(sheet, group, report_pdf((Block(title, rest),), date.fromisoformat(day)))
