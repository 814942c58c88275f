"""What leaves, as a Bundle: the minimum of each score, the Consents that permit it, and the labels of all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from fhir_alliance.core.keys import derived
from fhir_alliance.core.ways_out import DisclosurePass
from fhir_alliance.fhir.elements import instant
from fhir_alliance.fhir.identifiers import urn
from fhir_alliance.fhir.labels import bundle_meta, subsetted

# Minimum necessary (45 CFR 164.502(b)): score, form, date and band. Who rated it stands in the category.
_INNER: Final = (
    "note", "component", "performer", "encounter", "focus", "hasMember", "derivedFrom", "text", "contained", "issued",
    "extension", "dataAbsentReason",
)  # fmt: skip


class Given(NamedTuple):
    """Scores that go to somebody, and what lets them go."""

    passed: DisclosurePass
    scores: Sequence[Mapping[str, Any]]


def disclosure_bundle(
    given: Sequence[Given], consents: Sequence[Mapping[str, Any]], *, left_out: bool, now: datetime
) -> dict[str, Any]:
    """Return a collection of scores and the Consents behind them.

    left_out: whether the recipient does not get everything; then the Bundle says REDACTED.
    """
    parts = [least(score) for group in given for score in group.scores]
    return {
        "resourceType": "Bundle",
        "meta": bundle_meta(parts, left_out=left_out),
        "type": "collection",
        "timestamp": instant(now),
        "entry": [{"fullUrl": _full_url(resource), "resource": resource} for resource in (*parts, *consents)],
    }


def _full_url(resource: Mapping[str, Any]) -> str:
    """Return a name of the entry within the Bundle; the store's own address is nobody's business outside."""
    return urn(derived("disclosed", str(resource.get("resourceType")), str(resource.get("id"))))


def least(score: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a score goes out, marked as a subset; it claims no profile, which asks for what is left out."""
    part = subsetted(score, _INNER)
    meta = {name: value for name, value in (part.get("meta") or {}).items() if name in ("security", "tag")}
    return part | {"meta": meta}
