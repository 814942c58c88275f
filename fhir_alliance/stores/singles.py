"""One write at a time, each kept single in the best way that the server knows (integration by capability).

The six ways differ in what they ask of the server. In each, a write whose answer is lost is either safe to repeat or is
looked for before it is sent again; where neither is possible, it waits for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from fhir_alliance.core.model import WriteMode
from fhir_alliance.errors import AllianceError, RetryLater, StopRun, Unreachable
from fhir_alliance.fhir.difference import CANONICAL, Change, ChangeKind, Known, same_content, subject_of
from fhir_alliance.fhir.outcome import Meaning
from fhir_alliance.stores.bundles import criteria, identified, place_of
from fhir_alliance.stores.capability import PUTS, Once, ServerProfile
from fhir_alliance.stores.conflicts import CHANGED, OURS, TIMES, decided_anew
from fhir_alliance.stores.exchange import Fate
from fhir_alliance.stores.http import Http, OutcomeUnknown, Reply, json_of
from fhir_alliance.stores.journal import Intent, Journal
from fhir_alliance.stores.paging import SearchRefused, found_by, of_client
from fhir_alliance.stores.store import NOT_TAKEN

SETTLE_S: Final = (
    60.0  # how far a search may lag behind a write (HealthLake, Google): until then, "not found" says nothing
)
FIRST_LOOK_S: Final = 2.0


class Became(Enum):
    """What became of one write."""

    CREATED = "created"
    UPDATED = "updated"
    STANDS = "stands"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"


class Outcome(NamedTuple):
    """What became of a write, under which id, and why not: a code and a reason without patient data."""

    became: Became
    id: str = ""
    code: str = ""
    reason: str = ""


UNKNOWN: Final = Outcome(Became.UNKNOWN)
_SENT: Final = "sent"  # in place of a digest: the answer is not there yet
NOT_AS_IT_IS: Final = "FA413"
FIXED: Final = ("FA418", "an earlier form of it stands there, and the server takes no update.")
TWICE: Final = ("FA417", "it stands on the server more than once; nothing was deleted. A person has to choose.")


class Singles:
    """Writes one change after the other."""

    def __init__(self, http: Http, profile: ServerProfile, known: Known, journal: Journal) -> None:
        self._http, self._profile, self._known, self._journal = http, profile, known, journal
        self._refused = journal.refusals(datetime.now(UTC))
        self._named: set[str] = set()  # types that are searched by key only with the client beside it

    def send(self, change: Change) -> Outcome:
        """Return what became of a change; ways that the server turns out not to take are remembered and passed over."""
        if change.kind is ChangeKind.UPDATE:
            self._intend(change)
            return self._update(change, change.stored_id, change.stored_version)
        write = change.write
        doubted: list[tuple[Once, Outcome]] = []  # ways whose refusal may be for the sake of the way, or of the content
        while True:
            passed = {f"{way}:{write.type}" for way, _ in doubted}
            once = self._profile.once(
                write.type, write.mode, is_canonical=write.system == CANONICAL, refused=self._refused | passed
            )
            if once is None:
                none = Outcome(Became.UNSUPPORTED, code=NOT_TAKEN, reason=f"the server takes no {write.type} from us")
                return doubted[0][1] if doubted else none
            outcome = self._ways[once](self, change)
            if outcome.code == NOT_AS_IT_IS and once in PUTS:
                self._journal.settle([write.value])
                doubted.append((once, outcome))
                continue
            if outcome.became is not Became.UNSUPPORTED:
                if outcome.became in (Became.CREATED, Became.STANDS):  # so it was the ways before that were refused
                    for way, _ in doubted:
                        self._refused = self._journal.refuse(f"{way}:{write.type}", datetime.now(UTC))
                return outcome
            self._journal.settle([write.value])  # it was refused, so the next way need not fear it
            what = once if once in PUTS else "create"
            self._refused = self._journal.refuse(f"{what}:{write.type}", datetime.now(UTC))

    def _intend(self, change: Change) -> None:
        if change.write.mode is not WriteMode.ACCOMPANY:  # its outcome is that of what it accompanies
            self._journal.intend([Intent(change.write.value, change.write.type, change.write.system)])

    def _body(self, change: Change, once: Once) -> dict[str, Any]:
        resource: dict[str, Any] = orjson.loads(self._known.resolve(change.write.body))
        return identified(resource, change.write, once)

    def _update(self, change: Change, stored_id: str, version: str) -> Outcome:
        """Send an update of what stands there; where somebody changed it, of what stands there now, at most thrice."""
        outcome = self._update_once(change, stored_id, version)
        for _ in range(TIMES):
            if outcome.code != CHANGED or change.write.type not in OURS:
                return outcome
            stored = self.read(change.write.type, stored_id)
            anew = decided_anew(change, stored) if stored is not None else change
            if stored is None or anew is None:
                return outcome if stored is None else Outcome(Became.STANDS, stored_id)
            change = anew
            outcome = self._update_once(change, stored_id, anew.stored_version)
        return outcome

    def read(self, kind: str, stored_id: str) -> Mapping[str, Any] | None:
        """Return a resource as it stands now, or None where the server does not give it."""
        try:
            reply = self._http.get(f"{kind}/{stored_id}")
            stored = json_of(reply) if reply.ok else None
        except (RetryLater, Unreachable):
            return None
        return stored if isinstance(stored, dict) else None

    def _update_once(self, change: Change, stored_id: str, version: str) -> Outcome:
        """Send an update of what stands there, guarded by the version that was read."""
        resource = {**orjson.loads(self._known.resolve(change.write.body)), "id": stored_id}
        guard = {"If-Match": f'W/"{version}"'} if version else {}
        try:
            reply = self._http.write("PUT", f"{change.write.type}/{stored_id}", orjson.dumps(resource), guard)
        except RetryLater:
            return UNKNOWN
        if reply.is_second and reply.meaning is Meaning.CONFLICT:  # perhaps by our own first attempt
            return UNKNOWN
        return Outcome(Became.UPDATED, stored_id) if reply.ok else _refusal(reply)

    def _client_id(self, change: Change) -> Outcome:
        self._intend(change)
        place = f"{change.write.type}/{change.write.value}"
        return self._repeatable("PUT", place, change, Once.CLIENT_ID, {})

    def _conditional_update(self, change: Change) -> Outcome:
        self._intend(change)
        body = self._body(change, Once.CONDITIONAL_UPDATE)
        place = f"{change.write.type}?{criteria(change.write, body)}"
        return self._repeatable("PUT", place, change, Once.CONDITIONAL_UPDATE, {})

    def _conditional_create(self, change: Change) -> Outcome:
        self._intend(change)
        body = self._body(change, Once.CONDITIONAL_CREATE)
        guard = {"If-None-Exist": criteria(change.write, body)}
        return self._repeatable("POST", change.write.type, change, Once.CONDITIONAL_CREATE, guard)

    def _repeatable(self, method: str, place: str, change: Change, once: Once, guard: dict[str, str]) -> Outcome:
        body = self._body(change, once)
        try:
            reply = self._http.write(method, place, orjson.dumps(body), guard)
        except RetryLater:
            return UNKNOWN
        if reply.ok:
            _refuse_anothers(_resource_in(reply), change)
            name = change.write.value if once is Once.CLIENT_ID else _id_in(reply)
            return Outcome(Became.CREATED if reply.status == 201 else Became.STANDS, name)
        if reply.meaning in (Meaning.CONFLICT, Meaning.DUPLICATE):
            return Outcome(Became.REFUSED, "", *TWICE)
        return _unsupported() if method == "PUT" and reply.meaning is Meaning.GONE else _refusal(reply)

    def _search_first(self, change: Change) -> Outcome:
        """Look for the key, send once, and look again: the search, not the answer, says what stands there."""
        try:
            lookup = self._by_key(change)
        except SearchRefused:  # it states that it can
            self._refused = self._journal.refuse(f"{Once.SEARCH_FIRST}:{change.write.type}", datetime.now(UTC))
            return self._by_content(change) if change.write.system != CANONICAL else UNKNOWN
        if lookup is None:
            return UNKNOWN
        if lookup:
            return Outcome(Became.STANDS, lookup[0]) if len(lookup) == 1 else Outcome(Became.REFUSED, "", *TWICE)
        given = self._given(change, Once.SEARCH_FIRST)
        if isinstance(given, Outcome):
            return given
        seen = self._by_key(change)
        if not seen:
            self._http.sleep(FIRST_LOOK_S)
            seen = self._by_key(change)
        if seen:
            return Outcome(Became.CREATED, seen[0]) if len(seen) == 1 else Outcome(Became.REFUSED, "", *TWICE)
        return self._kept(change, given) if given else UNKNOWN

    def _kept(self, change: Change, given: str) -> Outcome:
        """Return that a write stands which no search finds; where its identifier was dropped, that is remembered."""
        try:
            reply = self._http.get(f"{change.write.type}/{given}")
        except RetryLater:
            return UNKNOWN
        stored = json_of(reply) if reply.ok else {}
        if not reply.ok or not isinstance(stored, dict):
            return UNKNOWN
        if change.write.system != CANONICAL and not _has_key(stored, change):
            self._refused = self._journal.refuse(f"{Once.SEARCH_FIRST}:{change.write.type}", datetime.now(UTC))
            self._journal.deliver(_place(change), given, _digest(change))
        return Outcome(Became.CREATED, given)

    def _by_content(self, change: Change) -> Outcome:
        """Compare with what the client's record holds, where no search by identifier tells."""
        earlier = self._delivered(change)
        if earlier is not None:
            return earlier
        alike = self._alike(change)
        if alike is None:
            return UNKNOWN
        if len(alike) > 1:
            return Outcome(Became.REFUSED, "", *TWICE)
        if alike:
            self._journal.deliver(_place(change), alike[0], _digest(change))
            return Outcome(Became.STANDS, alike[0])
        given = self._given(change, Once.BY_CONTENT)
        if isinstance(given, Outcome):
            return given
        if not given:
            self._http.sleep(FIRST_LOOK_S)
            seen = self._alike(change) or []
            given = seen[0] if len(seen) == 1 else ""
        if not given:
            return UNKNOWN
        self._journal.deliver(_place(change), given, _digest(change))
        return Outcome(Became.CREATED, given)

    def _journal_only(self, change: Change) -> Outcome:
        """Send once in a lifetime: what may have been done is never sent again, and a person has to look."""
        earlier = self._delivered(change)
        if earlier is not None:
            return earlier
        self._journal.deliver(_place(change), "", _SENT)
        try:
            reply = self._sent(change, Once.JOURNAL_ONLY)
        except AllianceError:  # refused for all of us: it was not done
            self._journal.deliver(_place(change), "", "")
            raise
        if reply is Fate.UNKNOWN:
            return UNKNOWN
        if not isinstance(reply, Reply) or not reply.ok:
            self._journal.deliver(_place(change), "", "")
            return _refusal(reply) if isinstance(reply, Reply) else UNKNOWN
        self._journal.deliver(_place(change), _id_in(reply), _digest(change))
        return Outcome(Became.CREATED, _id_in(reply))

    def _delivered(self, change: Change) -> Outcome | None:
        """Return what is to be done about a write that the journal says was delivered: nothing, or an update."""
        held = self._journal.delivered(_place(change))
        if held is None:
            return None
        stored_id, digest = held
        if digest == _SENT:
            reason = "it may stand on the server already, where it cannot be read back. A person has to look."
            return Outcome(Became.REFUSED, "", "FA419", reason)
        if digest == _digest(change) or change.write.mode is WriteMode.CREATE_ONCE:  # it is theirs who work on it
            return Outcome(Became.STANDS, stored_id)
        if not stored_id or not self._profile.takes_updates(change.write.type):
            return Outcome(Became.REFUSED, stored_id, *FIXED)
        self._intend(change)
        outcome = self._update(change, stored_id, "")
        if outcome.became is Became.UPDATED:
            self._journal.deliver(_place(change), stored_id, _digest(change))
        return outcome

    def _given(self, change: Change, once: Once) -> str | Outcome:
        """Return the id that the server gave to what was not found there; "" where its answer does not tell.

        An outcome, where nothing was created, or nobody knows.
        """
        if self._is_recent(change):
            return UNKNOWN
        reply = self._sent(change, once)
        if reply is Fate.NOT_SENT:
            return UNKNOWN
        if isinstance(reply, Reply):
            return _id_in(reply) if reply.ok else _refusal(reply)
        return ""

    def _sent(self, change: Change, once: Once) -> Reply | Fate:
        """Return the answer to a creation that must not be repeated, or what is known of its fate."""
        self._intend(change)
        body = orjson.dumps(self._body(change, once))
        try:
            reply = self._http.write("POST", change.write.type, body, once=True)
            _refuse_anothers(_resource_in(reply), change)
            return reply
        except OutcomeUnknown:
            return Fate.UNKNOWN
        except RetryLater:
            return Fate.NOT_SENT

    def _is_recent(self, change: Change) -> bool:
        """Return whether the same write was sent so short a time ago that a search may not show it yet."""
        age_s = self._journal.age_s(change.write.value, datetime.now(UTC))
        return age_s is not None and age_s < SETTLE_S

    def _by_key(self, change: Change) -> list[str] | None:
        """Return the ids of what stands under the write's key; None where the search gave no answer.

        The key alone is asked for, since what stands under it may be another client's; where the server wants a client
        named as well (Epic: 59108), it is.  Raises SearchRefused where it takes neither.
        """
        try:
            stored = found_by(self._http, change.write.type, self._criteria(change))
        except SearchRefused:
            if change.write.type in self._named or change.write.system == CANONICAL:
                raise
            self._named.add(change.write.type)
            return self._by_key(change)
        except RetryLater:
            return None
        ours = [resource for resource in stored if resource.get("id") and _has_key(resource, change)]
        for resource in ours:
            _refuse_anothers(resource, change)
        return [str(resource["id"]) for resource in ours]

    def _criteria(self, change: Change) -> dict[str, str]:
        """Return what a write's key is searched by."""
        write = change.write
        if write.system == CANONICAL:
            return {"url": write.value}
        key = {"identifier": f"{write.system}|{write.value}"}
        return {**of_client(write.type, subject_of(self._wanted(change))), **key} if write.type in self._named else key

    def _wanted(self, change: Change) -> dict[str, Any]:
        wanted: dict[str, Any] = orjson.loads(self._known.resolve(change.write.body))
        return wanted

    def _alike(self, change: Change) -> list[str] | None:
        """Return the ids of what the client has that says the same; None where the search gave no answer."""
        wanted = self._wanted(change)
        try:
            stored = found_by(self._http, change.write.type, of_client(change.write.type, subject_of(wanted)))
        except RetryLater:
            return None
        return [str(r["id"]) for r in stored if r.get("id") and same_content(r, wanted)]

    _ways: Final[Mapping[Once, Callable[[Singles, Change], Outcome]]] = {
        Once.CLIENT_ID: _client_id,
        Once.CONDITIONAL_UPDATE: _conditional_update,
        Once.CONDITIONAL_CREATE: _conditional_create,
        Once.SEARCH_FIRST: _search_first,
        Once.BY_CONTENT: _by_content,
        Once.JOURNAL_ONLY: _journal_only,
    }


def _has_key(stored: Mapping[str, Any], change: Change) -> bool:
    """Return whether a resource carries the write's key: a server may have ignored the condition of a search."""
    write = change.write
    if write.system == CANONICAL:
        return stored.get("url") == write.value and stored.get("version") == orjson.loads(write.body).get("version")
    given = stored.get("identifier")
    several = given if isinstance(given, list) else [given]  # a QuestionnaireResponse has one
    held = [i for i in several if isinstance(i, dict)]
    return (write.system, write.value) in [(i.get("system"), i.get("value")) for i in held]


def _refuse_anothers(stored: Mapping[str, Any], change: Change) -> None:
    """Raise StopRun FA436 where the server keeps what is one client's under another; a host's name says nothing."""
    theirs, ours = (place_of(subject_of(resource)) for resource in (stored, orjson.loads(change.write.body)))
    if theirs[1] and ours[1] and theirs != ours:
        what = f"the server keeps a {change.write.type} of ours under another client; nothing more is written."
        raise StopRun("FA436", what, "Have the site look at once: find it by its identifier, and correct it there.")


def _resource_in(reply: Reply) -> Mapping[str, Any]:
    """Return the resource in an answer to a write; empty where the server sends none."""
    try:
        content = json_of(reply) if reply.ok and reply.body else {}
    except Unreachable:
        return {}
    return content if isinstance(content, dict) else {}


def _refusal(reply: Reply) -> Outcome:
    if reply.meaning is Meaning.UNSUPPORTED:
        return _unsupported(reply)
    return Outcome(Became.REFUSED, "", *why_not(reply.meaning, reply.problem()))


def why_not(meaning: Meaning, problem: str) -> tuple[str, str]:
    """Return code and reason of a refusal. problem: status and issue codes."""
    if meaning is Meaning.CONFLICT:
        return CHANGED, f"somebody changed it in the meantime ({problem}). It is tried again in the next run."
    if meaning is Meaning.RESTRICTED:
        return "FA435", f"this client's record is closed to us ({problem}). The site has to open it."
    if meaning is Meaning.SITE:
        return "FA433", f"the site has to set something up first ({problem}); see doctor."
    return NOT_AS_IT_IS, f"the server does not take what is derived from it ({problem})."


def _unsupported(reply: Reply | None = None) -> Outcome:
    return Outcome(Became.UNSUPPORTED, "", NOT_TAKEN, reply.problem() if reply is not None else "")


def _id_in(reply: Reply) -> str:
    """Return the id that the server gave: in Location (Oracle sends no body), or else in the body."""
    name = place_of(reply.headers.get("Location", ""))[1]
    if name or not reply.body:
        return name
    try:
        content = json_of(reply)
    except Unreachable:
        return ""
    return str(content.get("id", "")) if isinstance(content, dict) else ""


def _place(change: Change) -> str:
    """Return what the journal calls a write that was delivered: a review and its message have the same key."""
    return f"{change.write.type}/{change.write.value}"


def _digest(change: Change) -> str:
    return sha256(change.write.body).hexdigest()
