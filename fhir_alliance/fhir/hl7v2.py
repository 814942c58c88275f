"""A form's scores as an HL7 v2.5.1 message ORU^R01, for interface engines. Source: HL7 v2.5.1, chapters 2, 3 and 7.

One OBX to each score; a score that there is none of says so (OBX-11 X) and has no value. Neither name nor birth date of
the client are sent: an identifier is enough for an engine to file it, and less can leak.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from fhir_alliance.core.keys import derived
from fhir_alliance.core.model import Code
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.score_sheet import Line, Sheet

SENDER: Final = "FHIR_ALLIANCE"
_SYSTEMS: Final = {ids.LOINC: "LN", ids.SCORES: "99FHA"}  # table 0396: 99zzz is a local code system
_DELIMITERS: Final = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
# control characters too: CR ends a segment, and VT and FS frame a message on the wire (MLLP)
_ESCAPES: Final = str.maketrans(_DELIMITERS | {chr(c): f"\\X{c:02X}\\" for c in range(32)})
_OBR: Final = {"final": "F", "amended": "C", "corrected": "C", "entered-in-error": "X"}  # table 0123
_OBX: Final = {"final": "F", "amended": "C", "corrected": "C", "entered-in-error": "W"}  # table 0085


class Patient(NamedTuple):
    """How the client is known where the message goes: an identifier, who assigned it, and its kind (table 0203)."""

    value: str
    authority: str = ""
    kind: str = "MR"


class Envelope(NamedTuple):
    """Who sends to whom, and when. facility, receiver, receiving_facility: as the interface engine calls them."""

    when: datetime
    facility: str = ""
    receiver: str = ""
    receiving_facility: str = ""


def oru(sheet: Sheet, patient: Patient, envelope: Envelope, control: str) -> str:
    """Return the message, segments ended by CR. control: what `control_id` gives."""
    segments = [_msh(envelope, control), _pid(patient), _obr(sheet)]
    for number, line in enumerate(sheet.lines, 1):
        segments.append(_obx(number, line, sheet))
        segments += [_segment("NTE", at, "L", escaped(note)) for at, note in enumerate(_notes(line), 1)]
    return "".join(f"{segment}\r" for segment in segments)


def control_id(digest: str, earlier: str) -> str:
    """Return MSH-10: 20 characters, derived from the score's key and content and from the message before it.

    An engine that drops what it has seen before drops a repetition and lets each correction pass, also one that returns
    to what was said first. digest: what `content_digest` gives.  earlier: the control id before, or "".
    """
    return derived("oru", digest, earlier)[:20].upper()


def content_digest(sheet: Sheet, patient: Patient) -> str:
    """Return what tells one content of a sheet from another."""
    lines = (part for line in sheet.lines for part in (line.key, line.value, line.absent, line.band, *line.notes))
    return derived("sheet", sheet.key, sheet.status, sheet.subject, sheet.authored, *patient, *lines)


def escaped(text: str) -> str:
    """Return a text in which no delimiter of HL7 is left (chapter 2.7)."""
    return text.translate(_ESCAPES)


def moment(authored: str) -> str:
    """Return a FHIR date or time as HL7 writes it (TS), in its own offset; empty for none."""
    if len(authored) <= 10:
        return escaped(authored.replace("-", ""))
    try:
        when = datetime.fromisoformat(authored)
    except ValueError:
        return ""
    return when.strftime("%Y%m%d%H%M%S") + when.strftime("%z")[:5]


def _msh(envelope: Envelope, control: str) -> str:
    names = [escaped(name) for name in (envelope.facility, envelope.receiver, envelope.receiving_facility)]
    when = envelope.when.strftime("%Y%m%d%H%M%S%z")[:19]
    return _segment(
        "MSH", "^~\\&", SENDER, *names, when, "", "ORU^R01^ORU_R01", control, "P", "2.5.1",
        "", "", "", "", "", "UNICODE UTF-8",
    )  # fmt: skip


def _pid(patient: Patient) -> str:
    identifier = "^".join((escaped(patient.value), "", "", escaped(patient.authority), escaped(patient.kind)))
    return _segment("PID", 1, "", identifier, "", "^^^^^^U")  # PID-5 is required: a name of type unspecified


def _obr(sheet: Sheet) -> str:
    fields = ["1", "", f"{sheet.key}^{SENDER}", _cwe(sheet.codes, sheet.title), "", "", moment(sheet.authored)]
    return _segment("OBR", *fields, *[""] * 17, _OBR[sheet.status])


def _obx(number: int, line: Line, sheet: Sheet) -> str:
    status = _OBX[sheet.status] if line.value or sheet.is_void else "X"
    kind, units = ("NM", "{score}^score^UCUM") if line.value else ("", "")
    code = _cwe(line.codes, line.title)
    return _segment(
        "OBX", number, kind, code, "", line.value, units, "", "", "", "", status, "", "", moment(sheet.authored)
    )


def _notes(line: Line) -> Iterable[str]:
    if line.band:
        yield line.band
    if line.absent:
        yield f"No score: {line.absent}"
    yield from line.notes


def _cwe(codes: tuple[Code, ...], title: str) -> str:
    """Return the first two codes as one coded element: identifier, text, system, and the alternate ones."""
    parts = [part for code in codes[:2] for part in (code.code, code.display or title, _SYSTEMS.get(code.system, "L"))]
    return "^".join(escaped(part) for part in parts)


def _segment(name: str, *fields: object) -> str:
    return "|".join((name, *map(str, fields))).rstrip("|")
