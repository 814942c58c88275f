"""Local scoring: what is counted, what is written, and what a folder's Questionnaires and Consents change."""

from __future__ import annotations

import io
import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fhir.resources.R4B.observation import Observation

from fhir_alliance.core.consent import ConsentPolicy
from fhir_alliance.errors import Exit
from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.score import score_inputs
from fhir_alliance.runs.summary import Summary
from fhir_alliance.testing import response_json

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=12, minutes=45)))  # not UTC, on purpose
WEIGHT = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
CALCULATED = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression"
TREAT = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
OURS = "https://example.org/Questionnaire/our-mood"
LOINC = ("44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8")


class Done(NamedTuple):
    """A summary, and the Observations that were written."""

    summary: Summary
    observations: list[dict[str, Any]]

    def total(self, name: str) -> dict[str, Any]:
        """Return the total of a form: the one Observation that is no panel and no algorithm's count."""
        source = f"QuestionnaireResponse/{name}/"
        [found] = [
            o
            for o in self.observations
            if "hasMember" not in o
            and o["derivedFrom"][0]["reference"].startswith(source)
            and not any(coding["code"].endswith("-algorithm") for coding in o["code"]["coding"])
        ]
        return found


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped instruments."""
    return load_catalog()


def scored(catalog: Catalog, folder: Path, *resources: dict[str, Any], policy: Policy = Policy()) -> Done:  # noqa: B008
    """Return what scoring a folder of these resources gives."""
    for resource in resources:
        with (folder / f"{resource['resourceType']}.ndjson").open("a", encoding="utf-8") as file:
            file.write(json.dumps(resource) + "\n")
    out = folder / "out"
    summary = score_inputs([str(folder)], catalog, policy, NOW, out, lambda count: None)
    return Done(summary, [json.loads(line) for line in out.read_bytes().splitlines()])


def test_every_form_is_counted_once(catalog: Catalog, tmp_path: Path) -> None:
    """Each form is in exactly one count, and only what was scored or could not be is written."""
    done = scored(
        catalog, tmp_path,
        response_json([1] * 9, name="fine"),
        response_json([1] * 6 + [None] * 3, name="gaps"),
        response_json([1] * 9, name="open", status="in-progress"),
        response_json([1] * 9, name="gone", status="entered-in-error"),
        response_json([1] * 9, name="odd", authored=None),
    )  # fmt: skip
    counts = done.summary.as_object()
    named = ("scored", "unscorable", "unfinished", "withdrawn", "parked", "withheld")
    assert (counts["read"], [counts[name] for name in named]) == (5, [1, 1, 1, 1, 1, 0])
    assert done.summary.exit is Exit.PARKED
    assert [(parked.reference, parked.code) for parked in done.summary.parked] == [
        ("QuestionnaireResponse/odd", "FA207")
    ]
    assert {o["derivedFrom"][0]["reference"].split("/")[1] for o in done.observations} == {"fine", "gaps"}


def test_what_a_score_says(catalog: Catalog, tmp_path: Path) -> None:
    """A score has the form's client, moment and version, its own code and unit, and parses as FHIR R4."""
    done = scored(catalog, tmp_path, response_json([3, 2, 1, 0, 3, 2, 1, 0, 3], name="r1"))
    total = done.total("r1")
    assert total["valueQuantity"]["value"] == 15
    assert {coding["code"] for coding in total["code"]["coding"]} == {"44261-6", "phq-9-total"}
    assert total["subject"] == {"reference": "Patient/p1"}
    assert total["effectiveDateTime"] == "2026-01-05T10:00:00+01:00"
    assert total["derivedFrom"] == [{"reference": "QuestionnaireResponse/r1/_history/1"}]
    for observation in done.observations:
        Observation.model_validate(observation)


def test_a_gap_is_not_a_zero(catalog: Catalog, tmp_path: Path) -> None:
    """A form with too few answers gives no number and says how many there are."""
    total = scored(catalog, tmp_path, response_json([1] * 6 + [None] * 3, name="r1")).total("r1")
    assert "valueQuantity" not in total
    assert total["dataAbsentReason"]
    assert total["note"][0]["text"] == "6 of 9 answered; rule needs 9."


def test_safety_answers_are_counted_wherever_they_stand(catalog: Catalog, tmp_path: Path) -> None:
    """A form with a safety answer counts as such whether it is scored, parked, unfinished or withheld."""
    last = [0] * 8 + [1]
    done = scored(
        catalog, tmp_path,
        response_json(last, name="scored"),
        response_json(last, name="parked", authored=None),
        response_json(last, name="open", status="in-progress"),
        response_json(last, name="withheld", subject="Patient/no"),
        response_json([0] * 9, name="calm"),
        denial("Patient/no"),
    )  # fmt: skip
    assert done.summary.safety == 4


def denial(subject: str) -> dict[str, Any]:
    """Return a Consent that denies use for treatment."""
    return {
        "resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": subject},
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
        "provision": {"type": "deny", "purpose": TREAT},
    }  # fmt: skip


def test_consents_in_the_folder_are_honoured(catalog: Catalog, tmp_path: Path) -> None:
    """The client who denies gets no score; the others do."""
    forms = [response_json([1] * 9, name=name, subject=f"Patient/{name}") for name in ("yes", "no")]
    done = scored(catalog, tmp_path, *forms, denial("Patient/no"))
    assert (done.summary.scored, done.summary.withheld) == (1, 1)
    assert {o["subject"]["reference"] for o in done.observations} == {"Patient/yes"}


def test_consent_on_stdin_is_honoured(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Bundle on stdin that holds the client's no is not scored, as it is not when it lies in a file."""
    entries = [{"resource": r} for r in (response_json([1] * 9), denial("Patient/p1"))]
    text = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
    (tmp_path / "b.json").write_bytes(text)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    for place in (str(tmp_path / "b.json"), "-"):
        summary = score_inputs([place], catalog, Policy(), NOW, tmp_path / "out", lambda count: None)
        assert (summary.scored, summary.withheld) == (0, 1)
        assert (tmp_path / "out").read_bytes() == b""


def test_a_site_that_opts_in(catalog: Catalog, tmp_path: Path) -> None:
    """Where a site says deny by default, a form without a Consent is withheld."""
    policy = Policy(consent=ConsentPolicy(default_permit=False))
    done = scored(catalog, tmp_path, response_json([1] * 9), policy=policy)
    assert (done.summary.withheld, done.observations) == (1, [])


def site_form(*, loinc: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a site's Questionnaire with its own linkIds, codes and weights, and a response that names it."""
    options = [
        {"valueCoding": {"system": "https://example.org/a", "code": f"x{n}", "extension": [weight(n)]}}
        for n in range(4)
    ]
    items: list[dict[str, Any]] = [
        {"linkId": f"mood-{n}", "type": "choice", "answerOption": options}
        | ({"code": [{"system": "http://loinc.org", "code": code}]} if loinc else {})
        for n, code in enumerate(LOINC)
    ]
    expression = {
        "language": "text/fhirpath",
        "expression": "%resource.item.where(linkId!='sum').answer.value.weight().sum()",
    }
    total = {"linkId": "sum", "type": "integer", "readOnly": True}
    total |= {"extension": [{"url": CALCULATED, "valueExpression": expression}]}
    form = {"resourceType": "Questionnaire", "id": "our-mood", "url": OURS, "status": "active", "item": [*items, total]}
    answers = [
        {"linkId": f"mood-{n}", "answer": [{"valueCoding": {"system": "https://example.org/a", "code": f"x{n % 4}"}}]}
        for n in range(9)
    ]
    return form, response_json([0] * 9, questionnaire=OURS, item=answers)


def weight(points: int) -> dict[str, Any]:
    """Return the extension for an answer's points."""
    return {"url": WEIGHT, "valueDecimal": points}


@pytest.mark.parametrize("loinc", [True, False], ids=["items with LOINC codes", "weights and a calculated total"])
def test_a_questionnaire_in_the_folder_is_used(catalog: Catalog, tmp_path: Path, loinc: bool) -> None:
    """A response to a site's own Questionnaire is recognised and scored by what that Questionnaire says."""
    questionnaire, response = site_form(loinc=loinc)
    alone = scored(catalog, tmp_path, response)
    assert [parked.code for parked in alone.summary.parked] == ["FA208"]
    (tmp_path / "out").unlink()
    done = scored(catalog, tmp_path, questionnaire)
    assert [parked.code for parked in done.summary.parked] == []
    assert done.total("r1")["valueQuantity"]["value"] == 0 + 1 + 2 + 3 + 0 + 1 + 2 + 3 + 0


def test_scoring_again_gives_the_same(catalog: Catalog, tmp_path: Path) -> None:
    """The same input gives the same bytes, ids included, whenever it is scored."""
    forms = [response_json([1] * 9, name=name) for name in ("a", "b")]
    scored(catalog, tmp_path, *forms)
    first = (tmp_path / "out").read_bytes()
    score_inputs([str(tmp_path)], catalog, Policy(), NOW + timedelta(days=400), tmp_path / "out", lambda count: None)
    assert (tmp_path / "out").read_bytes() == first


def test_items_are_written_on_request(catalog: Catalog, tmp_path: Path) -> None:
    """With item Observations switched on, each answered item is one more Observation."""
    form = response_json([1] * 9)
    assert len(scored(catalog, tmp_path, form).observations) == 2
    assert len(scored(catalog, tmp_path, policy=Policy(with_items=True)).observations) == 2 + 9


def test_an_algorithm_is_written_on_request(catalog: Catalog, tmp_path: Path) -> None:
    """A syndrome's name stands in the record only where the site asks for the algorithm's score."""
    form = response_json([3] * 9)
    silent = scored(catalog, tmp_path, form).observations
    assert not any("syndrome" in json.dumps(observation) for observation in silent)
    asked = scored(catalog, tmp_path, policy=Policy(with_algorithms=True)).observations
    bands = [observation["interpretation"][0]["text"] for observation in asked[1:]]
    assert bands == ["severe", "major depressive syndrome"]


def test_a_watcher_is_told(catalog: Catalog, tmp_path: Path) -> None:
    """Whoever waits is told every thousand forms."""
    lines = [json.dumps(response_json([1] * 9, name=f"r{n}")) for n in range(2500)]
    (tmp_path / "QuestionnaireResponse.ndjson").write_text("\n".join(lines), encoding="utf-8")
    told: list[int] = []
    score_inputs([str(tmp_path)], catalog, Policy(), NOW, tmp_path / "out", told.append)
    assert told == [1000, 2000]


def test_a_parked_form_without_an_id_is_named_by_its_place(catalog: Catalog, tmp_path: Path) -> None:
    """It can be found again by file and line, and by its number in a Bundle."""
    lost = response_json([1] * 9, name=None, authored=None)
    bundle = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{}, {"resource": lost}]})
    (tmp_path / "QuestionnaireResponse.ndjson").write_text("\n".join(["", json.dumps(lost), bundle, "{broken"]))
    (tmp_path / "one.json").write_text(bundle)
    summary = score_inputs([str(tmp_path)], catalog, Policy(), NOW, tmp_path / "out", lambda count: None)
    file = "QuestionnaireResponse.ndjson"
    assert [p.reference for p in summary.parked] == [f"{file}:2", f"{file}:3#2", f"{file}:4", "one.json#2"]


def test_a_run_that_breaks_off_leaves_the_old_file(catalog: Catalog, tmp_path: Path) -> None:
    """The file of scores is replaced only when all is scored."""
    lines = [json.dumps(response_json([1] * 9, name=f"r{n}")) for n in range(1000)]
    (tmp_path / "QuestionnaireResponse.ndjson").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "out").write_text("old", encoding="utf-8")
    before = sorted(tmp_path.iterdir())

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_inputs([str(tmp_path)], catalog, Policy(), NOW, tmp_path / "out", interrupt)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "old"
    assert sorted(tmp_path.iterdir()) == before
