"""Who reads a report, and what consent lets them have of each person: the pass that its writers ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from fhir_alliance.core.audit import Access, Ground
from fhir_alliance.core.audit import Action as AuditAction
from fhir_alliance.core.boundaries import Boundaries, Identity
from fhir_alliance.core.consent_request import Action, DataLevel, Datum, Recipient, Request
from fhir_alliance.core.consent_request import Role as ConsentRole
from fhir_alliance.core.consent_rules import ConsentRecord
from fhir_alliance.core.labels import NOT_TO_SUPERVISOR, is_kept_from
from fhir_alliance.core.measures.audience import Audience, Role
from fhir_alliance.core.model import Family
from fhir_alliance.core.suppression import SMALL
from fhir_alliance.core.ways_out import Grounds, Refused, ReportPass, to_insurer, to_quality, to_supervisor
from fhir_alliance.fhir.person import KINDS
from fhir_alliance.runs.merged import Kindred, Source, families_of, links_of
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.record import consents_of, relied_on
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.folder_people import FolderPeople
from fhir_alliance.stores.store import PersonRecord, Store


class Reader(NamedTuple):
    """What a reader is to the clients, what for (HL7 v3-ActReason), and how closely."""

    role: ConsentRole
    purpose: str
    level: DataLevel


_WITHHELD: Final = {
    "consent": "a Consent forbids it, or cannot be evaluated",
    "stop": "the site's list or a rule that no Consent lifts forbids it",
}
_UNNAMED: Final = "Somebody is kept from this client's data, and it is not said who reads."
_NOT_LOOKED_AT: Final = "The record was merged with another, whose Consents were not looked at."
READERS: Final = {
    Role.SUPERVISOR: Reader(ConsentRole.SUPERVISING, "TREAT", DataLevel.SCORE),
    Role.QUALITY: Reader(ConsentRole.QUALITY, "HQUALIMP", DataLevel.AGGREGATE),
    Role.INSURER: Reader(ConsentRole.PAYER, "HPAYMT", DataLevel.AGGREGATE),
}


_WAYS: Final[Mapping[Role, Callable[[Request, Grounds], ReportPass | Refused]]] = {
    Role.SUPERVISOR: to_supervisor,
    Role.QUALITY: to_quality,
    Role.INSURER: to_insurer,
}


class Wish(NamedTuple):
    """Who wants to read what: codes of a family of instruments. now: consents count as of it."""

    audience: Audience
    codes: frozenset[tuple[str, str]]
    family: Family
    now: datetime


class Kin(NamedTuple):
    """The records that one was merged with: all ids of the person, and their Consents as they count for this one."""

    ids: frozenset[str]
    consents: list[ConsentRecord]


# gives the kin of a record by its id; None where nobody has looked
LookUp: TypeAlias = Callable[[str], Kin | None]


@contextmanager
def kin_in(store: Store) -> Iterator[LookUp]:
    """Give what looks up kin in a store; of a folder in the files that hold its people, read when first needed."""
    with ExitStack() as held:

        @cache
        def source() -> Source:
            if not isinstance(store, FolderStore):
                return store
            return held.enter_context(closing(FolderPeople(store.folder, ())))

        yield lambda name: _kin_of(name, source())


def _kin_of(name: str, store: Source) -> Kin:
    subject = f"Patient/{name}"
    families = families_of(store, {subject})
    family = families.get(subject, Kindred("", frozenset({subject})))
    return Kin(family.ids, consents_of(store, {subject}, families).get(subject, []))


def let_in(record: PersonRecord, wish: Wish, policy: Policy, base: str, look_up: LookUp) -> ReportPass | Refused:
    """Return what lets a person into a report, or why they are left out.

    Consents count as of now, not as of the period: who has revoked one since is left out.
    look_up: asked for the kin of a record that was merged with another; without it the person is left out.
    """
    subject, boundaries, bars = _subject(record), policy.boundaries, tuple[str, ...]()
    consents = [relied_on(r, base) for r in record.resources if r.get("resourceType") == "Consent"]
    if any(links_of(record.patient, base).values()):
        kin = look_up(str(record.patient.get("id", "")))
        if kin is None:
            bars = (_NOT_LOOKED_AT,)
        else:
            consents, boundaries = kin.consents, boundaries.of_person(kin.ids)
    grounds = Grounds(consents, policy.consent.defaults, wish.now)
    request = _request(subject, wish, boundaries)
    return _WAYS[wish.audience.role](msgspec.structs.replace(request, bars=(*request.bars, *bars)), grounds)


def why_not(answer: Refused) -> str:
    """Return why a person is left out, as a report says it: the sentence names no Consent."""
    row = answer.decision.row
    return _WITHHELD.get(row, f"the site's table does not allow it ({row})")


def look(record: PersonRecord, wish: Wish, answer: ReportPass | Refused) -> Access:
    """Return that a person's record was read, with the decision about it.

    Shown to somebody only where the audience sees people, and consent lets it; what was refused was read by this
    program alone, to count who is left out.
    """
    purpose, decision = READERS[wish.audience.role].purpose, answer.decision
    is_shown = wish.audience.sees_people and decision.permitted
    role = wish.audience.role.value if is_shown else ""
    who = wish.audience.name or role if is_shown else ""
    action = AuditAction.READ if is_shown else AuditAction.QUERY
    ground = Ground(decision.permitted, decision.consents, decision.table, decision.reasons)
    return Access(action, _subject(record), wish.now, KINDS, purpose, who, role, ground)


def given(wish: Wish, measure: str, people: int, table: str) -> Access:
    """Return that counts of a measure went to a reader who sees no people: it concerns no single client.

    people: of how many whom consent lets in.  table: version of the default table.
    """
    who = f"{wish.audience.role.value}: {wish.audience.name}" if wish.audience.name else wish.audience.role.value
    reasons = (f"Counts of {people if people > SMALL else f'at most {SMALL}'} people whose consent allows it.",)
    ground = Ground(True, (), table, reasons)
    return Access(
        AuditAction.DISCLOSE, "", wish.now, (f"MeasureReport/{measure}",), READERS[wish.audience.role].purpose,
        who, wish.audience.role.value, ground,
    )  # fmt: skip


def _subject(record: PersonRecord) -> str:
    return f"Patient/{record.patient.get('id', '')}"


def _request(subject: str, wish: Wish, boundaries: Boundaries) -> Request:
    """Return what is asked of a person's consent.

    A supervisor is told of single people, by scores. Others are told counts; the suppression lets none of fewer than
    eleven people leave, so that is how many an aggregate is of. Where the site's list keeps out anybody, a
    supervisor who is not named may be the one.
    """
    reader = READERS[wish.audience.role]
    named = boundaries.names_of(wish.audience.name) if wish.audience.name else Identity(frozenset())
    recipient = Recipient(named.references, named.references | named.organizations, frozenset({reader.role}))
    datum = Datum(
        frozenset({"QuestionnaireResponse", "Observation", "MeasureReport"}),
        wish.codes,
        reader.level,
        wish.family,
        people=1 if reader.level is DataLevel.SCORE else SMALL + 1,
    )
    bars = boundaries.bars(recipient, subject, reader.purpose)
    if wish.audience.sees_people and not wish.audience.name and boundaries.keeps_somebody_out(subject):
        bars = (*bars, _UNNAMED)
    action = Action.DISCLOSE if wish.audience.role is Role.INSURER else Action.USE
    return Request(subject, action, recipient, reader.purpose, datum, bars)


def for_reader(record: PersonRecord, audience: Audience) -> PersonRecord:
    """Return the record without what the client keeps from this reader; quality and insurers are told counts only."""
    if audience.role is not Role.SUPERVISOR:
        return record
    return record._replace(resources=[r for r in record.resources if not is_kept_from(_labels(r), NOT_TO_SUPERVISOR)])


def _labels(resource: Mapping[str, Any]) -> set[str]:
    meta = resource.get("meta")
    found = meta.get("security") if isinstance(meta, dict) else None
    return {str(c.get("code")) for c in found if isinstance(c, dict)} if isinstance(found, list) else set()
