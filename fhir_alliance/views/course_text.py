"""A client's course for the terminal: a small chart and the sessions of every instrument, findings, reviews, goals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_alliance.core.change import Change
from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.course import ClientCourse, Course, Line, Sitting
from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Level, NoValue, Rater, Review
from fhir_alliance.views import review_words
from fhir_alliance.views.course_page import SAFETY_NOTE, left_out
from fhir_alliance.views.course_picture import remark
from fhir_alliance.views.drawing import legible
from fhir_alliance.views.lanes import MODE_WORDS

_BARS: Final = "▁▂▃▄▅▆▇█"
_GAP: Final = "·"


def course_text(told: ClientCourse) -> RenderableType:
    """Return the course in lines and tables."""
    lines: list[RenderableType] = [_bold(told.name or told.subject), Text(legible(told.subject), style="dim")]
    if told.all_kept:
        lines.append(Text("Consent keeps this client's course from treatment use: nothing is shown."))
        lines += [Text(f"  {legible(reason)}") for kept in told.kept for reason in kept.reasons]
        return Group(*lines, Text(SAFETY_NOTE))
    if told.kept:
        lines.append(Text("Consent keeps a part of this record from treatment use; it is not shown:"))
        lines += [Text(f"  {legible(kept.what)}: {legible('; '.join(kept.reasons))}") for kept in told.kept]
        lines.append(Text(SAFETY_NOTE))
    if not told.courses:
        lines.append(Text("No score of this client stands in the record yet."))
    for _, group in groupby(told.courses, key=lambda course: course.instrument):
        lines += [Text(), *_instrument(list(group))]
    last = [Text(words, style="dim") for words in left_out(told)]
    return Group(*lines, *_findings(told), *_reviews(told.reviews), *_goals(told), *last)


def sparkline(line: Line, low: float, high: float) -> str:
    """Return one bar for each sitting, over the scale's whole range; a dot where a form has no score."""
    if low >= high:
        values = [float(s.value) for s in line.sittings if not isinstance(s.value, NoValue)]
        low, high = min([0.0, *values]), max([1.0, *values])
    return "".join(_bar(sitting, low, high) for sitting in line.sittings)


def _bar(sitting: Sitting, low: float, high: float) -> str:
    if isinstance(sitting.value, NoValue):
        return _GAP
    return _BARS[min(len(_BARS) - 1, max(0, int((float(sitting.value) - low) / (high - low) * len(_BARS))))]


def _instrument(courses: Sequence[Course]) -> Iterator[RenderableType]:
    yield _bold(courses[0].instrument_title)
    for course in courses:
        for line in course.lines:
            chart = sparkline(line, float(course.low), float(course.high))
            place = f"{plain(course.low)}-{plain(course.high)}"
            yield Text(f"  {chart:<14} {legible(course.title)} ({line.rater.value}, {place})")
            if isinstance(line.change, Change):
                yield Text(f"  {'':<14} {legible(line.change.explanation)}", style="dim")
    unjudged = dict.fromkeys(
        line.change.reason for course in courses for line in course.lines if isinstance(line.change, NotComputable)
    )
    yield from (Text(f"  Change is not judged for others: {legible(reason)}", style="dim") for reason in unjudged)
    yield _sessions(courses)


def _sessions(courses: Sequence[Course]) -> Table:
    """Return one row for each form: its scores on every scale, and how it was answered."""
    table = Table(box=None, padding=(0, 2, 0, 2))
    for name in ("date", "by", *(_column(course, courses) for course in courses), "care", "language", "remark"):
        table.add_column(legible(name))
    rows: dict[tuple[datetime, Rater], dict[int, Sitting]] = {}
    for place, course in enumerate(courses):
        for line in course.lines:
            for sitting in line.sittings:
                rows.setdefault((sitting.when, line.rater), {})[place] = sitting
    for (when, rater), found in sorted(rows.items()):
        cells = [_cell(found.get(place)) for place in range(len(courses))]
        any_one = next(iter(found.values()))
        remarks = dict.fromkeys(remark(sitting) for sitting in found.values() if remark(sitting))
        language = any_one.language or "not known"
        table.add_row(
            f"{when:%Y-%m-%d}", rater.value, *cells, MODE_WORDS[any_one.mode], legible(language), "; ".join(remarks)
        )
    return table


def _column(course: Course, courses: Sequence[Course]) -> str:
    return "score" if len(courses) == 1 else f"{course.scale}{f' {course.focus}' if course.focus else ''}"


def _cell(sitting: Sitting | None) -> Text:
    if sitting is None:
        return Text()
    if isinstance(sitting.value, NoValue):
        return Text("-")
    return Text(f"{plain(sitting.value)}{f' {legible(sitting.band)}' if sitting.band else ''}")


def _findings(told: ClientCourse) -> Iterator[RenderableType]:
    if told.findings:
        yield from (Text(), _bold("Findings that reviews rest on"))
    for finding in told.findings:
        day = f"{finding.when:%Y-%m-%d} " if finding.when else ""
        yield Text(f"  {day}{legible(finding.sentence)}")
        if finding.citation:
            yield Text(f"    {legible(finding.rule)}: {legible(finding.citation)}", style="dim")


def _reviews(reviews: Sequence[Review]) -> Iterator[RenderableType]:
    if reviews:
        yield from (Text(), _bold("Reviews"))
    for review in reviews:
        urgent = ", urgent" if review.level is Level.URGENT else ""
        owner = f" -> {review.owner}" if review.owner else ""
        yield Text(legible(f"  {review_words.title(review)}: {review_words.state(review)}{urgent}{owner}"))
        yield Text(f"    {review_words.days(review)}", style="dim")
        yield from (Text(legible(f"    - {line}")) for line in review.agenda)


def _goals(told: ClientCourse) -> Iterator[RenderableType]:
    if told.goals:
        yield from (Text(), _bold("Goals"))
    for goal in told.goals:
        due = f", due {goal.due:%Y-%m-%d}" if goal.due else ""
        yield Text(legible(f"  {goal.words} ({goal.state}{due})"))


def _bold(text: str) -> Text:
    return Text(legible(text), style="bold")
