"""A client's page: self-contained, readable without sight or mouse, and safe whatever a name or a goal holds."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from html.parser import HTMLParser
from itertools import product
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.change_methods import NotComputable
from fhir_alliance.core.course import (
    ClientCourse,
    Course,
    ErrorBand,
    Kept,
    Line,
    Sitting,
    StatedGoal,
    StoodFinding,
)
from fhir_alliance.core.model import (
    Band,
    Decision,
    Direction,
    Ending,
    Evidence,
    Level,
    Mode,
    NoValue,
    Rater,
    Review,
    ReviewKind,
    ReviewStatus,
    Sourced,
    TaskStatus,
    Threshold,
)
from fhir_alliance.views.course_json import course_json
from fhir_alliance.views.course_page import course_page
from fhir_alliance.views.drawing import legible
from fhir_alliance.views.review_words import state, title

WHEN = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)></svg></style>&lt;\x00\x1b[2J\u202e'
VOID = {"meta", "br", "link", "img"}


class Element:
    """One element: its name, attributes, text, and what is in it."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes, self.text = tag, attributes, ""
        self.inside: list[Element] = []
        self.parts: list[str | Element] = []

    def all(self, *tags: str) -> list[Element]:
        """Return all elements below with these names, in order."""
        found = []
        for element in self.inside:
            found += [element] if not tags or element.tag in tags else []
            found += element.all(*tags)
        return found

    def said(self) -> str:
        """Return all text below."""
        return "".join(part if isinstance(part, str) else part.said() for part in self.parts)


class Tree(HTMLParser):
    """Builds elements, and fails on an end tag that closes something else."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.stack = [self.root]
        self.feed(text)
        self.close()
        assert len(self.stack) == 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.stack[-1].inside.append(element)
        self.stack[-1].parts.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that is open."""
        assert self.stack.pop().tag == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.stack[-1].text += data
        self.stack[-1].parts.append(data)


def course(name: str = "toy", scale: str = "total", words: str = "") -> Course:
    """Return a course of two sittings by the client and one by the therapist."""
    sittings = (
        Sitting(WHEN, 12, f"moderate{words}", Mode.IN_PERSON, f"en{words}", 9, 9, False),
        Sitting(WHEN + timedelta(weeks=1), NoValue("x", f"why{words}"), "", Mode.VIDEO, "en", 7, 9, False),
        Sitting(WHEN + timedelta(weeks=2), Decimal("7.5"), "mild", Mode.PHONE, "en", 8, 9, True),
    )
    lines = (
        Line(Rater.CLIENT, sittings, NotComputable(f"the SD is not known{words}.")),
        Line(Rater.THERAPIST, sittings[:1], NotComputable("change needs two scores.")),
    )
    return Course(
        name, f"Toy{words}", scale, f"Toy {scale}{words}", 0, 27, Direction.WORSE, lines,
        (Band("b", f"severe{words}", 20, 27, f"bands{words}"),), Threshold(10, f"line{words}"),
        ErrorBand(Decimal(4), Sourced(6, f"sd{words}"), Sourced(Decimal("0.9"), "r")), Sourced(6, f"rc{words}"),
    )  # fmt: skip


def review(kind: ReviewKind, status: ReviewStatus, words: str = "") -> Review:
    """Return a review with one reason and one line to talk about."""
    evidence = Evidence("k", f"rule{words}", f"It fell{words}.", "", f"cited{words}")
    return Review(
        f"{kind}{status}", kind, status, "Patient/p1", "", Level.URGENT, (evidence,), (f"agenda{words}",), WHEN,
        WHEN + timedelta(days=14), f"Practitioner/t{words}", closed_on=date(2026, 1, 9),
    )  # fmt: skip


def told(words: str = "") -> ClientCourse:
    """Return a client with two scales, a goal, two reviews and a finding."""
    return ClientCourse(
        "Patient/p1", f"Ada{words}", WHEN, (course(words=words), course(scale="bond", words=words)),
        (StatedGoal("Goal/1", f"sleep{words}", f"active{words}", date(2026, 1, 1)),),
        (review(ReviewKind.GOAL, ReviewStatus.CLOSED, words), review(ReviewKind.SAFETY, ReviewStatus.OPEN, words)),
        (StoodFinding(f"It fell{words}.", f"rule{words}", f"cited{words}", date(2026, 1, 5)),),
        (Kept(f"Other{words}", (f"Consent/1 forbids it{words}",)),), withdrawn=2, undated=1,
    )  # fmt: skip


def parsed(client: ClientCourse) -> Element:
    """Return the page as elements."""
    return Tree(course_page(client)).root


PAGES = pytest.mark.parametrize(
    "client",
    [
        told(),
        told(HOSTILE),
        ClientCourse("Patient/p1", "", WHEN),
        ClientCourse("Patient/p1", "Ada", WHEN, kept=(Kept("everything", ("Consent/1 forbids it",)),), all_kept=True),
    ],
    ids=["rich", "hostile", "sparse", "withheld"],
)


@PAGES
def test_a_page_is_one_file_under_its_own_policy(client: ClientCourse) -> None:
    """Nothing may be fetched or run: the policy says so, and its hash is that of the one style sheet in the page."""
    root = parsed(client)
    (policy,) = [e for e in root.all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy"]
    (style,) = root.all("style")
    digest = b64encode(sha256(style.text.encode()).digest()).decode()
    assert policy.attributes["content"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    for element in root.all():
        assert element.tag not in ("script", "img", "link", "iframe", "object", "embed", "form", "image", "use")
        for name, value in element.attributes.items():
            assert name not in ("style", "src", "action", "formaction", "xlink:href")
            assert not name.startswith("on")
            assert name != "href" or value.startswith("#")
    assert "url(" not in style.text
    assert "@import" not in style.text


@PAGES
def test_a_page_is_readable_without_sight_or_mouse(client: ClientCourse) -> None:
    """Language, title, one h1, headings without a jump, unique ids, links that lead somewhere, labelled pictures."""
    root = parsed(client)
    assert root.all("html")[0].attributes["lang"] == "en"
    assert root.all("title")[0].text
    ids = Counter(e.attributes["id"] for e in root.all() if "id" in e.attributes)
    assert set(ids.values()) <= {1}
    levels = [int(e.tag[1]) for e in root.all("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip([0, *levels], levels, strict=False))
    for link in root.all("a"):
        assert link.attributes["href"].removeprefix("#") in ids
    for element in root.all():
        for name in str(element.attributes.get("aria-labelledby", "")).split():
            assert name in ids
    for picture in root.all("svg"):
        assert picture.attributes["role"] == "img"
        assert all(e.text for e in picture.all("title", "desc"))
    for scrolled in [e for e in root.all("div") if "scroll" in e.attributes.get("class", "")]:
        assert (scrolled.attributes["tabindex"], bool(scrolled.attributes["aria-label"])) == ("0", True)


def test_every_picture_has_its_table() -> None:
    """Each figure holds one picture and one table with as many rows as the scale has sittings."""
    figures = parsed(told()).all("figure")
    assert [len(figure.all("svg")) for figure in figures] == [1, 1]
    assert [len(figure.all("tbody")[0].all("tr")) for figure in figures] == [4, 4]
    for table in parsed(told()).all("table"):
        columns = len(table.all("thead")[0].all("th"))
        assert all(len(row.all("th", "td")) == columns for row in table.all("tbody")[0].all("tr"))
        assert all(head.attributes.get("scope") in ("col", "row") for head in table.all("th"))


def test_hostile_words_stay_words() -> None:
    """A name, goal, band, citation or reason with markup in it has the same elements as a harmless one."""
    harmless, hostile = parsed(told()), parsed(told(HOSTILE))
    outside = ("rect", "text", "line")  # labels that fit or do not fit are drawn differently
    assert [e.tag for e in hostile.all() if e.tag not in outside] == [
        e.tag for e in harmless.all() if e.tag not in outside
    ]
    assert hostile.all("h1")[0].said() == legible(f"Ada{HOSTILE}")
    assert not re.search("[\x00-\x08\x0e-\x1f\u202e]", course_page(told(HOSTILE)))


def test_the_page_tells_everything_that_it_was_given() -> None:
    """Scores, reasons, sources, findings with citations, reviews with agenda, goals and what is kept stand there."""
    said = parsed(told()).said()
    for words in (
        "Ada", "Patient/p1", "moderate", "no score: why", "prorated: 8 of 9 answered", "video", "phone",
        "The SD is not known.", "It fell.", "rule: cited", "agenda", "Practitioner/t", "sleep", "done 9 January 2026",
        "Caseness 10: line.", "Severity bands: bands.", "SD 6 (sd), reliability 0.9 (r)", "6 points: rc",
        "Consent/1 forbids it", "withdrawn forms, not shown: 2.", "cannot be read, not shown: 1.",
        "A review of a safety answer is open.",
    ):  # fmt: skip
        assert words in said


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"stage": TaskStatus.ON_HOLD}, "Goal review: on hold, urgent"),
        ({"status": ReviewStatus.CLOSED, "decision": Decision.GOAL_CHANGED}, "Goal review: done, goal changed, urgent"),
        ({"status": ReviewStatus.CLOSED, "ending": Ending.REPAIRED}, "done, what it was about is repaired"),
        ({"status": ReviewStatus.CANCELLED, "ending": Ending.GROUND_LOST}, "cancelled, the scores that it rested on"),
        ({"title": "Ziele besprechen"}, "Ziele besprechen: open, urgent"),
        ({"focus": "Goal/1"}, "About the goal: sleep"),
        ({"opened": datetime.min.replace(tzinfo=UTC)}, "Opened on a day that cannot be read, due 19 January 2026"),
    ],
)
def test_a_review_tells_how_far_people_are_with_it(elements: dict[str, Any], words: str) -> None:
    """The page tells a review's own title, its stage, how it ended, what was decided, and the goal it is about."""
    one = msgspec.structs.replace(review(ReviewKind.GOAL, ReviewStatus.OPEN), **elements)
    client = msgspec.structs.replace(told(), reviews=(one,))
    assert words in parsed(client).said()


def test_every_state_of_a_review_has_words() -> None:
    """No stage, ending, decision or kind is without words of its own."""
    for status, stage, ending, decision in product(ReviewStatus, TaskStatus, (None, *Ending), (None, *Decision)):
        one = msgspec.structs.replace(
            review(ReviewKind.GOAL, status), stage=stage, ending=ending, decision=decision, closed_on=None
        )
        assert state(one)
    assert len({title(review(kind, ReviewStatus.OPEN)) for kind in ReviewKind}) == len(ReviewKind)


def test_a_band_that_is_not_known_is_told() -> None:
    """A scale without SD or reliability is named as one without an error band."""
    bare = msgspec.structs.replace(course(), error=None)
    said = parsed(ClientCourse("Patient/p1", "Ada", WHEN, (bare,))).said()
    assert "No error band is drawn for Toy total: SD or reliability is not known" in said
    assert "No error band" not in parsed(told()).said()


def test_a_withheld_client_is_named_by_reference_only() -> None:
    """Where consent keeps the course, the page says so with the reason and shows no name, score, goal or review."""
    kept = told()
    client = ClientCourse(kept.subject, kept.name, WHEN, kept.courses, kept.goals, kept.reviews, kept.findings,
                          (Kept("everything", ("Consent/1 forbids it",)),), all_kept=True)  # fmt: skip
    said = parsed(client).said()
    assert "nothing is shown" in said
    assert "Consent/1 forbids it" in said
    assert not parsed(client).all("svg", "table")
    for words in ("moderate", "sleep", "It fell"):
        assert words not in said


def test_nothing_is_said_where_no_safety_review_is_open() -> None:
    """Without an open safety review the page is silent about safety: it never says that there is no risk."""
    said = parsed(ClientCourse("Patient/p1", "Ada", WHEN, (course(),))).said().lower()
    assert "safety" not in said
    assert "risk" not in said
    assert "diagnosis" not in course_page(told()).lower()


def test_the_same_course_gives_the_same_page() -> None:
    """A page written twice is the same to the byte."""
    assert course_page(told()) == course_page(told())
    assert course_json(told()) == course_json(told())


def test_the_style_sheet_knows_screen_dark_and_paper() -> None:
    """Dark colours hold on a screen only, so that paper stays light; focus is visible."""
    style = parsed(told()).all("style")[0].text
    assert "@media screen and (prefers-color-scheme:dark)" in style
    assert "@media print" in style
    assert ":focus-visible" in style
