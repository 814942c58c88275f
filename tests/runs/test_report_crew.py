"""A folder's people are the same, whoever looks at them: one process, or many with a part each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_alliance.config import load_config
from fhir_alliance.core.measures.audience import Audience, Role
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.model import Family
from fhir_alliance.core.rules.chart import Rulebook
from fhir_alliance.core.ways_out import Refused
from fhir_alliance.errors import ConsentUnreachable, StopRun
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.demo import demo
from fhir_alliance.runs.measures import find_measure
from fhir_alliance.runs.policy import policy_of
from fhir_alliance.runs.report_crew import by_crew
from fhir_alliance.runs.report_people import Brief, Wish, one_by_one
from fhir_alliance.runs.rule_cards import shipped_cards
from fhir_alliance.stores.crew import Crew, Work, processes
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.server import ServerStore


def in_turn(pieces: Sequence[bytes], work: Work, shared: Any) -> Iterator[bytes]:
    """Do what a crew does, here and in turn."""
    return (work(shared, number, piece) for number, piece in enumerate(pieces))


def brief(audience: Role = Role.SUPERVISOR) -> Brief:
    """Return what to look for: outcomes of the first quarter."""
    catalog = load_catalog()
    wish = Wish(Audience(audience), frozenset(), Family.OUTCOME, datetime(2026, 6, 1, tzinfo=UTC))
    period = Days(date(2026, 1, 1), date(2026, 3, 31))
    book = Rulebook(catalog.instruments, shipped_cards())
    return Brief(
        find_measure("outcome-by-mode"),
        period,
        period.last,
        wish,
        policy_of(load_config(None)),
        catalog.instruments,
        {},
        book,
        "",
    )


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example clinic, and people who came in Bundles, twice, in part, merged, or broken."""
    folder = tmp_path_factory.mktemp("demo") / "clinic"
    demo(folder)
    about = {"resourceType": "Encounter", "status": "finished", "subject": {"reference": "urn:uuid:1"}}
    patient = {"resourceType": "Patient", "id": "b1"}
    entries = [
        {"fullUrl": "urn:uuid:1", "resource": patient},
        {"resource": about | {"id": "e1"}},
        {"resource": about | {"id": "e2", "subject": {"reference": "Patient/nobody"}}},
        {"resource": about | {"id": "e3", "subject": {"reference": "Patient/client-01"}}},
        {"resource": about | {"id": "e4", "subject": 7}},
    ]
    (folder / "deep").mkdir()
    (folder / "deep" / "b.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}, indent=1))
    lines = [patient | {"id": "b2", "gender": "male"}, patient | {"id": "b2", "gender": "female"}]
    lines += [{"resourceType": "Bundle", "entry": entries[1:3]}, about | {"id": "e5"}]
    odd = ['{"resourceType":"Encounter","id":"x","id":"y","subject":{"reference":"Patient/b2"}}', "{broken", "", "7"]
    lines += [merged("m1", "replaces", "m2"), merged("m2", "replaced-by", "m1"), merged("m3", "replaces", "m4")]
    odd.append(json.dumps(merged("m5", "replaces", "m6")).replace("link", "l\\u0069nk"))
    lines += [denial(subject) for subject in ("m4", "m6")]
    (folder / "more.ndjson").write_text("\ufeff" + "\n".join([*map(json.dumps, lines), *odd]))
    return folder


def merged(name: str, how: str, other: str) -> dict[str, Any]:
    """Return a Patient whose record was merged with another."""
    return {"resourceType": "Patient", "id": name, "link": [{"other": {"reference": f"Patient/{other}"}, "type": how}]}


def denial(name: str) -> dict[str, Any]:
    """Return a Consent that denies everything."""
    return {
        "resourceType": "Consent", "id": f"no-{name}", "status": "active", "dateTime": "2026-01-01",
        "scope": {"coding": [{"code": "patient-privacy"}]}, "patient": {"reference": f"Patient/{name}"},
        "provision": {"type": "deny"},
    }  # fmt: skip


@pytest.mark.parametrize("size", [100_000, 10**9])
@pytest.mark.parametrize("audience", [Role.SUPERVISOR, Role.QUALITY])
def test_many_see_what_one_sees(clinic: Path, size: int, audience: Role) -> None:
    """However the files are cut, each person comes once, in the same order, with the same digest and place."""
    store = FolderStore(clinic)
    alone = list(one_by_one(store, brief(audience)))
    assert list(by_crew(store, brief(audience), in_turn, None, size)) == alone
    assert {"b1", "b2", "client-01"} <= {one.subject for one in alone}
    assert dict(next(one for one in alone if one.subject == "b1").odd).get("subject-elsewhere") == 2
    is_out = {one.subject: isinstance(one.answer, Refused) for one in alone}
    assert [is_out[name] for name in ("m1", "m2", "m3", "m5")] == [False, False, True, True], (
        "as the merged records say"
    )


def test_processes_see_what_one_sees(clinic: Path) -> None:
    """Two processes of this machine give what one gives."""
    store = FolderStore(clinic)
    assert list(by_crew(store, brief(), processes(2), None, 100_000)) == list(one_by_one(store, brief()))


@pytest.mark.parametrize("text", ['{"resourceType":"Consent","id"', '{"resourceType":"Consent","id":"c"}'])
def test_a_consent_that_cannot_be_relied_on_is_named(tmp_path: Path, text: str) -> None:
    """In whatever slice it lies, the run stops with the words, the file and the line that one process would name."""
    good = json.dumps({"resourceType": "Patient", "id": "a"})
    (tmp_path / "all.ndjson").write_text("\n".join([good] * 50 + [text] + [good] * 50))
    said = []
    for look in (one_by_one, lambda store, order: by_crew(store, order, in_turn, None, 100)):
        with pytest.raises(ConsentUnreachable) as stopped:
            list(look(FolderStore(tmp_path), brief()))
        said.append(str(stopped.value))
    assert said[0] == said[1]
    assert "all.ndjson:51 " in said[0]


def test_a_server_is_not_for_a_crew() -> None:
    """Many processes read a folder; of a server they say so."""
    crew: Crew = in_turn
    with pytest.raises(StopRun, match="FA733"):
        list(by_crew(ServerStore("https://ehr.example/fhir"), brief(), crew, None))
