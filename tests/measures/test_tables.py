"""Each measure has a table of hand-worked clients, each on an edge of its logic, with the populations expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fhir_alliance.cli import program
from fhir_alliance.core.measures.bad_input import set_right
from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.evaluation import Member
from fhir_alliance.core.measures.logic import members_of
from fhir_alliance.core.measures.period import period_of
from fhir_alliance.core.rules.chart import Rulebook
from fhir_alliance.fhir.person import person_of
from fhir_alliance.fhir.value_sets import Supplied
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.measures import load_measures
from fhir_alliance.runs.rule_cards import shipped_cards
from tests.measures.clients import Client, clients_of, value_sets_for

MEASURES = load_measures()
CLIENTS = [(m, client) for m in MEASURES.values() for client in clients_of(m)]
INSTRUMENTS = load_catalog().instruments
BOOK = Rulebook(INSTRUMENTS, shipped_cards())
PERIOD = "2026"
# Age alone can be enough for one, and for the other a rating of the alliance, to which it leads nobody.
MAY_SHOW_NOTHING = {"dsf-e", "language-offered"}


@pytest.mark.parametrize(("measure", "client"), CLIENTS, ids=[f"{m.id}: {c.claim}" for m, c in CLIENTS])
def test_client_belongs_where_the_table_says(measure: Measure, client: Client) -> None:
    """Each hand-worked client is in exactly the populations and strata that the table says."""
    members = places(measure, client)
    assert {m.group: {p.value: n for p, n in m.counts.items()} for m in members} == client.expected
    assert sorted({stratum for m in members for stratum in m.strata}) == sorted(client.strata)


@pytest.mark.parametrize(("measure", "client"), CLIENTS, ids=[f"{m.id}: {c.claim}" for m, c in CLIENTS])
def test_who_is_counted_is_led_to_what_decided(measure: Measure, client: Client) -> None:
    """Whoever is in a measure has the resources that their place rests on, all from the record; nobody else has."""
    stored = {f"{resource['resourceType']}/{resource.get('id')}" for resource in client.resources}
    for member in places(measure, client):
        counted = bool(member.counts[Population.INITIAL])
        assert bool(member.evidence) == counted or (counted and measure.id in MAY_SHOW_NOTHING)
        assert set(member.evidence) <= stored


def places(measure: Measure, client: Client) -> list[Member]:
    """Return the client's places in the groups of a measure."""
    supplied = Supplied.of(value_sets_for(measure))
    codes = {s.name: s.codes or (supplied.codes(s) or ("missing", ""))[0] for s in measure.code_sets}
    period = period_of(PERIOD)
    person = set_right(person_of(client.patient, client.resources, INSTRUMENTS), period, period.last)
    return list(members_of(measure, person, period, codes, BOOK))


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_table_is_long_enough(measure: Measure) -> None:
    """Each table has at least 30 clients, no two with the same claim."""
    claims = [client.claim for client in clients_of(measure)]
    assert len(claims) >= 30
    assert len(set(claims)) == len(claims)


@pytest.mark.parametrize("layout", ["bundles", "ndjson", "nested"])
def test_report_on_cms159_agrees_with_the_table(tmp_path: Path, layout: str) -> None:
    """The command gives the table's populations, from Bundles of one patient, NDJSON, or Bundles in Bundles."""
    measure = MEASURES["cms159"]
    clients = clients_of(measure)
    store, sets, out = tmp_path / "store", tmp_path / "sets", tmp_path / "out"
    store.mkdir()
    sets.mkdir()
    put(store, clients, layout)
    (sets / "sets.json").write_text(json.dumps(bundle(list(value_sets_for(measure)))))
    words = ["report", "run", "cms159", "--store", str(store), "--valuesets", str(sets), "--period", PERIOD]
    done = CliRunner().invoke(program, [*words, "--as", "supervisor", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    found = {}
    for line in (out / "individual.ndjson").read_text().splitlines():
        told = json.loads(line)
        counts = {p["code"]["coding"][0]["code"]: p["count"] for p in told["group"][0]["population"]}
        found[told["subject"]["reference"]] = {"rate": counts}
    assert found == {f"Patient/{client.patient['id']}": client.expected for client in clients}
    totals = json.loads(done.stdout)["results"]["rate"]
    assert totals["numerator"] == sum(client.expected["rate"]["numerator"] for client in clients)


def put(store: Path, clients: list[Client], layout: str) -> None:
    """Write clients into a folder store in one of the layouts that it reads."""
    if layout == "ndjson":
        kinds: dict[str, list[str]] = {}
        for client in clients:
            for resource in (client.patient, *client.resources):
                kinds.setdefault(resource["resourceType"], []).append(json.dumps(resource))
        for kind, lines in kinds.items():
            (store / f"{kind}.ndjson").write_text("\n".join(lines) + "\n")
        return
    for client in clients:
        whole = bundle([client.patient, *client.resources])
        whole = bundle([client.patient, whole]) if layout == "nested" else whole
        (store / f"{client.patient['id']}.json").write_text(json.dumps(whole))


def bundle(resources: list[dict[str, object]]) -> dict[str, object]:
    """Return a collection of resources."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}
