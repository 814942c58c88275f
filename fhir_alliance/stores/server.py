"""A FHIR R4 server as a store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import uuid4

import msgspec
import orjson

from fhir_alliance.core.model import WriteMode
from fhir_alliance.errors import AllianceError, ConsentUnreachable
from fhir_alliance.fhir.difference import Change, Known
from fhir_alliance.fhir.elements import has_code
from fhir_alliance.fhir.identifiers import TERMS, local
from fhir_alliance.stores.bundles import statuses_of
from fhir_alliance.stores.capability import ENTRIES, PAGE_SIZE, Rung, ServerProfile
from fhir_alliance.stores.delivery import Delivery
from fhir_alliance.stores.http import Http, json_of
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.paging import found as found_on
from fhir_alliance.stores.paging import matches, pages
from fhir_alliance.stores.probe import fetch_profile
from fhir_alliance.stores.pull import Pull, PullPlan, pulled_somehow, stub_of
from fhir_alliance.stores.store import Page, PersonRecord, Record, Seen, Written, unseen
from fhir_alliance.stores.together import is_done_in_part

PEOPLE_AT_ONCE: Final = 40  # as many as one search can name
SUBJECTS_AT_ONCE: Final = 40  # keeps a search below the length that proxies cut


class ServerStore:
    """Resources on a server."""

    def __init__(
        self, base: str, http: Http | None = None, profile: ServerProfile | None = None,
        plan: PullPlan = PullPlan(Pull.LAST_UPDATED),  # noqa: B008 - frozen
    ) -> None:  # fmt: skip
        """base: the FHIR base address.  http: a session that is configured already.  profile: what a person pinned."""
        self._http = http or Http(base)
        self.base = self._http.base
        self.name = self.base
        self._profile = profile
        page_size = profile.page_size if profile is not None else PAGE_SIZE  # as a person has pinned it
        self._plan, self._count = msgspec.structs.replace(plan, page_size=page_size), str(page_size)
        self.pulled_by = ""
        self._has_asked = False

    @property
    def profile(self) -> ServerProfile:
        """What the server can do; it is asked before the first write, unless that was given."""
        if self._profile is None:
            self._profile = fetch_profile(self._http)
        return self._profile

    def responses(self, since: str, again: Collection[str], seen: Seen = unseen) -> Iterator[Page]:
        """Yield pages of QuestionnaireResponses that are new or changed, as well as the server can tell."""
        way, given = pulled_somehow(self._http, self._plan, lambda: self.profile, since, seen)
        self.pulled_by = "" if way.is_best else f"{way.how}: {way.why}"
        missing = set(again)
        for page in given:
            missing -= {record.source for record in page.records}
            yield page
        if missing:
            yield from self.again(missing)

    def again(self, references: Collection[str]) -> Iterator[Page]:
        """Yield the QuestionnaireResponses with these references; those that are gone are left out."""
        yield Page([Record(*pair) for pair in self._raw_named("QuestionnaireResponse", references)], "")

    def about(self, kind: str, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all resources of a type about these patients; all pages are read, of several searches at once."""
        wanted = list(dict.fromkeys(subjects))
        narrowed = {"category": "survey"} if kind == "Observation" else {}

        def found(start: int) -> list[Mapping[str, Any]]:
            patients = ",".join(wanted[start : start + SUBJECTS_AT_ONCE])
            params = {"patient": patients, **narrowed, "_count": self._count}
            return found_on(self._http, partial(self._http.search, kind, params))

        starts = range(0, len(wanted), SUBJECTS_AT_ONCE)
        if len(starts) <= 1:
            return [resource for start in starts for resource in found(start)]
        with ThreadPoolExecutor(min(len(starts), self._http.side_by_side)) as pool:
            return [resource for part in pool.map(found, starts) for resource in part]

    def active(self, kind: str) -> list[Mapping[str, Any]]:
        """Return all resources of a type whose status is active."""
        return self._listed(kind, {"status": "active", "_count": self._count})

    def tasks(self, code: str, statuses: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all Tasks with a code of ours in these statuses; a server that narrows less is corrected here."""
        params = {"code": f"{TERMS}|{code}", "status": ",".join(statuses), "_count": self._count}
        return [task for task in self._listed("Task", params) if has_code(task, code, statuses)]

    def messages(self, topic: str, statuses: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all Communications with a topic of ours in these statuses; R4 has no search by topic."""
        params = {"status": ",".join(statuses), "_count": self._count}
        return [message for message in self._listed("Communication", params) if has_code(message, topic, statuses)]

    def named(self, kind: str, references: Collection[str]) -> list[Mapping[str, Any]]:
        """Return resources by reference."""
        return [orjson.loads(body) for _, body in self._raw_named(kind, references)]

    def canonicals(self, kind: str, urls: Collection[str]) -> list[Mapping[str, Any]]:
        """Return Questionnaires and the like by url."""
        if not urls:
            return self._listed(kind, {"_count": self._count})
        found: list[Mapping[str, Any]] = []
        wanted = list(urls)
        for start in range(0, len(wanted), SUBJECTS_AT_ONCE):
            found += self._listed(kind, {"url": ",".join(wanted[start : start + SUBJECTS_AT_ONCE])})
        return found

    def people(self, kinds: Collection[str]) -> Iterator[PersonRecord]:
        """Yield all patients with what is on record about them, page by page, each once."""
        given: set[str] = set()
        params = {"_sort": "_id", "_count": str(PEOPLE_AT_ONCE)}
        for bundle in pages(self._http, lambda: self._http.get("Patient", params)):
            named = {f"Patient/{p.get('id')}": p for p in map(orjson.loads, matches(bundle))}
            patients = {reference: patient for reference, patient in named.items() if reference not in given}
            given |= patients.keys()
            about: dict[str, list[Mapping[str, Any]]] = {reference: [] for reference in patients}
            for kind in sorted({*kinds, "Consent"}) if patients else ():
                for resource in self._about(kind, patients):
                    about.setdefault(_patient_of(resource, self.base), []).append(resource)
            for reference, patient in patients.items():
                yield PersonRecord(patient, about[reference])

    def put(self, changes: Sequence[Change], known: Known, journal: Journal) -> Written:
        """Write on the best rung that the server takes, in batches of about a hundred, on several connections."""
        delivery = Delivery(self._http, self.profile, known, journal)
        if changes and self._falls_apart(delivery.rung_of(changes)):
            journal.refuse(Rung.TRANSACTION, datetime.now(UTC))
            delivery = Delivery(self._http, self.profile, known, journal)
        delivery.send_all(changes)
        return delivery.written

    def _falls_apart(self, rung: Rung) -> bool:
        """Return whether transactions are done in part, which is asked once, before the first is sent."""
        is_to_ask = rung is Rung.TRANSACTION and self.profile.keeps_together is None and not self._has_asked
        self._has_asked |= is_to_ask
        return is_to_ask and is_done_in_part(self._http)

    def takes(self, kind: str, journal: Journal) -> bool:
        """Return whether the server says that it takes new resources of a type, and has not refused one lately."""
        refused = journal.refusals(datetime.now(UTC))
        return self.profile.once(kind, WriteMode.KEEP_CURRENT, refused=refused) is not None

    def updates(self, kind: str, journal: Journal) -> bool:
        """Return whether the server says that it takes changes of a type, and has not refused one lately."""
        refused = journal.refusals(datetime.now(UTC))
        return self.profile.takes_updates(kind, refused)

    def log(self, events: Sequence[bytes]) -> bool:
        """Take AuditEvents, all of them or none."""
        try:
            return all(self._logged(events[at : at + ENTRIES]) for at in range(0, len(events), ENTRIES))
        except AllianceError:
            return False

    def _logged(self, events: Sequence[bytes]) -> bool:
        request = {"method": "POST", "url": "AuditEvent"}
        entries = [{"fullUrl": uuid4().urn, "resource": orjson.Fragment(event), "request": request} for event in events]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        reply = self._http.write("POST", "", orjson.dumps(bundle), once=True)  # events carry no key
        return reply.ok and [status // 100 for status in statuses_of(json_of(reply))] == [2] * len(events)

    def create(self, change: Change, known: Known, journal: Journal) -> Written:
        """Create one resource by itself, in the best way that keeps it single."""
        delivery = Delivery(self._http, self.profile, known, journal)
        delivery.send_alone(change)
        return delivery.written

    def finish(self) -> None:
        """Nothing is held back: a server's answer is its promise."""

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _about(self, kind: str, patients: Collection[str]) -> list[Mapping[str, Any]]:
        """Return all resources of a type about some patients; without their Consents nothing is shared."""
        params = {"patient": ",".join(patients), "_count": self._count}
        if kind != "Consent":
            return found_on(self._http, lambda: self._http.search(kind, params))
        try:
            found = found_on(self._http, lambda: self._http.search(kind, params))
        except AllianceError as error:
            raise ConsentUnreachable("FA302", f"consents cannot be read ({error.code}); nothing is shared.") from error
        if any(_patient_of(consent, self.base) not in patients for consent in found):
            raise ConsentUnreachable("FA303", "the store gave a Consent of another client; nothing is shared.")
        return found

    def _listed(self, kind: str, params: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Return all resources that a search without a patient in it finds."""
        return found_on(self._http, lambda: self._http.get(kind, params))

    def _raw_named(self, kind: str, references: Collection[str]) -> list[tuple[str, bytes]]:
        found: dict[str, bytes] = {}
        wanted = list(dict.fromkeys(reference.rpartition("/")[2] for reference in references if reference))
        for start in range(0, len(wanted), SUBJECTS_AT_ONCE):
            params = {"_id": ",".join(wanted[start : start + SUBJECTS_AT_ONCE]), "_count": self._count}
            for bundle in pages(self._http, partial(self._http.search, kind, params)):
                found |= {f"{kind}/{stub_of(body).id}": body for body in matches(bundle)}
        return list(found.items())


def _patient_of(resource: Mapping[str, Any], base: str) -> str:
    named = (resource.get(element) for element in ("subject", "patient", "for", "beneficiary"))
    return next((local(str(n.get("reference", "")), base) for n in named if isinstance(n, dict)), "")
