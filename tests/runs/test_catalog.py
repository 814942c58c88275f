"""The catalog: what ships, what a site adds, and what is refused with file and place."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest
from fhir.resources.R4B.questionnaire import Questionnaire

from fhir_alliance.core.model import Wording
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.terminology import code_systems
from fhir_alliance.runs.catalog import Catalog, check_folder, load_catalog, shipped
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.score import score_inputs
from fhir_alliance.views.instruments import instrument_row

TODAY = date(2026, 3, 1)
NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))  # not UTC, on purpose
IDS = {folder.name for folder in shipped("questionnaires").iterdir() if folder.is_dir()}
WAI = [f"wai-sr-{n}" for n in range(1, 13)]  # the linkIds of its items
LABELS = [f"wai-sr-{n}" for n in range(1, 6)]  # the codes of its answers


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A site's own instrument: the GAD-7 under another id."""
    folder = tmp_path / "own-gad"
    shutil.copytree(shipped("questionnaires") / "gad-7", folder)
    for file in ("scoring.toml", "questionnaire.json"):
        rewrite(
            folder / file, lambda text: text.replace('"gad-7"', '"own-gad"').replace("Questionnaire/gad-7", "x/own")
        )
    return folder


def table(name: str, words: dict[str, str]) -> str:
    """Return a table of an overlay file."""
    return f"[{name}]\n" + "".join(f'"{key}" = "{value}"\n' for key, value in words.items())


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """A site's complete wording for the WAI-SR; invented, so that no protected word stands here."""
    path = tmp_path / "wai-sr.toml"
    path.write_text(
        'instrument = "wai-sr"\nversion = "1.0.0"\nholder = "The Holder"\npermission = "letter 12"\n'
        "expires = 2026-12-31\n" + table("text.en", {link_id: f"Placeholder {link_id[7:]}" for link_id in WAI}),
        encoding="utf-8",
    )
    return path


@pytest.fixture
def bilingual(overlay: Path) -> Path:
    """The same in German first and English second, with answer labels in both."""
    head = overlay.read_text(encoding="utf-8").partition("[text.en]")[0]
    parts = [
        table("text.de", {link_id: f"Platzhalter {link_id[7:]}" for link_id in WAI}),
        table("text.en", {link_id: f"Placeholder {link_id[7:]}" for link_id in WAI}),
        table("answers.de", {code: f"Stufe {code[7:]}" for code in LABELS}),
        table("answers.en", {code: f"Step {code[7:]}" for code in LABELS}),
        table("translation.de", {"status": "validated", "translator": "A. Example", "source": "Example 2020"}),
        table("translation.en", {"status": "draft"}),
    ]
    overlay.write_text(head + "".join(parts), encoding="utf-8")
    return overlay


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Change a file's text, and make sure that it did change."""
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, encoding="utf-8")


def test_what_ships() -> None:
    """The catalog holds every instrument that ships, each with its Questionnaire under the same id and url."""
    catalog = load_catalog()
    assert set(catalog.instruments) == set(catalog.questionnaires) == IDS
    for name, instrument in catalog.instruments.items():
        assert instrument.id == name == catalog.questionnaires[name]["id"]
        assert instrument.url == f"https://fhir-alliance.org/fhir/Questionnaire/{name}"


def test_two_catalogs_share_nothing() -> None:
    """A change in one catalog's Questionnaire is not seen in another: there is no global state."""
    first, second = load_catalog(), load_catalog()
    assert first.questionnaires["phq-9"] is not second.questionnaires["phq-9"]


def test_an_unknown_id_names_the_known_ones() -> None:
    """Asking for an instrument that is not there stops with FA101 and the ids that are."""
    with pytest.raises(StopRun, match="FA101") as caught:
        load_catalog().find("phq9")
    assert all(name in caught.value.hint for name in IDS)


def test_everything_published_can_be_sent() -> None:
    """All Questionnaires serialise as JSON, and the skeletons alone are drafts."""
    catalog = load_catalog()
    sent = catalog.publishable()
    assert len(orjson.dumps(sent)) > 0
    skeletons = {name for name, i in catalog.instruments.items() if i.licence.wording is Wording.OVERLAY}
    assert "wai-sr" in skeletons
    assert {form["id"]: form["status"] for form in sent} == {n: "draft" if n in skeletons else "active" for n in IDS}


@pytest.mark.parametrize("name", ["questionnaires", "profiles", "clinic"])
def test_shipped_folders_are_there(name: str) -> None:
    """What the package needs at run time lies where the catalog looks for it."""
    assert shipped(name).is_dir()


def test_a_site_may_add_instruments(own: Path) -> None:
    """An instrument of the site's own is found, by its folder or by the folder above, and passes the check."""
    assert "own-gad" in load_catalog([own]).instruments
    assert "own-gad" in load_catalog([own.parent]).instruments
    assert check_folder(own)[2] == ()


def test_a_second_instrument_of_the_same_id_is_refused(tmp_path: Path) -> None:
    """A site cannot shadow an instrument that ships."""
    shutil.copytree(shipped("questionnaires") / "phq-9", tmp_path / "phq-9")
    with pytest.raises(StopRun, match="phq-9"):
        load_catalog([tmp_path / "phq-9"])


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("scoring.toml", lambda text: text + "\nsurprise = 1\n", "surprise"),
        ("scoring.toml", lambda text: text.replace("family =", "family"), "scoring.toml"),
        ("scoring.toml", lambda text: text.replace('"outcome"', '"mood"'), "family"),
        ("scoring.toml", lambda text: text.replace("[[scale]]", "[[scale]]\ncolour = 3", 1), "colour"),
        (
            "scoring.toml",
            lambda text: text.replace(
                "[[scale]]", '[[critical]]\nitem = "/0"\nat_least = 1\nsource = "x"\n[[scale]]', 1
            ),
            "/0",
        ),
        ("questionnaire.json", lambda text: text[:-20], "questionnaire.json"),
        ("questionnaire.json", lambda text: text.replace('"title"', '"tilte"'), "title"),
        ("questionnaire.json", lambda text: text.replace('"valueDecimal": 3', '"valueDecimal": 4', 1), "weights"),
    ],
)
def test_a_broken_folder_stops_with_its_place(own: Path, file: str, change: Callable[[str], str], said: str) -> None:
    """A broken file of a site's own stops the run with a configuration error that says where."""
    rewrite(own / file, change)
    with pytest.raises(StopRun, match="FA10") as caught:
        load_catalog([own])
    assert said in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("file", ["scoring.toml", "questionnaire.json", "cases.toml"])
def test_a_missing_file_stops_the_check(own: Path, file: str) -> None:
    """A folder that lacks a file cannot be checked, and the message names the file or the folder."""
    (own / file).unlink()
    with pytest.raises(StopRun, match="FA102"):
        check_folder(own)


def test_a_missing_licence_is_found(own: Path) -> None:
    """An instrument without LICENCE.md does not pass the check."""
    (own / "LICENCE.md").unlink()
    assert "LICENCE.md" in [problem.place for problem in check_folder(own)[2]]


@pytest.mark.parametrize(
    ("old", "new"),
    [('"/69736-7"]', '"/69736-8"]'), ("high = 21", "high = 22"), ("low = 5", "low = 6")],
    ids=["an item that is not there", "a wrong range", "a gap between bands"],
)
def test_the_check_finds_what_parses_but_is_wrong(own: Path, old: str, new: str) -> None:
    """A scoring file that parses but contradicts its Questionnaire or itself does not pass the check."""
    rewrite(own / "scoring.toml", lambda text: text.replace(old, new, 1))
    assert check_folder(own)[2]


def test_an_overlay_brings_the_wording(overlay: Path) -> None:
    """With a permitted wording the WAI-SR is published as active, with holder and permission in its copyright."""
    catalog = load_catalog(overlays=[overlay], today=TODAY)
    form = catalog.questionnaire("wai-sr")
    assert form["status"] == "active"
    assert form["item"][0]["text"] == "Placeholder 1"
    assert form["copyright"].startswith(load_catalog().questionnaires["wai-sr"]["copyright"])
    assert form["copyright"].endswith("Used with permission: letter 12 (The Holder), until 2026-12-31.")
    assert catalog.has_wording("wai-sr")


def test_an_expired_overlay_counts_as_none(overlay: Path) -> None:
    """On the day after its permission ends the wording is gone again, and the draft says so; on the last day not."""
    assert load_catalog(overlays=[overlay], today=date(2026, 12, 31)).questionnaire("wai-sr")["status"] == "active"
    after = load_catalog(overlays=[overlay], today=date(2027, 1, 1))
    form = after.questionnaire("wai-sr")
    assert form["status"] == "draft"
    assert "Placeholder" not in json.dumps(form)
    assert "permission ended on 2026-12-31" in form["description"]
    assert after.lapsed() == {form["url"]}
    assert after.instruments["wai-sr"].licence.permission == ""


def test_the_list_says_what_may_be_used(overlay: Path) -> None:
    """Each instrument's row says whether its wording ships, is our own, is lacking, is lent, or was."""

    def state(catalog: Catalog, name: str) -> tuple[str, str]:
        row = instrument_row(catalog.find(name), catalog.valid_until(name), catalog.expired_on(name))
        return row["licence_state"], row["publishes_as"]

    plain = load_catalog()
    assert state(plain, "phq-9") == ("shipped", "active")
    assert state(plain, "alliance-checkin") == ("own", "active")
    assert state(plain, "wai-sr") == ("skeleton: draft only", "draft")
    assert state(load_catalog(overlays=[overlay], today=TODAY), "wai-sr") == (
        "overlay valid until 2026-12-31",
        "active",
    )
    after = load_catalog(overlays=[overlay], today=date(2027, 1, 1))
    assert state(after, "wai-sr") == ("overlay expired 2026-12-31", "draft")


def test_the_first_language_is_the_forms_own(bilingual: Path) -> None:
    """Texts and labels of the first language stand in the form, those of the others beside them as translations."""
    catalog = load_catalog(overlays=[bilingual], today=TODAY)
    form = catalog.questionnaire("wai-sr")
    Questionnaire.model_validate_json(orjson.dumps(form))
    assert form["language"] == "de"
    assert catalog.find("wai-sr").languages == ("de", "en")
    item = form["item"][6]
    assert item["text"] == "Platzhalter 7"
    assert translations(item["_text"]) == {"en": "Placeholder 7"}
    coding = item["answerOption"][4]["valueCoding"]
    assert (coding["display"], translations(coding["_display"])) == ("Stufe 5", {"en": "Step 5"})
    assert catalog.find("wai-sr").items[6].options[4].code.display == "Stufe 5"
    hidden = [item for item in form["item"] if item["type"] == "decimal"]
    assert hidden == [item for item in load_catalog().questionnaires["wai-sr"]["item"] if item["type"] == "decimal"]


def test_what_answers_are_called_stands_in_the_code_system_too(bilingual: Path) -> None:
    """A code of our own is displayed in its CodeSystem as in the form, or a server would refuse the form."""
    catalog = load_catalog(overlays=[bilingual], today=TODAY)
    [answers] = [s for s in code_systems(catalog.instruments, catalog.publishable()) if s["url"].endswith("/answers")]
    assert {"code": "wai-sr-5", "display": "Stufe 5"} in answers["concept"]


def test_a_translation_says_how_it_came_about(bilingual: Path) -> None:
    """Language, status, translator and source of each translation stand in an extension of the form."""
    form = load_catalog(overlays=[bilingual], today=TODAY).questionnaire("wai-sr")
    url = "https://fhir-alliance.org/fhir/StructureDefinition/translation-status"
    said = [
        {part["url"]: part.get("valueCode") or part.get("valueString") for part in extension["extension"]}
        for extension in form["extension"]
        if extension["url"] == url
    ]
    assert said == [
        {"language": "de", "status": "validated", "translator": "A. Example", "source": "Example 2020"},
        {"language": "en", "status": "draft"},
    ]


def test_a_form_knows_its_languages(own: Path) -> None:
    """An instrument is in its form's own language, and in those whose translation the form says something about."""
    assert load_catalog([own]).find("own-gad").languages == ("en",)
    form = json.loads((own / "questionnaire.json").read_text(encoding="utf-8"))
    url = "https://fhir-alliance.org/fhir/StructureDefinition/translation-status"
    status = {"url": "status", "valueCode": "official"}
    form["extension"] = [
        {"url": url, "extension": [status, {"url": "language", "valueCode": tag}]} for tag in ("fr", "en", "de")
    ] + [{"url": "urn:x", "valueString": "x"}]
    (own / "questionnaire.json").write_text(json.dumps(form), encoding="utf-8")
    assert load_catalog([own]).find("own-gad").languages == ("en", "fr", "de")


def test_an_original_carries_no_translation(overlay: Path) -> None:
    """Wording in one language, without a translation, adds no extension to form, item or answer."""
    form = load_catalog(overlays=[overlay], today=TODAY).questionnaire("wai-sr")
    assert "extension" not in form
    assert not any("_text" in item for item in form["item"])
    assert form["item"][0]["answerOption"][0]["valueCoding"]["display"] == "1"


@pytest.mark.parametrize(
    ("pattern", "new", "said"),
    [
        (r'"wai-sr-(3|11)" = "Platzhalter.*\n', "", "[text.de] lacks wai-sr-3, wai-sr-11"),
        (r'"wai-sr-7" = "Placeholder 7"\n', "", "[text.en] lacks wai-sr-7"),
        (r'"wai-sr-7" = "Placeholder', '"wai-sr-77" = "Placeholder', "[text.en] has wai-sr-77"),
        (r'"wai-sr-2" = "Step 2"\n', "", "[answers.en] lacks wai-sr-2"),
        (r'"wai-sr-2" = "Stufe', '"wai-sr-6" = "Stufe', "[answers.de] has wai-sr-6"),
        (r"(?s)\[answers\.en\].*?(?=\[tr)", "", "[answers.en] lacks wai-sr-1, wai-sr-2"),
        (r"\[translation\.en\]", "[translation.fr]", "[translation.en] is missing"),
        (r"\[translation\.en\]", "[translation.fr]", "[text.fr] is missing"),
    ],
)  # fmt: skip
def test_an_incomplete_overlay_is_refused(bilingual: Path, pattern: str, new: str, said: str) -> None:
    """Wording that lacks an item, an answer or a translation's status in one language is refused by its name."""
    rewrite(bilingual, lambda text: re.sub(pattern, new, text))
    with pytest.raises(StopRun, match=r"FA105 .*wai-sr\.toml") as caught:
        load_catalog(overlays=[bilingual], today=TODAY)
    assert said in caught.value.message


def test_all_that_an_overlay_lacks_is_said_at_once(bilingual: Path) -> None:
    """A site learns of every gap in one go, also in a file whose permission has ended."""
    rewrite(bilingual, lambda text: re.sub(r'"wai-sr-(3|4)" = "Pla.*\n', "", text))
    with pytest.raises(StopRun) as caught:
        load_catalog(overlays=[bilingual], today=date(2027, 1, 1))
    assert "[text.de] lacks wai-sr-3, wai-sr-4; [text.en] lacks wai-sr-3, wai-sr-4" in caught.value.message


def test_an_overlay_is_for_a_skeleton(overlay: Path) -> None:
    """Wording that ships is not replaced by a site's file."""
    rewrite(overlay, lambda text: text.replace('"wai-sr"', '"phq-9"', 1))
    with pytest.raises(StopRun, match=r"FA104 .*phq-9"):
        load_catalog(overlays=[overlay], today=TODAY)


def test_one_permission_counts_at_a_time(overlay: Path, tmp_path: Path) -> None:
    """A renewed permission takes the place of an expired one, in any order; two valid ones are refused."""
    renewed = tmp_path / "renewed.toml"
    renewed.write_text(overlay.read_text(encoding="utf-8").replace("2026-12-31", "2027-12-31"), encoding="utf-8")
    later = date(2027, 3, 1)
    for files in ([overlay, renewed], [renewed, overlay]):
        catalog = load_catalog(overlays=files, today=later)
        assert catalog.valid_until("wai-sr") == date(2027, 12, 31)
        assert catalog.expired_on("wai-sr") is None
        assert not catalog.lapsed()
    with pytest.raises(StopRun, match="FA104"):
        load_catalog(overlays=[overlay, renewed], today=TODAY)


def test_a_revision_is_a_version_of_its_own(overlay: Path) -> None:
    """A changed wording is published as another version, scored as before; forms of each edition are recognised."""
    rewrite(overlay, lambda text: text.replace("holder", "revision = 3\nholder", 1))
    catalog = load_catalog(overlays=[overlay], today=TODAY)
    assert catalog.questionnaire("wai-sr")["version"] == "1.0.0.3"
    assert catalog.find("wai-sr").version == "1.0.0"
    assert [(i.version, form["version"]) for i, form in catalog.earlier] == [
        ("1.0.0", "1.0.0.2"),
        ("1.0.0", "1.0.0.3"),
    ]
    after = load_catalog(overlays=[overlay], today=date(2027, 1, 1))
    assert (after.questionnaire("wai-sr")["version"], len(after.earlier)) == ("1.0.0.3", 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"wai-sr"\n', '"wai-srr"\n'),
        ('"1.0.0"', '"2.0.0"'),
        ('"The Holder"', '""'),
        ('"letter 12"', '""'),
        ("[text.en]", "[texts.en]"),
        ("[text.en]", "[text.English]"),
        ("Placeholder 1", "  "),
        ('"1.0.0"', '"1.0.0"\nrevision = 0'),
        ("[text.en]", "[translation.en]\nstatus = 'fine'\n[text.en]"),
    ],
)
def test_an_overlay_that_does_not_fit_stops(overlay: Path, old: str, new: str) -> None:
    """An overlay for an unknown instrument or version, or with a field that says nothing, is refused by its file."""
    rewrite(overlay, lambda text: text.replace(old, new, 1))
    with pytest.raises(StopRun, match=r"wai-sr\.toml"):
        load_catalog(overlays=[overlay], today=TODAY)


@pytest.fixture
def grown(own: Path) -> Path:
    """The site's instrument, now in version 1.0.0, with version 0.9.0 kept, in which answers counted double."""
    older = own / "versions" / "0.9.0"
    older.mkdir(parents=True)
    for file in ("scoring.toml", "questionnaire.json"):
        shutil.copy(own / file, older / file)
    rewrite(older / "questionnaire.json", lambda text: text.replace('"1.0.0"', '"0.9.0"'))
    rewrite(
        older / "questionnaire.json",
        lambda text: re.sub(r'("valueDecimal": )(\d)', lambda found: f"{found[1]}{2 * int(found[2])}", text),
    )
    rewrite(older / "scoring.toml", lambda text: text.partition("[[scale.band]]")[0].replace("high = 21", "high = 42"))
    return own


def test_older_versions_are_kept(grown: Path) -> None:
    """A folder's older versions stand in the catalog beside the current one, and are not published."""
    catalog = load_catalog([grown])
    [(older, form)] = catalog.earlier
    assert (older.id, older.version, older.scales[0].high) == ("own-gad", "0.9.0", 42)
    assert form["version"] == "0.9.0"
    assert catalog.find("own-gad").version == "1.0.0"
    assert [f["version"] for f in catalog.publishable() if f["url"] == older.url] == ["1.0.0"]
    assert check_folder(grown)[2] == ()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("questionnaire.json", '"0.9.0"', '"0.9.1"'),
        ("questionnaire.json", "fhir/x/own", "fhir/x/other"),
        ("scoring.toml", '"own-gad"', '"another"'),
    ],
    ids=["another version", "another url", "another instrument"],
)
def test_an_older_version_is_what_its_folder_says(grown: Path, file: str, old: str, new: str) -> None:
    """A folder under versions/ that holds something else stops the run with its place."""
    rewrite(grown / "versions" / "0.9.0" / file, lambda text: text.replace(old, new))
    with pytest.raises(StopRun, match=r"FA102 .*0\.9\.0"):
        load_catalog([grown])


def test_the_current_version_is_no_older_one(grown: Path) -> None:
    """The version that is published cannot stand under versions/ as well."""
    rewrite(grown / "versions" / "0.9.0" / "questionnaire.json", lambda text: text.replace('"0.9.0"', '"1.0.0"'))
    (grown / "versions" / "0.9.0").rename(grown / "versions" / "1.0.0")
    with pytest.raises(StopRun, match=r"FA102 .*current"):
        load_catalog([grown])


def test_the_check_reads_older_versions_too(grown: Path) -> None:
    """A fault in an older version is found, with the version as its place."""
    rewrite(grown / "versions" / "0.9.0" / "scoring.toml", lambda text: text.replace("high = 42", "high = 40"))
    assert {problem.place.partition(":")[0] for problem in check_folder(grown)[2]} == {"version 0.9.0"}


@pytest.mark.parametrize(("version", "total"), [("|0.9.0", 14), ("|1.0.0", 7), ("", 7)])
def test_a_form_is_scored_as_the_version_that_was_answered(
    grown: Path, tmp_path: Path, version: str, total: int
) -> None:
    """A response to an older version is scored by that version and says so; without a version, by the current one."""
    form = answered(f"https://fhir-alliance.org/fhir/x/own{version}")
    (tmp_path / "r.json").write_text(json.dumps(form), encoding="utf-8")
    out = tmp_path / "out.ndjson"
    done = score_inputs([str(tmp_path / "r.json")], load_catalog([grown]), Policy(), NOW, out, lambda count: None)
    assert (done.scored, len(done.parked)) == (1, 0)
    [score] = [o for o in map(json.loads, out.read_text(encoding="utf-8").splitlines()) if "valueQuantity" in o]
    assert score["valueQuantity"]["value"] == total
    assert score["method"]["coding"][0]["version"] == (version or "|1.0.0")[1:]


@pytest.mark.parametrize(
    ("version", "scored"), [("", 1), ("|1.0.0", 1), ("|1.0.0.2", 1), ("|1.0.0.3", 1), ("|1.0.0.4", 0)]
)
def test_forms_of_every_edition_are_scored(overlay: Path, tmp_path: Path, version: str, scored: int) -> None:
    """Whatever edition of a site's wording a client saw, the answers are scored alike; an unknown one is parked."""
    rewrite(overlay, lambda text: text.replace("holder", "revision = 3\nholder", 1))
    answer = [{"valueCoding": {"system": "https://fhir-alliance.org/fhir/CodeSystem/answers", "code": "wai-sr-4"}}]
    form = answered(f"https://fhir-alliance.org/fhir/Questionnaire/wai-sr{version}") | {
        "item": [{"linkId": link_id, "answer": answer} for link_id in WAI]
    }
    (tmp_path / "r.json").write_text(json.dumps(form), encoding="utf-8")
    catalog, out = load_catalog(overlays=[overlay], today=TODAY), tmp_path / "out.ndjson"
    done = score_inputs([str(tmp_path / "r.json")], catalog, Policy(), NOW, out, lambda count: None)
    assert (done.scored, [parked.code for parked in done.parked]) == (scored, [] if scored else ["FA217"])
    values = [json.loads(line).get("valueQuantity", {}).get("value") for line in out.read_text("utf-8").splitlines()]
    assert values == [None, 48, 16, 16, 16][: 5 * scored]


def answered(questionnaire: str) -> dict[str, Any]:
    """Return a GAD-7 form in which every item is answered with "several days", one point today."""
    items = [item.link_id for item in load_catalog().find("gad-7").items]
    answer = [{"valueCoding": {"system": "http://loinc.org", "code": "LA6569-3"}}]
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "r1",
        "questionnaire": questionnaire,
        "status": "completed",
        "subject": {"reference": "Patient/p1"},
        "authored": "2026-01-05T10:00:00+01:00",
        "item": [{"linkId": link_id, "answer": answer} for link_id in items],
    }


def translations(element: dict[str, Any]) -> dict[str, str]:
    """Return the translations of a primitive by language."""
    found = {}
    for extension in element["extension"]:
        assert extension["url"] == "http://hl7.org/fhir/StructureDefinition/translation"
        parts = {part["url"]: part.get("valueCode") or part.get("valueString") for part in extension["extension"]}
        found[parts["lang"]] = parts["content"]
    return found
