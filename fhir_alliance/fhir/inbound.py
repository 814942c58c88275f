"""From QuestionnaireResponse to `Response`: recognise the form, read its answers, park what cannot be read.

One `Forms` is made per run. It holds a compiled reader for every way in which responses name an
instrument: its canonical (with or without version), its aliases, a site's own Questionnaire, and, where
all of these fail, the LOINC codes of its items. A copy of the Questionnaire in the response counts as its
canonical, as long as the two say the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from fhir_alliance.core.keys import derived
from fhir_alliance.core.labels import union
from fhir_alliance.core.model import FormStatus, Instrument, NoValue, Number, Rater, Response
from fhir_alliance.core.safety import Concern, concern_kind, concern_labels
from fhir_alliance.errors import ParkItem
from fhir_alliance.fhir.answers import MAX_ITEMS, Answers, FormReader
from fhir_alliance.fhir.identifiers import FHIR_ID, SCORE, local
from fhir_alliance.fhir.known_forms import KnownForms
from fhir_alliance.fhir.labels import label_of
from fhir_alliance.fhir.score_form import is_score_form
from fhir_alliance.fhir.wire import (
    PlainResponse,
    WireCoding,
    WireForm,
    WireReference,
    WireResponse,
    decode_response,
    tolerant_items,
)

EARLIEST_YEAR: Final = 1980  # before any electronic form; earlier is a default date
CLOCK_SKEW: Final = timedelta(hours=24)  # a form may come from a clock that is off, or from the next day's side

# FHIR's dateTime, to the day or finer; that the numbers exist is checked by reading them
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))?", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_CODE = re.compile(r"\S+( \S+)*")  # FHIR's code
_STATUS = {status.value: status for status in FormStatus}
_FINISHED = frozenset({FormStatus.COMPLETED, FormStatus.AMENDED})
_CLIENT = Rater.CLIENT
_NOTHING: dict[str, Number | NoValue] = {}  # most forms have nothing computed; never changed
_RATER_OF = {
    "Patient": Rater.CLIENT,
    "Practitioner": Rater.THERAPIST,
    "PractitionerRole": Rater.THERAPIST,
    "RelatedPerson": Rater.PROXY,
}


class Place(NamedTuple):
    """Where a record stands: a file or a server's reference, a line of it, an entry of a Bundle there; from 1, or 0."""

    source: str
    line: int = 0
    entry: int = 0

    def __str__(self) -> str:
        """Return the place in words."""
        line, entry = f":{self.line}" if self.line else "", f"#{self.entry}" if self.entry else ""
        return f"{self.source}{line}{entry}"


class Parked(msgspec.Struct, frozen=True):
    """A record that cannot be used: what it is called, a stable code, the reason. Holds no answers.

    is_nameless: a clinician should look at it, and it names no client for whom a review could be opened.
    place: where it stands, if it can be called by nothing else.
    """

    reference: str
    code: str
    reason: str
    concern: Concern | None = None
    is_nameless: bool = False
    place: Place | None = None

    def at(self, place: Place) -> Parked:
        """Return it as one that is called by its place."""
        return msgspec.structs.replace(self, reference=str(place), place=place)


class Skipped(msgspec.Struct, frozen=True):
    """A form that is not finished: counted, not scored."""

    reference: str
    status: FormStatus
    concern: Concern | None = None


class Withdrawal(msgspec.Struct, frozen=True):
    """A form that was entered in error: whatever was derived from it is withdrawn.

    key: as of `Response`; names a form that has no reference.
    """

    reference: str
    subject: str
    key: str


class OwnForm(msgspec.Struct, frozen=True):
    """Scores that we have written as a form: nobody's answers, and never scored."""


Reading: TypeAlias = Response | Withdrawal | Skipped | Parked | OwnForm


class Forms:
    """All forms that a run can read."""

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        questionnaires: Mapping[str, Mapping[str, Any]],
        earlier: Sequence[tuple[Instrument, Mapping[str, Any]]] = (),
    ) -> None:
        """Compile readers.

        questionnaires: our own, by instrument id.
        earlier: versions beside the current ones, each with its Questionnaire.
        """
        self.known = KnownForms(instruments, questionnaires, earlier)
        self.learn = self.known.learn

    def read(self, line: bytes, now: datetime, base: str = "") -> Reading:
        """Return what one QuestionnaireResponse is; a parked one without a usable id has no reference.

        line: its JSON.  now: the run's clock, aware.  base: the server's address, to know its own absolute references.
        """
        wire: WireResponse | PlainResponse | None = None
        try:
            wire = decode_response(line)
            return self._read(wire, line, now, base)
        except ParkItem as fault:
            known = wire is not None and FHIR_ID.fullmatch(wire.id or "")
            concern = self._concern_in_wreck(line, now, base)
            return _parked(f"QuestionnaireResponse/{wire.id}" if wire and known else "", fault, concern)

    def _read(self, wire: WireResponse | PlainResponse, line: bytes, now: datetime, base: str) -> Reading:
        """Return what the response is; parked, it has a reference only where it has an id."""
        if wire.resource_type != "QuestionnaireResponse":
            raise ParkItem("FA204", "not a QuestionnaireResponse.", "Only QuestionnaireResponses are scored.")
        if is_score_form(wire.questionnaire) or (wire.identifier is not None and self._is_named_by_us(wire)):
            return OwnForm()
        status = _STATUS.get(wire.status or "")
        if status is None:
            raise ParkItem(
                "FA205", "the status is missing or not one of FHIR R4.", "Correct QuestionnaireResponse.status."
            )
        reference, key = _identity(wire, line)
        if wire.implicit_rules or wire.modifier_extension:
            raise ParkItem("FA214", "it carries a modifier that changes its meaning.", "Such records need a person.")
        if status is FormStatus.ENTERED_IN_ERROR:
            return Withdrawal(reference, _subject(wire.subject, base), key)
        reader = self.known.reader_of(wire, line, base)
        read = reader.read_plain(wire.item) if isinstance(wire, PlainResponse) else None
        if read is None:
            general = wire.widened() if isinstance(wire, PlainResponse) else wire
            read = reader.read_answers(general.item)
        try:
            subject = _subject(wire.subject, base)
        except ParkItem as fault:
            kind = concern_kind(reader.critical, read.points, read.broken, finished=status in _FINISHED)
            return _parked(reference, fault, None) if kind is None else _nameless(reference, fault)
        finished = status in _FINISHED
        encounter = local(wire.encounter.reference or "", base) if wire.encounter else ""
        try:
            when = moment(wire.authored, now)
            trouble = read.trouble
        except ParkItem as fault:
            when, trouble = None, fault
        if not finished or trouble is not None:
            concern = _concern(
                reader,
                read,
                key,
                reference,
                subject,
                encounter,
                when,
                finished,
                _language(wire.language),
                _labels(wire, read),
            )
            if not finished:
                return Skipped(reference, status, concern)
            assert trouble is not None  # noqa: S101 - narrows the type
            return _parked(reference, trouble, concern)
        assert when is not None  # noqa: S101 - narrows the type
        form = _response(wire, reader, read, reference, key, status, subject, encounter, when, base)
        if reader.site is None or not reader.site.computation.rules:
            return form
        computed = reader.site.computation.values(line, read.points, reader.names)
        return msgspec.structs.replace(form, computed=computed)

    def _is_named_by_us(self, wire: WireForm) -> bool:
        """Return whether we have written this ourselves: a server that gives it another canonical keeps our name."""
        named = wire.identifier is not None and wire.identifier.system == SCORE
        return named and not self.known.is_known(wire.questionnaire or "")

    def is_concern(self, form: Response) -> bool:
        """Return whether a clinician should look at a readable form."""
        critical = self.known.critical[form.edition or form.instrument]
        return bool(critical) and concern_kind(critical, form.answers) is not None

    def concern_of(self, form: Response) -> Concern | None:
        """Return the reason for a clinician to look at a readable form, if there is one."""
        kind = concern_kind(self.known.critical[form.edition or form.instrument], form.answers)
        if kind is None:
            return None
        title = self.known.instruments[form.instrument].title
        named = (form.key, form.reference, form.subject, form.encounter, form.instrument, title)
        labels = concern_labels(self.known.instruments[form.instrument], form.labels)
        return Concern(*named, kind, form.when, form.language, labels)

    def _concern_in_wreck(self, line: bytes, now: datetime, base: str) -> Concern | None:
        """Return a concern from a record that as a whole cannot be read: its safety item may still be."""
        try:
            record = json.loads(
                line, parse_constant=lambda _: None
            )  # the last of two equal keys wins, which is good enough to ask for a look
            items = tolerant_items(record.get("item"))[:MAX_ITEMS]
            wire = msgspec.convert(
                {k: v for k, v in record.items() if k in ("resourceType", "id", "questionnaire", "status", "subject")},
                WireResponse,
            )
            wire.questionnaire = (wire.questionnaire or "").partition("|")[0]  # a version not known is no reason
            wire.item = tuple(items)
            reader = self.known.reader_of(wire, base=base)
            reference, key = _identity(wire, line)
            subject = _subject(wire.subject, base)
            read = reader.read_answers(items)
        except (ParkItem, ValueError, AttributeError, RecursionError):
            return None
        with suppress(msgspec.ValidationError):
            wire.encounter = msgspec.convert(record.get("encounter"), WireReference | None)
        encounter = local(wire.encounter.reference or "", base) if wire.encounter else ""
        finished = wire.status not in ("in-progress", "stopped")
        return _concern(reader, read, key, reference, subject, encounter, None, finished)


def _parked(reference: str, fault: ParkItem, concern: Concern | None) -> Parked:
    return Parked(reference, fault.code, f"{fault.message} {fault.hint}".strip(), concern)


def _nameless(reference: str, fault: ParkItem) -> Parked:
    """Return a form of nobody in particular, at which a clinician should look all the same."""
    said = f"{fault.message} {fault.hint} Its safety item asks for a clinician's look: find whose form it is."
    return Parked(reference, fault.code, said, is_nameless=True)


def moment(authored: str | None, now: datetime) -> datetime:
    """Return the moment that a FHIR dateTime names, to the day or finer, aware; raises ParkItem FA207.

    A day without a time counts as its noon in UTC, for ordering only.
    """
    if authored is None or _DATE_TIME.fullmatch(authored) is None:
        raise ParkItem("FA207", "authored is missing or not given to the day.", "A score is never dated by guess.")
    try:
        when = datetime.fromisoformat(authored if len(authored) > 10 else authored + "T12:00:00+00:00")
    except (ValueError, OverflowError):
        when = _leap_second(authored)
    # moments of different zones compare slowly, so only those of these days are
    if when.year < EARLIEST_YEAR or (when.toordinal() >= now.toordinal() - 1 and when > now + CLOCK_SKEW):
        raise ParkItem("FA207", "authored lies in the future or before 1980.", "Correct it at the source.")
    return when


def _leap_second(authored: str) -> datetime:
    """Return the second before a leap second, which Python does not know; raises ParkItem FA207 for anything else."""
    if authored[17:19] == "60":
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(f"{authored[:17]}59{authored[19:]}")
    raise ParkItem("FA207", "authored is not a date that exists.", "Correct it at the source.")


def _response(
    wire: WireForm, reader: FormReader, read: Answers, reference: str, key: str, status: FormStatus,
    subject: str, encounter: str, when: datetime, base: str,
) -> Response:  # fmt: skip
    source, author = _who(wire.source, subject, base), _who(wire.author, subject, base)
    return Response(
        key,
        reference,
        _version(wire),
        reader.instrument.id,
        status,
        subject,
        _rater(reader.instrument, subject, source, author),
        source or author,
        encounter,
        _language(wire.language),
        wire.authored or "",
        when,
        read.points,
        read.totals,
        read.remarks,
        read.goals,
        _NOTHING,
        reader.edition,
        _labels(wire, read) if read.labels or (wire.meta and wire.meta.security) else (),
    )


def _labels(wire: WireForm, read: Answers) -> tuple[str, ...]:
    """Return the labels of a form: its own, and those that the client's wish in it adds."""
    own = wire.meta.security if wire.meta else ()
    return union(map(_label, own or ()), read.labels)


def _label(coding: WireCoding) -> str:
    """Return a label of the form; one that is no FHIR code counts as very restricted."""
    code = coding.code or ""
    return label_of(coding.system or "", code if _CODE.fullmatch(code) else "")


def _who(named: WireReference | None, subject: str, base: str) -> str:
    """Return a reference of this store; most forms name their client again, which needs no second look."""
    if named is None:
        return ""
    return subject if named.reference == subject else local(named.reference or "", base)


def _rater(instrument: Instrument, subject: str, source: str, author: str) -> Rater:
    """Return who answered. `author` may be a transcriber, so it counts only where it is a proxy."""
    if source == subject:
        return _CLIENT
    if source:
        if source.startswith("Patient/"):
            return Rater.PROXY
        return _RATER_OF.get(source.partition("/")[0], instrument.rater)
    return Rater.PROXY if author.startswith("RelatedPerson/") else instrument.rater


def _version(wire: WireForm) -> str:
    """Return the form's version, or "" where there is none; raises ParkItem FA204."""
    return _checked_version(wire.meta.version_id or "") if wire.meta else ""


@lru_cache(maxsize=256)  # most forms have one of few versions
def _checked_version(version: str) -> str:
    if version and FHIR_ID.fullmatch(version) is None:
        raise ParkItem("FA204", "the version is not a FHIR id.", "Export the record again.")
    return version


def _language(said: str | None) -> str:
    """Return the language that the form was answered in, or "" where what it says is no language tag."""
    return said if said and _LANGUAGE.fullmatch(said) else ""


def _identity(wire: WireForm, line: bytes) -> tuple[str, str]:
    """Return reference and key. Without an id, the identifier or else the content itself is the key."""
    if wire.id is not None:
        if FHIR_ID.fullmatch(wire.id) is None:
            raise ParkItem("FA204", "the id is not a FHIR id.", "Export the record again.")
        return f"QuestionnaireResponse/{wire.id}", wire.id
    if wire.identifier is not None and wire.identifier.value:
        return "", derived("identifier", wire.identifier.system or "", wire.identifier.value)
    return "", derived("content", line.decode())


def _subject(subject: WireReference | None, base: str) -> str:
    return _client((subject.reference or "") if subject else "", base)


@lru_cache(maxsize=16_384)  # a client comes again, and a clinic has fewer of them; 3 MB
def _client(named: str, base: str) -> str:
    reference = local(named, base)
    if not reference.startswith("Patient/"):
        raise ParkItem("FA206", "no subject that is a Patient of this store.", "A score without a client goes nowhere.")
    return reference


def _concern(
    reader: FormReader, read: Answers, key: str, reference: str, subject: str, encounter: str,
    when: datetime | None, finished: bool, language: str = "", labels: tuple[str, ...] = (),
) -> Concern | None:  # fmt: skip
    kind = concern_kind(reader.critical, read.points, read.broken, finished=finished)
    if kind is None:
        return None
    instrument = reader.instrument
    named = (key, reference, subject, encounter, instrument.id, instrument.title)
    return Concern(*named, kind, when, language, concern_labels(instrument, labels))
