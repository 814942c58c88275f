"""Hand-worked clients of a measure, written down by named facts, as FHIR resources.

A table has a base client whose facts each have a name. Every other client says what is different, and to which
populations he or she belongs. Codes are the measure's own names for them; where a site supplies the ValueSet, the
tests supply one with a single invented code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fhir_alliance.core.measures.definition import CodeSet, Measure
from fhir_alliance.fhir import identifiers as ids

HERE = Path(__file__).parent
INVENTED = "https://example.org/codes"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
LISTED = {"Encounter": "type"}
TIMES = {"Condition": "onset", "Observation": "effective", "Procedure": "performed"}


class Client(NamedTuple):
    """A client: the claim that he or she stands for, the record, and the populations by group."""

    claim: str
    patient: dict[str, Any]
    resources: list[dict[str, Any]]
    expected: dict[str, dict[str, int]]
    strata: list[str]


def clients_of(measure: Measure) -> list[Client]:
    """Return the clients of a measure's table."""
    table = tomllib.loads((HERE / f"{measure.id}.toml").read_text(encoding="utf-8"))
    base, codes = table["base"], {code_set.name: code_set for code_set in measure.code_sets}
    return [_client(number, row, base, codes, measure) for number, row in enumerate(table["client"], start=1)]


def value_sets_for(measure: Measure) -> Iterator[dict[str, Any]]:
    """Yield a ValueSet of one invented code for each that a site would supply."""
    for code_set in measure.code_sets:
        if code_set.value_set:
            include = {"system": INVENTED, "concept": [{"code": code_set.name}]}
            yield {"resourceType": "ValueSet", "url": code_set.value_set, "compose": {"include": [include]}}


def _client(
    number: int, row: Mapping[str, Any], base: Mapping[str, Any], codes: Mapping[str, CodeSet], measure: Measure
) -> Client:
    name = f"client-{number:03}"
    facts = {key: {**fact, **row.get("set", {}).get(key, {})} for key, fact in base["facts"].items()}
    facts |= {key: fact for key, fact in row.get("set", {}).items() if key not in base["facts"]}
    for key in row.get("drop", ()):
        del facts[key]
    patient = {"resourceType": "Patient", "id": name, **base["patient"], **row.get("patient", {})}
    resources = [_resource(f"{name}-{key}", name, fact, codes) for key, fact in facts.items()]
    patient = {key: value for key, value in patient.items() if value != ""}
    expected = {group.id: dict.fromkeys((p.value for p in group.populations), 0) for group in measure.groups}
    for group, populations in row["expect"].items():
        expected[group] |= populations if isinstance(populations, dict) else dict.fromkeys(populations, 1)
    return Client(row["claim"], patient, resources, expected, row.get("strata", []))


def _resource(key: str, client: str, fact: Mapping[str, Any], codes: Mapping[str, CodeSet]) -> dict[str, Any]:
    """Return the FHIR resource of a fact; what the notation has no word for is given under `fhir`."""
    kind = fact["is"]
    if kind in OURS:
        whole = {**OURS[kind](key, f"Patient/{client}", fact), **fact.get("fhir", {})}
        return {name: value for name, value in whole.items() if value != ""}
    resource: dict[str, Any] = {"resourceType": kind, "id": key, "subject": {"reference": f"Patient/{client}"}}
    if "code" in fact and kind == "MedicationRequest":
        resource["medicationCodeableConcept"] = _concept(fact["code"], codes)
    elif "code" in fact:
        concept = _concept(fact["code"], codes)
        resource[LISTED.get(kind, "code")] = [concept] if kind in LISTED else concept
    if kind == "Condition":
        resource["clinicalStatus"] = {"coding": [{"system": CLINICAL, "code": fact.get("status", "active")}]}
        verified = fact.get("verified", "confirmed")
        resource["verificationStatus"] = {"coding": [{"system": VERIFICATION, "code": verified}]}
    elif "status" in fact:
        resource["lifecycleStatus" if kind == "Goal" else "status"] = fact["status"]
    if "value" in fact:
        resource["valueInteger"] = fact["value"]
    if "answer" in fact:
        resource["valueCodeableConcept"] = _concept(fact["answer"], codes)
    if "target" in fact:
        resource["target"] = [{"measure": _concept(fact["target"], codes)}]
    if "intent" in fact:
        resource["intent"] = fact["intent"]
    if "discharged" in fact:
        resource["hospitalization"] = {"dischargeDisposition": _concept(fact["discharged"], codes)}
    whole = {**resource, **_times(kind, fact), **fact.get("fhir", {})}
    return {key: value for key, value in whole.items() if value != ""}


def _score(key: str, client: str, fact: Mapping[str, Any]) -> dict[str, Any]:
    """Return a score as the program writes it. code: instrument and scale; by: who rated."""
    by = {"system": ids.TERMS, "code": f"{fact.get('by', 'client')}-rated"}
    score = {
        "resourceType": "Observation",
        "id": key,
        "identifier": [{"system": ids.SCORE, "value": key}],
        "status": fact.get("status", "final"),
        "category": [{"coding": [by]}],
        "code": {"coding": [{"system": ids.SCORES, "code": fact["code"]}]},
        "subject": {"reference": client},
        "effectiveDateTime": fact["at"],
    }
    if "value" in fact:
        score["valueQuantity"] = {"value": fact["value"], "code": "{score}"}
    if "encounter" in fact:
        score["encounter"] = {"reference": f"Encounter/{client.removeprefix('Patient/')}-{fact['encounter']}"}
    if "language" in fact:
        value = {"coding": [{"system": ids.LANGUAGES, "code": fact["language"]}]}
        code = {"coding": [{"system": ids.TERMS, "code": "language"}]}
        score["component"] = [{"code": code, "valueCodeableConcept": value}]
    return score


def _review(key: str, client: str, fact: Mapping[str, Any]) -> dict[str, Any]:
    """Return a review's Task. done: the day on which somebody completed it."""
    review = {
        "resourceType": "Task",
        "id": key,
        "identifier": [{"system": ids.REVIEW, "value": key}],
        "status": fact.get("status", "completed"),
        "intent": "order",
        "code": {"coding": [{"system": ids.TERMS, "code": fact.get("kind", "goal-review")}]},
        "for": {"reference": client},
        "authoredOn": fact.get("opened", "2026-01-01T08:00:00Z"),
        "restriction": {"period": {"end": f"{fact['due']}T08:00:00Z"}},
    }
    if "done" in fact:
        review["executionPeriod"] = {"end": fact["done"]}
    return review


def _episode(key: str, client: str, fact: Mapping[str, Any]) -> dict[str, Any]:
    """Return a time in care."""
    period = {name: fact[word] for name, word in (("start", "from"), ("end", "to")) if word in fact}
    status = fact.get("status", "finished" if "to" in fact else "active")
    return {
        "resourceType": "EpisodeOfCare",
        "id": key,
        "patient": {"reference": client},
        "status": status,
        "period": period,
    }


OURS = {"Score": _score, "Review": _review, "EpisodeOfCare": _episode}


def _times(kind: str, fact: Mapping[str, Any]) -> dict[str, Any]:
    period = {key: fact[name] for key, name in (("start", "from"), ("end", "to")) if name in fact}
    if "at" in fact:
        if kind == "Encounter":
            return {"period": {"start": fact["at"], "end": fact["at"]}}
        if kind in ("ServiceRequest", "MedicationRequest", "Goal"):
            return {"startDate" if kind == "Goal" else "authoredOn": fact["at"]}
        return {f"{TIMES[kind]}DateTime": fact["at"]}
    return {"period" if kind == "Encounter" else f"{TIMES[kind]}Period": period} if period else {}


def _concept(name: str, codes: Mapping[str, CodeSet]) -> dict[str, Any]:
    if name not in codes:
        return {"coding": [{"system": INVENTED, "code": name}]}
    given = sorted(codes[name].codes)
    system, code = given[0] if given else (INVENTED, name)
    return {"coding": [{"system": system, "code": code}]}
