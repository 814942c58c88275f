"""Bad input: every kind of broken or odd record, by the number of its row in the list of faults (99 to 153).

A record that cannot be used is parked with its code; the reason repeats nothing of what it says; the next one goes on.
Rows that have no case here:

- 132, another publisher's canonical over the same LOINC codes: recognised by these codes, on purpose. With linkIds that
  are no codes it is parked, and that is the case here.
- 152, the same id and version with other content: a reader sees one record at a time, and a store keeps one of them.
- 153, a deleted form: a reader of records never meets it; what a server answers about it is the store's affair.
"""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_alliance.core.model import Response
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.inbound import Parked, Skipped, Withdrawal
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.score import Desk, score
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.store import Record
from fhir_alliance.testing import response_json

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=9, minutes=30)))
CATALOG = load_catalog()
DESK = Desk(CATALOG, Policy(with_items=True))
POINTS = [2, 2, 2, 2, 1, 1, 2, 0, 0]
PHQ_9 = "https://fhir-alliance.org/fhir/Questionnaire/phq-9"
EXTENSION = "http://hl7.org/fhir/StructureDefinition/"
NEXT = json.dumps(response_json([1] * 9, name="next")).encode()
# What must stand in no message: who the client is, what the form says, and what was answered.
PRIVATE = re.compile(r"canary|Patient/p1|LA\d+-\d|777", re.IGNORECASE)


def form(**elements: Any) -> dict[str, Any]:
    """Return a good form, worth 12 points, full of what must not be repeated; None removes an element."""
    private = {
        "identifier": {"system": "urn:mrn", "value": "canary-mrn"},
        "subject": {"reference": "Patient/p1", "display": "Canary Canaria"},
        "text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>canary</div>"},
    }
    made = copy.deepcopy(response_json(POINTS) | private)
    for item in made["item"]:
        item["text"] = "canary question"
    return {key: value for key, value in (made | elements).items() if value is not None}


def answered(*answer: Any, **elements: Any) -> dict[str, Any]:
    """Return the good form with another answer to its first item; further elements are the item's."""
    made = form()
    made["item"][0] |= {"answer": list(answer)} | elements
    return made


def coded(code: str = "LA6570-1", **elements: Any) -> dict[str, Any]:
    """Return an answer coded in LOINC."""
    return {"valueCoding": {"system": "http://loinc.org", "code": code, "display": "canary", **elements}}


def with_item(link_id: str, *answer: Any, **elements: Any) -> dict[str, Any]:
    """Return the good form with one more item."""
    made = form()
    made["item"].append({"linkId": link_id, **({"answer": list(answer)} if answer else {}), **elements})
    return made


def extension(name: str, **value: Any) -> list[dict[str, Any]]:
    """Return one of HL7's extensions."""
    return [{"url": EXTENSION + name, **value}]


def spliced(old: str, new: str, made: dict[str, Any] | None = None) -> bytes:
    """Return a form with a piece of its JSON text replaced."""
    text = json.dumps(made or form())
    assert old in text
    return text.replace(old, new, 1).encode()


def nested(depth: int, key: str = "item") -> bytes:
    """Return the good form with a first item inside so many groups, or answers."""
    opening = {"item": '{"linkId":"g","item":[', "answer": '{"linkId":"g","answer":[{"item":['}[key]
    closing = {"item": "]}", "answer": "]}]}"}[key]
    return spliced('"item": [', '"item": [' + opening * depth + '{"linkId":"in"}' + closing * depth + ",")


def own_items(**elements: Any) -> dict[str, Any]:
    """Return a form whose linkIds are those of the check-in, which are no codes."""
    return form(item=[{"linkId": name, "answer": [{"valueInteger": 3}]} for name in ("trust", "warmth")], **elements)


def reweigh(node: Any, change: Callable[[Any], Any]) -> None:
    """Change every weight in a Questionnaire, wherever it stands."""
    if isinstance(node, dict):
        if str(node.get("url")).endswith(("itemWeight", "ordinalValue")) and "valueDecimal" in node:
            node["valueDecimal"] = change(node["valueDecimal"])
        node = list(node.values())
    for inner in node if isinstance(node, list) else ():
        reweigh(inner, change)


def contained(change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the good form with its own copy of the Questionnaire, whose answers are worth what `change` makes."""
    copied = copy.deepcopy(dict(CATALOG.questionnaires["phq-9"])) | {"id": "own"}
    reweigh(copied, change)
    return form(questionnaire="#own", contained=[copied])


def run(*lines: Any) -> tuple[Summary, list[dict[str, Any]]]:
    """Return what became of these records, and the Observations written."""
    bodies = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    written: list[bytes] = []
    records = [Record("in.ndjson", body, number) for number, body in enumerate(bodies, start=1)]
    summary = score(records, DESK, {}, NOW, written.append)
    return summary, [json.loads(line) for line in b"".join(written).splitlines()]


MODIFIER = [{"url": "urn:not", "valueBoolean": True}]

PARKED = [
    pytest.param(b"canary", "FA201", id="row-99-not-json"),
    pytest.param(json.dumps(form()).encode()[:-9], "FA201", id="row-99-cut-off"),
    pytest.param([form()], "FA204", id="row-100-array-at-top"),
    pytest.param(b'"canary"', "FA204", id="row-100-string-at-top"),
    pytest.param(spliced('"status"', '"status": "stopped", "status"'), "FA202", id="row-101-duplicate-keys"),
    pytest.param(spliced('"code"', '"code": "LA6571-9", "code"'), "FA202", id="row-101-duplicate-keys-in-an-answer"),
    pytest.param(spliced('"div"', '"div": "canary", "div"'), "FA202", id="row-101-duplicate-keys-in-narrative"),
    *(
        pytest.param(spliced("0.5", word, answered({"valueDecimal": 0.5})), "FA201", id=f"row-102-{word.lower()}")
        for word in ("NaN", "Infinity", "-Infinity")
    ),
    *(
        pytest.param(answered({"valueDecimal": word}), "FA212", id=f"row-102-{word}-as-text")
        for word in ("NaN", "sNaN", "-Infinity")
    ),
    pytest.param(spliced("0.5", "1e400", answered({"valueDecimal": 0.5})), "FA203", id="row-103-1e400"),
    pytest.param(spliced("99", "1e400", answered({"valueInteger": 99})), "FA212", id="row-103-1e400-as-integer"),
    pytest.param(spliced("99", "9" * 5000, answered({"valueInteger": 99})), "FA201", id="row-104-5000-digit-integer"),
    pytest.param(spliced("0.5", "9" * 5000, answered({"valueDecimal": 0.5})), "FA201", id="row-104-5000-digit-decimal"),
    pytest.param(b'{"item":' * 100_000, "FA216", id="row-105-depth-100000"),
    pytest.param(b"[" * 100_000, "FA216", id="row-105-depth-100000-arrays"),
    pytest.param(nested(65), "FA216", id="row-106-item-depth-65"),
    pytest.param(nested(200), "FA216", id="row-106-item-depth-200"),
    pytest.param(nested(200, "answer"), "FA216", id="row-106-item-depth-200-under-answers"),
    pytest.param(answered({"valueString": "canary" * 1_700_000}), "FA216", id="row-107-10-mb-answer"),
    pytest.param(form(item=[{"linkId": str(n)} for n in range(50_000)]), "FA216", id="row-108-50000-items"),
    pytest.param(spliced("canary question", "\\ud800"), "FA201", id="row-109-lone-surrogate"),
    pytest.param(spliced("canary question", "\0"), "FA201", id="row-109-raw-nul"),
    pytest.param(spliced('"r1"', '"r\\u0000"'), "FA204", id="row-109-nul-in-id"),
    pytest.param(spliced("Patient/p1", "Patient/p1\\u0000"), "FA206", id="row-109-nul-in-subject"),
    pytest.param(spliced("LA6570-1", "LA6570-1\\u0000"), "FA211", id="row-109-nul-in-answer"),
    pytest.param(form(meta={"versionId": "1/../\0"}), "FA204", id="row-109-nul-in-version"),
    pytest.param(spliced("/44250-9", "/44250-9\\u0000"), "FA209", id="row-109-nul-in-linkid"),
    pytest.param(form(questionnaire={"reference": "Questionnaire/phq-9"}), "FA204", id="row-110-reference-as-in-stu3"),
    pytest.param(form(item={"linkId": "/44250-9"}), "FA204", id="row-110-item-not-a-list"),
    pytest.param(form(subject="Patient/p1"), "FA204", id="row-110-subject-as-text"),
    pytest.param(answered({"valueCodeableConcept": {"text": "canary"}}), "FA212", id="row-110-answer-type-not-in-r4"),
    pytest.param(form(status=None), "FA205", id="row-111-missing-status"),
    pytest.param(form(status="done"), "FA205", id="row-112-status-done"),
    pytest.param(form(subject=None), "FA206", id="row-116-no-subject"),
    pytest.param(form(status="entered-in-error", subject=None), "FA206", id="row-116-no-subject-withdrawn"),
    pytest.param(form(subject={"reference": "Group/p1"}), "FA206", id="row-117-subject-is-a-group"),
    pytest.param(form(subject={"display": "Canary"}), "FA206", id="row-117-subject-is-only-a-name"),
    pytest.param(
        form(subject={"reference": "https://elsewhere.example/fhir/Patient/p1"}), "FA206",
        id="row-118-subject-on-another-server",
    ),
    pytest.param(form(subject={"reference": "Patient/../p1"}), "FA206", id="row-119-subject-with-a-path"),
    pytest.param(
        form(subject={"reference": "urn:uuid:0b0f3c0e-7a51-4222-8a0b-444444444444"}), "FA206",
        id="row-120-subject-urn-uuid",
    ),
    pytest.param(form(authored=None), "FA207", id="row-121-no-authored"),
    pytest.param(form(authored="2026-02"), "FA207", id="row-121-authored-to-the-month"),
    pytest.param(form(authored="2026-02-03T10:00:00"), "FA207", id="row-121-authored-without-a-zone"),
    pytest.param(form(authored="\u0662\u0660\u0662\u0666-02-03"), "FA207", id="row-121-authored-in-other-digits"),
    pytest.param(form(authored="2026-03-02T12:00:01+09:30"), "FA207", id="row-122-authored-tomorrow"),
    pytest.param(form(authored="9999-12-31T23:59:59-12:00"), "FA207", id="row-122-authored-at-the-end-of-time"),
    pytest.param(form(authored="1900-01-01"), "FA207", id="row-123-authored-1900"),
    pytest.param(form(authored="1979-12-31T23:59:59Z"), "FA207", id="row-123-authored-1979"),
    pytest.param(form(authored="2026-02-29"), "FA207", id="row-124-no-such-day"),
    pytest.param(
        form(authored="2026-02-03T10:60:00Z"), "FA207",
        id="row-125-minute-60",
    ),
    pytest.param(own_items(questionnaire=None), "FA208", id="row-128-no-canonical"),
    pytest.param(own_items(questionnaire="#contained"), "FA208", id="row-128-contained"),
    pytest.param(form(questionnaire=PHQ_9 + "|9.9.9"), "FA217", id="row-130-unknown-version"),
    pytest.param(contained(lambda points: 3 - points), "FA218", id="row-131-contained-questionnaire-altered"),
    pytest.param(own_items(questionnaire="https://x.example/alliance-checkin"), "FA208", id="row-132-other-publisher"),
    pytest.param(with_item("/44250-9", coded()), "FA215", id="row-133-duplicate-linkid"),
    pytest.param(with_item("44250-9", coded("LA6571-9")), "FA215", id="row-133-duplicate-linkid-spelled-otherwise"),
    pytest.param(with_item("mood", {"valueString": "canary"}), "FA209", id="row-134-unknown-linkid-answered"),
    pytest.param(answered({"valueInteger": 777}), "FA203", id="row-136-out-of-range"),
    pytest.param(answered({"valueInteger": -777}), "FA203", id="row-136-below-the-range"),
    pytest.param(answered({"valueString": "777"}), "FA212", id="row-137-string-where-number"),
    pytest.param(answered({"valueInteger": "777"}), "FA212", id="row-137-integer-as-text"),
    pytest.param(answered({"valueDecimal": "3"}), "FA212", id="row-137-decimal-as-text"),
    pytest.param(answered({"valueInteger": True}), "FA212", id="row-138-true-as-integer"),
    pytest.param(answered({"valueDecimal": 2.9999999}), "FA203", id="row-139-2.9999999"),
    pytest.param(answered(coded(), coded("LA6569-3")), "FA210", id="row-140-two-answers"),
    pytest.param(answered(coded(system="urn:other")), "FA211", id="row-141-coding-of-another-system"),
    pytest.param(answered(coded("LA9-9")), "FA211", id="row-141-code-that-is-not-offered"),
    pytest.param(
        answered(coded(extension=extension("ordinalValue", valueDecimal=3))), "FA213", id="row-142-ordinal-contradicts"
    ),
    pytest.param(
        answered({"valueInteger": 1, "extension": extension("itemWeight", valueDecimal=2)}), "FA213",
        id="row-142-weight-contradicts-a-number",
    ),
    pytest.param(form(modifierExtension=MODIFIER), "FA214", id="row-145-modifier-extension"),
    pytest.param(
        answered(coded(), modifierExtension=MODIFIER), "FA214",
        id="row-145-modifier-extension-on-an-item",
    ),
    pytest.param(
        answered(coded() | {"modifierExtension": MODIFIER}), "FA214", id="row-145-modifier-extension-on-an-answer",
    ),
    pytest.param(form(implicitRules="urn:rules"), "FA214", id="row-146-implicit-rules"),
    pytest.param(with_item("\u202eabc\n", coded()), "FA209", id="row-148-right-to-left-override"),
    pytest.param(with_item(unicodedata.normalize("NFD", "é"), coded()), "FA209", id="row-149-nfd-linkid"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code"), PARKED)
def test_a_bad_record_is_parked(line: Any, code: str) -> None:
    """It is parked with its code, in words that repeat nothing of it, and the record after it is scored."""
    summary, written = run(line, NEXT)
    assert [parked.code for parked in summary.parked] == [code]
    assert summary.scored == 1
    assert {o["derivedFrom"][0]["reference"] for o in written} == {"QuestionnaireResponse/next/_history/1"}
    parked = summary.parked[0]
    assert parked.reference in ("QuestionnaireResponse/r1", "in.ndjson:1")
    assert PRIVATE.search(parked.reason) is None
    assert parked.reason.isprintable()
    assert len(parked.reason) < 300


def facts(observation: dict[str, Any]) -> dict[str, Any]:
    """Return what an Observation of a total says, flat."""
    absent = observation.get("dataAbsentReason", {}).get("coding", [{}])[0].get("code")
    return {
        "value": observation.get("valueQuantity", {}).get("value", absent),
        "status": observation["status"],
        "effective": observation["effectiveDateTime"],
        "notes": [note["text"] for note in observation.get("note", ())],
        "rated": [c["code"] for k in observation["category"] for c in k["coding"] if c["code"].endswith("-rated")],
    }


def without_codes() -> dict[str, Any]:
    """Return the good form with codings that name no system."""
    made = form()
    for item in made["item"]:
        del item["answer"][0]["valueCoding"]["system"]
    return made


ABSENT = {"extension": extension("data-absent-reason", valueCode="unknown")}
DECLINED = {"extension": extension("data-absent-reason", valueCode="asked-declined")}
GAP = "8 of 9 answered; rule needs 9"
NO_SYSTEM = "Answer codings without a system were read by their code."
EMPTY = form(item=[{"linkId": item["linkId"]} for item in form()["item"]])

NORMAL = [
    pytest.param([form(status="in-progress")], {"unfinished": 1}, [], id="row-113-in-progress"),
    pytest.param([form(status="entered-in-error")], {"withdrawn": 1}, [], id="row-114-entered-in-error"),
    pytest.param([form(status="amended")], {"scored": 1}, [{"status": "amended", "value": 12}], id="row-115-amended"),
    *(
        pytest.param([form(authored=authored)], {"scored": 1}, [{"effective": authored}], id=f"row-{row}")
        for authored, row in (
            ("2026-03-02T12:00:00+09:30", "122-within-the-skew-of-clocks"),
            ("1980-01-01", "123-authored-1980"),
            ("2026-02-03", "124-date-only"),
            ("2026-02-03T23:59:60Z", "125-leap-second"),
            ("2026-02-03T00:30:00+14:00", "126-offset-plus-14"),
            ("2026-02-03T23:30:00-12:00", "126-offset-minus-12"),
            ("2025-03-30T02:30:00+01:00", "127-hour-that-clocks-skipped"),
        )
    ),
    pytest.param([form(questionnaire=PHQ_9)], {"scored": 1}, [{"value": 12}], id="row-129-version-less"),
    pytest.param([contained(lambda points: points)], {"scored": 1}, [{"value": 12}], id="row-131-contained-as-ours"),
    pytest.param([with_item("mood", text="canary")], {"scored": 1}, [{"value": 12}], id="row-134-unknown-linkid-empty"),
    pytest.param([answered()], {"unscorable": 1}, [{"value": "not-performed", "notes": [GAP + "."]}], id="row-135-gap"),
    pytest.param([without_codes()], {"scored": 1}, [{"value": 12, "notes": [NO_SYSTEM]}], id="row-141-without-system"),
    pytest.param([answered(coded("LA6571-9", extension=extension("ordinalValue", valueDecimal=3.0)))],
                 {"scored": 1}, [{"value": 13}], id="row-142-ordinal-agrees"),
    pytest.param([answered(ABSENT)], {"unscorable": 1}, [{"value": "not-performed"}], id="row-143-data-absent"),
    pytest.param([answered(DECLINED)], {"unscorable": 1},
                 [{"value": "asked-declined", "notes": [GAP + "; 1 declined."]}], id="row-143-declined"),
    pytest.param([EMPTY], {"unscorable": 1, "scored": 0}, [{"value": "not-performed"}], id="row-144-all-empty"),
    pytest.param([form(item=None)], {"unscorable": 1}, [{"value": "not-performed"}], id="row-144-no-items"),
    pytest.param([with_item("/44261-6", {"valueDecimal": 12.75})], {"scored": 1},
                 [{"notes": ["The form itself carries 12.75; its answers give 12."]}], id="row-147-decimal"),
    pytest.param([spliced("77", "12.50", with_item("/44261-6", {"valueDecimal": 77}))], {"scored": 1},
                 [{"notes": ["The form itself carries 12.50; its answers give 12."]}], id="row-147-precision-kept"),
    pytest.param([form(source={"reference": "RelatedPerson/m"})], {"scored": 1}, [{"rated": ["proxy-rated"]}],
                 id="row-150-proxy"),
    pytest.param([form(), form(id="r2")], {"scored": 2}, [{"value": 12}, {"value": 12}], id="row-151-same-minute"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "counts", "totals"), NORMAL)
def test_an_odd_record_is_taken_as_it_is(
    lines: Sequence[Any], counts: dict[str, int], totals: Sequence[dict[str, Any]]
) -> None:
    """It is counted as what it is, and its total says what is expected of it."""
    summary, written = run(*lines)
    assert summary.as_object() | counts == summary.as_object()
    assert summary.parked == []
    said = [facts(o) for o in written if o["meta"].get("profile") == [ids.SCORE_PROFILE]]
    assert [total | expected for total, expected in zip(said, totals, strict=True)] == said


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a resource."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def many_sided() -> dict[str, Any]:
    """Return a good form that answers in every way that is read."""
    made = with_item(
        "group", item=[{"linkId": "/44261-6", "answer": [{"valueDecimal": 12, "item": [{"linkId": "x"}]}]}]
    )
    answers = [
        {"valueDecimal": 2.0},
        {"valueInteger": 2, "extension": extension("itemWeight", valueDecimal=2)},
        {"valueQuantity": {"value": 2, "unit": "score"}},
        coded(extension=extension("ordinalValue", valueDecimal=2)),
        {"extension": extension("data-absent-reason", valueCode="masked")},
    ]
    for item, answer in zip(made["item"], answers, strict=False):
        item["answer"] = [answer]
    return made


GOOD = many_sided()
STRANGE: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**30, 1e308, "", "completed", "entered-in-error", "Patient/q", "2026-02-03", "\0",
    "\u202e", [], {}, [None], [[]], [{}], {"a": 1}, ["completed"], [{"linkId": "/44260-8"}], {"reference": "Patient/q"},
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return the JSON of a good form after some of its parts were replaced, removed, put in a list or doubled."""
    made = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        everywhere = list(places(made))
        values = [place for place in everywhere if str(place[-1]).startswith("value")]
        *path, key = draw(st.sampled_from(everywhere) | st.sampled_from(values or everywhere))
        parent: Any = made
        for step in path:
            parent = parent[step]
        change = draw(st.sampled_from(["replace", "list", "double", "remove"]))
        if change == "replace":
            parent[key] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
        elif change == "remove":
            del parent[key]
        else:
            parent[key] = [parent[key]] * (2 if change == "double" else 1)
    line = json.dumps(made).encode()
    at = draw(st.integers(0, 4 * len(line)))  # most damage leaves JSON whole; some cuts into its bytes
    return line[:at] + draw(st.binary(max_size=3)) + line[at + draw(st.integers(0, 3)) :] if at < len(line) else line


def check_reading(line: bytes) -> None:
    """Read a line, and what follows from it; it must park, or make a form that can be scored."""
    reading = DESK.forms.read(line, NOW)
    assert isinstance(reading, Response | Parked | Skipped | Withdrawal)
    if isinstance(reading, Parked):
        assert re.fullmatch(r"FA2\d\d", reading.code)
        assert PRIVATE.search(reading.reason) is None
    summary, written = run(line)
    assert summary.scored + summary.unscorable == isinstance(reading, Response)
    for observation in written:
        assert 0 <= observation.get("valueQuantity", {}).get("value", 0) <= 27


@settings(max_examples=150)
@given(line=st.binary() | st.binary().map(lambda tail: json.dumps(GOOD).encode()[:-1] + tail))
def test_any_bytes_are_parked_or_read(line: bytes) -> None:
    """Whatever bytes come, the record is parked or read, and nothing is raised."""
    check_reading(line)


@settings(max_examples=400)
@given(line=damaged())
def test_any_damage_is_parked_or_read(line: bytes) -> None:
    """However a good form is damaged, it is parked or makes a score within the scale, and nothing is raised."""
    check_reading(line)
