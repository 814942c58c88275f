"""What people configure: `fhir-alliance.toml`, then environment `FHIR_ALLIANCE_*`, then flags.

Unknown keys are errors, and secrets are only ever named by the path of a file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhir_alliance.errors import StopRun

DEFAULT_FILE: Final = "fhir-alliance.toml"
PREFIX: Final = "FHIR_ALLIANCE_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSection(_Section):
    """Where resources live."""

    location: str = ""


class AuthSection(_Section):
    """How we show the server who we are."""

    kind: Literal["none", "bearer"] = "none"
    token_file: Path | None = None


class StateSection(_Section):
    """Where the journal lives; by default beside a folder store, or in the user's state directory."""

    folder: Path | None = None


class InstrumentsSection(_Section):
    """Instruments and wording of the site's own."""

    folders: tuple[Path, ...] = ()
    overlays: tuple[Path, ...] = ()


class ConsentSection(_Section):
    """What happens where no Consent speaks."""

    default: Literal["permit", "deny"] = "permit"


class RulesSection(_Section):
    """Settings of the rules."""

    look_back_days: int = Field(0, ge=0)
    sessions_before: int = Field(3, ge=2)
    sd_units: float = Field(1.0, gt=0)
    review_every_days: int = Field(0, ge=0)
    review_every_sessions: int = Field(0, ge=0)


class ReviewSection(_Section):
    """Settings of reviews."""

    due_days: int = Field(14, ge=1)
    cool_down_days: int = Field(28, ge=0)
    safety_due_hours: int = Field(24, ge=1)
    agenda_folder: Path | None = None


class OrderedForm(_Section):
    """How often one form is asked for."""

    instrument: str
    every_days: int = Field(ge=1)
    due_days: int = Field(7, ge=1)


class OrderSection(_Section):
    """Which forms clients are asked to answer, and how often."""

    with_sync: bool = False
    form: tuple[OrderedForm, ...] = ()


class AuditSection(_Section):
    """Where every access to a client's data is kept. file: of the trail that is kept here."""

    to: Literal["file", "server", "off"] = "file"
    file: Path | None = None


class WriteSection(_Section):
    """What is written besides scores."""

    item_observations: bool = False
    algorithms: bool = False


class Config(_Section):
    """The whole file."""

    store: StoreSection = StoreSection()
    auth: AuthSection = AuthSection()
    state: StateSection = StateSection()
    instruments: InstrumentsSection = InstrumentsSection()
    consent: ConsentSection = ConsentSection()
    rules: RulesSection = RulesSection()
    review: ReviewSection = ReviewSection()
    write: WriteSection = WriteSection()
    audit: AuditSection = AuditSection()
    order: OrderSection = OrderSection()


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

[auth]
# kind = "none" or "bearer". A token is only ever read from a file that nobody else can read (chmod 600).
kind = "none"
# token_file = "/run/secrets/fhir-token"

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

[rules]
# Scores older than this many days are history, not news: set it before the first sync of an old record. 0: no limit.
look_back_days = 0
# Alliance: how many earlier sessions are needed, and how many of their standard deviations
# below their mean (1 lenient, 2 strict).
sessions_before = 3
sd_units = 1.0
# Regular review of goals: every so many days, or sessions, for example 90; off (0) until you choose an interval.
review_every_days = 0
review_every_sessions = 0

[review]
# Days to do a goal review; quiet days after one; hours to look at a safety answer.
due_days = 14
cool_down_days = 28
safety_due_hours = 24
# Your own questions for reviews: a folder of files named by language (en.toml), as in fhir_alliance/agenda.
# agenda_folder = "agenda"

[write]
# One Observation per answered item as well. Never for alliance forms.
item_observations = false
# Scores of diagnostic algorithms (PHQ-9: major or other depressive syndrome). A record that holds one can be read as a
# diagnosis, which it is not. Turned off again, those already written stay as they are.
algorithms = false

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
