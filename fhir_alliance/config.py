"""What people configure: `fhir-alliance.toml`, then environment `FHIR_ALLIANCE_*`, then flags.

Unknown keys are errors, and secrets are only ever named by the path of a file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fhir_alliance.errors import StopRun

DEFAULT_FILE: Final = "fhir-alliance.toml"
PREFIX: Final = "FHIR_ALLIANCE_"
_RESERVED: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "host", "accept", "accept-encoding", "content-length"}
)
_PERSON: Final = r"^$|^(Practitioner|PractitionerRole|CareTeam|Organization|HealthcareService)/[A-Za-z0-9\-.]{1,64}$"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSection(_Section):
    """Where resources live, and how changed responses are found there.

    profile: what a server can do, looked at by a person; outranks what it states.
    """

    location: str = ""
    profile: Path | None = None
    pull: Literal["auto", "last-updated", "authored", "roster"] = "auto"
    roster: str = ""
    window_days: int = Field(90, ge=1)

    @model_validator(mode="after")
    def _has_roster(self) -> Self:
        if self.pull == "roster" and not self.roster:
            raise ValueError('pull = "roster" needs a roster')
        return self


class AuthSection(_Section):
    """How we show the server who we are."""

    kind: Literal["none", "bearer", "client-secret", "smart-backend"] = "none"
    token_file: Path | None = None
    client_id: str = ""
    secret_file: Path | None = None
    key_file: Path | None = None
    key_id: str = ""
    token_url: str = ""
    issuer: str = ""


class HttpSection(_Section):
    """How a server is spoken to. Seconds, requests a second, and hours as HH:MM-HH:MM."""

    connect_s: float = Field(10.0, gt=0)
    read_s: float = Field(120.0, gt=0)
    total_s: float = Field(600.0, gt=0)
    connections: int = Field(5, ge=1, le=5)
    requests_per_s: float = Field(0.0, ge=0)
    quiet_hours: str = Field("", pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$")
    quiet_zone: str = ""
    quiet_requests_per_s: float = Field(0.0, ge=0)
    ca_file: Path | None = None
    proxy: str = ""
    headers: dict[str, str] = {}

    @field_validator("quiet_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        if value and value not in available_timezones():
            raise ValueError("no IANA time zone, such as America/Chicago")
        return value

    @field_validator("headers")
    @classmethod
    def _are_ours(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            if not re.fullmatch(r"[A-Za-z0-9-]{1,60}", name) or not content.isprintable() or not content.isascii():
                raise ValueError("a header is a name of letters and hyphens, and plain text")
            if name.lower() in _RESERVED:
                raise ValueError(f"{name} is set by the program; secrets go into files, see [auth]")
        return value


class BulkSection(_Section):
    """Where files of an export may come from. origins: other than the server; they are shown no token."""

    origins: tuple[str, ...] = ()

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?", origin):
                raise ValueError("an origin is https://host or https://host:port, and no more")
        return value


class StateSection(_Section):
    """Where the journal lives; by default beside a folder store, or in the user's state directory."""

    folder: Path | None = None


class InstrumentsSection(_Section):
    """Instruments and wording of the site's own."""

    folders: tuple[Path, ...] = ()
    overlays: tuple[Path, ...] = ()


class IntakeSection(_Section):
    """The consent form that clients answer: whether it is used, what stands in its text, and who may sign."""

    on: bool = False
    practice: str = "this practice"
    jurisdiction: str = ""
    duties: str = ""
    emergency: str = ""
    adult_at: int = Field(18, ge=12, le=25)
    guardians: bool = False
    proxies: bool = False

    @model_validator(mode="after")
    def _says_the_law(self) -> Self:
        if self.on and not (self.jurisdiction and self.duties and self.emergency):
            raise ValueError("jurisdiction, duties and emergency have to be filled in by the site")
        return self


class ConsentSection(_Section):
    """What happens where no Consent speaks, and who is what to whom."""

    default: Literal["permit", "deny"] = "permit"
    part2_programs: tuple[str, ...] = ()
    table: Path | None = None
    roles: Path | None = None
    organization: str = Field("", pattern=r"^(Organization/[A-Za-z0-9\-.]{1,64})?$")
    renew_days_before: int = Field(0, ge=0)
    gives_after_death: bool = False
    intake: IntakeSection = IntakeSection()


class RuleThreshold(_Section):
    """A threshold of one scale that the site has chosen."""

    instrument: str = Field(min_length=1)
    scale: str = "total"
    line: Decimal | None = None
    reliable_change: Decimal | None = Field(None, gt=0)
    source: str = "chosen by the site"


class RulesSection(_Section):
    """Settings of the rules; `rules show ID` says what each is and where its default is from."""

    off: tuple[str, ...] = ()
    look_back_days: int = Field(0, ge=0)
    crossing_share: float = Field(1.0, ge=0)
    track_band: float = Field(0.8, gt=0, lt=1)
    sessions_before: int = Field(3, ge=2)
    sd_units: float = Field(1.0, gt=0)
    least_step: float = Field(1.0, ge=0)
    chart_sessions: int = Field(5, ge=0)
    chart_sigmas: float = Field(3.0, gt=0)
    low_share: float = Field(0.5, ge=0, le=1)
    flat_sessions: int = Field(3, ge=0)
    gap_points: float = Field(1.5, gt=0)
    mode_sessions: int = Field(3, ge=0)
    mode_points: float = Field(0.5, gt=0)
    missed_sessions: int = Field(0, ge=0)
    silent_days: int = Field(0, ge=0)
    goal_grace_days: int = Field(0, ge=0)
    review_every_days: int = Field(0, ge=0)
    review_every_sessions: int = Field(0, ge=0)
    threshold: tuple[RuleThreshold, ...] = ()
    courses: tuple[Path, ...] = ()


class ReviewSection(_Section):
    """Settings of reviews."""

    due_days: int = Field(14, ge=1)
    cool_down_days: int = Field(28, ge=0)
    agenda_folder: Path | None = None


class SafetySection(_Section):
    """Who looks at safety answers, how soon, and in which words."""

    owner: str = Field("", pattern=_PERSON)
    escalate_to: str = Field("", pattern=_PERSON)
    due_hours: int = Field(24, ge=1)
    acknowledge_within_hours: int = Field(24, ge=1)
    language: str = "en"
    text_file: Path | None = None


class OrderedForm(_Section):
    """How often one form is asked for."""

    instrument: str
    every_days: int = Field(ge=1)
    due_days: int = Field(7, ge=1)


class OrderSection(_Section):
    """Which forms clients are asked to answer, and how often."""

    with_sync: bool = False
    form: tuple[OrderedForm, ...] = ()


class ScoreRoute(StrEnum):
    """In which form scores are delivered."""

    OBSERVATION = "observation"
    SCORE_FORM = "score-form"
    DOCUMENT = "document"
    HL7V2 = "hl7v2"
    CSV = "csv"

    @property
    def is_file(self) -> bool:
        """Whether it goes into the drop folder, and not to the server."""
        return self in (ScoreRoute.HL7V2, ScoreRoute.CSV)


class ReviewRoute(StrEnum):
    """In which form goal reviews are delivered."""

    TASK = "task"
    REQUEST = "request"
    MESSAGE = "message"
    WORKLIST = "worklist"


class DeliverySection(_Section):
    """In which forms scores and goal reviews may be delivered, the best first; and what a message needs to say.

    documents: how people read a document: a plain text, or a PDF (extra `pdf`).
    patient_identifier: the identifier system by which the receiver knows clients; empty for the id in the store.
    """

    scores: tuple[ScoreRoute, ...] = Field(
        (ScoreRoute.OBSERVATION, ScoreRoute.SCORE_FORM, ScoreRoute.DOCUMENT), min_length=1
    )
    reviews: tuple[ReviewRoute, ...] = Field((ReviewRoute.TASK, ReviewRoute.MESSAGE), min_length=1)
    documents: Literal["text", "pdf"] = "text"
    folder: Path | None = None
    patient_identifier: str = ""
    patient_authority: str = ""
    facility: str = ""
    receiver: str = ""
    receiving_facility: str = ""

    @model_validator(mode="after")
    def _has_a_folder(self) -> DeliverySection:
        wants = any(route.is_file for route in self.scores) or ReviewRoute.WORKLIST in self.reviews
        if self.folder is None and wants:
            raise ValueError("hl7v2, csv and worklist need a folder")
        return self


class AuditSection(_Section):
    """Where every access to a client's data is kept. file: of the trail that is kept here."""

    to: Literal["file", "server", "off"] = "file"
    file: Path | None = None


class WriteSection(_Section):
    """What is written besides scores."""

    item_observations: bool = False
    provenance: bool = True
    algorithms: bool = False
    findings: bool = False


class Config(_Section):
    """The whole file."""

    store: StoreSection = StoreSection()
    auth: AuthSection = AuthSection()
    http: HttpSection = HttpSection()
    bulk: BulkSection = BulkSection()
    state: StateSection = StateSection()
    instruments: InstrumentsSection = InstrumentsSection()
    consent: ConsentSection = ConsentSection()
    rules: RulesSection = RulesSection()
    review: ReviewSection = ReviewSection()
    safety: SafetySection = SafetySection()
    write: WriteSection = WriteSection()
    audit: AuditSection = AuditSection()
    order: OrderSection = OrderSection()
    delivery: DeliverySection = DeliverySection()


def load_config(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration.

    path: the file asked for; None takes ./fhir-alliance.toml where there is one.
    environment: FHIR_ALLIANCE_STORE__LOCATION sets [store] location, and so on.
    Raises StopRun FA120 (no such file), FA121 (not TOML), FA122 (a key or value that is not understood).
    """
    content: dict[str, Any] = {}
    file = path or Path(DEFAULT_FILE)
    if path is not None or file.is_file():
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise StopRun("FA120", f"{file} cannot be read ({error.strerror}).", "Run: fhir-alliance init") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise StopRun("FA121", f"{file} is not TOML: {error}.", "Correct that line.") from None
    for name, value in environment.items():
        section, divider, key = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and divider:
            keys = content.setdefault(section, {})
            if isinstance(keys, dict):  # a section that is none is told by the model
                keys[key] = value
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise StopRun(
            "FA122", f"{file}: {explain(error)}.", "See: fhir-alliance init, which writes every key."
        ) from None


def explain(error: ValidationError) -> str:
    """Return what pydantic found, by place, without the values: they may be secrets."""
    found = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found)


TEMPLATE: Final = """\
# fhir-alliance.toml - every key, with its default. Unknown keys are errors.

[store]
# An http(s) FHIR R4 base address, or a folder of NDJSON files (Type.ndjson). --store overrides it.
location = ""
# What the server can do is read from it. A file written by doctor --save, looked at and perhaps corrected, outranks it.
# profile = "server-profile.json"
# How new and changed forms are found on a server: "last-updated", "authored", "roster", or "auto", the first of them
# that the server says it can. authored: forms authored in these many days before the last run; what is entered or
# amended later is missed. roster: all forms of these clients, each run: a file with one Patient/ID in a line, or
# "Group/ID".
pull = "auto"
roster = ""
window_days = 90

[auth]
# Who we are to a server: "none", "bearer", "client-secret" or "smart-backend". Secrets are only ever read from files
# that nobody else can read (chmod 600); none stands here or on the command line.
kind = "none"
# bearer: a token that something else keeps fresh; the file is read again when the server refuses it.
# token_file = "/run/secrets/fhir-token"
# client-secret: client_id, and the secret in a file.
# secret_file = "/run/secrets/fhir-client-secret"
# smart-backend (SMART Backend Services, private_key_jwt with ES384 or RS384): client_id, and a key file made by
# fhir-alliance keys new; the site registers what fhir-alliance keys jwks prints. A PEM file also needs key_id.
# client_id = ""
# key_file = "/var/lib/fhir-alliance/keys.json"
# key_id = ""
# Where tokens come from is asked of the server, and believed only on its own origin. Name it here if it is elsewhere.
# token_url = "https://auth.example.org/token"
# The issuer that the server's SMART configuration has to name, letter by letter; without it none is compared.
# issuer = "https://auth.example.org"

[http]
# Seconds to connect, between two bytes, and for all attempts at one request.
connect_s = 10.0
read_s = 120.0
total_s = 600.0
# Connections at once, at most five. Requests a second; 0: as fast as the server answers.
connections = 5
requests_per_s = 0.0
# Hours, in the server's time zone, in which it is asked less, or (0) not at all: such a run ends with status 75, and
# a safety answer that comes in meanwhile waits. A low rate is safer than none.
quiet_hours = ""
quiet_zone = ""
quiet_requests_per_s = 0.0
# A private certificate authority (PEM). A proxy is used only when it is named here, whatever the environment says.
# ca_file = "/etc/ssl/hospital-ca.pem"
proxy = ""
# Headers that a vendor asks for with every request to the store; they go to no other origin, and hold no secrets.
# headers = { Epic-Client-ID = "..." }

[bulk]
# Where export may fetch files from besides the server itself, for servers that keep them in a cloud's storage, as
# "https://host". No token goes there, and only what the server says needs none is fetched.
origins = []

[state]
# The journal: bookmark, lease, parked records; no answers, no names. One folder for each store.
# Default: .fhir-alliance inside a folder store; for a server $XDG_STATE_HOME/fhir-alliance/.
# folder = "/var/lib/fhir-alliance"

[instruments]
# Folders of your own instruments, and wording that you have permission to use.
folders = []
overlays = []

[consent]
# What happens where no Consent of the client speaks: "permit" (treatment in the own record) or "deny" (opt-in).
default = "permit"
# Organizations that are programs under 42 CFR Part 2 (substance use disorder treatment), as "Organization/ID"; "*"
# where the whole site is one. Their scores are labelled 42CFRPart2, and leave the program by a Consent only.
part2_programs = []
# Your own table of what is shared with whom where no Consent speaks. Default: the shipped one.
# table = "consent-table.toml"
# Who is what to which client, who is kept out, and what is restricted.
# roles = "roles.toml"
# The clinic that keeps the record, as an Organization of the store: with it, a Consent's rule about somebody else is
# known to be about somebody else.
# organization = "Organization/clinic"
# Days before a Consent's end from when on a Task asks for a new one; 0: never. It closes when a new Consent stands.
renew_days_before = 0
# Whether scores of a client who has died may be given away (disclose) as before; false: a person decides it.
gives_after_death = false

[consent.intake]
# A form of ours on who may see a client's scores; its answers become a Consent. A draft: let your counsel read it.
# Published, and read by sync, where on is true. The text needs your law: who has to be told what, and by whom, when
# confidentiality ends (duties), and whom to turn to in an emergency.
on = false
practice = "this practice"
jurisdiction = ""
duties = ""
emergency = ""
# From which age a client decides alone; whether a parent or guardian in the record decides for one who is younger;
# whether one may for an adult. Whoever may not is asked in person: the form is parked.
adult_at = 18
guardians = false
proxies = false

[rules]
# Scores older than this many days are history, not news: set it before the first sync of an old record. 0: no limit.
look_back_days = 0
# What each rule does, on what evidence, and what it does not know: fhir-alliance rules list, rules show ID.
# Rules that are switched off, by id, for example ["flat-perfect"].
off = []
# caseness-crossing: the share of the scale's reliable change that a score must have moved; 0 tells every crossing.
crossing_share = 1.0
# not-on-track: the share of clients that the band around the expected course holds; and courses made by course fit.
track_band = 0.8
courses = []
# alliance-drop: how many earlier sessions are needed, how many of their standard deviations below their mean
# (1 lenient, 2 strict), and the smallest drop that counts, in points of the mean answer.
sessions_before = 3
sd_units = 1.0
least_step = 1.0
# alliance-control-chart: from how many earlier sessions on the client's own chart judges instead (0 never), and how
# many standard deviations its limit lies from the mean. least_step holds here too.
chart_sessions = 5
chart_sigmas = 3.0
# low-subscale: low is at or below this share of the range of goal, task or bond.
low_share = 0.5
# flat-perfect: so many best possible ratings in a row are a hint; 0 is off.
flat_sessions = 3
# client-therapist-gap: from how far apart on one session, in points of the mean answer.
gap_points = 1.5
# mode-change: ratings needed in each way of meeting (0 is off), and the fall of their average, in points of the mean
# answer.
mode_sessions = 3
mode_points = 0.5
# missed-measures: sessions held without a form. drop-out-signs: days without session or form. Off (0) until you choose.
missed_sessions = 0
silent_days = 0
# goal-overdue: days of grace after a goal's due date.
goal_grace_days = 0
# Regular review of goals: every so many days, or sessions, for example 90; off (0) until you choose an interval.
review_every_days = 0
review_every_sessions = 0
# Thresholds of your own, where sources differ (rules show ID names them) or you know your clients better.
# line: caseness; on an alliance scale the line at which to talk about it. Both in points.
# [[rules.threshold]]
# instrument = "pcl-5"
# scale = "total"
# line = 33
# reliable_change = 10
# source = "our decision of 2026"

[review]
# Days to do a goal review; quiet days after one.
due_days = 14
cool_down_days = 28
# Your own questions for reviews: a folder of files named by language (en.toml), as in fhir_alliance/agenda.
# agenda_folder = "agenda"

[safety]
# Who is asked first about an answer that a clinician has to see, for example "PractitionerRole/on-call". Empty: the
# care team's lead, else the session's practitioner.
owner = ""
# Hours to do such a review; hours to take it (accept it, or begin). Then the supervisor is asked, once.
due_hours = 24
acknowledge_within_hours = 24
# Who is asked then. Empty: whoever the care team calls supervisor.
escalate_to = ""
# The language that staff read: "en", "de", "es", "fr", or one of your own file.
language = "en"
# Your own sentences by language: crisis text, phone number, words to offer to the client. What it does not say stays as
# it ships (docs/how-to/safety.md).
# text_file = "safety.toml"

[write]
# One Observation per answered item as well. Of alliance forms only where a Consent names such answers.
item_observations = false
# With each form's scores, in the same transaction, one Provenance: the form's version, who answered, what scored it and
# in which version, and the Consent that it rests on.
provenance = true
# Findings as Observations: reliable change, and probable ruptures (labelled, so that they never reach a payer).
findings = false
# Scores of symptom algorithms (PHQ-9: major or other depressive syndrome). Who reads one in a record can take it for a
# clinician's finding, which it is not. Turned off again, those already written stay as they are.
algorithms = false

[delivery]
# How scores may be delivered, the best first: "observation", "score-form" (a QuestionnaireResponse to our score sheet),
# "document" (a text with the FHIR Observations in it), "hl7v2" (ORU^R01) and "csv" as files in `folder`. The first that
# the server takes is used, and a lower one is told in every summary. One alone pins it; ["observation"] never steps
# down, and ends with status 22 where none is taken. What each can and cannot do: docs/how-to/ehr-that-refuses.md.
scores = ["observation", "score-form", "document"]
# The same for goal reviews: "task", "message" (a Communication), "worklist" (worklist.json, worklist.csv in `folder`).
reviews = ["task", "message"]
# How people read a document: "text", or "pdf" (pip install 'fhir-alliance[pdf]').
documents = "text"
# folder = "/var/spool/fhir-alliance"
# By which identifier the receiver of a file knows clients (the system of Patient.identifier), and who assigned it.
# Empty: the Patient's id in the store. A client without such an identifier is parked.
patient_identifier = ""
patient_authority = ""
# How the interface engine calls this site, the receiving application, and its facility (MSH-4, MSH-5, MSH-6).
facility = ""
receiver = ""
receiving_facility = ""

[audit]
# Who read or wrote what about which client, when, and by which consent decision; never an answer or a score.
# "file": a local file, each line sealed by the next (fhir-alliance audit verify). "server": AuditEvents on the server,
# and the file where it takes none. "off": kept nowhere.
to = "file"
# Default: audit.ndjson in the state folder.
# file = "/var/lib/fhir-alliance/audit.ndjson"

[order]
# Ask clients to answer forms: fhir-alliance order, or with every sync. A care plan's own timing for a form outranks
# this; a Flag "fewer-forms" pauses all forms of a client.
with_sync = false
# [[order.form]]
# instrument = "phq-9"
# every_days = 14
# due_days = 7
"""
