"""Publishing, version by version: what replaces what, what is never overwritten, and what stops it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest
import requests
import responses

from fhir_alliance.core.model import Instrument
from fhir_alliance.errors import Exit, StopRun
from fhir_alliance.fhir.terminology import code_systems
from fhir_alliance.fhir.wording import Language, SiteWording
from fhir_alliance.runs.catalog import Catalog, load_instrument, shipped
from fhir_alliance.runs.overlays import Overlays, with_wording
from fhir_alliance.runs.publish import ORDER, artefacts, plan, profiles, publish
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.server import ServerStore

Resource: TypeAlias = dict[str, Any]
Publish: TypeAlias = Callable[..., Summary]

GAD = "https://fhir-alliance.org/fhir/Questionnaire/gad-7"
WAI = "https://fhir-alliance.org/fhir/Questionnaire/wai-sr"
SCORES = "https://fhir-alliance.org/fhir/CodeSystem/scores"
EHR = "https://ehr.example/fhir"
FHIR_JSON = "application/fhir+json"


def released(version: str = "1.0.0", name: str = "gad-7", **elements: Any) -> Catalog:
    """Return a catalog of one instrument, with its Questionnaire in this version, and other elements where given."""
    instrument, form = load_instrument(shipped("questionnaires") / name)
    found = msgspec.structs.replace(instrument, version=version)
    return Catalog({name: found}, {name: {**form, "version": version, **elements}})


def lent(permission: str = "letter 12", *, expired: bool = False, revision: int = 1, words: str = "Words") -> Catalog:
    """Return a catalog of the WAI-SR with a site's wording, or with one that it may use no longer."""
    instrument, form = load_instrument(shipped("questionnaires") / "wai-sr")
    text = {f"wai-sr-{n}": f"{words} {n}" for n in range(1, 13)}
    wording = SiteWording((Language("en", text),), "The Holder", permission, date(2026, 12, 31), revision)
    if expired:
        return Catalog({"wai-sr": instrument}, {"wai-sr": form}, Overlays({}, {"wai-sr": wording}))
    overlays = Overlays({"wai-sr": wording}, {})
    return Catalog({"wai-sr": with_wording(instrument, wording)}, {"wai-sr": form}, overlays)


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """An empty folder store."""
    folder = tmp_path / "clinic"
    folder.mkdir()
    return folder


@pytest.fixture
def run(clinic: Path) -> Publish:
    """A function that publishes a catalog into the folder, as one run of the program would."""

    def run(catalog: Catalog, *, dry_run: bool = False) -> Summary:
        store = FolderStore(clinic)
        journal = Journal(clinic / "state", store.name)
        try:
            return publish(store, catalog, journal, dry_run=dry_run)
        finally:
            store.close()
            journal.close()

    return run


def held(clinic: Path, kind: str = "Questionnaire") -> list[Resource]:
    """Return what the folder holds of a type, as it was written."""
    file = clinic / f"{kind}.fhir-alliance.ndjson"
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def edit(clinic: Path, **elements: Any) -> None:
    """Change the only Questionnaire in the folder, as a person would."""
    [form] = held(clinic)
    (clinic / "Questionnaire.fhir-alliance.ndjson").write_text(json.dumps(form | elements) + "\n", encoding="utf-8")


def statuses(clinic: Path) -> dict[str, str]:
    """Return the status of each version of the Questionnaire in the folder."""
    return {form["version"]: form["status"] for form in held(clinic)}


def without(form: Mapping[str, Any], *names: str) -> Resource:
    """Return a resource without some elements."""
    return {key: value for key, value in form.items() if key not in names}


def test_a_new_version_retires_the_older_one(clinic: Path, run: Publish) -> None:
    """A new version is created, the older one keeps its content and is retired; the next run writes nothing."""
    run(released())
    [before] = held(clinic)
    done = run(released("1.1.0", title="GAD-7, edition 2"))
    older, newer = held(clinic)
    assert (done.created["Questionnaire"], done.updated["Questionnaire"], done.retired["Questionnaire"]) == (1, 0, 1)
    assert older == before | {"status": "retired"}
    assert (newer["version"], newer["status"], newer["title"]) == ("1.1.0", "active", "GAD-7, edition 2")
    assert newer["id"] != older["id"]
    again = run(released("1.1.0", title="GAD-7, edition 2"))
    assert not again.created + again.updated + again.retired
    assert again.unchanged["Questionnaire"] == 1


def test_versions_are_told_apart_by_their_numbers(clinic: Path, run: Publish) -> None:
    """1.10.0 replaces 1.9.0, and not the other way round; a preliminary version comes before its release."""
    for version in ("1.9.0", "1.10.0-draft", "1.10.0"):
        run(released(version))
    assert statuses(clinic) == {"1.9.0": "retired", "1.10.0-draft": "retired", "1.10.0": "active"}
    assert len({form["id"] for form in held(clinic)}) == 3


def test_a_version_in_use_is_never_overwritten(clinic: Path, run: Publish) -> None:
    """The same version with other content stops the run by name, before anything at all is written."""
    run(released())
    before = {path.name: path.read_bytes() for path in clinic.glob("*.ndjson")}
    changed = released(title="Another title", description="x")
    changed.instruments["phq-9"], changed.questionnaires["phq-9"] = load_instrument(shipped("questionnaires") / "phq-9")
    with pytest.raises(StopRun, match="FA130") as caught:
        run(changed)
    assert f"{GAD}|1.0.0 is active in the store with other content (description, title)" in caught.value.message
    assert {path.name: path.read_bytes() for path in clinic.glob("*.ndjson")} == before


def test_a_draft_is_updated_in_place(clinic: Path, run: Publish) -> None:
    """While a version is still a draft in the store, it may change, and it may become active."""
    run(released(status="draft", title="First idea"))
    done = run(released(status="draft", title="Second idea"))
    assert (done.updated["Questionnaire"], done.retired.total()) == (1, 0)
    done = run(released())
    assert (done.updated["Questionnaire"], done.created["Questionnaire"]) == (1, 0)
    assert statuses(clinic) == {"1.0.0": "active"}


def test_a_draft_replaces_nothing_that_is_in_use(clinic: Path, run: Publish) -> None:
    """A new version that is a draft stands beside the active one; once it is active, the older one is retired."""
    run(released())
    steps = run(released("2.0.0", status="draft")).steps
    assert statuses(clinic) == {"1.0.0": "active", "2.0.0": "draft"}
    assert [step.what for step in steps if step.url == GAD] == ["a draft; 1.0.0 stays in use"]
    run(released("3.0.0", status="draft"))
    assert statuses(clinic) == {"1.0.0": "active", "2.0.0": "retired", "3.0.0": "draft"}
    run(released("3.0.0"))
    assert statuses(clinic) == {"1.0.0": "retired", "2.0.0": "retired", "3.0.0": "active"}


def test_a_newer_version_in_the_store_stops_the_run(clinic: Path, run: Publish) -> None:
    """An older program does not retire what a newer one published; where a person retired that, it may go back."""
    run(released("2.0.0"))
    with pytest.raises(StopRun, match=r"FA131 .*gad-7\|1\.0\.0 the store holds the newer 2\.0\.0"):
        run(released())
    edit(clinic, status="retired")
    run(released())
    assert statuses(clinic) == {"2.0.0": "retired", "1.0.0": "active"}


def test_what_a_person_retired_stays_retired(clinic: Path, run: Publish) -> None:
    """A form that somebody has retired in the store is not put back into use by the next run."""
    run(released())
    edit(clinic, status="retired")
    done = run(released())
    assert not done.created + done.updated
    assert statuses(clinic) == {"1.0.0": "retired"}


def test_the_longest_id_has_room_for_a_version(clinic: Path, run: Publish) -> None:
    """Versions of a form whose id is as long as FHIR allows stand beside each other, under ids that FHIR allows."""
    for version in ("1.0.0", "1.1.0", "1.2.0+x"):
        run(released(version, id="x" * 64))
    ids = [form["id"] for form in held(clinic)]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", name) for name in ids)


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_copies_the_one_in_use_counts(clinic: Path, run: Publish, turned: bool) -> None:
    """Where a server holds a version twice, one of them retired, the other is the one that is compared."""
    form = released().questionnaire("gad-7")
    copies = [form | {"id": "a", "status": "retired"}, form | {"id": "b", "title": "Another title"}]
    lines = [json.dumps(copy) + "\n" for copy in (reversed(copies) if turned else copies)]
    (clinic / "Questionnaire.ndjson").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(StopRun, match=r"FA130 .*active in the store with other content \(title\)"):
        run(released())


def test_a_run_cut_short_is_made_good(clinic: Path, run: Publish) -> None:
    """Where a new version was created and the older one not yet retired, the next run does the rest."""
    run(released())
    [older] = held(clinic)
    newer = released("1.1.0").questionnaire("gad-7") | {"id": "newer"}
    lines = [json.dumps(form) + "\n" for form in (older, newer)]
    (clinic / "Questionnaire.fhir-alliance.ndjson").write_text("".join(lines), encoding="utf-8")
    done = run(released("1.1.0"))
    assert (done.created["Questionnaire"], done.retired["Questionnaire"]) == (0, 1)
    assert statuses(clinic) == {"1.0.0": "retired", "1.1.0": "active"}


def test_a_version_in_an_export_is_retired_beside_it(clinic: Path, run: Publish) -> None:
    """A Questionnaire in an input file is retired in the derived file, the input keeps its bytes; once is enough."""
    form = released("0.9.0").questionnaire("gad-7") | {
        "id": "from-ehr",
        "meta": {"versionId": "7", "tag": [{"code": "x"}]},
    }
    (clinic / "Questionnaire.ndjson").write_text(json.dumps(form) + "\n", encoding="utf-8")
    assert run(released()).retired["Questionnaire"] == 1
    assert json.loads((clinic / "Questionnaire.ndjson").read_text(encoding="utf-8")) == form
    [retired] = [f for f in held(clinic) if f["id"] == "from-ehr"]
    assert retired == form | {"status": "retired", "meta": {"tag": [{"code": "x"}]}}
    assert not run(released()).retired


def test_a_permission_that_ends_takes_the_wording_out_of_use(clinic: Path, run: Publish) -> None:
    """An overlay makes the draft active; when it expires the form is retired as it stood; renewed, it is active."""
    run(released(name="wai-sr"))
    assert statuses(clinic) == {"1.0.0": "draft"}
    run(lent())
    [worded] = held(clinic)
    assert (worded["status"], worded["item"][0]["text"]) == ("active", "Words 1")
    done = run(lent(expired=True))
    assert (done.created["Questionnaire"], done.retired["Questionnaire"]) == (0, 1)
    assert held(clinic) == [worded | {"status": "retired"}]
    assert not run(lent(expired=True)).retired
    done = run(lent("letter 13"))
    assert done.updated["Questionnaire"] == 1
    [renewed] = held(clinic)
    assert without(renewed, "copyright") == without(worded, "copyright")
    assert "letter 13" in renewed["copyright"]


def test_a_forgotten_overlay_retires_nothing(clinic: Path, run: Publish) -> None:
    """Publishing without the overlay that the form in use came from stops, instead of taking it out of use."""
    run(lent())
    with pytest.raises(StopRun, match="FA130"):
        run(released(name="wai-sr"))
    assert statuses(clinic) == {"1.0.0": "active"}


def test_changed_wording_needs_a_revision(clinic: Path, run: Publish) -> None:
    """Other words for a form in use are refused; with a higher revision they are a new version."""
    run(lent())
    with pytest.raises(StopRun, match="FA130") as caught:
        run(lent(words="Other words"))
    assert "revision" in caught.value.hint
    run(lent(words="Other words", revision=2))
    assert statuses(clinic) == {"1.0.0": "retired", "1.0.0.2": "active"}
    run(lent(words="Other words", revision=2, expired=True))
    assert statuses(clinic) == {"1.0.0": "retired", "1.0.0.2": "retired"}


def test_a_lapsed_form_of_an_older_version_is_retired(clinic: Path, run: Publish) -> None:
    """Where the permission has ended, an older version in use goes too, and the skeleton stands as a draft."""
    run(lent())
    run(lent(words="Other words", revision=2, expired=True))
    assert statuses(clinic) == {"1.0.0": "retired", "1.0.0.2": "draft"}


def test_code_systems_grow_and_never_shrink(clinic: Path, run: Publish) -> None:
    """Codes of more instruments are added, codes of those no longer there stay, and the version rises with them."""

    def scores() -> tuple[str, set[str]]:
        [system] = [system for system in held(clinic, "CodeSystem") if system["url"] == SCORES]
        codes = {concept["code"] for concept in system["concept"]}
        assert system["count"] == len(codes) == len(system["concept"])
        return system["version"], codes

    run(released())
    few = scores()
    assert few == (f"1.{len(few[1])}.0", few[1])
    assert "gad-7-total" in few[1]
    done = run(released(name="wai-sr"))  # it brings scores, methods and answers, and has no bands
    assert (done.updated["CodeSystem"], done.created["CodeSystem"]) == (2, 1)
    version, codes = scores()
    assert version == f"1.{len(codes)}.0"
    assert codes > few[1]
    assert "wai-sr-total" in codes
    again = run(released(name="wai-sr"))
    assert not again.updated
    run(released())
    assert scores() == (version, codes)


def test_a_code_that_reads_differently_raises_the_version(clinic: Path, run: Publish) -> None:
    """A corrected display is taken over under a higher version, once; the older display never comes back by itself."""
    run(released())
    renamed = released()
    renamed.instruments["gad-7"] = msgspec.structs.replace(renamed.instruments["gad-7"], title="Anxiety 7")
    assert run(renamed).updated["CodeSystem"] == 1
    assert not run(renamed).updated
    [system] = [system for system in held(clinic, "CodeSystem") if system["url"] == SCORES]
    assert system["version"] == f"1.{system['count']}.1"
    assert {"code": "gad-7-panel", "display": "Anxiety 7"} in system["concept"]


def test_a_profile_is_kept_current(clinic: Path, run: Publish) -> None:
    """A profile that stands differently in the store is brought up to date in place, under its own id there."""
    profile = next(p for p in profiles() if p["resourceType"] == "StructureDefinition")
    stored = {**profile, "id": "theirs", "title": "An older title"}
    (clinic / "StructureDefinition.ndjson").write_text(json.dumps(stored) + "\n", encoding="utf-8")
    done = run(released())
    assert done.updated["StructureDefinition"] == 1
    [now] = [p for p in held(clinic, "StructureDefinition") if p["url"] == profile["url"]]
    assert now == {**profile, "id": "theirs"}


def test_every_artefact_is_published(clinic: Path, run: Publish) -> None:
    """No artefact is of a type that publishing passes over, and none stands twice."""
    wanted = artefacts(released())
    assert {artefact["resourceType"] for artefact in wanted} == set(ORDER)
    assert run(released()).created.total() == len(wanted) == len({artefact["url"] for artefact in wanted})


def test_scores_are_mapped_to_loinc(clinic: Path, run: Publish) -> None:
    """Panel and total of the GAD-7 are mapped to their LOINC codes; a form without LOINC codes has no map."""
    run(released())
    [found] = held(clinic, "ConceptMap")
    [group] = found["group"]
    assert (group["source"], group["target"]) == (SCORES, "http://loinc.org")
    said = {element["code"]: [target["code"] for target in element["target"]] for element in group["element"]}
    assert said == {"gad-7-panel": ["69737-5"], "gad-7-total": ["70274-6"]}
    assert "ConceptMap" not in {artefact["resourceType"] for artefact in artefacts(released(name="wai-sr"))}


def test_a_dry_run_shows_each_state(clinic: Path, run: Publish) -> None:
    """New, changed, unchanged, to retire and in conflict are told with url and version, and nothing is written."""
    run(released())
    before = {path.name: path.read_bytes() for path in clinic.glob("*.ndjson")}
    catalog = released("1.1.0")
    for other in (lent(), released(name="phq-9")):
        catalog.instruments |= other.instruments
        catalog.questionnaires |= other.questionnaires
    done = run(catalog, dry_run=True)
    told = {(step.state.value, step.url.rpartition("/")[2], step.version) for step in done.steps}
    assert told >= {
        ("new", "gad-7", "1.1.0"), ("to retire", "gad-7", "1.0.0"), ("new", "phq-9", "1.0.0"),
        ("changed", "scores", code_systems(catalog.instruments, catalog.publishable())[0]["version"]),
        ("unchanged", "alliance-score", "0.1.0"),
    }  # fmt: skip
    assert (done.created["Questionnaire"], done.retired["Questionnaire"]) == (3, 1)
    assert run(released(title="x"), dry_run=True).steps[-1].state.value == "conflict"
    assert {path.name: path.read_bytes() for path in clinic.glob("*.ndjson")} == before


def test_a_dry_run_foretells_the_run(clinic: Path, run: Publish) -> None:
    """The counts of a dry run are those of the run that follows it."""
    run(released())
    foretold = run(released("1.1.0"), dry_run=True)
    done = run(released("1.1.0"))
    for name in ("created", "updated", "unchanged", "retired"):
        assert getattr(foretold, name) == getattr(done, name)


@pytest.fixture
def server(tmp_path: Path) -> Callable[[Sequence[Resource], int], tuple[Summary, list[Resource]]]:
    """A function that publishes version 1.1.0 to a server that holds some forms and answers its create with a status.

    It returns the summary, and the entries that were sent about the GAD-7. Status 0: the answer says nothing of it.
    """

    def publish_to(forms: Sequence[Resource], status: int) -> tuple[Summary, list[Resource]]:
        sent: list[Resource] = []

        def search(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
            found = forms if str(request.url).startswith(f"{EHR}/Questionnaire?") else ()
            return 200, {}, json.dumps({"resourceType": "Bundle", "entry": [{"resource": form} for form in found]})

        def take(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
            [entry] = json.loads(request.body or b"{}")["entry"]
            if entry["resource"]["url"] == GAD:
                sent.append(entry)
                if entry["request"]["method"] == "POST" and status != 201:
                    outcome = {"resourceType": "OperationOutcome", "issue": [{"code": "invalid"}]}
                    return status or 200, {}, json.dumps(outcome)
            answer = {"status": "201 Created", "location": f"{entry['resource']['resourceType']}/new/_history/1"}
            return 200, {}, json.dumps({"resourceType": "Bundle", "entry": [{"response": answer}]})

        with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
            for kind in ORDER:
                mock.add_callback(responses.GET, f"{EHR}/{kind}", search, content_type=FHIR_JSON)
            held = {"interaction": [{"code": "create"}, {"code": "update"}], "conditionalCreate": True}
            rest = {"interaction": [{"code": "transaction"}], "resource": [{"type": kind, **held} for kind in ORDER]}
            statement = {"resourceType": "CapabilityStatement", "rest": [rest]}
            mock.get(f"{EHR}/metadata", json=statement, content_type=FHIR_JSON)
            mock.add_callback(responses.POST, f"{EHR}/", take, content_type=FHIR_JSON)
            store = ServerStore(EHR)
            journal = Journal(tmp_path / "state", store.name)
            try:
                return publish(store, released("1.1.0"), journal), sent
            finally:
                store.close()
                journal.close()

    return publish_to


OLDER = {
    "resourceType": "Questionnaire",
    "id": "7",
    "meta": {"versionId": "3"},
    "url": GAD,
    "version": "1.0.0",
    "status": "active",
}


def test_on_a_server_the_new_version_comes_first(server: Any) -> None:
    """A server is sent the new version as a conditional create, and then the older one, guarded by its version."""
    done, sent = server([OLDER], 201)
    create, retire = (entry["request"] for entry in sent)
    assert create["ifNoneExist"].endswith("version=1.1.0")
    assert (retire["method"], retire["url"], retire["ifMatch"]) == ("PUT", "Questionnaire/7", 'W/"3"')
    assert sent[1]["resource"]["status"] == "retired"
    assert done.retired["Questionnaire"] == 1


def test_nothing_is_retired_whose_successor_may_be_missing(server: Any) -> None:
    """Where nobody knows whether the new version stands, the older one stays in use, and the exit status says so."""
    done, sent = server([OLDER], 0)
    assert [entry["request"]["method"] for entry in sent] == ["POST"]
    assert (done.unknown, done.exit, done.retired.total()) == (1, Exit.UNKNOWN, 0)


def test_nothing_is_retired_whose_successor_was_refused(server: Any) -> None:
    """Where the server does not take the new version, the older one stays in use, and the exit status says so."""
    done, sent = server([OLDER], 422)
    assert [entry["request"]["method"] for entry in sent] == ["POST"]
    assert [(refusal.group, refusal.code) for refusal in done.refused] == [(GAD, "FA413")]
    assert done.exit is Exit.REFUSED
    assert not done.retired


def test_a_plan_only_reads(clinic: Path) -> None:
    """Planning is a matter of reading: the same store gives the same steps, and no file."""
    store = FolderStore(clinic)
    instrument: Instrument = released().find("gad-7")
    steps = plan(store, released())
    assert plan(store, released()) == steps
    store.close()
    assert [step.version for step in steps if step.url == instrument.url] == ["1.0.0"]
    assert list(clinic.iterdir()) == []
