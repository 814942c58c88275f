"""Three kinds of site for the same tests: a folder of NDJSON, HAPI FHIR, and Medplum's router."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.publish import publish
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.stores.store import Store
from tests.servers import hapi_server, router_server
from tests.stores.conftest import statement

CONFLICT = 409
NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))  # not UTC, on purpose
CLINICAL = (
    "AuditEvent", "Provenance", "Flag", "Communication", "Task", "Observation", "Consent", "QuestionnaireResponse",
    "CareTeam", "CarePlan", "Goal", "Encounter", "EpisodeOfCare", "Practitioner", "Patient",
)  # fmt: skip


class Site(Protocol):
    """A store with data in it. now: the clock of its runs."""

    now: datetime

    def load(self, *resources: dict[str, Any]) -> None:
        """Put resources there, as an EHR would; the same id again replaces it with a new version."""

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return every resource of a type as it stands."""

    def edit(self, resource: dict[str, Any]) -> None:
        """Change a resource that the program wrote, as a person would."""

    def errors(self, resource: dict[str, Any]) -> list[str]:
        """Return what is wrong with a resource, where there is somebody to say so."""

    def sync(self, policy: Policy = ..., *, dry_run: bool = ..., now: datetime = ...) -> Summary:
        """Run a sync."""

    def publish(self, *, dry_run: bool = ...) -> Summary:
        """Publish all artefacts."""

    def opened(self) -> Any:
        """Return a context with the store and its journal, the lease held."""

    def forget(self) -> None:
        """Delete the journal."""

    def clear(self) -> None:
        """Delete all that was derived, and the journal."""


class _Common:
    state: Path
    now = NOW

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def store(self) -> Store:
        raise NotImplementedError

    @contextmanager
    def opened(self) -> Iterator[tuple[Store, Journal]]:
        store = self.store()
        journal = Journal(self.state, store.name)
        try:
            yield store, journal
        finally:
            store.close()
            journal.close()

    def sync(self, policy: Policy = Policy(), *, dry_run: bool = False, now: datetime = NOW) -> Summary:  # noqa: B008
        with self.opened() as (store, journal):
            return sync(store, self._catalog, journal, policy, now, dry_run=dry_run)

    def errors(self, resource: dict[str, Any]) -> list[str]:
        return []

    def publish(self, *, dry_run: bool = False) -> Summary:
        with self.opened() as (store, journal):
            return publish(store, self._catalog, journal, dry_run=dry_run)

    def forget(self) -> None:
        for file in self.state.iterdir():
            file.unlink()


class FolderSite(_Common):
    """A folder."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        super().__init__(catalog)
        self.folder = folder
        self.state = folder / ".fhir-alliance"
        self._held: dict[str, dict[str, dict[str, Any]]] = {}

    def store(self) -> Store:
        return FolderStore(self.folder)

    def load(self, *resources: dict[str, Any]) -> None:
        for resource in resources:
            held = self._held.setdefault(resource["resourceType"], {})
            version = int(held.get(resource["id"], {}).get("meta", {}).get("versionId", "0")) + 1
            held[resource["id"]] = resource | {"meta": {**resource.get("meta", {}), "versionId": str(version)}}
        for kind, held in self._held.items():
            lines = [json.dumps(resource) for resource in held.values()]
            (self.folder / f"{kind}.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def all(self, kind: str) -> list[dict[str, Any]]:
        file = self.folder / f"{kind}.fhir-alliance.ndjson"
        return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []

    def clear(self) -> None:
        for kind in ("Observation", "Task"):
            (self.folder / f"{kind}.fhir-alliance.ndjson").unlink()
        self.forget()

    def edit(self, resource: dict[str, Any]) -> None:
        file = self.folder / f"{resource['resourceType']}.fhir-alliance.ndjson"
        lines = [resource if r["id"] == resource["id"] else r for r in self.all(resource["resourceType"])]
        file.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")


class _ServerSite(_Common):
    """What a test does on any server."""

    def __init__(self, fhir: Any, state: Path, catalog: Catalog) -> None:
        super().__init__(catalog)
        self.fhir = fhir
        self.state = state

    def store(self) -> Store:
        return ServerStore(self.fhir.base)

    def load(self, *resources: dict[str, Any]) -> None:
        for resource in resources:
            self.fhir.put(resource)

    def all(self, kind: str) -> list[dict[str, Any]]:
        found = self.fhir.get(kind, _count="1000", _sort="_lastUpdated")
        return [entry["resource"] for entry in found.get("entry", [])]

    def edit(self, resource: dict[str, Any]) -> None:
        self.fhir.put(resource)


class HapiSite(_ServerSite):
    """A server that validates."""

    def errors(self, resource: dict[str, Any]) -> list[str]:
        found: list[str] = self.fhir.errors(resource)
        return found

    def clear(self) -> None:
        self.wipe("Provenance", "Task", "Observation")
        self.forget()

    def wipe(self, *kinds: str) -> None:
        """Delete in one transaction, so that what refers to each other goes together.

        Once more where HAPI refuses it for a collision with its own upkeep, as it can when the machine is busy.
        """
        try:
            self._wipe(*kinds)
        except hapi_server.FhirError as refusal:
            if refusal.status != CONFLICT:
                raise
            self._wipe(*kinds)

    def _wipe(self, *kinds: str) -> None:
        gone = [f"{kind}/{resource['id']}" for kind in kinds or CLINICAL for resource in self.all(kind)]
        entries = [{"request": {"method": "DELETE", "url": reference}} for reference in gone]
        if entries:
            self.fhir.post({"resourceType": "Bundle", "type": "transaction", "entry": entries})


class RouterSite(_ServerSite):
    """A server that names no next page, keeps no transaction together, and finds nothing where it does not know how."""

    def clear(self) -> None:
        for kind in ("Provenance", "Task", "Observation"):
            for resource in self.all(kind):
                self.fhir.delete(f"{kind}/{resource['id']}")
        self.forget()


@pytest.fixture(scope="session")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Medplum's router. It has no CapabilityStatement: what it states is ours, as it was seen to do."""
    if missing := router_server.why_not():
        pytest.skip(f"needs a second server: {missing}")
    said = tmp_path_factory.mktemp("router") / "statement.json"
    stated = statement("transaction", "batch", more=("Measure", "Library"), conditionalCreate=True)
    said.write_text(json.dumps(stated), encoding="utf-8")
    with router_server.started(str(said)) as base:
        yield base


# What is not run against the router, and why.
LEFT_OUT: Final = {
    "test_twelve_weeks": "it goes through all that it holds at each search, and twelve weeks take it three minutes",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what the router cannot do within the time that a test may take."""
    items[:] = [item for item in items if "[router" not in item.name or item.path.stem not in LEFT_OUT]


@pytest.fixture
def router_site(router: str, tmp_path: Path, catalog: Catalog) -> Iterator[RouterSite]:
    """The router, empty."""
    site = RouterSite(hapi_server.FhirClient(router), tmp_path / "state", catalog)
    yield site
    site.fhir.delete("")
    site.fhir.close()


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The shipped instruments."""
    return load_catalog()


@pytest.fixture
def folder_site(tmp_path: Path, catalog: Catalog) -> FolderSite:
    """An empty folder."""
    folder = tmp_path / "clinic"
    folder.mkdir()
    return FolderSite(folder, catalog)


@pytest.fixture
def hapi_site(fhir: Any, tmp_path: Path, catalog: Catalog) -> Iterator[HapiSite]:
    """The real server, empty but for what is published."""
    site = HapiSite(fhir, tmp_path / "state", catalog)
    site.wipe()
    yield site
    site.wipe()


@pytest.fixture(params=["folder", pytest.param("hapi", marks=pytest.mark.hapi), "router"])
def site(request: pytest.FixtureRequest) -> Site:
    """Each kind of site in turn."""
    made: Site = request.getfixturevalue(f"{request.param}_site")
    return made


@pytest.fixture
def check_valid(request: pytest.FixtureRequest) -> Callable[[Site], None]:
    """Return a check that everything written validates; on a folder, that it parses as FHIR R4."""

    def check(site: Site) -> None:
        from fhir.resources.R4B.observation import Observation
        from fhir.resources.R4B.task import Task

        for kind, model in (("Observation", Observation), ("Task", Task)):
            for resource in site.all(kind):
                model.model_validate(resource)
                assert site.errors(resource) == []

    return check
