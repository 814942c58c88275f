"""Small parts that several of our resources share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fhir_alliance.fhir.identifiers import SOFTWARE, TERMS

NAME: Final = "fhir_alliance"  # by which our notes are known

_OBJECTS = frozenset(
    {
        "subject", "patient", "for", "code", "meta", "focus", "owner", "groupIdentifier", "restriction", "statusReason",
        "encounter", "period", "class", "topic",
    }
)  # fmt: skip
_LISTS = frozenset(
    {
        "identifier", "participant", "episodeOfCare", "category", "component", "derivedFrom", "input", "output", "type",
        "target",
    }
)  # fmt: skip


# What reading raises where an element deep inside has another shape than FHIR's, such as words where a coding belongs.
MISSHAPEN: Final = (AttributeError, TypeError, ValueError, KeyError, IndexError, ArithmeticError)


def is_shaped(resource: Mapping[str, Any]) -> bool:
    """Return whether the elements that are looked at have the shape of FHIR; a store may hold what has not."""
    for name, value in resource.items():
        if name in _LISTS and not (isinstance(value, list) and all(isinstance(entry, dict) for entry in value)):
            return False
        is_object = isinstance(value, dict) or (name == "focus" and isinstance(value, list))  # Task's one, or many
        if name in _OBJECTS and not is_object:
            return False
    return True


def value_of(resource: Mapping[str, Any], system: str) -> str:
    """Return the resource's identifier in a system, or "" where it has none."""
    for identifier in resource.get("identifier") or ():
        if identifier.get("system") == system:
            return str(identifier.get("value", ""))
    return ""


def has_code(resource: Mapping[str, Any], code: str, statuses: Collection[str]) -> bool:
    """Return whether a Task has a code of ours, or a message a topic, and stands in one of these statuses."""
    concept = resource.get("topic" if resource.get("resourceType") == "Communication" else "code") or {}
    codings = concept.get("coding") or () if is_shaped(resource) else ()
    is_ours = any(c.get("system") == TERMS and c.get("code") == code for c in codings)
    return is_ours and resource.get("status") in statuses


def software() -> dict[str, Any]:
    """Return the reference by which we name ourselves."""
    return {
        "type": "Device",
        "identifier": {"system": SOFTWARE, "value": NAME},
        "display": NAME,
    }


def instant(when: datetime) -> str:
    """Return an aware moment as FHIR writes it, in UTC, to the second."""
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def stored_moment(text: Any) -> datetime:
    """Return a moment that we have written before; the beginning of time where a server has lost it."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
