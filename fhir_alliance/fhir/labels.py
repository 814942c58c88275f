"""Security labels on resources: read, written, and honoured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from fhir_alliance.core.labels import ORDER, REDACTED, SUBSETTED, Ceiling, covers, may_carry, union
from fhir_alliance.fhir import identifiers as ids

_INTEGRITY: Final = ids.V3 + "ObservationValue"
_OURS: Final = frozenset({ids.CONFIDENTIALITY, ids.ACT_CODE})


class Honoured(NamedTuple):
    """What a way out may carry, and how many resources it may not."""

    kept: list[Mapping[str, Any]]
    left_out: int


def codings(labels: Iterable[str]) -> list[dict[str, str]]:
    """Return labels as codings: confidentiality by its own system, sensitivity by v3-ActCode, others by theirs."""
    found = []
    for label in labels:
        system, divider, code = label.rpartition("|")
        if not divider:
            system = ids.CONFIDENTIALITY if label in ORDER else ids.ACT_CODE
        found.append({"system": system, "code": code})
    return found


def label_of(system: str, code: str) -> str:
    """Return a coding as a label. What has no code, and a foreign confidentiality, count as very restricted."""
    if not code or (system == ids.CONFIDENTIALITY and code not in ORDER):
        return ORDER[-1]
    return code if system in _OURS else f"{system}|{code}"


def labels_of(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels of a resource; marks of what was left out of it are no labels."""
    security = (resource.get("meta") or {}).get("security") or ()
    return _union(tuple((str(coding.get("system", "")), str(coding.get("code", ""))) for coding in security))


@lru_cache(maxsize=1024)  # a record has few combinations
def _union(security: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    named = (label_of(system, code) for system, code in security)
    return union(label for label in named if label != f"{_INTEGRITY}|{REDACTED}")


def honoured(resources: Iterable[Mapping[str, Any]], ceiling: Ceiling) -> Honoured:
    """Return the resources that a way out may carry; one that is labelled above that is left out, and counted."""
    found = Honoured([], 0)
    for resource in resources:
        if may_carry(labels_of(resource), ceiling):
            found.kept.append(resource)
        else:
            found = Honoured(found.kept, found.left_out + 1)
    return found


def bundle_meta(resources: Iterable[Mapping[str, Any]], *, left_out: bool) -> dict[str, Any]:
    """Return the meta of what holds these resources: their labels together, and REDACTED where one was left out."""
    security = codings(union(*(labels_of(resource) for resource in resources)))
    if left_out:
        security.append({"system": _INTEGRITY, "code": REDACTED})
    return {"security": security}


def raised(resource: Mapping[str, Any], labels: Iterable[str]) -> dict[str, Any]:
    """Return a resource's meta with further labels; none that stands there falls, and marks stay."""
    meta, stood = dict(resource.get("meta") or {}), labels_of(resource)
    wanted = union(stood, labels)
    if not covers(stood, wanted):
        lower = {label for label in ORDER if label not in wanted}
        kept = [c for c in meta.get("security") or () if c.get("code") not in lower]
        meta["security"] = [*kept, *codings(label for label in wanted if label not in stood)]
    return meta


def subsetted(resource: Mapping[str, Any], without: Iterable[str]) -> dict[str, Any]:
    """Return a resource without some of its elements, marked as not whole; as it is where it has none of them."""
    left = {name: value for name, value in resource.items() if name not in frozenset(without)}
    if len(left) == len(resource):
        return left
    meta = dict(left.get("meta") or {})
    marks = [tag for tag in meta.get("tag") or () if tag.get("code") != SUBSETTED]
    meta["tag"] = [*marks, {"system": _INTEGRITY, "code": SUBSETTED}]
    return left | {"meta": meta}
