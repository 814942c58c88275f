"""`show`: what stands in the store about one client, as far as consent lets a treating person see it."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import Result

from fhir_alliance.testing import response_json

Run: TypeAlias = Callable[..., Result]
Clinic: TypeAlias = Callable[..., Path]
Tree: TypeAlias = Callable[[], dict[str, bytes | None]]

TREAT = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}
OURS = "https://fhir-alliance.org/fhir"
FORMS = (
    response_json([2] * 8 + [0], name="a1", language="en", encounter={"reference": "Encounter/e1"}),
    response_json([1] * 8 + [0], name="a2", authored="2026-01-12T10:00:00+01:00", language="en"),
    response_json([1] * 5 + [None] * 4, name="a3", authored="2026-01-19T10:00:00+01:00", language="en"),
)
SESSION = {
    "resourceType": "Encounter", "id": "e1", "status": "finished", "subject": {"reference": "Patient/p1"},
    "class": {"code": "VR"}, "period": {"start": "2026-01-05T10:00:00+01:00"},
}  # fmt: skip
GOAL = {
    "resourceType": "Goal", "id": "g1", "lifecycleStatus": "active", "subject": {"reference": "Patient/p1"},
    "description": {"text": "<i>sleep</i>\x1b[31m"}, "startDate": "2026-01-01",
}  # fmt: skip


def checkin(points: int = 4) -> dict[str, Any]:
    """Return an alliance form of the same client."""
    names = ("understood", "trust", "warmth", "goals-shared", "goals-right", "tasks-sense", "pace", "hope", "respect")
    code = {"system": f"{OURS}/CodeSystem/answers", "code": f"checkin-{points}"}
    items = [{"linkId": name, "answer": [{"valueCoding": code}]} for name in (*names, "held-back", "setting")]
    form = response_json([0] * 9, name="c1", questionnaire=f"{OURS}/Questionnaire/alliance-checkin|1.0.0")
    return form | {"item": items}


def consent(**provision: Any) -> dict[str, Any]:
    """Return a Consent of the client for privacy."""
    return {
        "resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"},
        "scope": {"coding": [{"code": "patient-privacy"}]}, "category": [{"coding": [{"code": "59284-0"}]}],
        "provision": {"type": "permit", "provision": [{"type": "deny", "purpose": [TREAT], **provision}]},
    }  # fmt: skip


@pytest.fixture
def store(run: Run, clinic: Clinic) -> Callable[..., Path]:
    """A function that returns a folder in which forms and other resources lie, synced; later ones come afterwards."""

    def store(*resources: dict[str, Any], later: tuple[dict[str, Any], ...] = ()) -> Path:
        folder = clinic(*(resources or (*FORMS, SESSION, GOAL)))
        assert run("sync", "--store", folder).exit_code == 0
        for resource in later:
            (folder / f"{resource['resourceType']}.ndjson").write_text(json.dumps(resource) + "\n", encoding="utf-8")
        return folder

    return store


def shown(run: Run, folder: Path, *more: object) -> dict[str, Any]:
    """Return the course as JSON."""
    told = run("show", "p1", "--store", folder, "--json", *more)
    assert told.exit_code == 0, told.stderr
    course: dict[str, Any] = json.loads(told.stdout)
    return course


def test_the_course_stands_as_it_is_in_the_store(run: Run, store: Callable[..., Path]) -> None:
    """Each sitting carries value, band, mode and language; a form without a score says why."""
    course = shown(run, store())
    total = next(c for c in course["courses"] if c["scale"] == "total")
    sittings = total["lines"][0]["sittings"]
    assert [s["value"] for s in sittings[:2]] == [16, 8]
    assert sittings[2]["value"]["note"].startswith("5 of 9")
    assert [(s["mode"], s["language"]) for s in sittings[:2]] == [("video", "en"), ("unknown", "en")]
    assert [goal["reference"] for goal in course["goals"]] == ["Goal/g1"]
    assert course["reviews"][0]["evidence"]


def test_the_terminal_tells_the_course(run: Run, store: Callable[..., Path]) -> None:
    """The terminal shows a small chart, the sessions, findings with citation, the goal without control characters."""
    told = run("show", "Patient/p1", "--store", store())
    assert told.exit_code == 0
    for words in ("▅▃·", "16 moderately severe", "caseness", "Talking Therapies", "<i>sleep</i>", "video"):
        assert words in told.stdout
    assert "\x1b" not in told.stdout


def test_a_value_in_the_store_is_never_scored_again(run: Run, store: Callable[..., Path]) -> None:
    """What is shown is the stored Observation, also where the form would now give another number."""
    folder = store()
    file = folder / "Observation.fhir-alliance.ndjson"
    file.write_text(file.read_text().replace('"valueQuantity":{"value":16,', '"valueQuantity":{"value":21,'))
    total = next(c for c in shown(run, folder)["courses"] if c["scale"] == "total")
    assert total["lines"][0]["sittings"][0]["value"] == 21


def test_the_page_is_private_whole_and_safe(run: Run, store: Callable[..., Path], here: Path) -> None:
    """The page is one file that only its owner reads; a goal's markup is text in it."""
    folder = store()
    told = run("show", "p1", "--store", folder, "--html", here / "course.html")
    assert told.exit_code == 0
    page = here / "course.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    text = page.read_text(encoding="utf-8")
    assert "&lt;i&gt;sleep&lt;/i&gt;" in text
    assert "<i>sleep" not in text
    assert text.endswith("</html>\n")
    assert not [name for name in here.iterdir() if name.name.startswith(".course")]


def test_a_page_is_not_written_through_a_link(run: Run, store: Callable[..., Path], here: Path) -> None:
    """A link in the page's place is refused, and what it leads to stays as it is."""
    (here / "other").write_text("kept")
    (here / "course.html").symlink_to(here / "other")
    told = run("show", "p1", "--store", store(), "--html", here / "course.html")
    assert (told.exit_code, "FA111" in told.stderr) == (10, True)
    assert (here / "other").read_text() == "kept"


def test_showing_changes_nothing(run: Run, store: Callable[..., Path], tree: Tree) -> None:
    """`show` writes nothing into the store and opens no journal; the trail alone tells that somebody looked."""
    folder = store()
    before = tree()
    assert run("show", "p1", "--store", folder).exit_code == 0
    trail = "here/clinic/.fhir-alliance/audit.ndjson"
    after = tree()
    assert after.pop(trail) != before.pop(trail)
    assert after == before


def test_a_client_whose_consent_was_withdrawn_is_not_shown(run: Run, store: Callable[..., Path], here: Path) -> None:
    """Scores that stand from before a denial are not shown: in no terminal, no JSON and no page, only the reason."""
    folder = store(later=(consent(),))
    course = shown(run, folder, "--html", here / "page.html")
    assert course["all_kept"] is True
    assert course["kept"][0]["reasons"][0].startswith("Consent/c1 forbids it")
    assert (course["courses"], course["goals"], course["reviews"], course["name"]) == ([], [], [], "")
    said = (here / "page.html").read_text(encoding="utf-8") + run("show", "p1", "--store", folder).stdout
    assert "nothing is shown" in said
    for words in ("sleep", "16", "moderately", "caseness"):
        assert words not in said.partition("<body>")[2]


def test_what_consent_keeps_in_part_takes_its_findings_with_it(run: Run, store: Callable[..., Path]) -> None:
    """A denial for one instrument hides its scores and findings, and the agenda made from them; the rest is shown."""
    about = {"coding": [{"system": "http://loinc.org", "code": "44249-1"}]}
    folder = store(*FORMS[:2], checkin(), GOAL, later=(consent(code=[about]),))
    course = shown(run, folder)
    assert {c["instrument"] for c in course["courses"]} == {"alliance-checkin"}
    assert [kept["what"] for kept in course["kept"]] == ["Patient Health Questionnaire 9 (PHQ-9)"]
    assert course["findings"] == []
    assert [(review["evidence"], review["agenda"]) for review in course["reviews"]] == [([], [])]
    assert len(course["goals"]) == 1


def test_a_client_may_keep_a_single_form(run: Run, store: Callable[..., Path]) -> None:
    """A denial for one form hides its score, and findings on other forms that would tell of it; it says how many."""
    data = [{"meaning": "instance", "reference": {"reference": "QuestionnaireResponse/a1"}}]
    course = shown(run, store(*FORMS, checkin(), GOAL, later=(consent(data=data),)))
    total = next(c for c in course["courses"] if (c["instrument"], c["scale"]) == ("phq-9", "total"))
    assert [s["value"] for s in total["lines"][0]["sittings"][:1]] == [8]
    assert len(total["lines"][0]["sittings"]) == 2
    assert course["kept"][0]["what"].endswith("of 3 scores")
    said = [finding["sentence"] for finding in course["findings"]]
    for review in course["reviews"]:
        said += [*review["agenda"], *(evidence["sentence"] for evidence in review["evidence"])]
    assert said
    assert [sentence for sentence in said if re.search(r"\b16\b", sentence)] == []
    assert {c["instrument"] for c in course["courses"]} == {"phq-9", "alliance-checkin"}


def test_what_one_instrument_is_permitted_is_shown_though_the_rest_is_not(run: Run, store: Callable[..., Path]) -> None:
    """A denial with an exception for one instrument shows that one, and neither goals nor reviews."""
    phq = {"coding": [{"system": "http://loinc.org", "code": "44249-1"}]}
    narrow = {"type": "permit", "purpose": [TREAT], "code": [phq]}
    course = shown(run, store(later=(consent(provision=[narrow]),)))
    assert course["all_kept"] is False
    assert {c["instrument"] for c in course["courses"]} == {"phq-9"}
    assert (course["goals"], course["reviews"]) == ([], [])


@pytest.mark.parametrize(("kind", "hidden"), [("Goal", "goals"), ("Task", "reviews")])
def test_a_denial_for_a_kind_of_record_hides_it(run: Run, store: Callable[..., Path], kind: str, hidden: str) -> None:
    """A denial for goals or for Tasks hides those, and says so."""
    course = shown(run, store(later=(consent(**{"class": [{"code": kind}]}),)))
    assert course[hidden] == []
    assert [kept["what"] for kept in course["kept"]] == [hidden]
    assert course["courses"]


def test_without_consent_an_opt_in_site_shows_nothing(run: Run, store: Callable[..., Path], here: Path) -> None:
    """Where the site asks for consent and none is on record, nothing is shown."""
    folder = store()
    (here / "fhir-alliance.toml").write_text('[consent]\ndefault = "deny"\n')
    course = shown(run, folder)
    assert (course["all_kept"], course["courses"]) == (True, [])


def test_a_consent_that_cannot_be_evaluated_keeps_everything(run: Run, store: Callable[..., Path]) -> None:
    """A Consent whose meaning is changed by something that is not known permits nothing."""
    odd = consent() | {"modifierExtension": [{"url": "https://example.org/x", "valueBoolean": True}]}
    course = shown(run, store(later=(odd,)))
    assert course["all_kept"]
    assert course["kept"][0]["reasons"][0].startswith("Consent/c1 cannot be evaluated")


def test_a_hostile_name_does_not_reach_the_terminal(run: Run, store: Callable[..., Path]) -> None:
    """Control characters in a name are not sent to the terminal."""
    patient = {"resourceType": "Patient", "id": "p1", "name": [{"text": "Ada\x1b]8;;https://example.org\x07\x9b31m"}]}
    told = run("show", "p1", "--store", store(later=(patient,)))
    assert told.stdout.startswith("Ada ]8;;https://example.org  31m\n")


def test_unreadable_consents_stop_it(run: Run, store: Callable[..., Path]) -> None:
    """Where consents cannot be read, nothing is shown and the status is 23."""
    folder = store()
    (folder / "Consent.ndjson").write_text("{broken\n")
    told = run("show", "p1", "--store", folder)
    assert (told.exit_code, told.stdout) == (23, "")


@pytest.mark.parametrize("name", ["nobody", "Practitioner/p1", "p1,p2", "../p1", "", "Patient/"])
def test_a_client_who_is_not_there(run: Run, store: Callable[..., Path], name: str) -> None:
    """A name that the store does not know, or that is no Patient's, is refused without repeating it."""
    told = run("show", name, "--store", store())
    assert (told.exit_code, told.stdout) == (10, "")
    assert told.stderr.startswith("FA140")
    assert not name or name not in told.stderr


@pytest.mark.parametrize("resource", [GOAL, SESSION], ids=["goal", "nothing"])
def test_a_client_without_scores(run: Run, clinic: Clinic, here: Path, resource: dict[str, Any]) -> None:
    """A client who is known but has no score yet has a page that says so."""
    told = run("show", "p1", "--store", clinic(resource), "--html", here / "page.html")
    assert told.exit_code == 0
    assert "No score of this client stands in the record yet." in told.stdout
    assert "No score of this client" in (here / "page.html").read_text(encoding="utf-8")
