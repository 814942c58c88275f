"""Resources of other kinds that carry a form's Observations: what stands there, and what to send."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from fhir_alliance.config import ScoreRoute
from fhir_alliance.core.model import Write
from fhir_alliance.fhir.carried_scores import Held
from fhir_alliance.fhir.difference import Change, ChangeKind
from fhir_alliance.fhir.observation import score_identifier
from fhir_alliance.fhir.score_document import carried_in_documents, document
from fhir_alliance.fhir.score_form import carried_in_forms, score_form
from fhir_alliance.fhir.score_sheet import Sheet
from fhir_alliance.runs.given import given
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Store


class Carrier(NamedTuple):
    """How one kind carries. mark: in the journal, that some of our scores stand in such resources."""

    kind: str
    mark: str
    write: Callable[[Sheet, str], Write]
    read: Callable[[Iterable[Mapping[str, Any]]], dict[str, Held]]


CARRIERS: Final[Mapping[ScoreRoute, Carrier]] = {
    ScoreRoute.SCORE_FORM: Carrier("QuestionnaireResponse", "score-forms", score_form, carried_in_forms),
    ScoreRoute.DOCUMENT: Carrier("DocumentReference", "documents", document, carried_in_documents),
}
TAKEN_AS: Final = {ScoreRoute.OBSERVATION: "Observation"} | {route: held.kind for route, held in CARRIERS.items()}


class Carriers:
    """What one run knows of scores that stand in other resources."""

    def __init__(self, store: Store, journal: Journal, *, with_pdf: bool, dry_run: bool) -> None:
        """with_pdf: people read documents as PDF; raises StopRun FA719 where none can be drawn."""
        self._store, self._journal, self._dry_run = store, journal, dry_run
        self._writers = {route: carrier.write for route, carrier in CARRIERS.items()}
        if with_pdf:
            from fhir_alliance.runs.score_paper import paper_writer  # which few sites load

            self._writers[ScoreRoute.DOCUMENT] = paper_writer()
        self._held: dict[ScoreRoute, dict[str, Held]] = {}
        self._routes: dict[str, ScoreRoute] = {}

    def read(self, subjects: Collection[str], best: ScoreRoute) -> list[dict[str, Any]]:
        """Return the clients' scores in such resources, asked for where there may be some.

        best: the way of new scores.
        """
        self._held, self._routes = {}, {}
        for route, carrier in CARRIERS.items():
            if route is best or self._journal.delivered(carrier.mark) is not None:
                self._look(route, subjects)
        return [o for held in self._held.values() for _, observations in held.values() for o in observations]

    def route_of(self, key: str) -> ScoreRoute | None:
        """Return the way in which a panel or a score stands, or None."""
        return self._routes.get(key)

    def are_used(self) -> bool:
        """Return whether any score of these clients stands in such a resource."""
        return bool(self._routes)

    def changes(self, route: ScoreRoute, sheets: Mapping[str, Sheet]) -> list[Change]:
        """Return what brings the resources of sheets that have changed to what they should say. sheets: by group."""
        carrier = CARRIERS[route]
        if not self._held.get(route):  # a journal that was lost knows of none, and a server may have refused only now
            self._look(route, {sheet.subject for sheet in sheets.values()})
        changes = []
        for group, sheet in sheets.items():
            held = self._held[route].get(sheet.key, ({}, []))[0]
            kind = ChangeKind.UPDATE if held else ChangeKind.CREATE
            version = str((held.get("meta") or {}).get("versionId", ""))
            changes.append(Change(self._writers[route](sheet, group), kind, str(held.get("id", "")), version))
        if changes and not self._dry_run:
            self._journal.deliver(carrier.mark, "", "1")
        return changes

    def _look(self, route: ScoreRoute, subjects: Collection[str]) -> None:
        carrier = CARRIERS[route]
        self._held[route] = carrier.read(self._all(carrier.kind, subjects))
        for _, observations in self._held[route].values():
            self._routes |= {score_identifier(observation): route for observation in observations}

    def _all(self, kind: str, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return the clients' resources of a kind, none where the server does not let us read them."""
        found = given(lambda: self._store.about(kind, sorted(subjects)))
        return [resource for resource in found or () if isinstance(resource.get("meta", {}), dict)]
