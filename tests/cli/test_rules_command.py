"""`fhir-alliance rules`: the list, the cards, and verdicts that are explained."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fhir_alliance.cli import program
from fhir_alliance.core.rules import RULE_IDS
from fhir_alliance.runs.rule_cards import shipped_cards

CARDS = shipped_cards()
CHOICES = '[[rules.threshold]]\ninstrument = "srs-v3"\nline = 36\n'  # for cards whose rule is off until a site chooses


def rules(*words: object, config: Path | None = None) -> Result:
    """Run the command as a person does."""
    before = ["--config", str(config)] if config else []
    return CliRunner().invoke(program, [*before, "rules", *map(str, words)], catch_exceptions=False)


def test_the_list() -> None:
    """The list has every rule with id, title and citation."""
    rows = json.loads(rules("list", "--json").stdout)["rules"]
    assert [row["id"] for row in rows] == list(RULE_IDS)
    assert all(row["title"] and row["citation"] for row in rows)
    assert all(name in rules("list").stdout for name in RULE_IDS)


@pytest.mark.parametrize("name", RULE_IDS)
def test_a_card_says_what_it_has_to(name: str) -> None:
    """A card shows what, why, evidence, example, for whom, until when, what it does not know, and each setting."""
    told = rules("show", name).stdout
    card = CARDS[name]
    for title in ("What", "Why", "Example", "For whom", "It does not know", "Evidence", "looked at again by"):
        assert title in told
    assert all(setting.name in told for setting in card.settings)
    assert all(conflict.value.split()[0] in told for conflict in card.conflicts)


@pytest.mark.parametrize("name", RULE_IDS)
def test_cards_are_in_force_and_never_a_verdict(name: str) -> None:
    """No card has expired; none grades risk or speaks of a diagnosis of a client."""
    card = CARDS[name]
    assert card.expires > date(2026, 11, 25)
    words = " ".join((card.title, card.what, card.why, card.example, card.unknown)).lower()
    assert "diagnos" not in words
    assert "risk" not in words


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.history])
def test_the_example_of_a_card_is_true(name: str, tmp_path: Path) -> None:
    """The history on a card makes its rule speak at its last line, and nowhere before."""
    history, config = tmp_path / "history.csv", tmp_path / "fhir-alliance.toml"
    history.write_text(CARDS[name].history, encoding="utf-8")
    config.write_text(CHOICES, encoding="utf-8")
    told = json.loads(rules("test", name, "--history", history, "--json", config=config).stdout)["verdicts"]
    days = [verdict["date"] for verdict in told if verdict["speaks"]]
    assert days == [CARDS[name].history.strip().splitlines()[-1].split(",")[0]]


def test_a_verdict_is_explained(tmp_path: Path) -> None:
    """Each score comes with what was looked at, and with what the rule says or that it is silent."""
    history = tmp_path / "history.csv"
    history.write_text(CARDS["alliance-drop"].history, encoding="utf-8")
    told = rules("test", "alliance-drop", "--history", history).stdout
    assert "speaks at 1 of 4" in told
    assert "their mean: 4.7" in told
    assert "least distance that counts: 1" in told
    assert told.count("-> silent") == 3


def test_a_switched_off_rule_is_tried_all_the_same(tmp_path: Path) -> None:
    """`rules test` tries a rule that the site has switched off, the list says that it is off, and settings count."""
    history, config = tmp_path / "history.csv", tmp_path / "fhir-alliance.toml"
    history.write_text(CARDS["alliance-drop"].history, encoding="utf-8")
    config.write_text('[rules]\noff = ["alliance-drop"]\nleast_step = 2.0\n', encoding="utf-8")
    rows = {row["id"]: row["on"] for row in json.loads(rules("list", "--json", config=config).stdout)["rules"]}
    assert [name for name, on in rows.items() if not on] == ["alliance-drop"]
    assert "least distance that counts: 2" in rules("test", "alliance-drop", "--history", history, config=config).stdout


def test_our_own_observations_are_read(tmp_path: Path) -> None:
    """The Observations of a store, with its Encounters and Goals beside them, are a history."""
    demo = tmp_path / "demo"
    assert CliRunner().invoke(program, ["demo", "--folder", str(demo)]).exit_code == 0
    mine: list[Any] = []
    for name in ("Observation.fhir-alliance.ndjson", "Encounter.ndjson", "Goal.ndjson"):
        lines = (demo / name).read_text(encoding="utf-8").splitlines()
        mine += [line for line in lines if '"Patient/client-03"' in line]
    (tmp_path / "client.ndjson").write_text("\n".join(mine), encoding="utf-8")
    told = rules("test", "alliance-control-chart", "--history", tmp_path / "client.ndjson", "--json").stdout
    spoken = [v for v in json.loads(told)["verdicts"] if v["speaks"]]
    assert {v["date"] for v in spoken} == {"2026-02-12"}  # the session of the rupture
    bundle = {"resourceType": "Bundle", "entry": [{"resource": json.loads(line)} for line in mine]}
    (tmp_path / "client.json").write_text(json.dumps(bundle), encoding="utf-8")
    assert rules("test", "alliance-control-chart", "--history", tmp_path / "client.json", "--json").stdout == told
    due = rules("test", "regular-review", "--history", tmp_path / "client.json", "--on", "2026-07-01").stdout
    assert "calendar" in due


@pytest.mark.parametrize(
    ("name", "line", "code"),
    [
        ("alliance-drop", "2026-13-01,phq-9,client,9,", "FA134"),
        ("alliance-drop", "2026-01-05,phq-9,client,nine,", "FA134"),
        ("alliance-drop", "2026-01-05,phq-9,client,28,", "FA134"),
        ("alliance-drop", "2026-01-05,phq-9/bond,client,9,", "FA134"),
        ("alliance-drop", "2026-01-05,phq-10,client,9,", "FA134"),
        ("alliance-drop", "2026-01-05,phq-9,friend,9,", "FA134"),
        ("alliance-drop", "2026-01-05,phq-9,client,9,by-letter", "FA134"),
        ("no-such-rule", "2026-01-05,phq-9,client,9,", "FA135"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_line(tmp_path: Path, name: str, line: str, code: str) -> None:
    """A line that is not understood is named by its number, without its value; an unknown rule names the known ones."""
    history = tmp_path / "history.csv"
    history.write_text(f"date,scale,rater,value,mode\n2026-01-01,phq-9,client,7,video\n{line}\n", encoding="utf-8")
    told = rules("test", name, "--history", history)
    assert (told.exit_code, told.stderr[:5]) == (10, code)
    assert code == "FA135" or "line 3" in told.stderr
    assert "nine" not in told.stderr
