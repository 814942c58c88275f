"""The story of trying a rule: what it looked at on each score of a history, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum

import msgspec

from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Finding
from fhir_alliance.core.rules import CALENDAR_RULES, RULE_IDS, SCORE_RULES
from fhir_alliance.core.rules.calendar import regular_review
from fhir_alliance.core.rules.card import Card, Cards
from fhir_alliance.core.rules.chart import Chart, Rulebook
from fhir_alliance.core.rules.page import Moment, Note, Page
from fhir_alliance.errors import StopRun


class Verdict(msgspec.Struct, frozen=True):
    """What a rule made of one score, or of the calendar.

    client: its place in the file, from 1; no name.  steps: what was looked at, and what stood there.
    sentence: what the rule says, empty where it is silent.
    """

    client: int
    when: str
    place: str
    value: str
    steps: tuple[tuple[str, str], ...]
    sentence: str


def card_of(name: str, cards: Cards) -> Card:
    """Return the card of a rule; raises StopRun FA135."""
    if name not in cards:
        raise StopRun("FA135", f"there is no rule {name!r}.", f"Known: {', '.join(RULE_IDS)}.")
    return cards[name]


def verdicts(name: str, charts: Iterable[Chart], book: Rulebook, now: datetime) -> list[Verdict]:
    """Return what a rule makes of every score of some clients, or of the day; raises StopRun FA135.

    A rule that is switched off is tried all the same.
    """
    card_of(name, book.cards)
    settings = msgspec.structs.replace(book.settings, off=tuple(off for off in book.settings.off if off != name))
    book = msgspec.structs.replace(book, settings=settings)
    tried = _on_scores if name in SCORE_RULES else _on_the_day
    return [
        verdict for number, chart in enumerate(charts, 1) for verdict in tried(name, number, Page(chart, book), now)
    ]


def _on_scores(name: str, client: int, page: Page, now: datetime) -> Iterator[Verdict]:
    for series in page.series:
        for at, score in enumerate(series.scores):
            steps: list[tuple[str, str]] = []
            found = SCORE_RULES[name](Moment(page, series, at), _noting(steps))
            place = f"{score.instrument}/{score.scale}, {score.rater}"
            yield _verdict(client, f"{score.when:%Y-%m-%d}", place, plain(series.points[at]), steps, found)


def _on_the_day(name: str, client: int, page: Page, now: datetime) -> Iterator[Verdict]:
    steps: list[tuple[str, str]] = []
    note = _noting(steps)
    rule = CALENDAR_RULES.get(name)
    found = rule(page, now, note) if rule is not None else regular_review(page, (), now, note)
    yield _verdict(client, f"{now:%Y-%m-%d}", "calendar", "", steps, found)


def _verdict(
    client: int, when: str, place: str, value: str, steps: list[tuple[str, str]], found: Finding | None
) -> Verdict:
    return Verdict(client, when, place, value, tuple(steps), found.sentence if found is not None else "")


def _noting(steps: list[tuple[str, str]]) -> Note:
    def note(words: str, value: object) -> None:
        steps.append((words, _said(value)))

    return note


def _said(value: object) -> str:
    """Return what stood there in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " and ".join(map(_said, value))
    if isinstance(value, Enum):
        return str(value.value)
    try:
        return plain(value)  # type: ignore[arg-type]
    except (ArithmeticError, TypeError, ValueError):
        return str(value)
