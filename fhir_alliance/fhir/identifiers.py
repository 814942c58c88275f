"""The names we give to things: code systems, identifier systems, profiles."""

from __future__ import annotations

import re
from typing import Final

BASE: Final = "https://fhir-alliance.org/fhir"

# business identifiers of what we write
SCORE: Final = f"{BASE}/sid/score"
RESPONSE: Final = f"{BASE}/sid/response"
REVIEW: Final = f"{BASE}/sid/review"
REQUEST: Final = f"{BASE}/sid/request"
MEASURE_REPORT: Final = f"{BASE}/sid/measure-report"
EPISODE: Final = f"{BASE}/sid/episode"
FINDING: Final = f"{BASE}/sid/finding"
SOFTWARE: Final = f"{BASE}/sid/software"
PROVENANCE: Final = f"{BASE}/sid/provenance"
RENEWAL: Final = f"{BASE}/sid/renewal"
CONSENT: Final = f"{BASE}/sid/consent"

# code systems; the first four are generated from the catalog of instruments
SCORES: Final = f"{BASE}/CodeSystem/scores"
BANDS: Final = f"{BASE}/CodeSystem/bands"
METHODS: Final = f"{BASE}/CodeSystem/methods"
ANSWERS: Final = f"{BASE}/CodeSystem/answers"
TERMS: Final = f"{BASE}/CodeSystem/terms"
MEASURE_PARTS: Final = f"{BASE}/CodeSystem/measure-parts"

# profiles
PANEL_PROFILE: Final = f"{BASE}/StructureDefinition/alliance-panel"
SCORE_PROFILE: Final = f"{BASE}/StructureDefinition/alliance-score"
SUBSCALE_PROFILE: Final = f"{BASE}/StructureDefinition/alliance-subscale"
FINDING_PROFILE: Final = f"{BASE}/StructureDefinition/alliance-finding"
GOAL_REVIEW_PROFILE: Final = f"{BASE}/StructureDefinition/alliance-goal-review-task"
SAFETY_REVIEW_PROFILE: Final = f"{BASE}/StructureDefinition/alliance-safety-review-task"
SAFETY_MESSAGE_PROFILE: Final = f"{BASE}/StructureDefinition/alliance-safety-message"
PROVENANCE_PROFILE: Final = f"{BASE}/StructureDefinition/alliance-provenance"

# the form in which scores stand where a server takes no Observation, in its one version
SCORE_FORM: Final = f"{BASE}/Questionnaire/score-sheet|1.0.0"

# what is decided where no Consent speaks
CONSENT_TABLE: Final = f"{BASE}/consent-table"

# extensions
REPAIRS: Final = f"{BASE}/StructureDefinition/repairs"
TRANSLATION_STATUS: Final = f"{BASE}/StructureDefinition/translation-status"
POPULATION_REASON: Final = f"{BASE}/StructureDefinition/population-reason"

LOINC: Final = "http://loinc.org"
LANGUAGES: Final = "urn:ietf:bcp:47"
UCUM: Final = "http://unitsofmeasure.org"
V3: Final = "http://terminology.hl7.org/CodeSystem/v3-"
CONFIDENTIALITY: Final = V3 + "Confidentiality"
ACT_CODE: Final = V3 + "ActCode"
OBSERVATION_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
US_CORE_CATEGORY: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"
COMMUNICATION_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/communication-category"
GOAL_ACHIEVEMENT: Final = "http://terminology.hl7.org/CodeSystem/goal-achievement"
PROVENANCE_ROLE: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
DATA_OPERATION: Final = V3 + "DataOperation"
DATA_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"

# Points on an answer: the SDC address, then the older ones that are met in the field.
WEIGHT_URLS: Final = frozenset(
    {
        "http://hl7.org/fhir/StructureDefinition/itemWeight",
        "http://hl7.org/fhir/StructureDefinition/ordinalValue",
        "http://hl7.org/fhir/StructureDefinition/questionnaire-ordinalValue",
        "http://hl7.org/fhir/StructureDefinition/iso21090-CO-value",
        "http://fhir.org/guides/argonaut-questionnaire/StructureDefinition/extension-ordinalValue",
    }
)

FHIR_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_LOCAL_REFERENCE = re.compile(r"([A-Z][A-Za-z]{1,40})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")


def urn(value: str) -> str:
    """Return the urn:uuid that stands for a derived key inside a transaction."""
    return f"urn:uuid:{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:32]}"


def local(reference: str, base: str = "") -> str:
    """Return `Type/id` for a reference on the same server, or "" for anything else.

    base: the server's own address; an absolute reference below it counts as local.
    """
    if base and reference.startswith(base):
        reference = reference[len(base) :].lstrip("/")
    found = _LOCAL_REFERENCE.fullmatch(reference)
    if found is None:
        return ""
    return reference if found.end(2) == len(reference) else reference[: found.end(2)]
