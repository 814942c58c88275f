"""FHIR resources about one person to a `Person`: the facts that measures look at, and what was odd about them.

Plain FHIR R4 and QI-Core are read alike; profiles are not asked for. What cannot be read counts as not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from fhir_alliance.core.measures.calendar import Moment, moment
from fhir_alliance.core.measures.people import NO_CODES, Codes, Death, Episode, Fact, Kind, Person
from fhir_alliance.core.model import Instrument, Mode, Number
from fhir_alliance.fhir.identifiers import ACT_CODE, local
from fhir_alliance.fhir.remembered import remembered
from fhir_alliance.fhir.stored_score import read_score
from fhir_alliance.fhir.task import read_review, review_identifier
from fhir_alliance.fhir.timing import clinical_status, code_in, period_of, point_of, prevalence, span_of

# the resource types that a person's facts come from
KINDS: Final = (
    "Encounter", "Condition", "Observation", "Procedure", "ServiceRequest", "Goal", "Task", "EpisodeOfCare",
    "Coverage", "MedicationRequest",
)  # fmt: skip
_VERIFICATION: Final = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_NOT_DONE: Final = "http://hl7.org/fhir/us/qicore/StructureDefinition/qicore-notDoneReason"
_SEX: Final = frozenset(
    {
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-sex",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex",
    }
)
# v3-ActCode: VR is virtual; which of video or phone it was stands in no code of Encounter.class
_MODES: Final = {"AMB": Mode.IN_PERSON, "IMP": Mode.IN_PERSON, "HH": Mode.IN_PERSON, "VR": Mode.VIDEO}


def person_of(
    patient: Mapping[str, Any],
    resources: Iterable[Mapping[str, Any]],
    instruments: Mapping[str, Instrument],
    base: str = "",
) -> Person:
    """Return everything that measures may look at, of one patient.

    resources: about the patient, of any of `KINDS`; one that comes twice (the same type and id) counts once, the
    later one.  instruments: whose scores are recognised.
    """
    birth = moment(str(patient.get("birthDate", "")))
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for resource in _once(resources):
        by_kind.setdefault(str(resource["resourceType"]), []).append(resource)
    odd: Counter[str] = Counter()
    if birth is None:
        odd["missing-birth-date"] += 1
    encounters = _encounters(by_kind.get("Encounter", ()), odd)
    observations = by_kind.get("Observation", ())
    facts = [
        *encounters,
        *(_condition(r, birth) for r in by_kind.get("Condition", ())),
        *(_observation(r, birth) for r in observations),
        *(_procedure(r, birth) for r in by_kind.get("Procedure", ())),
        *(_order(r, Kind.REQUEST, "code") for r in by_kind.get("ServiceRequest", ())),
        *(_order(r, Kind.MEDICATION, "medicationCodeableConcept") for r in by_kind.get("MedicationRequest", ())),
        *(_goal(r) for r in by_kind.get("Goal", ())),
    ]
    scores = (read_score(r, instruments, base) for r in observations)
    reviews = (read_review(r, base) for r in by_kind.get("Task", ()) if review_identifier(r))
    episodes, overlapping = _episodes(by_kind.get("EpisodeOfCare", ()))
    odd["overlapping-episodes"] += overlapping
    clinics = _clinics(patient, by_kind)
    odd["client-in-two-clinics"] += len(clinics) > 1
    return Person(
        f"Patient/{patient.get('id', '')}",
        birth,
        death_of(patient),
        str(patient.get("gender", "")),
        _sex(patient),
        _languages(patient),
        tuple(sorted(_payers(by_kind.get("Coverage", ())))),
        tuple(facts),
        episodes,
        tuple(score for score in scores if score is not None),
        tuple(review for review in reviews if review is not None),
        clinics,
        _therapist(by_kind.get("Encounter", ()), base),
        tuple(sorted((rule, count) for rule, count in odd.items() if count)),
    )


def codes_of(*concepts: Any) -> Codes:
    """Return all codings of some concepts as pairs of system and code."""
    return _codes(*concepts) if any(concepts) else NO_CODES


@remembered
def _codes(*concepts: Any) -> Codes:
    return frozenset(
        (str(coding.get("system", "")), str(coding["code"]))
        for concept in concepts
        if isinstance(concept, dict)
        for coding in concept.get("coding") or ()
        if isinstance(coding, dict) and coding.get("code")
    )


def _once(resources: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return each resource once, by type and id; those without an id are all kept."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for number, resource in enumerate(resources):
        found[str(resource.get("resourceType", "")), str(resource.get("id") or f"#{number}")] = resource
    return [found[key] for key in sorted(found)]


def _reference(resource: Mapping[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource.get('id', '')}"


def _encounters(resources: Sequence[Mapping[str, Any]], odd: Counter[str]) -> list[Fact]:
    """Return encounters; the same visit entered twice (start, types, class and status) counts once."""
    seen: set[object] = set()
    facts = []
    for resource in resources:
        fact = _encounter(resource)
        same = (fact.when.start, fact.codes, fact.status, fact.mode)
        if same in seen and isinstance(fact.when.start, Moment) and fact.codes:
            odd["duplicate-encounter"] += 1
            continue
        seen.add(same)
        facts.append(fact)
    return facts


def _encounter(resource: Mapping[str, Any]) -> Fact:
    stay = resource.get("hospitalization")
    kind = resource.get("class")
    code = str(kind.get("code", "")) if isinstance(kind, dict) else ""
    return Fact(
        Kind.ENCOUNTER,
        _reference(resource),
        codes_of(*_listed(resource.get("type"))) | ({(ACT_CODE, code)} if code else NO_CODES),
        str(resource.get("status", "")),
        period_of(resource.get("period")),
        disposition=codes_of(stay.get("dischargeDisposition")) if isinstance(stay, dict) else NO_CODES,
        mode=_MODES.get(code, Mode.UNKNOWN),
        place=_named(resource.get("serviceProvider")),
    )


def _condition(resource: Mapping[str, Any], birth: Moment | None) -> Fact:
    return Fact(
        Kind.CONDITION,
        _reference(resource),
        codes_of(resource.get("code")),
        clinical_status(resource),
        prevalence(resource, birth),
        verification=code_in(resource.get("verificationStatus"), _VERIFICATION),
    )


def _observation(resource: Mapping[str, Any], birth: Moment | None) -> Fact:
    points = _points(resource)
    return Fact(
        Kind.OBSERVATION,
        _reference(resource),
        codes_of(resource.get("code")),
        str(resource.get("status", "")),
        span_of(resource, "effective", birth) if _was_made(resource) else point_of(resource.get("issued")),
        value=points,
        answer=codes_of(resource.get("valueCodeableConcept")),
        has_value=points is not None or any(name.startswith("value") for name in resource),
        encounter=_named(resource.get("encounter")),
        reason=_not_made_because(resource),
        recorded=_recorded(resource),
    )


def _was_made(resource: Mapping[str, Any]) -> bool:
    return resource.get("status") != "cancelled"


def _not_made_because(resource: Mapping[str, Any]) -> Codes:
    """Return QI-Core's reason why an observation was not made."""
    found = [e.get("valueCodeableConcept") for e in _listed(resource.get("extension")) if e.get("url") == _NOT_DONE]
    return codes_of(*found)


def _recorded(resource: Mapping[str, Any]) -> Moment | None:
    meta = resource.get("meta")
    updated = meta.get("lastUpdated") if isinstance(meta, dict) else None
    return moment(str(updated or resource.get("issued", "")))


def _procedure(resource: Mapping[str, Any], birth: Moment | None) -> Fact:
    when = span_of(resource, "performed", birth)
    return Fact(
        Kind.PROCEDURE, _reference(resource), codes_of(resource.get("code")), str(resource.get("status", "")), when
    )


def _order(resource: Mapping[str, Any], kind: Kind, element: str) -> Fact:
    return Fact(
        kind,
        _reference(resource),
        codes_of(resource.get(element)),
        str(resource.get("status", "")),
        point_of(resource.get("authoredOn")),
        intent=str(resource.get("intent", "")),
        negated=resource.get("doNotPerform") is True,
    )


def _goal(resource: Mapping[str, Any]) -> Fact:
    """Return a goal; its codes are those of the measures that its targets name."""
    targets = [target.get("measure") for target in _listed(resource.get("target"))]
    when = point_of(resource.get("startDate"))
    status = str(resource.get("lifecycleStatus", ""))
    return Fact(Kind.GOAL, _reference(resource), codes_of(*targets), status, when)


def _points(resource: Mapping[str, Any]) -> Number | None:
    """Return the value in points, an integer or a quantity; None where there is none that is a number."""
    quantity = resource.get("valueQuantity")
    value = resource.get("valueInteger", quantity.get("value") if isinstance(quantity, dict) else None)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    if isinstance(value, int):
        return value
    exact = Decimal(str(value))
    return int(exact) if exact == exact.to_integral_value() else exact


def death_of(patient: Mapping[str, Any]) -> Death:
    """Return what a Patient says of the person's death; a date that cannot be read says nothing."""
    when = moment(str(patient.get("deceasedDateTime", "")))
    return Death(when is not None or patient.get("deceasedBoolean") is True, when)


def _sex(patient: Mapping[str, Any]) -> str:
    for extension in _listed(patient.get("extension")):
        if extension.get("url") in _SEX:
            return str(extension.get("valueCode", ""))
    return ""


def _languages(patient: Mapping[str, Any]) -> tuple[str, ...]:
    spoken = sorted(_listed(patient.get("communication")), key=lambda c: c.get("preferred") is not True)
    return tuple(code for c in spoken for _, code in sorted(codes_of(c.get("language"))))


def _payers(coverages: Iterable[Mapping[str, Any]]) -> set[str]:
    return {
        code
        for coverage in coverages
        if coverage.get("status", "active") == "active"
        for _, code in codes_of(coverage.get("type"))
    }


def _episodes(resources: Iterable[Mapping[str, Any]]) -> tuple[tuple[Episode, ...], int]:
    """Return the times in care, those that overlap as one, and how many did."""
    read = (_episode(r) for r in resources if r.get("status") not in ("cancelled", "entered-in-error", "planned"))
    known = [episode for episode in read if episode is not None]
    found: list[Episode] = []
    overlapping = 0
    for episode in sorted(known, key=lambda e: (e.first, e.last or date.max)):
        if found and (found[-1].last is None or episode.first < found[-1].last):
            overlapping += 1
            found[-1] = _joined(found[-1], episode)
        else:
            found.append(episode)
    return tuple(found), overlapping


def _episode(resource: Mapping[str, Any]) -> Episode | None:
    when = period_of(resource.get("period"))
    if not isinstance(when.start, Moment) or when.start.day is None:
        return None
    last = when.end.day if isinstance(when.end, Moment) else None
    return Episode(when.start.day, last, resource.get("status") == "finished" and last is not None)


def _joined(one: Episode, other: Episode) -> Episode:
    last = None if one.last is None or other.last is None else max(one.last, other.last)
    return Episode(one.first, last, one.is_finished and other.is_finished)


def _clinics(patient: Mapping[str, Any], by_kind: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, ...]:
    named = [patient.get("managingOrganization")]
    named += [r.get("serviceProvider") for r in by_kind.get("Encounter", ())]
    named += [r.get("managingOrganization") for r in by_kind.get("EpisodeOfCare", ())]
    return tuple(sorted({_named(reference) for reference in named} - {""}))


def _therapist(encounters: Iterable[Mapping[str, Any]], base: str) -> str:
    """Return the practitioner who saw the person most often; of equals the first by name."""
    seen: Counter[str] = Counter()
    for encounter in encounters:
        for participant in _listed(encounter.get("participant")):
            reference = local(_named(participant.get("individual")), base)
            if reference.startswith("Practitioner"):
                seen[reference] += 1
    return min(seen, key=lambda name: (-seen[name], name), default="")


def _named(reference: Any) -> str:
    return str(reference.get("reference", "")) if isinstance(reference, dict) else ""


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
