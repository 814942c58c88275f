"""Pages for supervisors: the caseload, therapists' outcomes, an accreditor's evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

import htpy as h
import msgspec
from htpy import Node

from fhir_alliance.core.measures.supervision import CaseRow, Link
from fhir_alliance.core.measures.therapists import FEWEST_CLIENTS, Estimates
from fhir_alliance.views.funnel_picture import Funnel, Group, funnel_picture
from fhir_alliance.views.page import figure, page, table
from fhir_alliance.views.picture import Table

_ALIKE: Final = (
    "These therapists differ no more than chance alone lets equals differ, so each is told the share of all together."
)
_LONG: Final = 24  # letters of an id; ours have 64
_SHORT_NAME: Final = re.compile(r"\(([^()]+)\)$")  # as in "Patient Health Questionnaire 9 (PHQ-9)"
EVIDENCE_HEAD = ("Client", "Tool", "Day", "Points", "Score", "Review", "Because of", "Completed", "Decision", "Goal")
CASE_HEAD = ("Client", "Therapist", "Unreviewed safety answers", "Not on track", "Overdue reviews", "Last form")


def caseload_page(rows: Sequence[CaseRow], day: date) -> str:
    """Return the caseload as an HTML document."""
    looked = [row for row in rows if row.needs_a_look]
    withheld = sum(row.is_withheld for row in rows)
    sections: Node = [
        h.h1["Caseload"],
        h.p(".quiet")[f"As of {day}: {len(looked)} of {len(rows)} clients have something to look at."],
        h.p[f"Clients whose scores consent keeps from you: {withheld}. What stands for safety is told of them too."]
        if withheld
        else None,
        h.p[
            "This page tells what is open in the record. It does not grade anybody's risk, and silence is no all-clear."
        ],
        table(Table("Clients to look at", CASE_HEAD, tuple(case_cells(row) for row in looked))),
    ]
    return page(f"Caseload, {day}", sections)


def case_cells(row: CaseRow) -> tuple[str, ...]:
    """Return a client's row as it is shown."""
    if row.is_withheld:
        return (row.subject, row.therapist, str(row.unreviewed_safety or ""), "kept by consent", "", "")
    late = f"{row.overdue}, since {row.oldest_due}" if row.overdue else ""
    last = "none yet" if row.last_form is None else str(row.last_form)
    form = f"{last} (missing)" if row.is_missing else last
    return (row.subject, row.therapist, str(row.unreviewed_safety or ""), " ".join(row.off_track), late, form)


def refused_words(told: Estimates) -> str:
    """Return how many therapists nothing is told of, and why."""
    if not told.refused:
        return f"Every therapist with clients in the measure has {FEWEST_CLIENTS} of them or more."
    return f"Therapists with fewer than {FEWEST_CLIENTS} clients, who are not told of: {told.refused}."


def consent_words(left_out: int) -> str:
    """Return how many clients consent keeps out."""
    return f"Clients left out, because consent does not allow it: {left_out or 'none'}."


def therapists_page(title: str, told: Estimates, left_out: int, period: tuple[date, date]) -> str:
    """Return the therapists' shares as an HTML document: shrunken, with intervals, in no order of merit."""
    groups = tuple(Group(one.caseload.clients, one.caseload.reached) for one in told.told)
    rows = tuple(
        (one.therapist, _percent(one.share), f"{_percent(one.low)} to {_percent(one.high)}") for one in told.told
    )
    method = (
        "Each share is drawn toward that of all clients as far as the spread between therapists warrants (empirical "
        "Bayes, beta-binomial: Kleinman 1973). Intervals are of 95 %. Clients are not alike, and nothing here adjusts "
        "for that: this is no ranking and no judgement of a person (Goldstein & Spiegelhalter 1996)."
    )
    sections: Node = [
        h.h1[f"{title}: by therapist"],
        h.p(".quiet")[f"{period[0]} to {period[1]}, for: supervisor."],
        h.p[method],
        h.p[_ALIKE] if told.alike else None,
        h.p[refused_words(told)],
        h.p[consent_words(left_out)],
        figure(funnel_picture(Funnel("Where chance alone would let a therapist lie", title, told.overall, groups))),
        table(Table("By reference, which is no ranking", ("Therapist", "Share", "Interval"), rows)),
    ]
    return page(f"{title}: by therapist", sections)


def evidence_page(links: Sequence[Link], counts: Mapping[str, int], withheld: int, period: tuple[date, date]) -> str:
    """Return an accreditor's evidence as an HTML document."""
    first, last = period
    rows = tuple(_on_page(link) for link in links if link.review)
    alone = len({link.score for link in links if not link.review})
    rest = f"Scores without a review: {alone:,}. The table file beside this page has them, and references in full."
    sections: Node = [
        h.h1["Evidence for CTS.03.01.09"],
        h.p(".quiet")[f"{first} to {last}. Elements of performance 1 to 3 (Joint Commission, FAQ 000002332)."],
        h.p["This is evidence from the record, with its references. Whether it suffices, the surveyor decides."],
        h.p[consent_words(withheld)],
        h.h2["Over everybody (EP 3)"],
        table(Table("Counts", ("", "Number"), tuple((name, f"{count:,}") for name, count in counts.items()))),
        h.h2["Measure, score, review, decision, goal (EP 1 and 2)"],
        h.p[rest],
        table(Table("By client and score", EVIDENCE_HEAD, rows)),
    ]
    return page("Evidence for CTS.03.01.09", sections)


def evidence_cells(link: Link) -> tuple[str, ...]:
    """Return a link's row as it is shown."""
    shown = (link.subject, link.tool, link.day, link.points, link.score)
    return (*shown, link.review, link.because, link.closed_on, link.decision, link.goal)


def _on_page(link: Link) -> tuple[str, ...]:
    """Return a link's row as it fits on paper: the tool by its short name, ids as people can find them by."""
    short = _SHORT_NAME.search(link.tool)
    references = {name: _abridged(getattr(link, name)) for name in ("subject", "score", "review", "goal")}
    return evidence_cells(msgspec.structs.replace(link, tool=short[1] if short else link.tool, **references))


def _abridged(reference: str) -> str:
    """Return a reference without its type, which the column tells, and cut where it is long."""
    name = reference.rpartition("/")[2]
    return f"{name[:8]}…" if len(name) > _LONG else name


def _percent(share: Decimal) -> str:
    return f"{100 * share:.1f} %"
