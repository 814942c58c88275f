"""From QuestionnaireResponse to `Response`: recognise the form, read its answers, park what cannot be read.

One `Forms` is made per run. It holds a compiled reader for every way in which responses name an
instrument: its canonical (with or without version), its aliases, a site's own Questionnaire, and, where
all of these fail, the LOINC codes of its items.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from fhir_alliance.core.keys import derived
from fhir_alliance.core.model import FormStatus, Instrument, Rater, Response
from fhir_alliance.core.safety import Concern, concern_kind
from fhir_alliance.errors import ParkItem
from fhir_alliance.fhir.answers import Answers, FormReader, flat, walk
from fhir_alliance.fhir.identifiers import FHIR_ID, LOINC, local
from fhir_alliance.fhir.wire import (
    PlainResponse,
    WireForm,
    WireReference,
    WireResponse,
    decode_response,
    strict_json,
    tolerant_items,
)

EARLIEST_YEAR: Final = 1980  # before any electronic form; earlier is a default date
CLOCK_SKEW: Final = timedelta(hours=24)  # a form may come from a clock that is off, or from the next day's side

# FHIR's dateTime, to the day or finer; that the numbers exist is checked by reading them
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))?", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_STATUS = {status.value: status for status in FormStatus}
_FINISHED = frozenset({FormStatus.COMPLETED, FormStatus.AMENDED})
_CLIENT = Rater.CLIENT
_RATER_OF = {
    "Patient": Rater.CLIENT,
    "Practitioner": Rater.THERAPIST,
    "PractitionerRole": Rater.THERAPIST,
    "RelatedPerson": Rater.PROXY,
}


class Parked(msgspec.Struct, frozen=True):
    """A record that cannot be used: where it is, a stable code, the reason. Holds no answers."""

    reference: str
    code: str
    reason: str
    concern: Concern | None = None


class Skipped(msgspec.Struct, frozen=True):
    """A form that is not finished: counted, not scored."""

    reference: str
    status: FormStatus
    concern: Concern | None = None


class Withdrawal(msgspec.Struct, frozen=True):
    """A form that was entered in error: whatever was derived from it is withdrawn."""

    reference: str
    subject: str


Reading: TypeAlias = Response | Withdrawal | Skipped | Parked


class Forms:
    """All forms that a run can read."""

    def __init__(self, instruments: Mapping[str, Instrument], questionnaires: Mapping[str, Mapping[str, Any]]) -> None:
        """Compile readers. questionnaires: our own, by instrument id."""
        self._instruments = instruments
        self._critical = {
            name: tuple(item for item in instrument.items if item.critical is not None)
            for name, instrument in instruments.items()
        }
        self._by_url: dict[str, FormReader] = {}
        self._own_url: dict[str, str] = {}
        self._coded: list[tuple[frozenset[str], FormReader]] = []
        for instrument in instruments.values():
            reader = FormReader(instrument, questionnaires.get(instrument.id))
            names = (f"Questionnaire/{name}" for name in (instrument.id, *instrument.also_known))
            for url in (instrument.url, *instrument.aliases, *names):
                self._by_url.setdefault(url, reader)
            self._own_url[instrument.url] = instrument.version
            codes = frozenset(code.code for item in instrument.items for code in item.codes if code.system == LOINC)
            if codes:
                self._coded.append((codes, reader))

    def learn(self, questionnaire: Mapping[str, Any]) -> bool:
        """Take in a site's Questionnaire whose items carry LOINC codes of an instrument; return whether it did."""
        url = questionnaire.get("url") or (f"Questionnaire/{questionnaire['id']}" if questionnaire.get("id") else "")
        if not isinstance(url, str) or not url or url in self._by_url:
            return False
        codes = {
            item["linkId"]: coding["code"]
            for item in walk(questionnaire.get("item", ()))
            for coding in item.get("code", ())
            if coding.get("system") == LOINC and "code" in coding and isinstance(item.get("linkId"), str)
        }
        reader = self._by_codes(codes.values())
        if reader is None:
            return False
        own = {
            code.code: item.link_id for item in reader.instrument.items for code in item.codes if code.system == LOINC
        }
        names = {link_id: own[code] for link_id, code in codes.items() if code in own}
        site = FormReader(reader.instrument, questionnaire, names)
        self._by_url[url] = site
        if questionnaire.get("id"):
            self._by_url.setdefault(f"Questionnaire/{questionnaire['id']}", site)
        return True

    def read(self, line: bytes, place: str, now: datetime, base: str = "", number: int = 0) -> Reading:
        """Return what one QuestionnaireResponse is.

        line: its JSON.  place, number: where it stands (a file and a line of it), named in a parked record
        without a usable id.
        now: the run's clock, aware.  base: the server's address, to know its own absolute references.
        """
        wire: WireResponse | PlainResponse | None = None
        try:
            wire = decode_response(line)
            return self._read(wire, line, now, base)
        except ParkItem as fault:
            reference = f"{place}:{number}" if number else place
            if wire is not None and FHIR_ID.fullmatch(wire.id or ""):
                reference = f"QuestionnaireResponse/{wire.id}"
            concern = self._concern_in_wreck(line, now, base) if wire is None else None
            return Parked(reference, fault.code, f"{fault.message} {fault.hint}".strip(), concern)

    def reader_of(self, wire: WireResponse | PlainResponse) -> FormReader:
        """Return the reader for a response; raises ParkItem FA208 or FA217 where there is none."""
        canonical = wire.questionnaire or ""
        url, _, version = canonical.partition("|")
        reader = self._by_url.get(url)
        if reader is None and "/Questionnaire/" in url:
            reader = self._by_url.get("Questionnaire/" + url.rpartition("/")[2]) if not url.startswith("http") else None
        if reader is None:
            items = wire.item if isinstance(wire, PlainResponse) else flat(wire.item)
            reader = self._by_codes(item.link_id.rpartition("/")[2] for item in items)
        if reader is None:
            raise ParkItem(
                "FA208", "the questionnaire is not known.", "Add the instrument, or an alias for its canonical."
            )
        if version and self._own_url.get(url, version) != version:
            raise ParkItem(
                "FA217", "the questionnaire's version is not known.", "Install the version that was answered."
            )
        return reader

    def _by_codes(self, codes: Iterable[str]) -> FormReader | None:
        """Return the form of which at least half the coded items are there, if exactly one fits best."""
        present = set(codes)
        ranked = sorted(
            ((len(own & present) / len(own), reader) for own, reader in self._coded), key=lambda pair: -pair[0]
        )
        if not ranked or ranked[0][0] < 0.5:
            return None
        if len(ranked) > 1 and ranked[1][0] == ranked[0][0]:
            return None
        return ranked[0][1]

    def _read(self, wire: WireResponse | PlainResponse, line: bytes, now: datetime, base: str) -> Reading:
        if wire.resource_type != "QuestionnaireResponse":
            raise ParkItem("FA204", "not a QuestionnaireResponse.", "Only QuestionnaireResponses are scored.")
        status = _STATUS.get(wire.status or "")
        if status is None:
            raise ParkItem(
                "FA205", "the status is missing or not one of FHIR R4.", "Correct QuestionnaireResponse.status."
            )
        reference, key = _identity(wire, line)
        if wire.implicit_rules or wire.modifier_extension:
            raise ParkItem("FA214", "it carries a modifier that changes its meaning.", "Such records need a person.")
        if status is FormStatus.ENTERED_IN_ERROR:
            return Withdrawal(reference, _subject(wire.subject, base))
        reader = self.reader_of(wire)
        read = reader.read_plain(wire.item) if isinstance(wire, PlainResponse) else None
        if read is None:
            general = wire.widened() if isinstance(wire, PlainResponse) else wire
            read = reader.read_answers(general.item)
        try:
            subject = _subject(wire.subject, base)
        except ParkItem as fault:
            return Parked(reference, fault.code, f"{fault.message} {fault.hint}")
        finished = status in _FINISHED
        encounter = local(wire.encounter.reference or "", base) if wire.encounter else ""
        try:
            when = moment(wire.authored, now)
            trouble = read.trouble
        except ParkItem as fault:
            when, trouble = None, fault
        if not finished or trouble is not None:
            concern = _concern(reader, read, key, reference, subject, encounter, when, finished)
            if not finished:
                return Skipped(reference, status, concern)
            assert trouble is not None  # noqa: S101 - narrows the type
            return Parked(reference, trouble.code, f"{trouble.message} {trouble.hint}".strip(), concern)
        assert when is not None  # noqa: S101 - narrows the type
        return _response(wire, reader, read, reference, key, status, subject, encounter, when, base)

    def is_concern(self, form: Response) -> bool:
        """Return whether a clinician should look at a readable form."""
        critical = self._critical[form.instrument]
        return bool(critical) and concern_kind(critical, form.answers) is not None

    def concern_of(self, form: Response) -> Concern | None:
        """Return the reason for a clinician to look at a readable form, if there is one."""
        kind = concern_kind(self._critical[form.instrument], form.answers)
        if kind is None:
            return None
        title = self._instruments[form.instrument].title
        return Concern(form.key, form.reference, form.subject, form.encounter, form.instrument, title, kind, form.when)

    def _concern_in_wreck(self, line: bytes, now: datetime, base: str) -> Concern | None:
        """Return a concern from a record that as a whole cannot be read: its safety item may still be."""
        try:
            record = strict_json(line)
            items = tolerant_items(record.get("item"))
            wire = msgspec.convert(
                {
                    k: v
                    for k, v in record.items()
                    if k in ("resourceType", "id", "questionnaire", "status", "subject", "encounter")
                },
                WireResponse,
            )
            wire.item = tuple(items)
            reader = self.reader_of(wire)
            reference, key = _identity(wire, line)
            subject = _subject(wire.subject, base)
        except (ParkItem, msgspec.ValidationError, AttributeError, RecursionError):
            return None
        encounter = local(wire.encounter.reference or "", base) if wire.encounter else ""
        finished = wire.status in ("completed", "amended")
        return _concern(reader, reader.read_answers(items), key, reference, subject, encounter, None, finished)


def moment(authored: str | None, now: datetime) -> datetime:
    """Return the moment that a FHIR dateTime names, to the day or finer, aware; raises ParkItem FA207.

    A day without a time counts as its noon in UTC, for ordering only.
    """
    if authored is None or _DATE_TIME.fullmatch(authored) is None:
        raise ParkItem("FA207", "authored is missing or not given to the day.", "A score is never dated by guess.")
    try:
        if len(authored) == 10:
            when = datetime.fromisoformat(authored + "T12:00:00+00:00")
        else:  # a leap second is read as the second before it
            when = datetime.fromisoformat(authored.replace(":60", ":59") if ":60" in authored else authored)
    except (ValueError, OverflowError):
        raise ParkItem("FA207", "authored is not a date that exists.", "Correct it at the source.") from None
    # moments of different zones compare slowly, so only those of these days are
    if when.year < EARLIEST_YEAR or (when.toordinal() >= now.toordinal() - 1 and when > now + CLOCK_SKEW):
        raise ParkItem("FA207", "authored lies in the future or before 1980.", "Correct it at the source.")
    return when


def _response(
    wire: WireForm, reader: FormReader, read: Answers, reference: str, key: str, status: FormStatus,
    subject: str, encounter: str, when: datetime, base: str,
) -> Response:  # fmt: skip
    source, author = _who(wire.source, wire, subject, base), _who(wire.author, wire, subject, base)
    return Response(
        key,
        reference,
        (wire.meta.version_id or "") if wire.meta else "",
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
        tuple(read.totals),
        read.remarks,
        read.goals,
    )


def _who(named: WireReference | None, wire: WireForm, subject: str, base: str) -> str:
    """Return a reference of this store; most forms name their client again, which needs no second look."""
    if named is None:
        return ""
    if wire.subject is not None and named.reference == wire.subject.reference:
        return subject
    return local(named.reference or "", base)


def _rater(instrument: Instrument, subject: str, source: str, author: str) -> Rater:
    """Return who answered. `author` may be a transcriber, so it counts only where it is a proxy."""
    if source == subject:
        return _CLIENT
    if source:
        if source.startswith("Patient/"):
            return Rater.PROXY
        return _RATER_OF.get(source.partition("/")[0], instrument.rater)
    return Rater.PROXY if author.startswith("RelatedPerson/") else instrument.rater


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
    when: datetime | None, finished: bool,
) -> Concern | None:  # fmt: skip
    kind = concern_kind(reader.critical, read.points, read.broken, finished=finished)
    if kind is None:
        return None
    return Concern(key, reference, subject, encounter, reader.instrument.id, reader.instrument.title, kind, when)
