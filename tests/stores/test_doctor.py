"""The check-up: what a server can do is found by itself, from what it states and from searches that find nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from fhir_alliance.config import Config
from fhir_alliance.errors import Exit, StopRun
from fhir_alliance.runs.doctor import CheckUp, doctor
from fhir_alliance.stores.capability import load_profile, save_profile
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.together import NOBODY
from tests.servers.loopback import read_together

Serve: TypeAlias = Callable[..., Any]  # see conftest.py
Ehr: TypeAlias = Any
Answer: TypeAlias = tuple[int, Any, dict[str, str]]

EMPTY: Answer = (200, {"resourceType": "Bundle", "type": "searchset"}, {})
SOMEBODY: Answer = (
    200, {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Task", "id": "Zilpzalp"}}]}, {},
)  # fmt: skip


@pytest.fixture
def look(serve: Serve, tmp_path: Path) -> Callable[..., CheckUp]:
    """A function that looks at a server, given its statement and what it answers to some searches."""

    def look(
        statement: dict[str, Any] | None, answers: dict[str, Answer] | None = None,
        transacted: Callable[[dict[str, Any]], Answer] | None = None, **said: Any,
    ) -> CheckUp:  # fmt: skip
        def answer(request: Any) -> Answer:
            if request.path == "/fhir/metadata":
                return (200, statement, {}) if statement is not None else (404, {}, {})
            if "smart-configuration" in request.path:
                return 404, {}, {}
            if request.path.strip("/") == "fhir":
                return (transacted or read_together)(json.loads(request.body)) or EMPTY
            asked = request.path + "?" + request.body.decode()
            return next((given for part, given in (answers or {}).items() if part in asked), EMPTY)

        look.server = serve(answer)  # type: ignore[attr-defined]
        content = {"state": {"folder": tmp_path / "state"}, **said}
        return doctor(look.server.base, Config.model_validate(content))  # type: ignore[attr-defined]

    return look


@pytest.fixture
def statement(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    """The maker of CapabilityStatements that lies beside these tests."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("stores_conftest", Path(__file__).with_name("conftest.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Callable[..., dict[str, Any]] = module.statement
    return made


def faults(found: CheckUp) -> list[str]:
    """Return the names of the checks that failed."""
    return [check.name for check in found.checks if check.standing == "fault"]


PLATFORM = {"conditionalCreate": True, "updateCreate": True, "conditionalUpdate": True}


@pytest.mark.parametrize(
    ("system", "options", "routes"),
    [
        (("transaction", "batch"), PLATFORM, ("transaction, client-id", "transaction, conditional-create")),
        (("batch",), {"conditionalCreate": True}, ("batch, conditional-create",) * 2),
        (("transaction",), {}, ("one at a time, search-first",) * 2),
        ((), {"conditionalUpdate": True}, ("one at a time, conditional-update", "one at a time, search-first")),
        ((), {"search": ("patient",)}, ("one at a time, by-content",) * 2),
        ((), {"search": ()}, ("one at a time, journal-only",) * 2),
        ((), {"without": ("create", "update")}, ("", "")),
    ],
    ids=["platform", "batch", "plain", "conditional update", "no identifier", "nothing back", "read only"],
)
def test_the_route_of_each_output(
    look: Callable[..., CheckUp], statement: Any, system: tuple[str, ...], options: dict[str, Any], routes: Any
) -> None:
    """Scores and reviews take the best way that a server states; what people own is never overwritten."""
    found = look(statement(*system, **options))
    told = {route.output: route.route for route in found.routes}
    for output, expected in zip(("scores", "reviews"), routes, strict=False):
        assert told[output].endswith(expected)
        assert bool(told[output]) == bool(expected)
    assert all(route.reason for route in found.routes)
    assert found.exit is (Exit.REFUSED if "without" in options else Exit.DONE)
    if "without" in options:
        assert "Create and update of Observation." in found.to_allow


def test_only_safe_reads_about_nobody(look: Callable[..., CheckUp], statement: Any) -> None:
    """The check-up writes nothing and asks for nobody's data: reads, and searches for an id that no patient has."""
    look(statement("transaction"))
    for request in look.server.requests:  # type: ignore[attr-defined]
        if request.path.strip("/") == "fhir":
            asked = [entry["request"] for entry in json.loads(request.body)["entry"]]
            assert all(each["method"] == "GET" and NOBODY in each["url"] for each in asked)
            continue
        assert request.method == "GET" or request.path.endswith("/_search")
        if request.path.endswith("/_search"):
            assert NOBODY in request.body.decode()
        elif "QuestionnaireResponse" in request.path:
            assert "2100-01-01" in request.path


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("/Consent/_search", "read Consent"),
        ("/Questionnaire?", "read Questionnaire"), ("/Encounter/_search", "read Encounter"),
    ],
)  # fmt: skip
def test_a_condition_that_is_ignored(look: Callable[..., CheckUp], statement: Any, part: str, name: str) -> None:
    """A server that ignores a condition and gives somebody's data is found out; what it gave is not told."""
    found = look(statement("transaction"), {part: SOMEBODY})
    assert faults(found) == [name]
    assert found.exit is Exit.REFUSED
    assert "Zilpzalp" not in json.dumps(found.as_object())


def test_a_server_that_does_not_tell_changes(look: Callable[..., CheckUp], statement: Any) -> None:
    """Row 66: where `_lastUpdated` is ignored, all is read each time: slower, and told, but no fault."""
    found = look(statement("transaction"), {"_lastUpdated=": SOMEBODY})
    assert (faults(found), found.exit) == ([], Exit.DONE)
    assert [check.standing for check in found.checks if check.name == "read QuestionnaireResponse"] == ["note"]
    assert found.profile is not None
    assert "_lastUpdated" not in found.profile.of("QuestionnaireResponse").search


@pytest.mark.parametrize("answer", [SOMEBODY, (400, {}, {}), (403, {}, {})], ids=["ignored", "refused", "forbidden"])
def test_an_identifier_that_finds_nothing(look: Callable[..., CheckUp], statement: Any, answer: Answer) -> None:
    """Where the statement promises a search by identifier that does not work, a safer way is chosen."""
    found = look(statement(), {"identifier=": answer})
    assert faults(found) == []
    assert {route.output: route.route for route in found.routes}["scores"].endswith("by-content")
    assert "Search of Observation by identifier, or conditional create." in found.to_allow


@pytest.mark.parametrize(("status", "ends"), [(403, Exit.AUTHORISATION), (400, Exit.REFUSED), (501, Exit.REFUSED)])
def test_a_type_that_cannot_be_read(look: Callable[..., CheckUp], statement: Any, status: int, ends: Exit) -> None:
    """A search that sync needs and may not make is a fault, with the status that sync would end with."""
    found = look(statement("transaction"), {"/Consent/_search": (status, {}, {})})
    assert (faults(found), found.exit) == (["read Consent"], ends)


@pytest.mark.parametrize(("version", "ends"), [("4.0.1", 0), ("4.0.0", 0), ("4.3.0", 22), ("5.0.0", 22), ("3.0.2", 22)])
def test_the_version_of_fhir(look: Callable[..., CheckUp], statement: Any, version: str, ends: int) -> None:
    """Only R4 is read and written; another version is told before anything goes wrong."""
    assert look(statement("transaction") | {"fhirVersion": version}).exit == ends


def test_a_server_that_states_nothing(look: Callable[..., CheckUp]) -> None:
    """Of a server without a statement the least is assumed: one write at a time, looked for first."""
    found = look(None)
    assert found.exit is Exit.DONE
    assert {route.route for route in found.routes} == {
        f"{kind}, one at a time, search-first" for kind in ("Observation", "Task", "Questionnaire")
    }


def test_nobody_there(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is one fault, with the status of a sync that meets it."""
    monkeypatch.setattr("fhir_alliance.stores.http.back_off", lambda attempt: 0.0)
    server = serve(EMPTY)
    server.stop()
    found = doctor(server.base, Config.model_validate({"state": {"folder": tmp_path / "state"}}))
    assert (faults(found), found.exit) == (["server"], Exit.UNREACHABLE)


def test_a_pinned_profile_outranks(look: Callable[..., CheckUp], statement: Any, tmp_path: Path, serve: Serve) -> None:
    """A profile that a person corrected is used in place of what the server states, and the difference is told."""
    found = look(statement("transaction", **PLATFORM))
    assert found.profile is not None
    file = tmp_path / "profile.json"
    save_profile(file, found.profile)
    said = json.loads(file.read_text(encoding="utf-8"))
    said["transaction"] = False
    said["types"]["Observation"]["once"] = "search-first"
    server = look.server  # type: ignore[attr-defined]
    file.write_text(json.dumps(said), encoding="utf-8")
    config = Config.model_validate({"state": {"folder": tmp_path / "state"}, "store": {"profile": file}})
    pinned = doctor(server.base, config)
    assert {route.output: route.route for route in pinned.routes}[
        "scores"
    ] == "Observation, one at a time, search-first"
    [told] = [check for check in pinned.checks if check.name == "pinned profile"]
    assert (told.standing, "transactions" in told.what) == ("note", True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "FA430"),
        ("[]", "FA430"),
        ('{"base": "B", "x": 1}', "FA430"),
        ('{"base": "https://other.example"}', "FA431"),
    ],
)
def test_a_profile_that_is_none(tmp_path: Path, text: str, code: str) -> None:
    """A profile with a key that is not understood, or of another server, is a fault of the configuration."""
    (tmp_path / "p.json").write_text(text, encoding="utf-8")
    with pytest.raises(StopRun, match=code):
        load_profile(tmp_path / "p.json", "https://ehr.example/fhir")


@pytest.mark.parametrize("broken", ["state open", "state is a file", "no token file", "bad address", "bad profile"])
def test_offline(tmp_path: Path, serve: Serve, broken: str) -> None:
    """Offline, the check-up sends nothing, and still finds what a container's configuration lacks."""
    server = serve(EMPTY)
    state = tmp_path / "state"
    config: dict[str, Any] = {"state": {"folder": state}}
    assert doctor(server.base, Config.model_validate(config), offline=True).exit is Exit.DONE
    assert not state.exists()
    place = server.base
    if broken == "state open":
        state.mkdir()
        state.chmod(0o755)
    elif broken == "state is a file":
        state.write_text("x", encoding="utf-8")
    elif broken == "no token file":
        config["auth"] = {"kind": "bearer", "token_file": tmp_path / "none"}
    elif broken == "bad profile":
        config["store"] = {"profile": tmp_path / "none"}
    else:
        place = "http://[bad/fhir"
    found = doctor(place, Config.model_validate(config), offline=True)
    assert found.exit is Exit.CONFIGURATION
    assert server.requests == []


def test_the_ways_that_a_site_allows(
    look: Callable[..., CheckUp], statement: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Where neither Observation nor Task is taken, the check-up names the lower ways that the site allows, and why."""
    bare = statement()
    kept = [r for r in bare["rest"][0]["resource"] if r["type"] not in ("Observation", "Task")]
    bare["rest"][0]["resource"] = kept
    said = {"scores": ["observation", "hl7v2"], "reviews": ["task", "worklist"], "folder": tmp_path / "drop"}
    found = look(bare, delivery=said)
    ways = {route.output: route for route in found.routes}
    assert ways["scores"].route == "hl7v2 files in the drop folder"
    assert ways["reviews"].route == "worklist in the drop folder"
    assert "nothing better" in ways["scores"].reason


def test_a_request_where_the_site_allows_it(
    look: Callable[..., CheckUp], statement: Callable[..., dict[str, Any]]
) -> None:
    """Where no Task is taken, a review goes as a request where the site said so, and as a message where it did not."""
    bare = statement()
    held = {"type": "ServiceRequest", "interaction": [{"code": "create"}], "conditionalCreate": True}
    bare["rest"][0]["resource"] = [r for r in bare["rest"][0]["resource"] if r["type"] != "Task"] + [held]
    for reviews, route in ((["task", "message"], "Communication"), (["task", "request", "message"], "ServiceRequest")):
        found = look(bare, delivery={"reviews": reviews})
        [way] = [route for route in found.routes if route.output == "reviews"]
        assert way.type == route
    assert (way.route, "a further request" in way.reason) == ("ServiceRequest, conditional-create", True)


@pytest.mark.parametrize("can", [("create", "update"), ("read",), ()])
def test_where_notices_can_be_had_that_is_said(
    look: Callable[..., CheckUp], statement: Callable[..., dict[str, Any]], can: tuple[str, ...]
) -> None:
    """A server that takes Subscriptions is one for `listen`; of one that does not, which is usual, nothing is said."""
    said = statement("transaction", **PLATFORM)
    if can:
        said["rest"][0]["resource"].append({"type": "Subscription", "interaction": [{"code": code} for code in can]})
    assert [check.standing for check in look(said).checks if check.name == "notices"] == ["ok"] * ("create" in can)


@pytest.mark.parametrize("roster", ["", "roster"])
def test_where_a_client_has_to_be_named_a_roster_is_asked_for(
    look: Callable[..., CheckUp], statement: Callable[..., dict[str, Any]], roster: str
) -> None:
    """A server that refuses what it states of searches for forms is one for a roster; without one, sync stops there."""
    refused = (400, {"resourceType": "OperationOutcome", "issue": [{"code": "required"}]}, {})
    said = {"QuestionnaireResponse?_lastUpdated": refused, "QuestionnaireResponse?authored": refused}
    found = look(statement("transaction", **PLATFORM), said, store={"roster": roster})
    assert faults(found) == ([] if roster else ["pull"])
    assert found.exit == (Exit.DONE if roster else Exit.REFUSED)
    assert found.pull is not None
    assert (found.pull.how == "roster") == bool(roster)
    assert {"_lastUpdated", "authored"}.isdisjoint(found.profile.of("QuestionnaireResponse").search)  # type: ignore[union-attr]


def test_the_habits_of_a_server_are_found(look: Callable[..., CheckUp], statement: Callable[..., Any]) -> None:
    """No next page, and nothing found by what it does not know: the check-up finds both, asking for no patient."""
    held = {"resourceType": "Bundle", "total": 2, "entry": [{"resource": {"resourceType": "Questionnaire", "id": "q"}}]}
    answers = {
        f"Questionnaire?{NOBODY}": EMPTY,
        "Questionnaire?_lastUpdated": (200, held, {}),
        "Questionnaire?_count": (200, held, {}),
    }
    found = {check.name: check.standing for check in look(statement("transaction"), answers).checks}
    assert (found["pages"], found["unknown parameters"]) == ("note", "note")
    assert "changes" not in found
    del answers["Questionnaire?_lastUpdated"]
    checks = {check.name: check for check in look(statement("transaction"), answers).checks}
    assert (checks["changes"].standing, checks["changes"].exit) == ("fault", Exit.REFUSED)
    answers[f"Questionnaire?{NOBODY}"] = (200, held, {})
    answers["Questionnaire?_count"] = (200, held | {"link": [{"relation": "next", "url": "x"}]}, {})
    found = {check.name: check.standing for check in look(statement("transaction"), answers).checks}
    assert found.keys().isdisjoint({"pages", "unknown parameters", "changes"})


def in_part(bundle: dict[str, Any]) -> Answer:
    """Answer a transaction entry by entry, as Medplum's router does."""
    return read_together(bundle, in_part=True) or EMPTY


@pytest.mark.parametrize(
    ("transacted", "standing", "kept", "way", "why"),
    [
        (None, "ok", True, "in a transaction", "all of a form stands or none of it; "),
        (in_part, "note", False, "in a batch", "no transactions that are kept together"),
        (lambda _: (405, {}, {}), "note", None, "in a transaction", "or none of it is not known"),
        (lambda _: (400, {}, {}), "note", None, "in a transaction", "or none of it is not known"),
    ],
    ids=["kept", "in part", "no reads in it", "not known"],
)
def test_whether_transactions_are_kept_together_is_found(
    look: Callable[..., CheckUp], statement: Any, transacted: Any, standing: str, kept: bool | None, way: str, why: str
) -> None:
    """The check-up finds by reads what becomes of a form of which a part fails, and promises no more than it found."""
    found = look(statement("transaction", "batch", **PLATFORM), transacted=transacted)
    [check] = [check for check in found.checks if check.name == "transactions"]
    assert (check.standing, found.exit) == (standing, Exit.DONE)
    assert found.profile is not None
    assert found.profile.keeps_together is kept
    for route in found.routes:
        assert way in route.route
        assert why in route.reason
    if kept is not True:
        assert not any(route.reason.startswith("all of a form") for route in found.routes)


def test_a_server_that_states_no_transactions_is_not_asked_about_them(
    look: Callable[..., CheckUp], statement: Any
) -> None:
    """Who says that it takes none is believed, and sent none."""
    found = look(statement("batch", **PLATFORM))
    assert "transactions" not in [check.name for check in found.checks]
    assert all(request.path.strip("/") != "fhir" for request in look.server.requests)  # type: ignore[attr-defined]


def test_a_pinned_profile_that_knows_less_is_told(look: Callable[..., CheckUp], statement: Any, tmp_path: Path) -> None:
    """Where transactions are found to be done in part and the pinned profile does not say so, it is told."""
    stated = statement("transaction", "batch", **PLATFORM)
    found = look(stated, transacted=in_part)
    assert found.profile is not None
    file = tmp_path / "profile.json"
    for kept, told in ((True, "note"), (None, "note"), (False, "ok")):
        save_profile(file, found.profile.model_copy(update={"keeps_together": kept}))
        config = Config.model_validate({"state": {"folder": tmp_path / "state"}, "store": {"profile": file}})
        pinned = doctor(look.server.base, config)  # type: ignore[attr-defined]
        assert [check.standing for check in pinned.checks if check.name == "pinned profile"] == [told]
        assert ("transaction" in pinned.routes[0].route) == (kept is not False)


REFUSALS = [
    (("transaction",), "scores", "batch, client-id", "transactions, or did them in part"),
    (("transaction", "batch"), "scores", "one at a time, client-id", "batches"),
    (("client-id:Observation",), "scores", "transaction, conditional-update", "Observation by client-id"),
    (("create:Task", "client-id:Task"), "reviews", "Communication, conditional-create", "new Task"),
    (
        ("client-id:Observation", "conditional-update:Observation", "create:Observation"), "scores",
        "DocumentReference, client-id", "new Observation",
    ),
    (("create:Questionnaire",), "forms", "", "new Questionnaire"),
]  # fmt: skip


@pytest.mark.parametrize(("refused", "output", "way", "why"), REFUSALS)
def test_the_routes_are_those_of_the_next_run(
    look: Callable[..., CheckUp],
    statement: Any,
    tmp_path: Path,
    refused: tuple[str, ...],
    output: str,
    way: str,
    why: str,
) -> None:
    """The way that is shown does without what was lately refused, and says what that was, when, and until when."""
    stated = statement("transaction", "batch", more=("DocumentReference",), **PLATFORM)
    config = {"delivery": {"scores": ["observation", "document"], "reviews": ["task", "message"]}}
    before = {route.output: route for route in look(stated, **config).routes}
    journal = Journal(tmp_path / "state", "test")
    for what in refused:
        journal.refuse(what, datetime.now(UTC))
    until = journal.lately_refused(datetime.now(UTC))[0][1]
    refusals = journal.refusals(datetime.now(UTC))
    journal.close()
    after = {route.output: route for route in look(stated, **config).routes}
    assert after[output].route.endswith(way)
    assert bool(after[output].route) == bool(way)
    day = (datetime.fromisoformat(until) - timedelta(days=1)).date()
    assert f"the server refused {why} on {day}; until {until[:10]}" in after[output].reason
    if all(":" in what for what in refusals):
        assert {name: route for name, route in after.items() if name != output} == {
            name: route for name, route in before.items() if name != output
        }
    assert all("refused" not in route.reason for route in before.values())
