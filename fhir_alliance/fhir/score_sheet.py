"""One form's scores as a sheet: what a document, a message or a table says where a server takes no Observation.

It is read from the Observations that would have been written, so it can hold nothing that consent kept out of them. The
answers one by one, which may stand in Observations of their own, are left out on purpose: a lower way never says more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from fhir_alliance.core.keys import PANEL, score_key
from fhir_alliance.core.labels import union
from fhir_alliance.core.model import Code, Instrument, Rater
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.labels import labels_of
from fhir_alliance.fhir.observation import panel_codes, scale_codes, score_identifier

VOID: Final = "entered-in-error"
_SCORES: Final = frozenset({ids.SCORE_PROFILE, ids.SUBSCALE_PROFILE})


class Line(msgspec.Struct, frozen=True):
    """One score. value: its digits, empty where there is none; then `absent` says why, as FHIR's code.

    notes: what a reader should know, in our own words; never what a client wrote.
    """

    key: str
    codes: tuple[Code, ...]
    title: str
    value: str = ""
    absent: str = ""
    band: str = ""
    notes: tuple[str, ...] = ()


class Sheet(msgspec.Struct, frozen=True):
    """The scores of one form.

    key: the panel's identifier, the same in every way of delivery.  status: that of its Observations.
    source: the reference to the form's version.  observations: the resources themselves, panel first.
    """

    key: str
    status: str
    subject: str
    codes: tuple[Code, ...]
    title: str
    lines: tuple[Line, ...]
    authored: str = ""
    source: str = ""
    encounter: str = ""
    observations: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_void(self) -> bool:
        """Whether the form was entered in error, and the sheet takes back what was said."""
        return self.status == VOID

    @property
    def labels(self) -> tuple[str, ...]:
        """The security labels of all that is in it."""
        return union(*(labels_of(observation) for observation in self.observations))


def sheet_of(observations: Iterable[Mapping[str, Any]]) -> Sheet | None:
    """Return the sheet of one form's Observations, or None where no panel is among them."""
    found = {score_identifier(o): o for o in observations}
    panel = next((o for o in found.values() if ids.PANEL_PROFILE in _profiles(o)), None)
    if panel is None:
        return None
    scores = [o for o in found.values() if not _SCORES.isdisjoint(_profiles(o))]
    kept = {score_identifier(o) for o in scores}
    members = [m for m in panel.get("hasMember") or () if str(m.get("reference", "")).rpartition("/")[2] in kept]
    source = (panel.get("derivedFrom") or [{}])[0]
    return Sheet(
        score_identifier(panel),
        _status([panel, *scores]),
        _reference(panel, "subject"),
        _codes(panel),
        _title(panel),
        tuple(_line(o) for o in scores),
        str(panel.get("effectiveDateTime", "")),
        str(source.get("reference", "")),
        _reference(panel, "encounter"),
        ({**panel, "hasMember": members}, *scores),
    )


def void_sheet(instrument: Instrument, rater: Rater, form: str, subject: str) -> Sheet:
    """Return the sheet that takes back what was said of a form. form: its key, from which all identifiers derive."""
    lines = tuple(
        Line(score_key(form, instrument.id, scale.id, rater), scale_codes(instrument, scale), scale.title)
        for scale in instrument.scales
    )
    return Sheet(panel_key(instrument, rater, form), VOID, subject, panel_codes(instrument), instrument.title, lines)


def panel_key(instrument: Instrument, rater: Rater, form: str) -> str:
    """Return the identifier of a form's sheet."""
    return score_key(form, instrument.id, PANEL, rater)


def _line(observation: Mapping[str, Any]) -> Line:
    absent = ((observation.get("dataAbsentReason") or {}).get("coding") or [{}])[0]
    value = (observation.get("valueQuantity") or {}).get("value")
    return Line(
        score_identifier(observation),
        _codes(observation),
        _title(observation),
        "" if value is None else f"{value}",
        str(absent.get("code", "")),
        str((observation.get("interpretation") or [{}])[0].get("text", "")),
        tuple(str(note.get("text", "")) for note in observation.get("note") or ()),
    )


def _status(observations: Iterable[Mapping[str, Any]]) -> str:
    """Return void only where all are; else that of the first that is no longer as it was."""
    said = [str(o.get("status", "")) for o in observations]
    if all(status == VOID for status in said):
        return VOID
    return next((status for status in said if status in ("amended", "corrected")), "final")


def _profiles(observation: Mapping[str, Any]) -> list[str]:
    return (observation.get("meta") or {}).get("profile") or []


def _codes(observation: Mapping[str, Any]) -> tuple[Code, ...]:
    codings = (observation.get("code") or {}).get("coding") or ()
    return tuple(Code(str(c.get("system", "")), str(c.get("code", "")), str(c.get("display", ""))) for c in codings)


def _title(observation: Mapping[str, Any]) -> str:
    return str((observation.get("code") or {}).get("text", ""))


def _reference(observation: Mapping[str, Any], element: str) -> str:
    return str((observation.get(element) or {}).get("reference", ""))
