"""A client's chart opened for judging: its series, what is looked up often, and the moment that a rule sees."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias, TypeVar

from fhir_alliance.core.keys import finding_key
from fhir_alliance.core.model import Finding, Level, Number, Score
from fhir_alliance.core.rules.chart import Chart, Rulebook, Session
from fhir_alliance.core.rules.series import Series, series_of

Note: TypeAlias = Callable[[str, object], None]
_Kept = TypeVar("_Kept")


def silent(words: str, value: object) -> None:
    """Note nothing: nobody asks how a verdict came about."""


def is_asked(note: Note) -> bool:
    """Return whether somebody wants to know how a verdict comes about, and numbers are worth reckoning for it."""
    return note is not silent


class Page:
    """One client's chart and the book that it is judged by; what is reckoned once is kept for the next rule."""

    def __init__(self, chart: Chart, book: Rulebook) -> None:
        self.chart, self.book, self.settings = chart, book, book.settings
        self.series = series_of(chart.scores, book.instruments)
        self._kept: dict[Hashable, Any] = {}

    def kept(self, key: Hashable, reckon: Callable[[], _Kept]) -> _Kept:
        """Return what `reckon` gives, reckoned once per key."""
        if key not in self._kept:
            self._kept[key] = reckon()
        found: _Kept = self._kept[key]
        return found

    @cached_property
    def _sessions(self) -> dict[str, Session]:
        return {session.reference: session for session in self.chart.sessions}

    def session_of(self, score: Score) -> Session | None:
        """Return the session that a score belongs to, where the chart holds it."""
        return self._sessions.get(score.encounter) if score.encounter else None

    def by_day(self, rule: str, ground: str, words: str, agenda: tuple[str, ...], when: datetime) -> Finding:
        """Return a finding that rests on the calendar. ground: tells it from the same rule's other findings."""
        card = self.book.cards[rule]
        subject = self.chart.subject
        key = finding_key(rule, f"{subject}|{ground}")
        return Finding(key, rule, card.version, subject, "", Level.ROUTINE, words, card.citation, agenda, when)


class Moment(NamedTuple):
    """A series up to one of its scores: what a rule judges. It never looks beyond `at`."""

    page: Page
    series: Series
    at: int

    @property
    def score(self) -> Score:
        """The score that is judged."""
        return self.series.scores[self.at]

    @property
    def points(self) -> Number:
        """Its value."""
        return self.series.points[self.at]

    @property
    def is_directed(self) -> bool:
        """Whether it is known what a higher score means."""
        return self.series.is_directed

    @property
    def is_outcome(self) -> bool:
        """Whether the scale is about how the client is, and says what a higher score means."""
        return self.series.is_outcome

    @property
    def is_own_alliance(self) -> bool:
        """Whether the client rates the alliance here, on a scale that says what a higher score means."""
        return self.series.is_own_alliance

    def finding(
        self, rule: str, words: str, agenda: tuple[str, ...], *, focus: str = "", repairs: tuple[str, ...] = ()
    ) -> Finding:
        """Return a finding on this score. focus, repairs: as in `Finding`."""
        card, last = self.page.book.cards[rule], self.score
        return Finding(
            finding_key(rule, last.key), rule, card.version, last.subject, last.key, Level.ROUTINE, words,
            card.citation, agenda, last.when, focus, repairs, card.quiet,
        )  # fmt: skip
