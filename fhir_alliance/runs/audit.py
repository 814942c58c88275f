"""The audit trail: every story tells it what it did with clients' data, through one small function."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from fhir_alliance.config import AuditSection
from fhir_alliance.core import chain
from fhir_alliance.core.audit import Access, Action, Ground, accounting
from fhir_alliance.core.model import Cleared
from fhir_alliance.errors import AuditBroken, StopRun
from fhir_alliance.fhir.audit_event import Scene, audit_event, read_access
from fhir_alliance.fhir.difference import Change, ChangeKind
from fhir_alliance.stores.audit_file import NAME, AuditFile
from fhir_alliance.stores.store import Store

Tell: TypeAlias = Callable[[Iterable[Access]], None]
READ_OF_A_CLIENT: Final = ("QuestionnaireResponse", "Consent", "Observation", "Task", "Goal", "CarePlan", "CareTeam")
_ACTIONS: Final = {ChangeKind.CREATE: Action.CREATE, ChangeKind.UPDATE: Action.UPDATE}


def untold(accesses: Iterable[Access]) -> None:
    """Tell nobody: where a site keeps no trail, and in rehearsals, which show nobody a client's data."""


class Trail(NamedTuple):
    """Where accesses are kept. store: takes them where it can, if the site wants that; else the file does."""

    file: AuditFile
    store: Store
    on_server: bool

    def tell(self, accesses: Iterable[Access]) -> None:
        """Keep accesses; they are on disk, or on the server, when this returns.

        Raises StopRun FA801-FA804 or RetryLater FA805 where they cannot be kept: what is not kept must not be done.
        """
        scene, told = _scene(self.store), list(accesses)
        if told and self.on_server and self.store.log([audit_event(a, scene, claims=False) for a in told]):
            return
        self.file.append([audit_event(access, scene) for access in told])


def tell_of(store: Store, section: AuditSection, folder: Path) -> Tell:
    """Return the function that a story tells its accesses. folder: the store's state folder."""
    if section.to == "off":
        return untold
    return Trail(audit_file(section, folder), store, section.to == "server").tell


def audit_file(section: AuditSection, folder: Path) -> AuditFile:
    """Return a site's audit file; by default it lies beside the journal."""
    return opened_file(section.file or folder / NAME)


def opened_file(path: Path) -> AuditFile:
    """Return an audit file of any name."""
    return AuditFile(path, chain.link, chain.head_of, chain.START)


def verify(file: AuditFile, head: str = "") -> chain.Verified:
    """Return how far a file's chain holds; raises AuditBroken FA806 where it breaks, StopRun FA807 where none is.

    head: the last hash as it was kept elsewhere; only with it can lines be missed that were cut off the end.
    """
    if not file.path.is_file():
        raise StopRun("FA807", f"there is no {file.path}.", "Name it with --file, or its store with --store.")
    found = chain.verify(file.lines(), head)
    if found.broken:
        raise AuditBroken(
            "FA806", f"line {found.broken} of {file.path.name} {found.why}; {found.lines} lines before it hold.",
            "Keep the file as it is, and compare it with a copy.",
        )  # fmt: skip
    return found


def disclosures(store: Store, file: AuditFile, subject: str) -> list[Access]:
    """Return the accounting of disclosures of one client: from the file and from the store, the oldest first."""
    events = [*_events_in(file), *store.about("AuditEvent", [subject])]
    return accounting([access for event in events if (access := read_access(event)) is not None], subject)


def queried(subjects: Iterable[str], now: datetime) -> Iterator[Access]:
    """Yield that a run read what a store holds about these clients."""
    return (Access(Action.QUERY, subject, now, READ_OF_A_CLIENT) for subject in sorted(subjects))


def written(changes: Sequence[Change], cleared: Collection[Cleared], policy: str, now: datetime) -> Iterator[Access]:
    """Yield what a run wrote, by client and kind of change, with the consent decision that it rests on.

    cleared: the forms behind the changes.  policy: the version of the default table.
    """
    forms = {form.form.key: form for form in cleared}
    found: dict[tuple[str, ChangeKind], list[Change]] = {}
    for change in changes:
        form = forms.get(change.write.group)
        subject = form.form.subject if form is not None else _subject_of(change.write.body)
        found.setdefault((subject, change.kind), []).append(change)
    for (subject, kind), own in found.items():
        behind = [forms[group] for group in dict.fromkeys(c.write.group for c in own) if group in forms]
        names = tuple(f"{change.write.type}/{change.write.value}" for change in own)
        if not behind:  # a safety review waits for no consent, and a withdrawal needs none
            yield Access(_ACTIONS[kind], subject, now, names)
            continue
        consents = tuple(dict.fromkeys(consent for form in behind for consent in form.consents))
        yield Access(_ACTIONS[kind], subject, now, names, behind[0].purpose, ground=Ground(True, consents, policy))


def _events_in(file: AuditFile) -> Iterator[Mapping[str, Any]]:
    for line in file.lines():
        try:
            yield orjson.loads(chain.event_of(line))
        except ValueError:  # `audit verify` tells; what can be read is accounted for all the same
            continue


def _subject_of(body: bytes) -> str:
    resource = orjson.loads(body)
    named = resource.get("subject") or resource.get("for") or resource.get("patient") or {}
    return str(named.get("reference", ""))


def _scene(store: Store) -> Scene:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        user = "unknown"
    return Scene(store.name, socket.gethostname() or "unknown", user)
