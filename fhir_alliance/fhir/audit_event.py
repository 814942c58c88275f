"""Accesses to AuditEvents and back, by IHE's Basic Audit Log Patterns (profiles.ihe.net/ITI/BALP, 1.1).

One event tells of one client and one action, over all resources of it: the pattern wants one data entity, which names
the first resource; the others stand in its details.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.core.audit import Access, Action, Ground
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.elements import instant, software, stored_moment
from fhir_alliance.fhir.labels import codings

_BALP: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit"
_HL7: Final = "http://terminology.hl7.org/CodeSystem"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_REST: Final = {"system": f"{_HL7}/audit-event-type", "code": "rest", "display": "Restful Operation"}
_EXPORT: Final = {"system": _DICOM, "code": "110106", "display": "Export"}
_DISCLOSED: Final = {"system": f"{_HL7}/iso-21089-lifecycle", "code": "disclose"}
_SOURCE: Final = {"coding": [{"system": _DICOM, "code": "110153", "display": "Source Role ID"}]}
_DESTINATION: Final = {"coding": [{"system": _DICOM, "code": "110152", "display": "Destination Role ID"}]}
_SHOWN: Final = {"coding": [{"system": f"{_HL7}/v3-ParticipationType", "code": "IRCP"}]}
_AUTHOR: Final = {"coding": [{"system": f"{_HL7}/v3-ParticipationType", "code": "AUT"}]}
_CONSENT: Final = {"system": "http://hl7.org/fhir/resource-types", "code": "Consent"}
_OBJECT: Final = {"system": f"{_HL7}/audit-entity-type", "code": "2", "display": "System Object"}
_SERVER: Final = {"system": f"{_HL7}/security-source-type", "code": "4", "display": "Application Server"}
_PROFILE: Final = {
    Action.QUERY: "Query", Action.READ: "Read", Action.CREATE: "Create", Action.UPDATE: "Update",
}  # fmt: skip
_INTERACTION: Final = {
    Action.QUERY: "search-type", Action.READ: "read", Action.CREATE: "create", Action.UPDATE: "update",
}  # fmt: skip
_LETTER: Final = {
    Action.QUERY: "E", Action.READ: "R", Action.CREATE: "C", Action.UPDATE: "U", Action.DISCLOSE: "R",
}  # fmt: skip
_SYSTEMS: Final = {"Observation": ids.SCORE, "Task": ids.REVIEW}
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_DENIED: Final = "8"  # audit-event-outcome: serious failure, as BALP's example of a denial has it


class Scene(msgspec.Struct, frozen=True):
    """Where it happened. store: its name.  host: of this machine.  user: under whose account it ran."""

    store: str
    host: str
    user: str


def audit_event(access: Access, scene: Scene, *, claims: bool = True) -> bytes:
    """Return the AuditEvent of an access as JSON.

    claims: whether it names its pattern's profile; a server that validates refuses profiles that it does not hold.
    What the pattern does not foresee claims none: a look that was refused, or an access without data or client.
    """
    profile = _profile(access) if claims else ""
    is_disclosure = access.action is Action.DISCLOSE
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "meta": ({"profile": [profile]} if profile else {}) | {"security": codings(("R",))},
        "type": _EXPORT if is_disclosure else _REST,
        "subtype": [_DISCLOSED if is_disclosure else _interaction(access.action)],
        "action": _LETTER[access.action],
        "recorded": instant(access.when),
        "outcome": _outcome(access),
        "purposeOfEvent": [{"coding": [{"system": ids.V3 + "ActReason", "code": access.purpose}]}],
        "agent": _agents(access, scene),
        "source": {"observer": software(), "type": [_SERVER]},
        "entity": list(_entities(access)),
    }
    return orjson.dumps(event)


def read_access(event: Mapping[str, Any]) -> Access | None:
    """Return the access that an AuditEvent of ours tells, or None for any other."""
    observer = (event.get("source") or {}).get("observer") or {}
    if (observer.get("identifier") or {}).get("system") != ids.SOFTWARE:
        return None
    action = _action(event)
    entities = event.get("entity") or ()
    if action is None:
        return None
    subject = next((_reference(e) for e in entities if _code(e, "type") == "1"), "")
    data: Mapping[str, Any] = next((e for e in entities if _code(e, "type") == "2"), {})
    recipient, role = _recipient(event, action)
    purpose = ((event.get("purposeOfEvent") or [{}])[0].get("coding") or [{}])[0].get("code", "")
    when = stored_moment(event.get("recorded"))
    return Access(action, subject, when, _what(data), str(purpose), recipient, role, _ground(event))


def _outcome(access: Access) -> str:
    """Return whether it was done. A search was, also where consent then let nobody see what it found."""
    return "0" if access.ground.permitted or access.action is Action.QUERY else _DENIED


def _profile(access: Access) -> str:
    """Return the profile whose every rule the event keeps, or "" where it keeps none."""
    if access.action is Action.DISCLOSE:
        return f"{_BALP}.PrivacyDisclosure.Source" if access.subject and (access.what or access.ground.policy) else ""
    if _outcome(access) == _DENIED or (access.action is not Action.QUERY and not access.what):
        return ""
    return f"{_BALP}.{'Patient' if access.subject else ''}{_PROFILE[access.action]}"


def _interaction(action: Action) -> dict[str, str]:
    return {"system": "http://hl7.org/fhir/restful-interaction", "code": _INTERACTION[action]}


def _agents(access: Access, scene: Scene) -> list[dict[str, Any]]:
    """Return who took part: this program, the store or the recipient, and the person behind it."""
    here = {"who": software(), "requestor": False, "network": {"address": scene.host, "type": "1"}}
    there = {"who": {"display": scene.store}, "requestor": False, "network": {"address": scene.store, "type": "5"}}
    account = {"who": {"identifier": {"value": scene.user}}, "requestor": True}
    if access.action is Action.DISCLOSE:
        taken = {"who": _named(access.recipient), "requestor": False, "network": {"address": "file:", "type": "5"}}
        role = {"role": [{"text": access.role}]} if access.role else {}
        return [{"type": _SOURCE, **here}, {"type": _DESTINATION, **taken, **role}, {"type": _AUTHOR, **account}]
    if access.action is Action.READ:  # what is read comes from the store
        person = {"who": _named(access.recipient), "requestor": True} if access.recipient else account
        role = {"role": [{"text": access.role}]} if access.role else {}
        return [{"type": _DESTINATION, **here}, {"type": _SOURCE, **there}, {"type": _SHOWN, **person, **role}]
    user = _SHOWN if access.action is Action.QUERY else _AUTHOR
    return [{"type": _SOURCE, **here}, {"type": _DESTINATION, **there}, {"type": user, **account}]


def _entities(access: Access) -> Iterable[dict[str, Any]]:
    if access.subject:
        person = {"system": f"{_HL7}/audit-entity-type", "code": "1", "display": "Person"}
        yield {"what": {"reference": access.subject}, "type": person, "role": _role("1")}
    if access.action is Action.QUERY:
        asked = f"{','.join(access.what)}?patient={access.subject}".encode()
        yield {"type": _OBJECT, "role": _role("24"), "query": base64.b64encode(asked).decode()}
    elif access.what:
        data: dict[str, Any] = {"what": _named(access.what[0]), "type": _OBJECT, "role": _role("4")}
        if len(access.what) > 1:
            data["detail"] = [{"type": "resource", "valueString": name} for name in access.what[1:]]
        yield data
    yield from _decision(access.ground)


def _decision(ground: Ground) -> Iterable[dict[str, Any]]:
    """Return the consent decision: each Consent that it rests on, or the default table where none speaks."""
    if not ground.policy:
        return
    details = [{"type": "decision", "valueString": "permit" if ground.permitted else "deny"}]
    details.append({"type": "policy", "valueString": ground.policy})
    details += [{"type": "reason", "valueString": reason} for reason in ground.reasons]
    for consent in ground.consents:
        yield {"what": {"reference": consent}, "type": _CONSENT, "detail": details}
    if not ground.consents:
        yield {"what": {"type": "Consent", "display": "none: the default table"}, "type": _CONSENT, "detail": details}


def _role(code: str) -> dict[str, str]:
    return {"system": f"{_HL7}/object-role", "code": code}


def _named(reference: str) -> dict[str, Any]:
    """Return how a resource is pointed to: ours by the key that they keep in every store, others by reference."""
    kind, _, key = reference.partition("/")
    if _KEY.fullmatch(key):
        system = {"system": _SYSTEMS[kind]} if kind in _SYSTEMS else {}
        return {"type": kind, "identifier": {**system, "value": key}}
    return {"reference": reference} if ids.local(reference) else {"display": reference}


def _reference(entity: Mapping[str, Any]) -> str:
    what = entity.get("what") or {}
    identifier = what.get("identifier") or {}
    named = f"{what.get('type', '')}/{identifier['value']}" if "value" in identifier else what.get("display", "")
    return str(what.get("reference") or named)


def _code(element: Mapping[str, Any], name: str) -> str:
    return str((element.get(name) or {}).get("code", ""))


def _action(event: Mapping[str, Any]) -> Action | None:
    codes = {str(subtype.get("code", "")) for subtype in event.get("subtype") or ()}
    if _DISCLOSED["code"] in codes:
        return Action.DISCLOSE
    return next((action for action, code in _INTERACTION.items() if code in codes), None)


def _what(data: Mapping[str, Any]) -> tuple[str, ...]:
    if "query" in data:
        return tuple(base64.b64decode(str(data["query"])).decode(errors="replace").partition("?")[0].split(","))
    others = [str(d["valueString"]) for d in data.get("detail") or () if d.get("type") == "resource"]
    return (_reference(data), *others) if data else ()


def _recipient(event: Mapping[str, Any], action: Action) -> tuple[str, str]:
    """Return who was shown or given it, and in which role; nobody where only this program read."""
    wanted = {Action.DISCLOSE: "110152", Action.READ: "IRCP"}.get(action, "")
    for agent in event.get("agent") or ():
        codes = {c.get("code") for c in (agent.get("type") or {}).get("coding") or ()}
        if wanted in codes and "identifier" not in (agent.get("who") or {}):
            role = (agent.get("role") or [{}])[0].get("text", "")
            return _reference({"what": agent.get("who")}), str(role)
    return "", ""


def _ground(event: Mapping[str, Any]) -> Ground:
    decisions = [e for e in event.get("entity") or () if _code(e, "type") == "Consent"]
    details = [d for e in decisions[:1] for d in e.get("detail") or ()]
    consents = [str((e.get("what") or {}).get("reference", "")) for e in decisions]
    said = {str(d["valueString"]) for d in details if d.get("type") == "decision"}
    return Ground(
        event.get("outcome") == "0" and "deny" not in said,
        tuple(consent for consent in consents if consent),
        next((str(d["valueString"]) for d in details if d.get("type") == "policy"), ""),
        tuple(str(d["valueString"]) for d in details if d.get("type") == "reason"),
    )
