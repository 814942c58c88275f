"""The catalog: what ships, what a site adds, and what is refused with file and place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import orjson
import pytest

from fhir_alliance.errors import StopRun
from fhir_alliance.runs.catalog import check_folder, load_catalog, shipped

TODAY = date(2026, 3, 1)
IDS = {"phq-9", "gad-7", "pcl-5", "wai-sr", "alliance-checkin", "alliance-checkin-therapist"}


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


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """A site's complete wording for the WAI-SR; invented, so that no protected word stands here."""
    texts = "\n".join(f'"wai-sr-{n}" = "Placeholder {n}"' for n in range(1, 13))
    path = tmp_path / "wai-sr.toml"
    path.write_text(
        'instrument = "wai-sr"\nversion = "1.0.0"\nholder = "The Holder"\npermission = "letter 12"\n'
        f"expires = 2026-12-31\n[text.en]\n{texts}\n",
        encoding="utf-8",
    )
    return path


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Change a file's text, and make sure that it did change."""
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, encoding="utf-8")


def test_what_ships() -> None:
    """The catalog holds the six instruments that ship, each with its Questionnaire under the same id and url."""
    catalog = load_catalog()
    assert set(catalog.instruments) == set(catalog.questionnaires) == IDS
    for name, instrument in catalog.instruments.items():
        assert instrument.id == name == catalog.questionnaires[name]["id"]
        assert instrument.url == f"https://fhir-alliance.org/fhir/Questionnaire/{name}"


def test_a_scorer_is_compiled_once() -> None:
    """Asking twice for a scorer gives the same one."""
    catalog = load_catalog()
    assert catalog.scorer("phq-9") is catalog.scorer("phq-9")


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
    """All Questionnaires serialise as JSON, and only the skeleton is a draft."""
    sent = load_catalog().publishable()
    assert len(orjson.dumps(sent)) > 0
    assert {form["id"]: form["status"] for form in sent} == {n: "draft" if n == "wai-sr" else "active" for n in IDS}


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
    assert "letter 12" in form["copyright"]
    assert "The Holder" in form["copyright"]
    assert catalog.has_wording("wai-sr")


def test_an_expired_overlay_counts_as_none(overlay: Path) -> None:
    """On the day after its permission ends the wording is gone again; on the last day it still stands."""
    assert load_catalog(overlays=[overlay], today=date(2026, 12, 31)).questionnaire("wai-sr")["status"] == "active"
    after = load_catalog(overlays=[overlay], today=date(2027, 1, 1))
    assert after.questionnaire("wai-sr")["status"] == "draft"
    assert "Placeholder" not in json.dumps(after.questionnaire("wai-sr"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"wai-sr"\n', '"wai-srr"\n'),
        ('"1.0.0"', '"2.0.0"'),
        ('"The Holder"', '""'),
        ('"letter 12"', '""'),
        ("[text.en]", "[texts.en]"),
    ],
)
def test_an_overlay_that_does_not_fit_stops(overlay: Path, old: str, new: str) -> None:
    """An overlay for an unknown instrument or version, or without holder or permission, is refused by its file."""
    rewrite(overlay, lambda text: text.replace(old, new, 1))
    with pytest.raises(StopRun, match=r"wai-sr\.toml"):
        load_catalog(overlays=[overlay], today=TODAY)
