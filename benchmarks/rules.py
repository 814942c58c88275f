"""Prints what judging costs: one new form against a history of 200 scores, over scoring ten forms, in the same run."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fhir_alliance.core.consent import ConsentPolicy, Datum, gate
from fhir_alliance.core.model import Cleared, Response, Score
from fhir_alliance.core.rules import evaluate
from fhir_alliance.core.rules.chart import Chart, Rulebook
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.fhir.inbound import Forms
from fhir_alliance.fhir.observation import Emitter
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.rule_cards import shipped_cards
from fhir_alliance.testing import response_json

HISTORY, FORMS = 200, 10
NOW = datetime(2026, 6, 1, tzinfo=UTC)
FIRST = datetime(2020, 1, 6, 9, tzinfo=UTC)
SCALES = (("phq-9", "total"), ("gad-7", "total"), ("alliance-checkin", "total"), ("alliance-checkin", "bond"))


def history(count: int) -> list[Score]:
    """Return scores of one client on four scales."""
    catalog = load_catalog()
    found = []
    for number in range(count):
        name, scale = SCALES[number % len(SCALES)]
        turn = number * 7 % 5  # now and then a little up or down
        value = (4 + (turn > 3)) if name.startswith("alliance") else 14 + turn - number // 20
        day = min(number % len(SCALES), 2)  # each form has its day; both scales of the check-in are of one form
        when = FIRST + timedelta(weeks=number // len(SCALES), days=day)
        instrument = catalog.find(name)
        found.append(
            Score(
                f"s{number}", name, "1.0.0", scale, "Patient/p", instrument.rater, when, value, 9, 9, 9, language="en"
            )
        )
    return found


def judging(count: int) -> Callable[[], object]:
    """Return the judging of the newest form against so many scores."""
    book = Rulebook(load_catalog().instruments, shipped_cards())
    scores = tuple(history(count))
    since = {"Patient/p": scores[-1].when}
    return lambda: evaluate([Chart("Patient/p", scores)], book, NOW, since)


def scoring() -> Callable[[], object]:
    """Return the scoring of ten forms: read, gated, scored, and written as Observations."""
    catalog = load_catalog()
    forms = Forms(catalog.instruments, catalog.questionnaires)
    scorer, emitter = Scorer(catalog.find("phq-9")), Emitter(catalog.find("phq-9"))
    lines = [json.dumps(response_json([1, 2, 1, 0, 2, 1, 0, 1, 0], name=f"r{n}")).encode() for n in range(FORMS)]

    def run() -> None:
        for line in lines:
            form = forms.read(line, NOW)
            assert isinstance(form, Response)
            cleared = gate(form, (), ConsentPolicy(), Datum.of(()), NOW)
            assert isinstance(cleared, Cleared)
            emitter.observations(cleared, scorer.score(cleared))

    return run


def least(run: Callable[[], object], repeats: int = 30, rounds: int = 20) -> float:
    """Return the least CPU of one call, in microseconds."""
    run()
    gc.disable()
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(repeats):
            run()
        best = min(best, (time.process_time() - start) / repeats)
    gc.enable()
    return best * 1e6


def main() -> None:
    """Print the ratios."""
    one, ten, whole = least(judging(HISTORY)), least(scoring()), least(judging(10 * HISTORY), repeats=3)
    print(f"judging one new form against {HISTORY} scores: {one:.0f} us; scoring {FORMS} forms: {ten:.0f} us")
    print(f"ratio {one / ten:.2f} (below 1 is the aim)")
    print(f"ten times the history costs {whole / one:.1f} times as much")


if __name__ == "__main__":
    main()
