"""The difference: what is sent is what has to change, once, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir.difference import CANONICAL, Change, ChangeKind, Known, difference, same_content
from fhir_alliance.fhir.identifiers import REVIEW, SCORE

KEY, OTHER, TASK = (f"{n:064x}" for n in (1, 2, 3))
SCORE_NOW: dict[str, Any] = {
    "resourceType": "Observation",
    "id": KEY,
    "meta": {"profile": ["urn:p"], "security": [{"system": "urn:s", "code": "R"}]},
    "identifier": [{"system": SCORE, "value": KEY}],
    "status": "final",
    "category": [{"coding": [{"system": "urn:c", "code": "survey"}]}],
    "code": {"coding": [{"system": "urn:c", "code": "total"}]},
    "subject": {"reference": "Patient/p1"},
    "focus": [{"reference": "Goal/g1"}],
    "encounter": {"reference": "Encounter/e1"},
    "effectiveDateTime": "2026-02-03",
    "performer": [{"reference": "Patient/p1"}],
    "valueQuantity": {"value": 3.5, "unit": "score"},
    "interpretation": [{"text": "low"}],
    "note": [{"text": "n"}],
    "method": {"coding": [{"system": "urn:m", "version": "1", "code": "sum"}]},
    "component": [{"code": {"text": "c"}, "valueInteger": 8}],
    "derivedFrom": [{"reference": "QuestionnaireResponse/r1/_history/2"}],
}
ELSEWHERE = {"system": "urn:hospital", "value": "77"}


def stored(resource: dict[str, Any] = SCORE_NOW, **elements: Any) -> dict[str, Any]:
    """Return a resource as a server keeps it: with its own id, version, narrative and a further identifier."""
    meta = resource.get("meta", {}) | {"versionId": "4", "lastUpdated": "2026-02-03T10:00:00Z"}
    own = {"id": "4711", "meta": meta, "text": {"status": "generated"}, "issued": "2026-02-03T00:00:00Z"}
    kept = resource | own | {"identifier": [ELSEWHERE, *resource["identifier"]]} | elements
    return {key: value for key, value in kept.items() if value is not None}


def write(resource: dict[str, Any] = SCORE_NOW, mode: WriteMode = WriteMode.KEEP_CURRENT, **elements: Any) -> Write:
    """Return a write of ours."""
    body = {key: value for key, value in (resource | elements).items() if value is not None}
    kind = body["resourceType"]
    return Write(kind, SCORE if kind == "Observation" else REVIEW, KEY, mode, json.dumps(body).encode(), "r1")


def changes(written: Write, *resources: dict[str, Any]) -> list[Change]:
    """Return what has to be sent for one write, given what the store holds."""
    return difference([written], Known(resources))[0]


def update(written: Write, *resources: dict[str, Any]) -> dict[str, Any]:
    """Return the body of the one update that a write needs."""
    (change,) = changes(written, *resources)
    assert (change.kind, change.stored_id, change.stored_version) == (ChangeKind.UPDATE, "4711", "4")
    body: dict[str, Any] = json.loads(change.write.body)
    assert body["id"] == "4711"
    return body


# ------------------------------------------------------------------ Observations


def test_what_is_not_there_is_created_as_it_is() -> None:
    """A resource that the store does not hold is created, under the id that we chose."""
    written = write()
    assert changes(written) == [Change(written, ChangeKind.CREATE)]
    assert changes(written, stored(identifier=[ELSEWHERE, {"system": SCORE, "value": OTHER}])) == [
        Change(written, ChangeKind.CREATE)
    ]


@pytest.mark.parametrize(
    "elements",
    [
        pytest.param({}, id="as written"),
        pytest.param({"status": "corrected"}, id="corrected before"),
        pytest.param({"status": "amended"}, id="amended before"),
        pytest.param({"derivedFrom": [{"reference": "QuestionnaireResponse/r1"}]}, id="version cut away"),
        pytest.param({"valueQuantity": {"unit": "score", "value": 3.50}}, id="number written otherwise"),
        pytest.param({"extension": [{"url": "urn:x"}], "issued": None}, id="elements added and dropped"),
        pytest.param(
            {"meta": {"versionId": "4", "tag": [{"code": "t"}], "security": [{"code": "R"}]}}, id="profile dropped"
        ),
    ],
)
def test_what_says_the_same_is_left_alone(elements: dict[str, Any]) -> None:
    """What a server adds, drops or writes otherwise is no change, and is counted as standing."""
    found, unchanged = difference([write()], Known([stored(**elements)]))
    assert (found, unchanged) == ([], {"Observation": 1})


CONTENT = [key for key in SCORE_NOW if key not in ("resourceType", "id", "meta", "identifier", "status")]
OTHER_VALUES = ["dataAbsentReason", "valueCodeableConcept"]


@pytest.mark.parametrize(
    ("element", "there"),
    [*((e, [{"text": "other"}]) for e in [*CONTENT, *OTHER_VALUES]), *((e, None) for e in CONTENT)],
)
def test_what_says_something_else_is_corrected(element: str, there: Any) -> None:
    """A difference in any element that a score is made of updates the Observation, as corrected."""
    assert update(write(), stored(**{element: there})) == SCORE_NOW | {"id": "4711", "status": "corrected"}


def test_labels_are_part_of_what_is_said() -> None:
    """An Observation that lost a security label gets it back."""
    body = update(write(), stored(meta={"versionId": "4"}))
    assert body["meta"]["security"] == SCORE_NOW["meta"]["security"]


@pytest.mark.parametrize("status", ["final", "corrected", "entered-in-error", "preliminary"])
def test_an_amended_form_amends(status: str) -> None:
    """The score of an amended form becomes amended, whatever it was; amended already, it is left alone."""
    assert update(write(status="amended"), stored(status=status))["status"] == "amended"
    assert changes(write(status="amended"), stored(status="amended")) == []


def test_a_form_that_counts_again_is_corrected() -> None:
    """A score that was withdrawn, and whose form is valid again, stands as corrected."""
    assert update(write(), stored(status="entered-in-error"))["status"] == "corrected"


def test_another_version_of_the_form_is_another_source() -> None:
    """The same score from a later version of the form is updated to name that version."""
    later = [{"reference": "QuestionnaireResponse/r1/_history/3"}]
    assert update(write(derivedFrom=later), stored())["derivedFrom"] == later


def test_withdrawing_needs_something_to_withdraw() -> None:
    """A withdrawal updates what stands, once; what is not there is not created in order to be withdrawn."""
    void = write(mode=WriteMode.WITHDRAW, status="entered-in-error")
    assert update(void, stored())["status"] == "entered-in-error"
    assert changes(void, stored(status="entered-in-error")) == []
    found, unchanged = difference([void], Known([]))
    assert (found, unchanged.total()) == ([], 0)


def test_a_panel_that_gains_members_is_updated() -> None:
    """Where items are written from now on, the panel that stands names them too."""
    panel = {key: value for key, value in SCORE_NOW.items() if key != "valueQuantity"}
    one, two = ([{"reference": f"Observation/{key}"} for key in keys] for keys in ([OTHER], [OTHER, TASK]))
    assert changes(write(panel, hasMember=two), stored(panel, hasMember=one))


# ------------------------------------------------------------- Tasks and the like

TASK_NOW = {
    "resourceType": "Task", "id": KEY, "identifier": [{"system": REVIEW, "value": KEY}], "status": "requested",
    "description": "d",
}  # fmt: skip


@pytest.mark.parametrize("status", ["requested", "completed", "cancelled"])
def test_what_is_created_once_is_never_sent_again(status: str) -> None:
    """A Task that stands is left to people, whatever became of it."""
    assert changes(write(TASK_NOW, WriteMode.CREATE_ONCE), stored(TASK_NOW, status=status)) == []


def test_a_changed_task_is_sent_and_an_unchanged_one_is_not() -> None:
    """A Task that is kept current is compared as a whole, but for what a store adds by itself."""
    before = stored(TASK_NOW)
    assert changes(write(before | {"meta": {}, "text": None, "id": "x"}), before) == []
    assert update(write(before, description="more"), before)["description"] == "more"


def test_canonical_resources_are_known_by_their_url() -> None:
    """A Questionnaire is found by its url, and updated only where it differs."""
    form = {"resourceType": "Questionnaire", "id": "phq-9", "url": "urn:q", "status": "active"}
    known = Known([form | {"id": "12", "meta": {"versionId": "2"}}], key="url")
    same, other = (
        Write("Questionnaire", CANONICAL, "urn:q", WriteMode.KEEP_CURRENT, json.dumps(body).encode())
        for body in (form, form | {"title": "t"})
    )
    assert difference([same], known)[0] == []
    (change,) = difference([other], known)[0]
    assert (change.kind, change.stored_id, change.stored_version) == (ChangeKind.UPDATE, "12", "2")


def test_each_write_is_judged_by_itself() -> None:
    """Of several writes, only those that change something are sent, in their order."""
    new = Write("Observation", SCORE, OTHER, WriteMode.KEEP_CURRENT, write().body.replace(KEY.encode(), OTHER.encode()))
    found, unchanged = difference([new, write(), new], Known([stored()]))
    assert [change.write.value for change in found] == [OTHER, OTHER]
    assert unchanged == {"Observation": 1}


# ------------------------------------------------------------------- references


def test_references_to_ours_become_what_the_store_calls_them() -> None:
    """Our keys in references become the store's ids, or the names within one transaction; others stay."""
    body = json.dumps(
        {
            "hasMember": [{"reference": f"Observation/{key}"} for key in (KEY, OTHER, TASK)],
            "subject": {"reference": "Patient/p1"},
            "identifier": [{"value": KEY}],
            "note": f"see Observation/{KEY}",
        }
    ).encode()
    resolved = json.loads(Known([stored()]).resolve(body, {OTHER: "urn:uuid:2"}))
    assert [m["reference"] for m in resolved["hasMember"]] == ["Observation/4711", "urn:uuid:2", f"Observation/{TASK}"]
    assert (resolved["subject"], resolved["identifier"]) == ({"reference": "Patient/p1"}, [{"value": KEY}])
    assert resolved["note"] == f"see Observation/{KEY}"


def test_what_has_no_usable_identifier_is_not_known() -> None:
    """Resources without identifiers, or with one that is no text, are passed over."""
    strange: list[dict[str, Any]] = [{}, {"identifier": None}, {"identifier": [{}]}, {"identifier": [{"value": 5}]}]
    assert Known(strange).by_value == {}


def labelled(*codes: str) -> dict[str, Any]:
    """Return the meta of a stored Observation with these labels."""
    return {"versionId": "4", "security": [{"system": "urn:s", "code": code} for code in codes]}


@pytest.mark.parametrize("codes", [("V",), ("R", "ETH"), ("V", "ETH")])
def test_what_a_person_labelled_higher_stays(codes: tuple[str, ...]) -> None:
    """A higher label is no difference; and where another element changes, the label stays."""
    assert difference([write()], Known([stored(meta=labelled(*codes))]))[0] == []
    body = update(write(), stored(meta=labelled(*codes), effectiveDateTime="2020-01-01"))
    assert {label["code"] for label in body["meta"]["security"]} == set(codes)


def test_what_a_person_labelled_lower_is_raised() -> None:
    """A label below ours is brought back, and only the higher one stands."""
    body = update(write(), stored(meta=labelled("N", "ETH")))
    assert [label["code"] for label in body["meta"]["security"]] == ["R", "ETH"]


def test_what_is_the_same_without_an_identifier() -> None:
    """Two Observations are one by code, client, time and value; what was withdrawn, or closed, is another one."""
    score = {
        "resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "s", "code": "c"}]},
        "subject": {"reference": "Patient/p1"}, "effectiveDateTime": "2026-01-05", "valueQuantity": {"value": 9},
    }  # fmt: skip
    assert same_content(score | {"id": "x", "note": []}, score)
    assert not same_content(score | {"status": "entered-in-error"}, score)
    for other in (
        {"valueQuantity": {"value": 8}},
        {"subject": {"reference": "Patient/p2"}},
        {"effectiveDateTime": "2026"},
    ):
        assert not same_content(score | other, score)
    task = {"resourceType": "Task", "status": "requested", "code": score["code"], "for": score["subject"]}
    assert same_content(task, task)
    assert not same_content(task | {"status": "completed"}, task)
    assert not same_content(task | {"focus": {"reference": "Goal/g1"}}, task)


REQUEST: dict[str, Any] = {
    "resourceType": "ServiceRequest", "status": "active", "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": "s", "code": "goal-review"}]},
    "supportingInfo": [{"reference": "Goal/g1"}, {"reference": "#review"}],
    "note": [{"authorString": "fhir_alliance", "text": "Worse."}],
}  # fmt: skip
MESSAGE: dict[str, Any] = {
    "resourceType": "Communication", "status": "in-progress", "subject": REQUEST["subject"], "topic": REQUEST["code"],
    "about": [{"reference": "Goal/g1"}], "payload": [{"contentString": "Worse."}],
}  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        REQUEST | {"status": "revoked"},
        REQUEST | {"subject": {"reference": "Patient/p2"}},
        REQUEST | {"code": {"coding": [{"system": "s", "code": "blood-count"}]}},
        REQUEST | {"supportingInfo": [{"reference": "Goal/g2"}, {"reference": "#review"}]},
        REQUEST | {"note": [{"authorString": "fhir_alliance", "text": "Much worse."}]},
        MESSAGE | {"status": "stopped"},
        MESSAGE | {"about": [{"reference": "Goal/g2"}]},
        MESSAGE | {"payload": [{"contentString": "Much worse."}]},
    ],
)
def test_another_review_is_not_the_same(other: dict[str, Any]) -> None:
    """A review that ended, is another client's, about another goal, or says something else, stands for no other."""
    ours = REQUEST if other["resourceType"] == "ServiceRequest" else MESSAGE
    assert not same_content(other, ours)


def test_a_review_that_a_server_or_a_person_touched_is_the_same() -> None:
    """Whatever a server calls the contained Task, and whatever people noted beside, it is the same review."""
    beside = [{"authorString": "Lea", "text": "Asked her."}, *REQUEST["note"]]
    renamed = [{"reference": "Goal/g1"}, {"reference": "#1"}]
    assert same_content(REQUEST | {"id": "x", "note": beside, "supportingInfo": renamed}, REQUEST)
    assert same_content(MESSAGE | {"note": beside}, MESSAGE)
