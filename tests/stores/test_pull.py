"""Changed responses are found by what a server can search, none is passed over, and none is read twice for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from fhir_alliance.errors import Exit, RetryLater, StopRun
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.capability import ServerProfile, TypeProfile
from fhir_alliance.stores.http import Http
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.pull import KIND, Pull, PullPlan, chosen, roster_of
from fhir_alliance.stores.server import ServerStore
from fhir_alliance.testing import response_json

Serve: TypeAlias = Callable[..., Any]

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def form(name: str, updated: str, **elements: Any) -> dict[str, Any]:
    """Return a filled-in PHQ-9."""
    return response_json([1] * 9, name=name, meta={"versionId": "1", "lastUpdated": updated}, **elements)


def profile(*search: str) -> ServerProfile:
    """Return what a server can do whose responses can be searched by these parameters."""
    return ServerProfile(base="x", types={"QuestionnaireResponse": TypeProfile(search=search)})


def page(*resources: dict[str, Any], following: str = "") -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return a page of a search."""
    link = [{"relation": "next", "url": following}] if following else []
    return 200, {"resourceType": "Bundle", "entry": [{"resource": r} for r in resources], "link": link}, {}


@pytest.mark.parametrize(
    ("search", "roster", "way"),
    [
        (("_lastUpdated", "authored", "patient"), "r", Pull.LAST_UPDATED),
        (("authored", "patient"), "r", Pull.AUTHORED),
        (("patient",), "r", Pull.ROSTER),
        (("patient",), "", Pull.LAST_UPDATED),
    ],
)
def test_the_best_way_that_a_server_offers_is_chosen(search: tuple[str, ...], roster: str, way: Pull) -> None:
    """`_lastUpdated` comes first, then `authored`, then a roster, and what a person says before all."""
    assert chosen(PullPlan(roster=roster), lambda: profile(*search))[0] is way
    assert chosen(PullPlan(Pull.ROSTER, roster), lambda: profile(*search))[0] is Pull.ROSTER
    assert chosen(PullPlan(roster=roster), lambda: ServerProfile(base="x"))[0] is Pull.LAST_UPDATED


def test_no_choice_is_made_in_silence(serve: Serve) -> None:
    """Where nothing that a server states finds changes, the reason says what to do."""
    _, why, is_best = chosen(PullPlan(), lambda: profile("patient"))
    assert not is_best
    assert "roster" in why
    assert "export" in why


@pytest.mark.parametrize(
    ("order", "marks"),
    [
        (("05", "06", "07", "08"), ["06", "08"]),
        (("08", "07", "06", "05"), ["", "08"]),
        (("05", "05", "05", "05"), ["", "05"]),
        (("05", "07", "06", "08"), ["07", "08"]),
        (("05", "05", "06", "04"), ["", "06"]),
    ],
)
def test_the_bookmark_waits_where_pages_are_not_in_order(
    serve: Serve, order: tuple[str, ...], marks: list[str]
) -> None:
    """Of a server that does not sort as asked, no page moves the bookmark past what later pages hold."""
    forms = [form(f"r{number}", f"2026-01-{day}T10:00:00Z") for number, day in enumerate(order)]
    server = serve(page(*forms[:2], following="QuestionnaireResponse?page=2"), page(*forms[2:]))
    store = ServerStore(server.base)
    try:
        told = [found.mark for found in store.responses("", ())]
    finally:
        store.close()
    assert [mark[8:10] for mark in told] == marks


class Clinic:
    """A server that searches by patient, or by authored, and nothing else."""

    def __init__(self, *forms: dict[str, Any]) -> None:
        self.forms, self.asked = list(forms), list[dict[str, str]]()
        self.observations: list[dict[str, Any]] = []
        self.fails = False

    def __call__(self, request: Any) -> tuple[int, Any, dict[str, str]]:
        """Answer."""
        url = urlsplit(request.path)
        asked = {k: v[0] for k, v in parse_qs(url.query + "&" + request.body.decode()).items()}
        if url.path.startswith("/fhir/Group/"):
            members = [
                {"entity": {"reference": "Patient/p1"}},
                {"entity": {"reference": "Patient/p2"}, "inactive": True},
            ]
            return 200, {"resourceType": "Group", "member": members}, {}
        if url.path == "/fhir/metadata":
            kinds = [{"type": "Observation", "conditionalCreate": True}, {"type": "Task", "conditionalCreate": True}]
            held = {"interaction": [{"code": c} for c in ("read", "search-type", "create", "update")]}
            return 200, {"rest": [{"mode": "server", "resource": [held | kind for kind in kinds]}]}, {}
        if request.method == "POST" and not url.path.endswith("_search"):
            if self.fails:
                return 503, {}, {"Retry-After": "0"}
            body = json.loads(request.body)
            key = unquote(request.headers.get("If-None-Exist", "")).rpartition("|")[2]
            if key and any(key == o["identifier"][0]["value"] for o in self.observations):
                return 200, {}, {}
            self.observations.append(body | {"id": f"o{len(self.observations)}"})
            return 201, {}, {"Location": f"Observation/o{len(self.observations) - 1}"}
        kind = url.path.split("/")[2]
        if kind == "Observation":
            return page(*self.observations)
        if kind != "QuestionnaireResponse":
            return page()
        self.asked.append(asked)
        found = [f for f in self.forms if asked.get("patient", "") in ("", f["subject"]["reference"])]
        found = [f for f in found if f["authored"][:10] >= asked.get("authored", "ge").removeprefix("ge")]
        return page(*(f for f in found if f["id"] in asked.get("_id", f["id"]).split(",")))


@pytest.fixture
def run(serve: Serve, journal: Journal) -> Callable[..., Summary]:
    """A function that syncs a clinic, by a plan."""

    def run(clinic: Clinic, plan: PullPlan) -> Summary:
        http = Http(serve(clinic).base, sleep=lambda _: None)
        store = ServerStore(http.base, http, plan=plan)
        try:
            return sync(store, load_catalog(), journal, Policy(), datetime.now(UTC))
        finally:
            store.close()

    return run


def test_a_roster_is_read_by_client_and_what_is_known_is_left_out(run: Callable[..., Summary], tmp_path: Path) -> None:
    """Every client of the roster is asked for each time; only what is new or changed is scored."""
    (tmp_path / "roster").write_text("# ours\nPatient/p1\n\nPatient/p1\n")
    clinic = Clinic(form("r1", ""), form("r2", "", subject="Patient/p2"))
    plan = PullPlan(Pull.ROSTER, str(tmp_path / "roster"))
    assert [run(clinic, plan).read for _ in range(2)] == [1, 0]
    assert [asked["patient"] for asked in clinic.asked] == ["Patient/p1", "Patient/p1"]
    clinic.forms[0] = clinic.forms[0] | {"status": "amended"}
    assert run(clinic, plan).read == 1


def test_what_is_not_confirmed_is_read_again(run: Callable[..., Summary], tmp_path: Path, journal: Journal) -> None:
    """A form whose scores the server did not confirm is no form that was read."""
    (tmp_path / "roster").write_text("Patient/p1\n")
    clinic = Clinic(form("r1", ""))
    clinic.fails = True
    plan = PullPlan(Pull.ROSTER, str(tmp_path / "roster"))
    first = run(clinic, plan)
    assert first.exit is not Exit.DONE
    assert first.unknown
    assert journal.seen("QuestionnaireResponse/r1") == ""
    assert run(clinic, plan).read == 1


def test_authored_reads_a_window_before_the_last_run(run: Callable[..., Summary], journal: Journal) -> None:
    """The first run reads all, later ones a window of days before the last that was whole."""
    clinic = Clinic(form("r1", "", authored="2020-01-05T10:00:00Z"))
    plan = PullPlan(Pull.AUTHORED, window_days=30)
    assert run(clinic, plan).read == 1
    before = journal.bookmark()
    clinic.forms.append(form("r2", "", authored=datetime.now(UTC).isoformat(timespec="seconds")))
    assert run(clinic, plan).read == 1
    assert "authored" not in clinic.asked[0]
    assert datetime.fromisoformat(before).date() - datetime.fromisoformat(clinic.asked[1]["authored"][2:]).date() == (
        datetime(2026, 1, 31) - datetime(2026, 1, 1)
    )


EXPIRED = {
    "410": (410, {}, {}),
    "404": (404, {}, {}),
    "4113": (400, {"resourceType": "OperationOutcome", "issue": [{"details": {"coding": [{"code": "4113"}]}}]}, {}),
}  # fmt: skip


class Forgetful:
    """A server that forgets the pages of a search: the third is asked for in vain, or (always) also the second."""

    def __init__(self, ehr: Any, answer: Any, kind: str = KIND, *, always: bool = False) -> None:
        self.ehr, self.answer, self.always, self.path = ehr, answer, always, f"/fhir/{kind}"
        self.searches: list[str] = []
        ehr.page = 2

    def __call__(self, request: Any) -> Any:
        """Answer."""
        url = urlsplit(request.path)
        asked = {k: v[0] for k, v in parse_qs(url.query).items()}
        if request.method == "GET" and url.path == self.path:
            if "_offset" not in asked:
                self.searches.append(asked.get("_lastUpdated", ""))
            elif int(asked["_offset"]) == 4 or self.always:
                return self.answer
        return self.ehr(request)


@pytest.mark.parametrize("expired", EXPIRED)
def test_a_search_that_the_server_forgets_begins_anew_at_the_last_mark(
    serve: Serve, ehr: Any, journal: Journal, expired: str
) -> None:
    """Pages that expire midway cost a new search from the last mark on: every form is scored, and counted once."""
    ehr.resources = [
        form(f"r{n}", f"2026-01-05T{10 + n}:00:00Z", authored=f"2026-01-05T{10 + n}:00:00Z") for n in range(9)
    ]
    server = Forgetful(ehr, EXPIRED[expired])
    store = ServerStore(serve(server).base)
    try:
        done = sync(store, load_catalog(), journal, Policy(), NOW)
    finally:
        store.close()
    assert (done.exit, done.read, done.scored) == (Exit.DONE, 9, 9)
    assert server.searches == ["", "ge2026-01-05T12:58:00+00:00", "ge2026-01-05T15:58:00+00:00"]
    assert journal.bookmark() == "2026-01-05T18:00:00Z"


def test_a_search_that_is_forgotten_again_and_again_is_for_later(serve: Serve, ehr: Any, journal: Journal) -> None:
    """After five new beginnings the run ends with 75; what was read until then has moved the bookmark."""
    ehr.resources = [form(f"r{n}", f"2026-01-05T{10 + n}:00:00Z") for n in range(9)]
    server = Forgetful(ehr, EXPIRED["410"], always=True)
    store = ServerStore(serve(server).base)
    try:
        with pytest.raises(RetryLater, match="FA454") as told:
            sync(store, load_catalog(), journal, Policy(), NOW)
    finally:
        store.close()
    assert told.value.exit is Exit.LATER
    assert len(server.searches) == 1 + 5
    assert journal.bookmark() == "2026-01-05T16:00:00Z"


def test_a_forgotten_search_without_order_begins_at_its_beginning(serve: Serve) -> None:
    """Where pages do not rise, there is no mark to begin at: all is searched again, and only the rest is given.

    Pages that rise after the new beginning move no bookmark either.
    """
    forms = [form(f"r{n}", f"2026-01-{20 - n}T10:00:00Z") for n in range(4)]
    said = [
        page(*forms[:2], following="QuestionnaireResponse?page=2"), EXPIRED["410"],
        page(*forms[1::-1], following="QuestionnaireResponse?page=2"), page(*forms[2:]),
    ]  # fmt: skip
    server = serve(*said)
    store = ServerStore(server.base)
    try:
        told = list(store.responses("2026-01-02T00:00:00Z", ()))
    finally:
        store.close()
    assert [[r.source[-2:] for r in p.records] for p in told] == [["r0", "r1"], [], ["r2", "r3"]]
    assert [p.mark[:10] for p in told] == ["", "", "2026-01-20"]
    assert server.requests[2].path == server.requests[0].path


@pytest.mark.parametrize("how", [Pull.AUTHORED, Pull.ROSTER])
def test_forgotten_pages_of_the_other_ways_begin_anew(
    serve: Serve, journal: Journal, tmp_path: Path, how: Pull
) -> None:
    """By authored, and of each client of a roster, a search that is forgotten gives each form once."""
    (tmp_path / "roster").write_text("Patient/p1\n")
    forms = [form(f"r{n}", "") for n in range(3)]
    said = [
        page(*forms[:2], following="QuestionnaireResponse?page=2"), EXPIRED["410"],
        page(*forms[:2], following="QuestionnaireResponse?page=2"), page(*forms[1:]),
    ]  # fmt: skip
    store = ServerStore(serve(*said).base, plan=PullPlan(how, str(tmp_path / "roster")))
    try:
        told = [record.source[-2:] for found in store.responses("", (), journal.seen) for record in found.records]
    finally:
        store.close()
    assert told == ["r0", "r1", "r2"]


def test_a_forgotten_list_is_read_again_whole(serve: Serve, ehr: Any) -> None:
    """What has to be known whole (Questionnaires, a client's scores) is searched again; nothing stands in it twice."""
    ehr.resources = [{"resourceType": "Questionnaire", "id": f"q{n}"} for n in range(5)]
    server = Forgetful(ehr, EXPIRED["410"], "Questionnaire")
    forgets = iter([True, False])

    def answer(request: Any) -> Any:
        return server(request) if "_offset=4" not in request.path or next(forgets) else ehr(request)

    store = ServerStore(serve(answer).base)
    try:
        assert store.canonicals("Questionnaire", ()) == ehr.resources
    finally:
        store.close()
    assert len(server.searches) == 2


def test_people_are_read_once_where_the_server_forgets_the_pages(serve: Serve, ehr: Any) -> None:
    """A report, which takes its time with every page of people, gets everybody, and nobody twice."""
    ehr.resources = [{"resourceType": "Patient", "id": f"p{n}"} for n in range(5)]
    server = Forgetful(ehr, EXPIRED["410"], "Patient")
    forgets = iter([True, False])

    def answer(request: Any) -> Any:
        return server(request) if "_offset=4" not in request.path or next(forgets) else ehr(request)

    store = ServerStore(serve(answer).base)
    try:
        assert [person.patient["id"] for person in store.people(())] == ["p0", "p1", "p2", "p3", "p4"]
    finally:
        store.close()


def test_a_group_is_a_roster(serve: Serve) -> None:
    """The members of a Group are asked for, those that left it are not."""
    assert roster_of(Http(serve(Clinic()).base), "Group/g") == ["Patient/p1"]


@pytest.mark.parametrize("text", ["Practitioner/x\n", "Patient/../x\n", "Anna Smith\n"])
def test_a_roster_of_anything_else_is_refused(serve: Serve, tmp_path: Path, text: str) -> None:
    """A line that is no reference of a patient stops the run, and is not quoted."""
    (tmp_path / "roster").write_text(text)
    with pytest.raises(StopRun, match="FA434") as fault:
        roster_of(Http("http://127.0.0.1:1/fhir"), str(tmp_path / "roster"))
    assert text.strip() not in str(fault.value)


SITE = "https://clinic.example/Questionnaire/mood"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_questionnaire_is_fetched_when_a_response_names_it(serve: Serve, journal: Journal, is_there: bool) -> None:
    """A server that lists no Questionnaires is asked for the one that a response names, once, and it is then known."""
    shipped = load_catalog().questionnaires["gad-7"] | {"url": SITE, "id": "mood", "version": "3"}
    named = form("r1", "2026-01-05T10:00:00Z", questionnaire=f"{SITE}|3")
    asked: list[str] = []

    def answer(request: Any) -> tuple[int, Any, dict[str, str]]:
        place = urlsplit(request.path)
        if place.path == "/fhir/Questionnaire":
            asked.append(place.query)
            return page(*([shipped] if is_there else [])) if "url=" in place.query else (400, {}, {})
        if place.path != "/fhir/QuestionnaireResponse" or request.method != "GET":
            return page()
        second = page(named | {"id": "r2"})
        return second if "page=2" in place.query else page(named, following="QuestionnaireResponse?page=2")

    store = ServerStore(serve(answer).base)
    try:
        summary = sync(store, load_catalog(), journal, Policy(), NOW, dry_run=True)
    finally:
        store.close()
    # PHQ-9's items are none of the form's that is there; where it is not, their LOINC codes tell what was answered
    assert [parked.code for parked in summary.parked] == (["FA209"] * 2 if is_there else [])
    assert sum("url=" in query for query in asked) == 1


def test_a_server_that_names_no_next_page(serve: Serve, ehr: Any) -> None:
    """Where a full page is not all by the server's own account, the rest is asked for by offset: none is missed."""
    ehr.resources = [form(f"r{n:04}", "2026-01-05T10:00:00Z") for n in range(1201)]

    def without_next(request: Any) -> tuple[int, Any, dict[str, str]]:
        status, bundle, headers = ehr(request)
        return status, {**bundle, "link": [], "total": len(ehr.resources)}, headers

    store = ServerStore(serve(without_next).base)
    pages = [[record.source for record in page.records] for page in store.responses("", ())]
    store.close()
    assert [len(page) for page in pages] == [500, 500, 201]
    assert [source for page in pages for source in page] == [f"QuestionnaireResponse/r{n:04}" for n in range(1201)]


def test_a_server_that_gives_no_more(serve: Serve, ehr: Any) -> None:
    """Where it names no next page, knows no offset and says that there is more, the run ends: a part is not all."""
    ehr.resources = [form(f"r{n:04}", "2026-01-05T10:00:00Z") for n in range(501)]

    def first_page(request: Any) -> tuple[int, Any, dict[str, str]]:
        status, bundle, headers = ehr(request._replace(path=request.path.partition("&_offset")[0]))
        return status, {**bundle, "link": [], "total": 501}, headers

    store = ServerStore(serve(first_page).base)
    with pytest.raises(RetryLater, match="FA410"):
        list(store.responses("", ()))
    store.close()


def test_as_many_at_once_as_a_person_has_pinned(serve: Callable[..., Any]) -> None:
    """Searches ask for pages of the size in the pinned profile: of forms, and of what is on record about a client."""
    page = (200, {"resourceType": "Bundle", "entry": []}, {})
    server = serve(page, page, page)
    store = ServerStore(server.base, profile=ServerProfile(base=server.base, page_size=7))
    list(store.responses("", ()))
    store.about("Task", ["Patient/p1"])
    store.active("CarePlan")
    store.close()
    asked = [f"{request.path}&{request.body.decode()}" for request in server.requests]
    assert len(asked) == 3
    assert all("_count=7" in each for each in asked)
