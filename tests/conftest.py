"""What all tests share: one real FHIR server for the whole run, started when the first test asks for it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("untimed")


def _load(path: Path) -> ModuleType:
    """Return a module that lies beside the tests; import-mode importlib puts none of their folders on the path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


hapi_server = _load(Path(__file__).parent / "servers" / "hapi_server.py")
fault_server = _load(Path(__file__).parent / "servers" / "fault_server.py")
bulk_server = _load(Path(__file__).parent / "servers" / "bulk_server.py")

_MISSING = pytest.StashKey[str]()
_TOLD = pytest.StashKey[dict[str, Counter[str]]]()  # what the end of the run tells, also of tests in other processes
_ENGINES = {"fhirpath": "fhirpath.js", "lforms": "LHC-Forms", "own": "our FHIRPath path"}
_SERVER_FIXTURES = {"hapi", "start_hapi"}


@pytest.fixture
def kill_points(request: pytest.FixtureRequest) -> Counter[str]:
    """Where runs were killed, by way of writing; told at the end."""
    return request.config.stash[_TOLD]["killed"]


@pytest.fixture(scope="session")
def hapi() -> Iterator[Any]:
    """One validating server for the whole run, with this project's profiles: `.base`, `.pid`."""
    with hapi_server.start(validate=True) as server:
        with hapi_server.FhirClient(server.base) as client:
            hapi_server.publish(client)
        yield server


@pytest.fixture(scope="session")
def fhir(hapi: Any) -> Iterator[Any]:
    """A small client of that server: get, put, post, delete, errors; it raises what the server says."""
    with hapi_server.FhirClient(hapi.base) as client:
        yield client


@pytest.fixture
def start_hapi() -> Iterator[Callable[..., Any]]:
    """A function that starts a server of the test's own (see `start` in servers/hapi_server.py); all end with it."""
    started: list[Any] = []

    def start(**options: Any) -> Any:
        started.append(hapi_server.start(**options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def start_server() -> Iterator[Callable[..., Any]]:
    """A function that starts a small server with these abilities (see servers/fault_server.py); all end with the test.

    Its attribute `faults` is the enumeration of what can be made to happen to a write.
    """
    with ExitStack() as running:

        def start(**abilities: Any) -> Any:
            return running.enter_context(fault_server.started(fault_server.Abilities(**abilities)))

        start.faults = fault_server.Fault  # type: ignore[attr-defined]
        yield start


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A Spark session on two cores of this machine, and nothing of it on any network."""
    missing = hapi_server.why_no_java()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"Spark cannot run: {missing}", pytrace=False)
    if missing:
        request.config.stash[_TOLD]["spark"][missing] += 1
        pytest.skip(f"needs Spark: {missing}")
    from fhir_alliance.stores.spark import spark_session

    lean = {  # for a few small jobs, compiling costs more than it gives
        "spark.master": "local[2]",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.shuffle.partitions": "2",
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in lean.items():
            patch.setitem(spark_session.__globals__["_HERE"], key, value)
        session = spark_session()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def comparisons(request: pytest.FixtureRequest) -> Counter[str]:
    """How many results were compared with those of other engines, by engine; told at the end of the run."""
    return request.config.stash[_TOLD]["compared"]


def pytest_configure(config: pytest.Config) -> None:
    """Start counting."""
    config.stash[_TOLD] = {kind: Counter() for kind in ("hapi", "killed", "compared", "spark")}
    config.stash[_MISSING] = ""


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses the server, so that none can be forgotten; look for Java only when something does."""
    for item in items:
        # a file stays in one process, but for the comparisons with other engines: minutes, one by one
        group = item.nodeid if "engines" in item.path.parts else item.nodeid.partition("::")[0]
        if _SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("hapi")
            group = "hapi"  # and there is one server
        item.add_marker(pytest.mark.xdist_group(group))
    needed = any(item.get_closest_marker("hapi") for item in items)
    config.stash[_MISSING] = hapi_server.why_not() if needed else ""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a server where none can run; where CI promises one, fail."""
    missing = item.config.stash[_MISSING]
    if not missing or item.get_closest_marker("hapi") is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"The real FHIR server cannot run: {missing}", pytrace=False)
    item.config.stash[_TOLD]["hapi"]["skipped"] += 1
    pytest.skip(f"needs the real FHIR server: {missing}")


def pytest_runtest_call(item: pytest.Item) -> None:
    """Count the tests that reached their body; a skipped one does not."""
    if item.get_closest_marker("hapi") is not None:
        item.config.stash[_TOLD]["hapi"]["ran"] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was counted to the process that tells it, where there are several."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["told"] = {kind: dict(counts) for kind, counts in session.config.stash[_TOLD].items()}
        output["missing"] = session.config.stash[_MISSING]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what another process has counted."""
    output = getattr(node, "workeroutput", {})
    for kind, counts in output.get("told", {}).items():
        node.config.stash[_TOLD][kind].update(counts)
    node.config.stash[_MISSING] = output.get("missing") or node.config.stash[_MISSING]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how much of the run met a real server: green without one proves less."""
    told = config.stash[_TOLD]
    skipped, killed = told["hapi"]["skipped"], told["killed"]
    terminalreporter.write_line(f"HAPI FHIR: {told['hapi']['ran']} tests ran against the real server")
    exports = killed.pop("export", 0)
    if killed or exports:
        ways = f"Killed at {killed.total():,} points, in {len(killed)} ways of writing"
        terminalreporter.write_line(f"{ways}; at {exports:,} of an export")
    for engine, count in told["compared"].items():
        terminalreporter.write_line(f"Engines: {count:,} totals agree with {_ENGINES[engine]}")
    for missing in told["spark"]:
        terminalreporter.write_line(f"Spark: its tests were skipped: {missing}", yellow=True)
    if skipped:
        terminalreporter.write_line(f"HAPI FHIR: {skipped} tests skipped: {config.stash[_MISSING]}", yellow=True)


@pytest.fixture
def start_bulk() -> Iterator[Callable[..., Any]]:
    """A function that starts a Bulk Data server (see servers/bulk_server.py); all end with the test."""
    with ExitStack() as running:
        yield lambda **said: running.enter_context(bulk_server.started(bulk_server.BulkServer(**said)))
