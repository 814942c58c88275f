"""Prints what a decision on consent costs, over the cost of scoring one form in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fhir_alliance.core.consent import ConsentRecord, gate
from fhir_alliance.core.model import Cleared, Response
from fhir_alliance.fhir.consent import read_consent
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.score import Desk
from fhir_alliance.testing import response_json

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


def consent(provision: dict[str, Any]) -> ConsentRecord:
    """Return an active privacy Consent of the client whose form is scored."""
    resource = {
        "resourceType": "Consent",
        "id": "c",
        "meta": {"versionId": "1"},
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "patient": {"reference": "Patient/p1"},
        "dateTime": "2026-01-01",
        "provision": provision,
    }
    return read_consent(resource)


def purpose(code: str) -> dict[str, Any]:
    """Return the element kind of a purpose."""
    return {"purpose": [{"system": ACT_REASON, "code": code}]}


def exceptions(count: int) -> dict[str, Any]:
    """Return a permit with as many exceptions about other people and other data."""
    actor = {"role": {"coding": [{"code": "IRCP"}]}, "reference": {"reference": "Practitioner/other"}}
    loinc = {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}
    one = {"type": "deny", "actor": [actor], "code": [loinc]}
    return {"type": "permit", **purpose("TREAT"), "provision": [one] * count}


CASES = {
    "no Consent": (),
    "one that permits": (consent({"type": "permit", **purpose("TREAT")}),),
    "one with two exceptions": (consent(exceptions(2)),),
    "three, one with ten exceptions": (
        consent({"type": "permit", **purpose("TREAT")}),
        consent({"type": "deny", **purpose("HPAYMT")}),
        consent(exceptions(10)),
    ),
}


def least(job: Callable[[], object], times: int = 20_000, rounds: int = 7) -> float:
    """Return the least CPU of one call in microseconds, of several rounds."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(times):
            job()
        spent.append(time.process_time() - start)
    return min(spent) / times * 1e6


def main() -> None:
    """Print all ratios."""
    desk = Desk(load_catalog(), Policy())
    line = json.dumps(response_json([1] * 9, name="r1", subject="Patient/p1")).encode()
    form = desk.forms.read(line, NOW)
    assert isinstance(form, Response)
    bench, policy = desk.bench(form), desk.policy.consent

    def scoring() -> None:
        read = desk.forms.read(line, NOW)
        assert isinstance(read, Response)
        cleared = gate(read, (), policy, bench.datum, NOW)
        assert isinstance(cleared, Cleared)
        bench.emitter.observations(cleared, bench.scorer.score(cleared))

    whole = least(scoring)
    print(f"scoring one form, from bytes to Observations: {whole:.1f} us")
    for name, consents in CASES.items():
        cost = least(lambda consents=consents: gate(form, consents, policy, bench.datum, NOW))  # type: ignore[misc]
        print(f"decision with {name:32} {cost:6.2f} us, times scoring {cost / whole:5.2f}   (below 1)")


if __name__ == "__main__":
    main()
