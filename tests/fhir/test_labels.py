"""Labels on resources: from the form and its items to scores and panels, and honoured where something leaves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.consent import ConsentPolicy, Datum, gate
from fhir_alliance.core.labels import OUTSIDE
from fhir_alliance.core.model import Cleared, Instrument, Response
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.core.ways_out import Grounds, ItemsPass, items_to_record
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.inbound import Forms
from fhir_alliance.fhir.labels import bundle_meta, codings, honoured, label_of, labels_of, subsetted
from fhir_alliance.fhir.observation import Emitter, datum_of, scale_labels
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.consent_files import load_table
from fhir_alliance.testing import response_json

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CATALOG = load_catalog()
PHQ_9 = CATALOG.find("phq-9")
INTEGRITY = ids.V3 + "ObservationValue"


def emitted(instrument: Instrument = PHQ_9, *, with_items: bool = False, **elements: Any) -> list[tuple[str, ...]]:
    """Return the labels of each Observation of a form: panel, scores, items."""
    forms = Forms({"phq-9": instrument}, {"phq-9": CATALOG.questionnaires["phq-9"]})
    form = forms.read(json.dumps(response_json([1] * 9, **elements)).encode(), NOW)
    assert isinstance(form, Response)
    cleared = gate(form, (), ConsentPolicy(), Datum.of(()), NOW)
    assert isinstance(cleared, Cleared)
    policy, answers = ConsentPolicy(table=load_table(None)), datum_of(instrument, items=True)
    found = items_to_record(form, policy.recipient, policy.purpose, answers, Grounds((), policy.defaults, NOW))
    items = found if with_items and isinstance(found, ItemsPass) else None
    made = Emitter(instrument, with_items=with_items).observations(cleared, Scorer(instrument).score(cleared), items)
    return [labels_of(json.loads(body)) for _, body in made]


def secured(*codings: dict[str, str]) -> dict[str, Any]:
    """Return the meta of a form with these labels."""
    return {"versionId": "1", "security": list(codings)}


def test_a_plain_form() -> None:
    """A form without labels of its own gives scores with those of its instrument."""
    assert set(emitted()) == {("R", "PSY")}


def test_a_score_inherits_from_its_form() -> None:
    """What an EHR labelled higher stays so in all that is made of it; a lower label changes nothing."""
    meta = secured(
        {"system": ids.CONFIDENTIALITY, "code": "V"}, {"system": ids.ACT_CODE, "code": "42CFRPart2"},
        {"system": "urn:site", "code": "vip"},
    )  # fmt: skip
    assert set(emitted(meta=meta, with_items=True)) == {("V", "PSY", "42CFRPart2", "urn:site|vip")}
    assert set(emitted(meta=secured({"system": ids.CONFIDENTIALITY, "code": "L"}))) == {("R", "PSY")}


@pytest.mark.parametrize(
    "coding",
    [{"display": "secret"}, {"system": ids.CONFIDENTIALITY, "code": "?"}, {"system": "urn:x", "code": " "}],
    ids=["in words", "unknown", "no code"],
)
def test_a_label_that_cannot_be_read(coding: dict[str, str]) -> None:
    """Who labels means to protect: what cannot be read counts as very restricted."""
    assert {labels[0] for labels in emitted(meta=secured(coding))} == {"V"}


def test_a_score_inherits_from_its_items() -> None:
    """A sensitive item labels its scale and the panel, and no scale that it is not in."""
    items = (msgspec.structs.replace(PHQ_9.items[0], labels=("ETH",)), *PHQ_9.items[1:])
    total = next(scale for scale in PHQ_9.scales if scale.id == "total")
    rest = msgspec.structs.replace(total, id="rest", items=total.items[1:])
    instrument = msgspec.structs.replace(PHQ_9, items=items, scales=(total, rest))
    panel, whole, part, first, *others = emitted(instrument, with_items=True)
    assert panel == whole == first == ("R", "PSY", "ETH")
    assert {part, *others} == {("R", "PSY")}
    assert scale_labels(instrument, rest) == ("R", "PSY")


@pytest.mark.parametrize("name", ["audit", "audit-c"])
def test_forms_about_substance_use(name: str) -> None:
    """Whatever comes from a form about alcohol says that it is about substance use."""
    instrument = CATALOG.find(name)
    assert all(scale_labels(instrument, scale) == ("R", "PSY", "ETH") for scale in instrument.scales)


def test_codings() -> None:
    """Labels keep their systems, there and back."""
    labels = ("R", "PSY", "urn:site|vip")
    assert codings(labels)[2] == {"system": "urn:site", "code": "vip"}
    assert tuple(label_of(c["system"], c["code"]) for c in codings(labels)) == labels


def resource(*labels: str) -> dict[str, Any]:
    """Return an Observation with these labels."""
    return {"resourceType": "Observation", "meta": {"security": codings(labels)}}


def test_what_is_labelled_too_high_is_left_out() -> None:
    """A way out leaves out what it may not carry, counts it, and says so on what holds the rest."""
    given = [resource("R", "PSY"), resource("V"), resource("R", "42CFRPart2"), {"resourceType": "Observation"}]
    found = honoured(given, OUTSIDE)
    assert (found.kept, found.left_out) == ([given[0]], 3)
    meta = bundle_meta(found.kept, left_out=True)
    assert meta["security"] == [*codings(("R", "PSY")), {"system": INTEGRITY, "code": "REDACTED"}]
    assert labels_of({"meta": meta}) == ("R", "PSY")
    assert bundle_meta(given[:1], left_out=False)["security"] == codings(("R", "PSY"))


def test_what_is_not_whole_says_so() -> None:
    """A resource without some of its elements is tagged as a subset, once; a whole one is not."""
    whole = resource("R") | {"note": [{"text": "x"}], "status": "final"}
    part = subsetted(whole, ("note", "performer"))
    assert "note" not in part
    assert part["meta"]["tag"] == [{"system": INTEGRITY, "code": "SUBSETTED"}]
    assert part["meta"]["security"] == codings(("R",))
    assert subsetted(part, ("status",))["meta"]["tag"] == part["meta"]["tag"]
    assert subsetted(whole, ("performer",)) == whole
    assert "tag" not in whole["meta"]
