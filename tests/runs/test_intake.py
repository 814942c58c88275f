"""A consent form that a client answers becomes a Consent that the gate obeys, if whoever signed may decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fhir.resources.R4B import get_fhir_model_class

from fhir_alliance.cli import program
from fhir_alliance.config import IntakeSection
from fhir_alliance.runs.intake import intake_form
from fhir_alliance.testing import response_json

URL = "https://fhir-alliance.org/fhir/Questionnaire/consent-intake"
CONFIG = """
[consent.intake]
on = true
practice = "Practice \\"North\\""
jurisdiction = "Ruritania"
duties = "we have to act where a child is at risk."
emergency = "112"
"""
EVERY = ("treatment", "supervision", "quality", "payer", "research")


def answered(*permitted: str, name: str = "i1", **elements: Any) -> dict[str, Any]:
    """Return Anna's answered consent form: yes to what is named, no to the rest."""
    items = [{"linkId": link, "answer": [{"valueBoolean": link in permitted}]} for link in EVERY]
    items.append({"linkId": "read", "answer": [{"valueBoolean": "unread" not in permitted}]})
    return {
        "resourceType": "QuestionnaireResponse", "id": name, "meta": {"versionId": "1"}, "status": "completed",
        "questionnaire": f"{URL}|1.0.0", "subject": {"reference": "Patient/anna"},
        "source": {"reference": "Patient/anna"}, "authored": "2026-01-05T09:00:00+01:00", "item": items,
    } | elements  # fmt: skip


def patient(born: str | None = "1990-06-01") -> dict[str, Any]:
    """Return Anna."""
    return {"resourceType": "Patient", "id": "anna"} | ({"birthDate": born} if born else {})


def mother(of: str = "Patient/anna", code: str = "MTH") -> dict[str, Any]:
    """Return somebody who is something to a client."""
    kind = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": code}]}]
    return {"resourceType": "RelatedPerson", "id": "eve", "patient": {"reference": of}, "relationship": kind}


class Clinic:
    """A folder that is synced as a person would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clinic"
        self.folder.mkdir()
        self.config = folder / "c.toml"
        self.config.write_text(CONFIG, encoding="utf-8")
        self.held: dict[str, dict[str, Any]] = {}

    def sync(self, *resources: dict[str, Any], more: str = "") -> dict[str, Any]:
        """Put resources there, sync, and return what was counted."""
        self.held |= {f"{r['resourceType']}/{r['id']}": r for r in resources}
        for kind in {r["resourceType"] for r in self.held.values()}:
            lines = [json.dumps(r) for r in self.held.values() if r["resourceType"] == kind]
            (self.folder / f"{kind}.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.config.write_text(CONFIG + more, encoding="utf-8")
        told = self.run("sync", "--store", str(self.folder), "--json")
        assert told.exit_code in (0, 20), told.stderr
        counts: dict[str, Any] = json.loads(told.stdout)
        return counts

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(program, ["--config", str(self.config), *words], catch_exceptions=False)

    def made(self, kind: str) -> list[dict[str, Any]]:
        """Return what was derived of a type."""
        file = self.folder / f"{kind}.fhir-alliance.ndjson"
        return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []

    def decision(self, purpose: str, recipient: str) -> str:
        """Return what consent says of a recipient."""
        told = self.run(
            "consent", "explain", "--store", str(self.folder), "--patient", "Patient/anna", "--recipient", recipient,
            "--purpose", purpose, "--json",
        )  # fmt: skip
        return str(json.loads(told.stdout)["decision"])


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    """An empty clinic with the form switched on."""
    return Clinic(tmp_path)


def test_a_form_becomes_a_consent(clinic: Clinic) -> None:
    """Each choice is a rule for its purpose; form and client are named, and Provenance stands beside it."""
    assert clinic.sync(patient(), answered("treatment", "research"))["created"] == {"Consent": 1, "Provenance": 1}
    [consent] = clinic.made("Consent")
    get_fhir_model_class("Consent").model_validate(consent)
    assert (consent["status"], consent["performer"]) == ("active", [{"reference": "Patient/anna"}])
    assert consent["sourceReference"] == {"reference": "QuestionnaireResponse/i1"}
    rules = {rule["purpose"][0]["code"]: rule["type"] for rule in consent["provision"]["provision"]}
    assert rules == {"TREAT": "permit", "HRESCH": "permit", "TRAIN": "deny", "HQUALIMP": "deny", "HPAYMT": "deny"}
    [told] = clinic.made("Provenance")
    get_fhir_model_class("Provenance").model_validate(told)
    assert told["target"] == [{"reference": f"Consent/{consent['id']}"}]
    assert told["entity"][0]["what"]["reference"] == "QuestionnaireResponse/i1/_history/1"
    again = clinic.sync()
    assert (again["created"], again["updated"], again["parked"]) == ({}, {}, 0)


def test_the_gate_obeys_it_at_once(clinic: Clinic) -> None:
    """A client who says no to treatment use is not scored, in the same run; saying yes later, they are."""
    form = response_json([1] * 8 + [0], subject="Patient/anna")
    counts = clinic.sync(patient(), answered(), form)
    assert (counts["withheld"], counts["scored"]) == (1, 0)
    changed = answered("treatment", status="amended", meta={"versionId": "2"})
    counts = clinic.sync(changed)
    assert (counts["updated"], counts["scored"], len(clinic.made("Consent"))) == ({"Consent": 1}, 1, 1)
    assert [p["entity"][0]["what"]["reference"][-1] for p in clinic.made("Provenance")][:2] == ["1", "2"]


def test_a_payer_is_named(clinic: Clinic) -> None:
    """Only the insurer that the client named may be given scores, and until the day that they set."""
    organizations = [{"resourceType": "Organization", "id": name} for name in ("mine", "other")]
    chosen = answered("treatment", "payer")
    chosen["item"].append({"linkId": "payer-who", "answer": [{"valueReference": {"reference": "Organization/mine"}}]})
    chosen["item"].append({"linkId": "until", "answer": [{"valueDate": "2099-12-31"}]})
    clinic.sync(patient(), chosen, *organizations)
    assert clinic.decision("HPAYMT", "Organization/mine") == "permit"
    assert clinic.decision("HPAYMT", "Organization/other") == "deny"
    assert clinic.made("Consent")[0]["provision"]["period"]["end"] == "2099-12-31"


def test_withdrawn(clinic: Clinic) -> None:
    """A form that was entered in error takes its Consent with it."""
    clinic.sync(patient(), answered("treatment"))
    clinic.sync(answered("treatment", status="entered-in-error"))
    assert [consent["status"] for consent in clinic.made("Consent")] == ["entered-in-error"]


GUARDIANS, PROXIES = "guardians = true\n", "proxies = true\n"
EVE = {"source": {"reference": "RelatedPerson/eve"}}


@pytest.mark.parametrize(
    ("people", "elements", "more", "accepted"),
    [
        ([patient()], {}, "", True),
        ([patient("2008-01-05")], {}, "", True),
        ([patient("2008-01-06")], {}, "", False),
        ([patient("2008-01-06")], {}, "adult_at = 16\n", True),
        ([patient(None)], {}, "", False),
        ([patient("1990")], {}, "", False),
        ([], {}, "", False),
        ([patient()], {"source": {"reference": "Practitioner/tom"}}, PROXIES, False),
        ([patient()], {"source": None}, "", False),
        ([patient("2015-01-01"), mother()], EVE, "", False),
        ([patient("2015-01-01"), mother()], EVE, GUARDIANS, True),
        ([patient("2015-01-01"), mother("Patient/ben")], EVE, GUARDIANS, False),
        ([patient("2015-01-01"), mother(code="SIB")], EVE, GUARDIANS, False),
        ([patient("2015-01-01")], EVE, GUARDIANS, False),
        ([patient(), mother()], EVE, GUARDIANS, False),
        ([patient(), mother()], EVE, PROXIES, True),
    ],
    ids=[
        "an adult", "18 today", "18 tomorrow", "16 by the site's law", "no birthday", "only a year", "no record",
        "a therapist", "nobody", "a child's mother", "where the site lets her", "another child's", "a sister",
        "not in the record", "an adult's mother", "where the site lets proxies",
    ],
)  # fmt: skip
def test_who_may_decide(
    clinic: Clinic, people: list[dict[str, Any]], elements: dict[str, Any], more: str, accepted: bool
) -> None:
    """By default only an adult client decides; all others are parked, with the reason, and no Consent is made."""
    form = {k: v for k, v in answered("treatment", **elements).items() if v is not None}
    counts = clinic.sync(*people, form, more=more)
    assert (len(clinic.made("Consent")), counts["parked"]) == (int(accepted), int(not accepted))
    if not accepted:
        [parked] = [json.loads(line) for line in (clinic.folder / "parked.ndjson").read_bytes().splitlines()]
        assert (parked["code"], parked["reference"]) == ("FA341", "QuestionnaireResponse/i1")


def test_not_read_is_no_consent(clinic: Clinic) -> None:
    """Who did not confirm the text has consented to nothing."""
    assert clinic.sync(patient(), answered("treatment", "unread"))["parked"] == 1
    assert clinic.made("Consent") == []


@pytest.mark.parametrize(
    "item",
    [[{"linkId": "read", "answer": [{"valueBoolean": True}, {"valueBoolean": False}]}], [{"answer": [{}]}], "x", [1]],
)
def test_what_cannot_be_read(clinic: Clinic, item: Any) -> None:
    """A form that contradicts itself, or is not shaped as FHIR, is parked."""
    assert clinic.sync(patient(), answered("treatment", item=item))["parked"] == 1
    assert clinic.made("Consent") == []


def test_an_unanswered_choice_is_none(clinic: Clinic) -> None:
    """What was not answered is neither permitted nor denied."""
    form = answered("treatment")
    form["item"] = [item for item in form["item"] if item["linkId"] != "research"]
    clinic.sync(patient(), form)
    [consent] = clinic.made("Consent")
    assert "HRESCH" not in {rule["purpose"][0]["code"] for rule in consent["provision"]["provision"]}


def test_switched_off(clinic: Clinic) -> None:
    """Where the site does not use the form, an answer to it waits for a person."""
    assert clinic.sync(patient(), answered("treatment"))["parked"] == 0
    clinic.config.write_text("", encoding="utf-8")
    told = json.loads(clinic.run("sync", "--store", str(clinic.folder), "--json").stdout)
    assert told["parked"] == 1


def test_the_form_says_the_sites_law(clinic: Clinic) -> None:
    """Published, its text names practice, law and duties in all languages; no placeholder is left."""
    done = clinic.run("publish", "--store", str(clinic.folder))
    assert done.exit_code == 0, done.stderr
    [form] = [q for q in clinic.made("Questionnaire") if q["url"] == URL]
    text = json.dumps(form, ensure_ascii=False)
    assert text.count("Ruritania") == text.count("child is at risk") == text.count("112") == 4
    assert "{" not in "".join(item["text"] for item in form["item"])
    assert 'Practice "North"' in form["item"][0]["text"]
    get_fhir_model_class("Questionnaire").model_validate(form)


def test_a_form_without_law_is_refused(clinic: Clinic) -> None:
    """10: a consent form that does not say the limits of confidentiality is not used."""
    clinic.config.write_text('[consent.intake]\non = true\njurisdiction = "x"\n', encoding="utf-8")
    done = clinic.run("publish", "--store", str(clinic.folder))
    assert (done.exit_code, done.stderr[:5]) == (10, "FA122")


def test_every_text_is_in_every_language() -> None:
    """English, German, Spanish and French say the same things: each text has all of them, with all placeholders."""
    form = intake_form(IntakeSection(practice="{p}", jurisdiction="{j}", duties="{d}", emergency="{e}"))
    for item in form["item"]:
        parts = [part["extension"] for part in item["_text"]["extension"]]
        said = {language["valueCode"]: content["valueString"] for language, content in parts}
        assert set(said) == {"de", "es", "fr"}
        for text in said.values():
            assert [text.count(mark) for mark in ("{p}", "{j}", "{d}", "{e}")] == [
                item["text"].count(mark) for mark in ("{p}", "{j}", "{d}", "{e}")
            ]
