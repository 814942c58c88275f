"""A client's page: the course in pictures, then findings, reviews and goals in words, then where numbers are from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

import htpy as h
from htpy import Element, Node

from fhir_alliance.core.change import Change
from fhir_alliance.core.course import ClientCourse, Course, Kept, StoodFinding, span_of
from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Level, Review, ReviewKind, ReviewStatus
from fhir_alliance.views import review_words
from fhir_alliance.views.axes import whole_day
from fhir_alliance.views.course_picture import course_picture, subscales_picture
from fhir_alliance.views.lanes import Timeline
from fhir_alliance.views.page import figure, page, table
from fhir_alliance.views.picture import Table

SAFETY_NOTE: Final = (
    "Reviews of safety answers stand as Tasks in the record whatever consent says about scores; look for them there."
)


def course_page(told: ClientCourse) -> str:
    """Return the page of one client as an HTML document."""
    return page(f"Course of {told.name or told.subject}", _kept_page(told) if told.all_kept else _sections(told))


def _kept_page(told: ClientCourse) -> Node:
    return [
        h.h1[told.subject],
        h.div(".notice")[
            h.p[h.strong["Consent keeps this client's course from treatment use: nothing is shown."]],
            h.ul(".plain")[(h.li[reason] for kept in told.kept for reason in kept.reasons)],
            h.p[SAFETY_NOTE],
        ],
    ]


def _sections(told: ClientCourse) -> Node:
    instruments = [(name, list(group)) for name, group in groupby(told.courses, key=lambda course: course.instrument)]
    timeline = Timeline(*span_of(told), told.goals, told.reviews)
    return [
        _header(told),
        _contents([(name, courses[0].instrument_title) for name, courses in instruments]),
        _urgent(told.reviews),
        _kept(told.kept),
        None if told.courses else h.p["No score of this client stands in the record yet."],
        [_instrument(name, courses, timeline) for name, courses in instruments],
        _findings(told.findings),
        _reviews(told),
        _goals(told),
        _sources(told.courses),
        _footer(told),
    ]


def _header(told: ClientCourse) -> Element:
    forms = {
        (s.when, line.rater, course.instrument)
        for course in told.courses
        for line in course.lines
        for s in line.sittings
    }
    days = sorted(when for when, *_ in forms)
    span = f"{whole_day(days[0])} to {whole_day(days[-1])}, {len(forms)} forms answered" if days else "no forms yet"
    return h.header[
        h.h1[h.bdi[told.name or told.subject]],
        h.p(".quiet")[h.bdi[told.subject], f" · {span} · as of {_moment(told.as_of)}"],
    ]


def _contents(instruments: Sequence[tuple[str, str]]) -> Element:
    links = [(f"i-{name}", title) for name, title in instruments]
    links += [("findings", "Findings"), ("reviews", "Reviews"), ("goals", "Goals"), ("sources", "Sources")]
    return h.nav(aria_label="On this page")[h.ul[(h.li[h.a(href=f"#{_slug(place)}")[title]] for place, title in links)]]


def _urgent(reviews: Sequence[Review]) -> Element | None:
    """Return what must not be overlooked: open reviews of safety answers. Where there are none, nothing is said."""
    waiting = [r for r in reviews if r.kind is ReviewKind.SAFETY and r.status is ReviewStatus.OPEN]
    if not waiting:
        return None
    return h.div(".notice", role="note")[
        h.p[h.strong["A review of a safety answer is open."]],
        h.ul(".plain")[
            (h.li[f"{_sentences(r)} {r.focus}, due {_moment(r.due)}, {r.owner or 'no owner yet'}."] for r in waiting)
        ],
    ]


def _kept(kept: Sequence[Kept]) -> Element | None:
    if not kept:
        return None
    return h.div(".notice")[
        h.p[h.strong["Consent keeps a part of this record from treatment use; it is not shown."]],
        h.ul(".plain")[(h.li[f"{part.what}: {'; '.join(part.reasons)}"] for part in kept)],
        h.p[SAFETY_NOTE],
    ]


def _instrument(name: str, courses: Sequence[Course], timeline: Timeline) -> Element:
    """Return one instrument: its main scale large, the others small below each other, and each change in words."""
    slug = _slug(f"i-{name}")
    main, others = courses[0], courses[1:]
    return h.section(id=slug, aria_labelledby=f"{slug}-h")[
        h.h2(id=f"{slug}-h")[main.instrument_title],
        figure(course_picture(main, timeline, f"{slug}-main"), heading=True),
        figure(subscales_picture(others, timeline, f"{slug}-more"), heading=True) if others else None,
        h.ul(".plain.small")[list(_changes(courses))],
    ]


def _changes(courses: Sequence[Course]) -> Iterator[Element]:
    """Yield each change from first to last that can be judged, and once for each reason why others cannot."""
    unjudged: dict[str, list[str]] = {}
    lines = sum(len(course.lines) for course in courses)
    for course in courses:
        for line in course.lines:
            name = f"{course.title} ({line.rater.value})"
            if isinstance(line.change, Change):
                yield h.li[h.strong[f"{name}: "], line.change.explanation]
            else:
                unjudged.setdefault(line.change.reason, []).append(name)
    for reason, names in unjudged.items():
        of = f" for {', '.join(names)}" if len(names) < lines else ""
        yield h.li(".quiet")[f"Change is not judged{of}. {sentence(reason)}"]


def sentence(reason: str) -> str:
    """Return a reason with a capital letter."""
    return reason[:1].upper() + reason[1:]


def _findings(findings: Sequence[StoodFinding]) -> Element:
    items = [
        h.li[
            h.span(".quiet")[f"{finding.when:%Y-%m-%d} "] if finding.when else None,
            finding.sentence,
            h.div(".quiet.small")[_cited(finding)] if _cited(finding) else None,
        ]
        for finding in findings
    ]
    return h.section("#findings", aria_labelledby="findings-h")[
        h.h2("#findings-h")["Findings that reviews rest on"],
        h.ul(".plain")[items] if items else h.p["No review in the record states a finding."],
    ]


def _cited(finding: StoodFinding) -> str:
    return ": ".join(part for part in (finding.rule, finding.citation) if part)


def _reviews(told: ClientCourse) -> Element:
    goals = {goal.reference: goal.words for goal in told.goals}
    return h.section("#reviews", aria_labelledby="reviews-h")[
        h.h2("#reviews-h")["Reviews"],
        [_review(review, goals.get(review.focus, "")) for review in told.reviews]
        or h.p["No review stands in the record."],
    ]


def _review(review: Review, goal: str) -> Element:
    """Return one review: what and for whom, the goal that it is about, and what to talk about."""
    urgent = ", urgent" if review.level is Level.URGENT else ""
    return h.article[
        h.h3[h.bdi[sentence(review_words.title(review))], f": {review_words.state(review)}{urgent}"],
        h.p(".quiet.small")[f"{sentence(review_words.days(review))}. {review.owner or 'No owner yet'}."],
        h.p["About the goal: ", h.bdi[goal]] if goal else None,
        h.ul(".plain")[(h.li[line] for line in review.agenda)] if review.agenda else None,
    ]


def _goals(told: ClientCourse) -> Element:
    head = ("goal, in the words of the record", "state", "since", "due")
    rows = [(g.words, g.state, str(g.starts or ""), str(g.due or "")) for g in told.goals]
    return h.section("#goals", aria_labelledby="goals-h")[
        h.h2("#goals-h")["Goals"],
        table(Table("Goals in the record", head, tuple(rows))) if rows else h.p["No goal stands in the record."],
    ]


def _sources(courses: Sequence[Course]) -> Element:
    told = [(course.title, list(sources(course))) for course in courses]
    bandless = [course.title for course in courses if course.error is None]
    unknown = f"No error band is drawn for {', '.join(bandless)}: SD or reliability is not known to this program."
    return h.section("#sources", aria_labelledby="sources-h")[
        h.h2("#sources-h")["Where the lines and bands are from"],
        h.ul(".plain.small")[
            (h.li[h.strong[f"{title}: "], " ".join(said)] for title, said in told if said),
            h.li[unknown] if bandless else None,
        ],
    ]


def sources(course: Course) -> Iterator[str]:
    """Yield where a scale's caseness line, bands, error band and corridor are from, as far as it has them."""
    if course.caseness is not None:
        yield f"Caseness {plain(course.caseness.at)}: {course.caseness.source}."
    for source in dict.fromkeys(band.source for band in course.bands):
        yield f"Severity bands: {source}."
    if course.error is not None:
        error = course.error
        yield (
            f"Error band: {plain(error.half_width)} points to each side, 1.96 * SD * sqrt(1 - reliability); SD "
            f"{plain(error.sd.value)} ({error.sd.source}), reliability {error.reliability.value} "
            f"({error.reliability.source})."
        )
    if course.reliable_change is not None:
        yield f"Reliable change from {plain(course.reliable_change.value)} points: {course.reliable_change.source}."


def _footer(told: ClientCourse) -> Element:
    words = (
        "For the people who treat this client. Scores are shown as they stand in the record; nothing was scored again.",
        "A line ends where a form has no score or the language changed; a cross marks a form without a score, a ring a "
        "score with answers missing. Times are UTC.",
        *left_out(told),
    )
    return h.footer[h.p(".quiet.small")[" ".join(words)]]


def left_out(told: ClientCourse) -> Iterator[str]:
    """Yield how many scores are not shown, and why."""
    if told.withdrawn:
        yield f"Scores of withdrawn forms, not shown: {told.withdrawn}."
    if told.undated:
        yield f"Scores whose day cannot be read, not shown: {told.undated}."


def _sentences(review: Review) -> str:
    return " ".join(dict.fromkeys(evidence.sentence for evidence in review.evidence))


def _moment(when: datetime) -> str:
    return f"{whole_day(when)} {when:%H:%M} UTC"


def _slug(text: str) -> str:
    """Return a text as an id: letters, digits and hyphens."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text)
