"""What holds where no Consent speaks: the site's default table, row by row.

The first row that fits decides. A row also says what a permit has to name before it counts: a general "yes" opens
the clinic's own record, and never an insurer's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from fhir_alliance.core.consent_request import DataLevel, Request, Role
from fhir_alliance.core.model import Family
from fhir_alliance.core.purposes import covers


class Need(StrEnum):
    """What a permit has to name, in the words of the table."""

    ACTOR = "actor"
    PURPOSE = "purpose"
    PERIOD = "period"
    LEVEL = "level"
    NOTES = "notes"


# The element kinds of a provision that say each, any of them.
_SAID_BY: Final[dict[Need, frozenset[str]]] = {
    Need.ACTOR: frozenset({"actor"}),
    Need.PURPOSE: frozenset({"named purpose"}),
    Need.PERIOD: frozenset({"end"}),
    Need.LEVEL: frozenset({"label alliance-item", "label item-answer", "label free-text"}),
    Need.NOTES: frozenset({"label PSYTHPN"}),
}
_IN_WORDS = {
    Need.ACTOR: "who receives it",
    Need.PURPOSE: "the purpose",
    Need.PERIOD: "until when",
    Need.LEVEL: "the kind of answer",
    Need.NOTES: "psychotherapy notes",
}


class Row(msgspec.Struct, frozen=True):
    """One line of the table. An empty list fits everything.

    says: the row as a sentence, which a decision quotes.  permit: what it decides by itself.
    to, not_to: roles of the recipient, one of them is enough.  purposes: these and all that are part of them.
    labels, unless: labels of the datum, one of them is enough.  people_at_least: of how many clients an aggregate is.
    needs: what a Consent's permit has to name to count.
    """

    id: str
    says: str
    permit: bool
    to: frozenset[Role] = frozenset()
    not_to: frozenset[Role] = frozenset()
    purposes: tuple[str, ...] = ()
    levels: frozenset[DataLevel] = frozenset()
    families: frozenset[Family] = frozenset()
    labels: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    people_at_least: int = 0
    needs: frozenset[Need] = frozenset()

    def fits(self, request: Request) -> bool:
        """Return whether the row is about a request."""
        datum, roles = request.datum, request.recipient.roles
        return (
            (not self.to or not self.to.isdisjoint(roles))
            and self.not_to.isdisjoint(roles)
            and (not self.purposes or any(covers(purpose, request.purpose) for purpose in self.purposes))
            and (not self.levels or datum.level in self.levels)
            and (not self.families or datum.family in self.families)
            and (not self.labels or not self.labels.isdisjoint(datum.labels))
            and self.unless.isdisjoint(datum.labels)
            and datum.people >= self.people_at_least
        )

    def lacking(self, named: frozenset[str]) -> tuple[str, ...]:
        """Return what a permit that names these kinds leaves unsaid, in words."""
        if not self.needs:
            return ()
        return tuple(_IN_WORDS[need] for need in Need if need in self.needs and _SAID_BY[need].isdisjoint(named))


_LAST = Row("none", "Nothing in the table is about this, and what is not in the table is not shared.", False,
            needs=frozenset({Need.ACTOR, Need.PURPOSE}))  # fmt: skip


class Table(msgspec.Struct, frozen=True):
    """The default table of a site. version: what decisions name."""

    version: str
    rows: tuple[Row, ...] = ()

    def row_for(self, request: Request) -> Row:
        """Return the first row that fits; where none does, one that denies."""
        for row in self.rows:
            if row.fits(request):
                return row
        return _LAST

    def opt_in(self) -> Table:
        """Return the table of a site that writes no score without a Consent: its record rows deny."""
        rows = tuple(
            msgspec.structs.replace(row, permit=False, says=OPT_IN) if row.permit and Role.CUSTODIAN in row.to else row
            for row in self.rows
        )
        return Table(f"{self.version}+opt-in", rows)


OPT_IN: Final = "No consent on record speaks to it, and the site asks for one."
"""The sentence of a site that asks for a Consent before anything is written."""
_RECORD = Row("record", "The clinic's own record may hold it, for treatment.", True, frozenset({Role.CUSTODIAN}))
_ANSWERS = Row(
    "record-alliance-answers", "Answers about the therapist are not written to the record one by one.", False,
    frozenset({Role.CUSTODIAN}), levels=frozenset({DataLevel.ITEM, DataLevel.TEXT}),
    families=frozenset({Family.ALLIANCE}), needs=frozenset({Need.LEVEL}),
)  # fmt: skip
OPEN_TABLE: Final = Table("1", (_ANSWERS, _RECORD))
"""The least a run can do with: its own record is open, but for answers about the therapist, and nothing else is."""
