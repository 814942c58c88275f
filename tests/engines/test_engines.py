"""Other engines give the same totals: fhirpath.js and LHC-Forms over generated forms of every shipped instrument.

Node is needed for the tests only. What an engine cannot evaluate is listed below with the reason, never passed over.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

import pytest
from filelock import FileLock

from fhir_alliance.core.consent import ConsentPolicy, Datum, gate
from fhir_alliance.core.model import Cleared, Formula, Instrument, Item, NoValue, Response
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.fhir.agreement import disagreements
from fhir_alliance.fhir.inbound import Forms
from fhir_alliance.fhir.questionnaire import calculated_items
from fhir_alliance.runs.catalog import load_catalog

HERE = Path(__file__).parent
LFORMS = "40.1.3"
FORMS_EACH = 200
# LHC-Forms takes up to a second for a form of the longest instruments: LFORMS_EACH=12 gives it fewer of them
FOR_LFORMS = int(os.environ.get("LFORMS_EACH", FORMS_EACH))
OF_GOALS = (
    Formula.PER_GOAL,
    Formula.GOAL_ATTAINMENT,
)  # over any number of goals; compared with the others' engines only
NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
CATALOG = load_catalog()
SCORED = sorted(name for name, instrument in CATALOG.instruments.items() if instrument.scales)
# (engine, instrument, linkId): why that engine says something else
KNOWN: Final[Mapping[tuple[str, str, str], str]] = {}

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="Node and npm are not installed"
)


@pytest.fixture(scope="module")
def lforms() -> Path:
    """The folder of LHC-Forms' scripts, fetched once with the other packages."""
    built = HERE / "node_modules"
    built.mkdir(exist_ok=True)
    with FileLock(built / ".lock"):
        if not (built / "fhirpath").is_dir():
            _npm("install", "--no-audit", "--no-fund", "--no-package-lock")
        unpacked = built / f"lforms-{LFORMS}"
        if not unpacked.is_dir():  # unpacked by hand: its dependencies are bundled, and resolving them takes very long
            _npm("pack", f"lforms@{LFORMS}", "--pack-destination", str(built))
            shutil.unpack_archive(built / f"lforms-{LFORMS}.tgz", unpacked)
    return unpacked / "package" / "dist" / "lforms"


def _npm(*arguments: str) -> None:
    done = subprocess.run(["npm", *arguments, "--silent"], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def engines(lforms: Path) -> Iterator[Engines]:
    """The two engines, which take over a second to load, in one process for all instruments of this worker."""
    command = ["node", str(HERE / "engines.js"), str(lforms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE, text=True) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        yield Engines(node.stdin, node.stdout)
        node.stdin.close()  # which ends it


class Engines(NamedTuple):
    """A line in, a line out."""

    into: TextIO
    out: TextIO

    def ask(self, questionnaire: Mapping[str, Any], forms: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what both engines say of each form."""
        asked = {"questionnaire": questionnaire, "responses": forms, "lforms": FOR_LFORMS}
        self.into.write(json.dumps(asked) + "\n")
        self.into.flush()
        line = self.out.readline()
        assert line, "Node ended; what it said stands above."
        found: dict[str, Any] = json.loads(line)
        return found


@pytest.mark.parametrize("name", SCORED)
def test_engines_agree(name: str, engines: Engines, comparisons: Counter[str]) -> None:
    """Complete, partial and extreme forms have the same totals, or none, from our plan, fhirpath.js and LHC-Forms."""
    instrument, questionnaire = CATALOG.find(name), CATALOG.questionnaires[name]
    forms = generated(instrument, questionnaire)
    ours = [fast_plan(instrument, questionnaire, form) for form in forms]
    answer = engines.ask(questionnaire, forms)
    assert isinstance(answer["lforms"], list), answer["lforms"]
    for engine in ("fhirpath", "lforms"):
        for number, (mine, theirs) in enumerate(zip(ours, answer[engine], strict=False)):
            for link_id, value in mine.items():
                if (engine, name, link_id) not in KNOWN:
                    assert rounded(theirs[link_id]) == rounded(value), (engine, number, link_id)
                    comparisons[engine] += 1
    assert list(disagreements(instrument, questionnaire, FORMS_EACH)) == []  # our own FHIRPath
    comparisons["own"] += FORMS_EACH * sum(scale.formula not in OF_GOALS for scale in instrument.scales)
    assert any(value is not None for mine in ours for value in mine.values())
    assert any(value is None for mine in ours for value in mine.values())


def rounded(value: Any) -> Any:
    """Return a number to six places: the other engines add binary fractions."""
    return round(float(value), 6) if isinstance(value, (int, float, Decimal)) else value


def generated(instrument: Instrument, questionnaire: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return forms of an instrument: all lowest, all highest, complete, and with answers missing; always the same."""
    chance = random.Random(f"{instrument.id} {instrument.version}")
    goals = instrument.goals
    forms = []
    for number in range(FORMS_EACH):
        missing = 0.0 if number < 2 or number % 2 else chance.choice((0.05, 0.15, 0.5, 1.0))
        items = []
        for item in instrument.items:
            if chance.random() >= missing:
                items.append({"linkId": item.link_id, "answer": [_answer(item, number, chance)]})
        if goals is not None:  # one goal: which is what a calculated item can say of each
            named = {"linkId": goals.goal, "answer": [{"valueReference": {"reference": "Goal/1"}}]}
            items = [{"linkId": goals.group, "item": [named, *items]}]
        forms.append(_response(questionnaire, number, _nested(questionnaire.get("item", ()), items)))
    return forms


def _answer(item: Item, number: int, chance: random.Random) -> dict[str, Any]:
    if not item.options:
        tenths = chance.randint(int(item.low * 10), int(item.high * 10))
        value = (item.low, item.high)[number] if number < 2 else Decimal(tenths) / 10
        return {"valueDecimal": float(value)}
    ranked = sorted(item.options, key=lambda option: option.weight)
    option = ranked[-number] if number < 2 else chance.choice(ranked)
    return {"valueCoding": {"system": option.code.system, "code": option.code.code}}


def _nested(asked_items: Any, answered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answered items where the Questionnaire has them, in its order and in its groups."""
    by_id = {item["linkId"]: item for item in answered}
    found = []
    for item in asked_items:
        if item["linkId"] in by_id:
            found.append(by_id[item["linkId"]])
        elif item["type"] == "group":
            inner = _nested(item.get("item", ()), answered)
            found += [{"linkId": item["linkId"], "item": inner}] if inner else []
    return found


def _response(questionnaire: Mapping[str, Any], number: int, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": f"r{number}",
        "questionnaire": f"{questionnaire['url']}|{questionnaire['version']}",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "authored": "2026-05-04T10:00:00+02:00",
        "item": items,
    }


def fast_plan(instrument: Instrument, questionnaire: Mapping[str, Any], form: dict[str, Any]) -> dict[str, Any]:
    """Return our score for each calculated item, or None where it has no value."""
    forms = FORMS.setdefault(instrument.id, Forms({instrument.id: instrument}, {instrument.id: questionnaire}))
    read = forms.read(json.dumps(form).encode(), NOW)
    assert isinstance(read, Response), read
    cleared = gate(read, (), ConsentPolicy(), Datum.of(()), NOW)
    assert isinstance(cleared, Cleared)
    scores = {score.scale: score.value for score in Scorer(instrument).score(cleared)}
    scale_of = {f"/{code.code}": scale.id for scale in instrument.scales for code in scale.codes}
    scale_of |= {f"{instrument.id}-{scale.id}": scale.id for scale in instrument.scales}
    values = {link_id: scores[scale_of[link_id]] for link_id in calculated_items(questionnaire)}
    return {link_id: None if isinstance(value, NoValue) else value for link_id, value in values.items()}


FORMS: dict[str, Forms] = {}
