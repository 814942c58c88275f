"""Scores left as files: HL7 v2 messages or tables, each once for each content, and taken back when a form is void."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from fhir_alliance.config import DeliverySection, ScoreRoute
from fhir_alliance.core.labels import NOT_TO_SUPERVISOR, NOT_TO_THERAPIST, ORDER, OUTSIDE
from fhir_alliance.core.model import Instrument, Rater, Write, WriteMode
from fhir_alliance.fhir import hl7v2
from fhir_alliance.fhir.difference import Change, ChangeKind
from fhir_alliance.fhir.identifiers import SCORE
from fhir_alliance.fhir.inbound import Withdrawal
from fhir_alliance.fhir.score_sheet import Sheet, panel_key, void_sheet
from fhir_alliance.runs.turn import Turn
from fhir_alliance.stores.drop import Drop
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.receipts import Receipt
from fhir_alliance.stores.store import Store
from fhir_alliance.views.score_table import score_csv

_UNKNOWN_CLIENT: Final = ("FA437", "the client has no identifier of the system in [delivery] patient_identifier.")
_LABELLED: Final = ("FA438", "its security labels cannot travel in a file; deliver it as an Observation or a document.")
# What the client keeps from somebody, and what only some may see: a file would lose the label that says so.
_HELD_BACK: Final = OUTSIDE.never | {NOT_TO_THERAPIST, NOT_TO_SUPERVISOR}
_USED: Final = "files"  # in the journal
_ENDS: Final = {ScoreRoute.HL7V2: "hl7", ScoreRoute.CSV: "csv"}


class Drops:
    """What one run leaves in the drop folder."""

    def __init__(
        self, store: Store, journal: Journal, delivery: DeliverySection, now: datetime, *, dry_run: bool
    ) -> None:
        self._store, self._journal, self._delivery, self._dry_run = store, journal, delivery, dry_run
        self._drop = Drop(delivery.folder) if delivery.folder is not None else None
        self._envelope = hl7v2.Envelope(now, delivery.facility, delivery.receiver, delivery.receiving_facility)
        self._routes = [route for route in ScoreRoute if route.is_file]

    def route_of(self, key: str) -> ScoreRoute | None:
        """Return the form in which a panel was left earlier, or None."""
        if self._drop is None:
            return None
        return next((route for route in self._routes if self._journal.delivered(f"{route}/{key}")), None)

    def are_used(self) -> bool:
        """Return whether any score of this store was ever left as a file."""
        return self._journal.delivered(_USED) is not None

    def leave(self, turn: Turn, route: ScoreRoute, sheets: Mapping[str, Sheet]) -> list[Change]:
        """Return what was left; what was left before with the same content is counted as unchanged."""
        patients = self._patients({sheet.subject for sheet in sheets.values()})
        left = []
        for group, sheet in sheets.items():
            patient = patients.get(sheet.subject)
            if not _may_travel(sheet):
                turn.park(group, *_LABELLED)
            elif patient is None:
                turn.park(group, *_UNKNOWN_CLIENT)
            elif (change := self._leave(turn, route, sheet, patient, group)) is not None:
                left.append(change)
        return left

    def void(self, turn: Turn, withdrawals: Iterable[Withdrawal], instruments: Iterable[Instrument]) -> list[Change]:
        """Take back what was left of forms that were entered in error."""
        sent: list[Change] = []
        possible = list(instruments) if self._drop is not None else []
        for withdrawal in withdrawals:
            for instrument in possible:
                for rater in Rater:
                    route = self.route_of(panel_key(instrument, rater, withdrawal.key))
                    if route is not None:
                        sheet = void_sheet(instrument, rater, withdrawal.key, withdrawal.subject)
                        sent += self.leave(turn, route, {withdrawal.key: sheet})
        return sent

    def _leave(self, turn: Turn, route: ScoreRoute, sheet: Sheet, patient: hl7v2.Patient, group: str) -> Change | None:
        place = f"{route}/{sheet.key}"
        digest = hl7v2.content_digest(sheet, patient)
        earlier = self._journal.delivered(place)
        if earlier is not None and earlier[1] == digest:
            turn.count_file(route, None)
            return None
        if earlier is not None and sheet.status == "final":
            sheet = msgspec.structs.replace(sheet, status="corrected")
        name = hl7v2.control_id(digest, earlier[0] if earlier is not None else "")
        kind = ChangeKind.CREATE if earlier is None else ChangeKind.UPDATE
        body = b'{"subject":{"reference":' + msgspec.json.encode(sheet.subject) + b"}}"
        change = Change(Write(route.value, SCORE, sheet.key, WriteMode.KEEP_CURRENT, body, group), kind)
        turn.count_file(route, change)
        if self._drop is not None and not self._dry_run:
            is_message = route is ScoreRoute.HL7V2
            content = hl7v2.oru(sheet, patient, self._envelope, name) if is_message else _table(sheet, patient)
            self._drop.leave(f"{name}.{_ENDS[route]}", content)
            self._journal.deliver(place, name, digest)
            self._journal.deliver(_USED, "", "1")
            self._journal.receipts.add([Receipt("scores", sheet.key, route, f"{name}.{_ENDS[route]}")])
        return change

    def _patients(self, subjects: set[str]) -> dict[str, hl7v2.Patient]:
        """Return how the receiver knows each client; who has no such identifier is left out."""
        system = self._delivery.patient_identifier
        if not system:
            return {s: hl7v2.Patient(s.rpartition("/")[2], self._delivery.patient_authority, "PI") for s in subjects}
        found = {}
        for patient in self._store.named("Patient", sorted(subjects)):
            values = {str(i.get("value")) for i in patient.get("identifier") or () if i.get("system") == system}
            if len(values) == 1:
                found[f"Patient/{patient.get('id')}"] = hl7v2.Patient(values.pop(), self._delivery.patient_authority)
        return found


def _may_travel(sheet: Sheet) -> bool:
    """Return whether no label of the scores would be lost that keeps them from somebody. A taking back says nothing."""
    return not any("|" in label or label == ORDER[-1] or label in _HELD_BACK for label in sheet.labels)


def _table(sheet: Sheet, patient: hl7v2.Patient) -> str:
    rows = []
    for line in sheet.lines:
        code = line.codes[0]
        shared = (
            line.key,
            patient.value,
            sheet.authored,
            sheet.status,
            sheet.title,
            line.title,
            code.system,
            code.code,
        )
        rows.append((*shared, line.value, line.absent, line.band, " ".join(line.notes)))
    return score_csv(rows)
