"""The check kit: a folder or a Questionnaire, what it would score, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fhir_alliance.cli import program
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.agreement import disagreements
from fhir_alliance.runs.catalog import load_catalog, shipped
from fhir_alliance.runs.check import Checked, check_path

CATALOG = load_catalog()
WEIGHT = "http://hl7.org/fhir/StructureDefinition/itemWeight"
CALCULATED = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression"
SUM = "%resource.item.answer.value.weight().sum()"


def question(link_id: str, **elements: Any) -> dict[str, Any]:
    """Return a question worth 0 to 3 points."""
    options = [
        {"valueCoding": {"system": "urn:c", "code": f"c{n}"}, "extension": [{"url": WEIGHT, "valueDecimal": n}]}
        for n in range(4)
    ]
    return {"linkId": link_id, "type": "choice", "answerOption": options} | elements


def total(path: str = SUM, link_id: str = "sum", **stated: int) -> dict[str, Any]:
    """Return a calculated item. stated: its minValue and maxValue."""
    expression = {"language": "text/fhirpath", "expression": path}
    bounds = [
        {"url": f"http://hl7.org/fhir/StructureDefinition/{name}", "valueInteger": value}
        for name, value in stated.items()
    ]
    extension = [{"url": CALCULATED, "valueExpression": expression}, *bounds]
    return {"linkId": link_id, "type": "integer", "readOnly": True, "extension": extension}


def checked(folder: Path, *items: dict[str, Any], **elements: Any) -> Checked:
    """Return what a check says about a Questionnaire of these items."""
    form = {"resourceType": "Questionnaire", "id": "mood", "url": "urn:mood", "item": list(items)} | elements
    path = folder / "mood.json"
    path.write_text(json.dumps(form), encoding="utf-8")
    return check_path(path)


@pytest.mark.parametrize("name", sorted(CATALOG.instruments))
def test_what_ships_passes(name: str) -> None:
    """Every folder that ships passes, its calculated items included."""
    found = check_path(shipped("questionnaires") / name)
    assert found.problems == ()
    scales = [scale for scale in CATALOG.find(name).scales if "goal" not in scale.formula.value]
    assert [outcome.scale for outcome in found.outcomes] == [scale.id for scale in scales]


def test_a_sound_questionnaire_shows_its_outcomes(tmp_path: Path) -> None:
    """A Questionnaire is shown with range, ends and gaps of its scales; what it does not state is to be known."""
    found = checked(tmp_path, question("q1"), question("q2"), total(minValue=0, maxValue=6))
    (outcome,) = found.outcomes
    assert (found.id, found.items, found.problems) == ("mood", 2, ())
    assert (outcome.low, outcome.high, outcome.lowest, outcome.highest) == (0, 6, "0", "6")
    assert outcome.one_missing == "none: 1 of 2 answered; rule needs 2"
    assert [note.place for note in found.notes] == ["scale total"]


def test_an_expression_without_a_formula_is_evaluated(tmp_path: Path) -> None:
    """Outcomes of an expression are those of its FHIRPath, and a note says that it is evaluated form by form."""
    found = checked(tmp_path, question("q1"), question("q2"), total(f"({SUM}).power(2)"))
    (outcome,) = found.outcomes
    assert (outcome.formula.value, outcome.lowest, outcome.highest) == ("expression", "0", "36")
    assert outcome.one_missing.startswith("none: 1 of 2 answered")
    assert any("FHIRPath" in note.what for note in found.notes)


LOINC = {"system": "http://loinc.org", "code": "44261-5"}
FAULTS: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "a linkId twice": ([question("q1"), question("q1"), total()], "item q1", "2 times"),
    "a range of others": ([question("q1"), total(maxValue=27)], "item sum", "maxValue 27, but its answers give 3"),
    "a bottom of others": ([question("q1"), total(minValue=1)], "item sum", "minValue 1, but its answers give 0"),
    "a mistyped code": ([question("q1", code=[LOINC]), total()], "item q1", "check digit"),
    "no score": ([question("q1")], "questionnaire", "no calculated item"),
    "half an expression": ([question("q1"), total("1 +")], "questionnaire", '"sum"'),
    "a weight as text": (
        [question("q1", answerOption=[{"valueCoding": {"code": "x"}, "extension": [
            {"url": WEIGHT, "valueDecimal": "3"}]}]), total()], "questionnaire", '"q1"'),
    "no points": ([question("q1"), {"linkId": "q2", "type": "choice", "answerValueSet": "urn:none"}, total()],
        "item q2", "nothing says what its answers are worth"),
    "no shape": ([{"linkId": 7}], "questionnaire", "linkId"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_place(tmp_path: Path, fault: str) -> None:
    """Each kind of fault in a Questionnaire is an error with its place."""
    items, place, what = FAULTS[fault]
    problems = checked(tmp_path, *items).problems
    assert any(problem.place == place and what in problem.what for problem in problems), problems


def test_answers_without_points_are_to_be_known(tmp_path: Path) -> None:
    """Options without points are listed by item, as something to know."""
    options = [*question("q")["answerOption"], {"valueCoding": {"system": "urn:c", "code": "unsure"}}]
    found = checked(tmp_path, question("q1", answerOption=options), total())
    assert found.problems == ()
    assert any(note.place == "item q1" and "unsure" in note.what for note in found.notes)


def test_what_lies_beside_a_questionnaire_is_used(tmp_path: Path) -> None:
    """A ValueSet beside the file says what the answers are worth."""
    concepts = [{"code": f"c{n}", "extension": [{"url": WEIGHT, "valueDecimal": n}]} for n in range(3)]
    value_set = {
        "resourceType": "ValueSet",
        "url": "urn:vs",
        "compose": {"include": [{"system": "urn:c", "concept": concepts}]},
    }
    named = {"linkId": "q1", "type": "choice", "answerValueSet": "urn:vs"}
    path = total("%resource.item.where(linkId = 'q1').answer.value.weight()")
    assert [problem.place for problem in checked(tmp_path, named, path).problems] == ["item q1"]
    (tmp_path / "answers.json").write_text(json.dumps(value_set), encoding="utf-8")
    assert checked(tmp_path, named, path).outcomes[0].highest == "2"


@pytest.mark.parametrize("content", ["", "[]", '{"resourceType": "Patient"}', '{"a": 1, "a": 2}'])
def test_a_file_that_is_no_questionnaire_is_refused(tmp_path: Path, content: str) -> None:
    """Anything but one Questionnaire ends with what to name instead."""
    path = tmp_path / "other.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StopRun, match="FA102"):
        check_path(path)


def altered(name: str, replace: tuple[str, str]) -> dict[str, Any]:
    """Return a shipped Questionnaire with a text in it replaced once."""
    text = json.dumps(CATALOG.questionnaires[name])
    assert replace[0] in text
    found: dict[str, Any] = json.loads(text.replace(*replace, 1))
    return found


@pytest.mark.parametrize(
    ("name", "replace"),
    [
        ("gad-7", ("count() = 7", "count() >= 6")),
        ("gad-7", (".sum()", ".sum() + 1")),
        ("alliance-checkin", ("6 - $this", "5 - $this")),
        ("alliance-checkin", (".round(2)", ".round(1)")),
        ("alliance-checkin", (">= 8", ">= 7")),
        ("pcl-5", ("'pcl-5-7'\"", "'pcl-5-8'\"")),
    ],
)
def test_calculated_items_that_disagree_are_found(name: str, replace: tuple[str, str]) -> None:
    """A calculated item that sums, mirrors, rounds or forgives otherwise than scoring.toml is found."""
    assert list(disagreements(CATALOG.find(name), CATALOG.questionnaires[name])) == []
    (problem,) = disagreements(CATALOG.find(name), altered(name, replace))
    assert problem.place.startswith("scale ")
    assert "calculated item" in problem.what


def test_a_scale_without_its_calculated_item_is_found() -> None:
    """A scale that the Questionnaire does not calculate is reported."""
    form = dict(CATALOG.questionnaires["gad-7"])
    (problem,) = disagreements(CATALOG.find("gad-7"), form | {"item": form["item"][:-1]})
    assert "no calculated item" in problem.what


def test_the_command_says_what_to_mend(tmp_path: Path) -> None:
    """On the command line a faulty Questionnaire ends with status 10, for people a table, for machines one object."""
    checked(tmp_path, question("q1"), total(maxValue=27), code=[LOINC])
    runner = CliRunner()
    told = runner.invoke(program, ["instruments", "check", str(tmp_path / "mood.json")])
    assert (told.exit_code, "maxValue 27" in told.output, "check digit" in told.output) == (10, True, True)
    found = runner.invoke(program, ["instruments", "check", "--json", str(tmp_path / "mood.json")])
    said = json.loads(found.output)
    assert {problem["place"] for problem in said["problems"]} == {"item sum", "questionnaire"}
    assert said["scales"][0]["all_highest"] == "3"
