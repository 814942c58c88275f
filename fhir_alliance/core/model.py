"""The eight nouns. A newcomer reads this file first.

Instrument, Response, Cleared, Score, Finding, Review, Tally, Write: a questionnaire is an
`Instrument`, a filled form a `Response`; consent turns it into `Cleared`; scoring makes `Score`s;
rules judge a history of them as `Finding`s; findings open a `Review`; measures count people in a
`Tally`; and a `Write` is the only thing a store is ever sent.

All are frozen. Points are `int` where they are whole and `Decimal` where they are not: a score is
never a binary fraction. What has no value says why; there is no `None` that could be taken for zero.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import TypeAlias

import msgspec

from fhir_alliance.core.keys import derived

Number: TypeAlias = int | Decimal


class Rater(StrEnum):
    """Who answered. Series of different raters are never mixed."""

    CLIENT = "client"
    THERAPIST = "therapist"
    PROXY = "proxy"


class Mode(StrEnum):
    """How care was given in the session that the form belongs to."""

    IN_PERSON = "in-person"
    VIDEO = "video"
    PHONE = "phone"
    UNKNOWN = "unknown"


class FormStatus(StrEnum):
    """QuestionnaireResponse.status in FHIR R4."""

    COMPLETED = "completed"
    AMENDED = "amended"
    IN_PROGRESS = "in-progress"
    STOPPED = "stopped"
    ENTERED_IN_ERROR = "entered-in-error"


class Missing(Enum):
    """Why an answer is not there. Neither is ever a zero."""

    UNANSWERED = "unanswered"
    DECLINED = "declined"
    MASKED = "masked"


Answer: TypeAlias = Number | Missing


class Code(msgspec.Struct, frozen=True):
    """A coding: its system, its code, and what people read."""

    system: str
    code: str
    display: str = ""


# ---------------------------------------------------------------- Instrument


class Option(msgspec.Struct, frozen=True):
    """One answer that an item offers, with the points it is worth."""

    code: Code
    weight: Number


class Critical(msgspec.Struct, frozen=True):
    """An answer of `at_least` points, or none at all, asks for a clinician's review.

    asked_if: another item; where its answer is worth no points, the form skips this one, and none is expected.
    """

    at_least: Number
    source: str
    asked_if: str = ""


class Item(msgspec.Struct, frozen=True):
    """One question.

    low, high: the smallest and largest number of points an answer can be worth.
    codes: the item's own codes (LOINC where one exists); a response may use them as linkIds.
    repeats: several answers may be ticked; their points add up.
    labels: security labels of its answers, beside those of the instrument.
    """

    link_id: str
    codes: tuple[Code, ...] = ()
    options: tuple[Option, ...] = ()
    low: Number = 0
    high: Number = 0
    whole: bool = True
    critical: Critical | None = None
    repeats: bool = False
    labels: tuple[str, ...] = ()


class MissingRule(msgspec.Struct, frozen=True):
    """What to do when answers are missing: at most `max_missing`, replaced by the mean of the others."""

    max_missing: int
    source: str


class Band(msgspec.Struct, frozen=True):
    """A published range of points with a name, `low` and `high` both included."""

    code: str
    label: str
    low: Number
    high: Number
    source: str


class Threshold(msgspec.Struct, frozen=True):
    """At caseness means at this number of points or beyond it, on the worse side."""

    at: Number
    source: str


class Direction(StrEnum):
    """What a higher score means."""

    WORSE = "worse"
    BETTER = "better"
    UNKNOWN = "unknown"  # a site's own form does not say; nothing is judged by it


class Formula(StrEnum):
    """How points become a score."""

    SUM = "sum"
    MEAN = "mean"
    COUNT = "count"
    LOOKUP = "lookup"
    PER_GOAL = "per-goal"
    GOAL_ATTAINMENT = "goal-attainment"
    LINEAR = "linear"
    EXPRESSION = "expression"


class Sourced(msgspec.Struct, frozen=True):
    """A published number: where it is from, of whom it holds, and how well that was checked."""

    value: Number
    source: str
    population: str = ""
    confidence: str = ""


class Norm(msgspec.Struct, frozen=True):
    """Mean and standard deviation of a population, in the scale's points."""

    mean: Number
    sd: Number
    source: str
    population: str = ""
    confidence: str = ""


class ChangeNumbers(msgspec.Struct, frozen=True):
    """What is published on change in one scale. An absent number is not known, and nothing stands in for it.

    sd, reliability: of first scores in a clinical sample.  reliable_change, minimal_change: in points.
    functional, clinical: the populations that a cut-off lies between.
    remission_below: in points.  response_percent: the change toward better that counts as a response.
    """

    sd: Sourced | None = None
    reliability: Sourced | None = None
    reliable_change: Sourced | None = None
    minimal_change: Sourced | None = None
    functional: Norm | None = None
    clinical: Norm | None = None
    remission_below: Sourced | None = None
    response_percent: Sourced | None = None


class Scale(msgspec.Struct, frozen=True):
    """A total or subscale: which items, how they add up, and what the result can be.

    low, high: the range of possible scores, in the scale's own points; both 0 where an answer has no bounds.
    decimals: places kept in a mean or a prorated sum.
    factor: what a mean is multiplied by, as a scale's author reports it.
    counts: of a count, the points from which each item counts.
    gate: of a count, items of which one has to count, or else the result stands in its lowest band.
    table: of a look-up, the score for each sum.
    change: what is published on change in it.
    reached: of a rating of the client's own goals, the points from which on a goal is reached.
    coefficients, constant: of a linear score, what each item's points are multiplied by, and what is added.
    An expression is evaluated where the form is read; its value comes with the response (`Response.computed`).
    on_request: written only where a site asks for it.
    """

    id: str
    title: str
    codes: tuple[Code, ...]
    items: tuple[str, ...]
    low: Number
    high: Number
    higher_is: Direction
    missing: MissingRule
    source: str
    formula: Formula = Formula.SUM
    reversed: frozenset[str] = frozenset()
    decimals: int = 2
    bands: tuple[Band, ...] = ()
    caseness: Threshold | None = None
    factor: Number = 1
    counts: dict[str, Number] = {}
    gate: tuple[str, ...] = ()
    table: dict[Number, Number] = {}
    change: ChangeNumbers = ChangeNumbers()
    coefficients: dict[str, Number] = {}
    constant: Number = 0
    on_request: bool = False
    reached: Threshold | None = None


class Family(StrEnum):
    """Alliance forms are about the relationship and are kept closer than outcome forms."""

    OUTCOME = "outcome"
    ALLIANCE = "alliance"


class Wording(StrEnum):
    """Whether item text may stand in this package."""

    SHIPPED = "shipped"
    OWN = "own"
    OVERLAY = "overlay"


class GoalItems(msgspec.Struct, frozen=True):
    """The linkIds of a form about a client's own goals: a repeating group, and in it the Goal and its rating.

    goal: names the Goal resource.  rating: one of the instrument's items.  weight: optional, how much it counts.
    """

    group: str
    goal: str
    rating: str
    weight: str = ""


class Licence(msgspec.Struct, frozen=True):
    """Who owns the wording and on what terms it stands here."""

    holder: str
    wording: Wording
    statement: str
    source: str
    permission: str = ""


class Instrument(msgspec.Struct, frozen=True):
    """A questionnaire that can be scored: items, scales, licence, and how responses name it."""

    id: str
    version: str
    url: str
    title: str
    family: Family
    rater: Rater
    panel: tuple[Code, ...]
    items: tuple[Item, ...]
    scales: tuple[Scale, ...]
    licence: Licence
    aliases: tuple[str, ...] = ()
    also_known: tuple[str, ...] = ()
    declined: tuple[Code, ...] = ()
    labels: tuple[str, ...] = ("R", "PSY")
    languages: tuple[str, ...] = ("en",)
    validated: bool = True
    recall: str = ""
    goals: GoalItems | None = None


# ------------------------------------------------------- Response, Cleared


class GoalRating(msgspec.Struct, frozen=True, gc=False):
    """One of the client's goals in a form: which Goal, how far it is reached in points, and how much it counts."""

    goal: str
    rating: Answer
    weight: Number = 1


class Response(msgspec.Struct, frozen=True, gc=False):
    """One form that somebody filled in, as far as scoring needs it. Free text is never read.

    key: what the identifiers of its scores derive from; stays the same over all versions of the form.
    answers: by the instrument's linkId, in points; what was not answered is absent or `Missing`.
    authored: as written in the form; `when` is the same moment for ordering, in UTC.
    totals: totals that the form itself carries, by scale; compared with ours, never trusted.
    remarks: what a reader of the score should know about how the form was read.
    goals: of a form about the client's own goals, each with its rating, in the form's order.
    computed: by scale, what the expressions of a site's own Questionnaire give, or why they give nothing.
    edition: the instrument's id and version under which it was read; empty for the current one.
    labels: security labels of the form itself, beside those of the instrument.
    """

    key: str
    reference: str
    version: str
    instrument: str
    status: FormStatus
    subject: str
    rater: Rater
    performer: str
    encounter: str
    language: str
    authored: str
    when: datetime
    answers: dict[str, Answer]
    totals: tuple[tuple[str, Number], ...] = ()
    remarks: tuple[str, ...] = ()
    goals: tuple[GoalRating, ...] = ()
    computed: dict[str, Number | NoValue] = {}
    edition: str = ""
    labels: tuple[str, ...] = ()


class Cleared(msgspec.Struct, frozen=True, gc=False):
    """A response that the consent gate let through. Built by `core.consent.gate` and nowhere else.

    consents: those that permit it, with their versions.  table: version of the default table that was asked.
    """

    form: Response
    purpose: str
    consents: tuple[str, ...]
    table: str

    @property
    def decision(self) -> str:
        """The decision's id: the same as long as the form, the consents and the table are the same versions."""
        form = self.form
        return derived("cleared", form.key, form.version, self.purpose, self.table, *self.consents)


class Withheld(msgspec.Struct, frozen=True):
    """A response that stays where it is, with the reasons in words."""

    form: Response
    reasons: tuple[str, ...]


# --------------------------------------------------------------------- Score


class NoValue(msgspec.Struct, frozen=True):
    """Why there is no score: a FHIR data-absent-reason and a sentence."""

    code: str
    note: str


class Score(msgspec.Struct, frozen=True, gc=False):
    """The result of one scale on one form. `value` is points, or the reason for none.

    key: the business identifier, from response, scale and rater.
    answered, needed, asked: items answered, items the rule needs, items of the scale.
    language: the form was answered in it; empty where unknown.  focus: the Goal that a rating is about.
    encounter: the session that the form belongs to; empty where it names none.
    is_kept: whether the client keeps it from the therapist, so that no review speaks of it.
    stored: the resource id in the store, empty when it is new.
    """

    key: str
    instrument: str
    version: str
    scale: str
    subject: str
    rater: Rater
    when: datetime
    value: Number | NoValue
    answered: int
    needed: int
    asked: int
    prorated: bool = False
    band: Band | None = None
    withdrawn: bool = False
    language: str = ""
    focus: str = ""
    encounter: str = ""
    is_kept: bool = False
    stored: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """What a review's evidence may call it: by our key, or by the id that the store gave to it."""
        return (self.key, self.stored) if self.stored else (self.key,)


# ----------------------------------------------------------- Finding, Review


class Level(StrEnum):
    """How soon a person should look. It never grades a client's risk."""

    ROUTINE = "routine"
    URGENT = "urgent"


class Finding(msgspec.Struct, frozen=True):
    """One rule's judgement on a client's history.

    key: from rule and evidence, so the same judgement is recognised in every later run.
    score_key: the score that it rests on, empty where it rests on the calendar.
    agenda: topics to talk about, put into the client's language by `core.agenda`; what is no topic stands as it is.
    focus: the Goal that it is about, empty where it is about the client's course as a whole.
    repairs: keys of earlier findings that this one says are over; such a finding closes reviews and opens none.
    is_quiet: a hint: it is told, and no review opens by it.
    """

    key: str
    rule: str
    rule_version: str
    subject: str
    score_key: str
    level: Level
    sentence: str
    citation: str
    agenda: tuple[str, ...]
    when: datetime
    focus: str = ""
    repairs: tuple[str, ...] = ()
    is_quiet: bool = False


class ReviewKind(StrEnum):
    """What a Task of ours asks for."""

    GOAL = "goal-review"
    SAFETY = "safety-review"


class ReviewStatus(StrEnum):
    """Open: somebody is asked. Closed: somebody did it. Cancelled: it rested on withdrawn evidence."""

    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class TaskStatus(StrEnum):
    """Task.status in FHIR R4: how far people have come with a review."""

    DRAFT = "draft"
    REQUESTED = "requested"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    READY = "ready"
    CANCELLED = "cancelled"
    IN_PROGRESS = "in-progress"
    ON_HOLD = "on-hold"
    FAILED = "failed"
    COMPLETED = "completed"
    ENTERED_IN_ERROR = "entered-in-error"


class Ending(StrEnum):
    """Why we ended a review that no person had ended: only such a review is opened again."""

    GROUND_LOST = "ground-lost"
    REPAIRED = "repaired"
    DIED = "died"


class Decision(StrEnum):
    """What client and clinician decided in a review."""

    GOAL_KEPT = "goal-kept"
    GOAL_CHANGED = "goal-changed"
    GOAL_REACHED = "goal-reached"
    GOAL_ENDED = "goal-ended"
    CLIENT_DECLINED = "client-declined"


class Achievement(StrEnum):
    """How far a goal is reached, in the words of HL7's code system goal-achievement that are proposed here."""

    IN_PROGRESS = "in-progress"
    IMPROVING = "improving"
    WORSENING = "worsening"
    NO_CHANGE = "no-change"
    ACHIEVED = "achieved"
    NOT_ACHIEVED = "not-achieved"


class Proposal(msgspec.Struct, frozen=True):
    """What the scores say of a review's goal, as a proposal to client and clinician, and why in one sentence."""

    status: Achievement
    sentence: str


class Evidence(msgspec.Struct, frozen=True):
    """One reason in a review: the finding's key, its sentence, and the score it points to.

    repairs: keys of the reasons that this one says are over.
    """

    key: str
    rule: str
    sentence: str
    score_key: str
    citation: str = ""
    repairs: tuple[str, ...] = ()


class Review(msgspec.Struct, frozen=True):
    """A review that should stand in the record: why, whose, owner, due, the goal, its agenda.

    key: business identifier.  stored: the resource id in the store, empty when it is new.
    closed_on: the day somebody did it or rejected it; starts the cool-down.
    stage: how far people have come with it.  ending: why we ended it, if it was us.
    decision: what client and clinician decided.
    title: what the Task is called, where the site has words of its own; else empty.
    labels: security labels of what it rests on.
    """

    key: str
    kind: ReviewKind
    status: ReviewStatus
    subject: str
    episode: str
    level: Level
    evidence: tuple[Evidence, ...]
    agenda: tuple[str, ...]
    opened: datetime
    due: datetime
    owner: str = ""
    focus: str = ""
    care_plan: str = ""
    encounter: str = ""
    stored: str = ""
    closed_on: date | None = None
    note: str = ""
    stage: TaskStatus = TaskStatus.REQUESTED
    ending: Ending | None = None
    proposal: Proposal | None = None
    decision: Decision | None = None
    confirmed_by: str = ""
    title: str = ""
    labels: tuple[str, ...] = ("R", "PSY")


# -------------------------------------------------------------- Tally, Write


Count: TypeAlias = int | Missing
"""A number of people (or of what is theirs), or `Missing.MASKED` where it is too small to be shown."""


class Part(msgspec.Struct, frozen=True):
    """The populations of one rate of a measure, for everybody or for one stratum.

    stratum: "" for everybody, or "kind:value" (language:de).  counts: by the code of the population.
    """

    group: str
    stratum: str
    title: str
    counts: dict[str, Count]


class Tally(msgspec.Struct, frozen=True):
    """Who is in each population of a measure, and how many were left out and why.

    period: first and last day.  basis: what is counted, "person" or a resource type.  people: who was looked at.
    withheld: by reason, people whose consent does not allow it.  odd: by rule, what was wrong in the record.
    """

    measure: str
    version: str
    period: tuple[date, date]
    basis: str
    people: Count
    parts: tuple[Part, ...]
    withheld: dict[str, Count] = {}
    odd: dict[str, Count] = {}


class WriteMode(StrEnum):
    """Create once: a person owns it afterwards. Keep current: follows its source. Withdraw: marks it void.

    Accompany: goes with the rest of its group, in the same transaction, and has no outcome of its own.
    """

    CREATE_ONCE = "create-once"
    KEEP_CURRENT = "keep-current"
    WITHDRAW = "withdraw"
    ACCOMPANY = "accompany"


class Write(msgspec.Struct, frozen=True):
    """A resource that should stand in the store, under its business identifier.

    group: what must be written together (one form's scores and reviews).
    body: the resource as JSON; references to our own resources are `Type/<identifier value>`.
    """

    type: str
    system: str
    value: str
    mode: WriteMode
    body: bytes
    group: str = ""
