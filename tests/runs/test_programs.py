"""Forms of a Part 2 program are labelled so: by Encounter, by the client's episode, or because nobody can tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from fhir_alliance.cli import program
from fhir_alliance.core.labels import PART_2
from fhir_alliance.runs.programs import labelled
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.testing import make_form, response_json

CLINIC, DETOX = "Organization/clinic", "Organization/detox"
FORM = make_form({})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FolderStore]:
    """A folder."""
    opened = FolderStore(tmp_path)
    yield opened
    opened.close()


def put(store: FolderStore, *resources: dict[str, Any]) -> None:
    """Write resources into the folder."""
    for resource in resources:
        with (store.folder / f"{resource['resourceType']}.ndjson").open("a", encoding="utf-8") as file:
            file.write(json.dumps(resource) + "\n")


def encounter(name: str, place: str = "") -> dict[str, Any]:
    """Return a session, and where it took place."""
    provider = {"serviceProvider": {"reference": place}} if place else {}
    return {"resourceType": "Encounter", "id": name, "subject": {"reference": FORM.subject}} | provider


def episode(name: str, place: str = "") -> dict[str, Any]:
    """Return an episode of care of the client."""
    manager = {"managingOrganization": {"reference": place}} if place else {}
    return {"resourceType": "EpisodeOfCare", "id": name, "patient": {"reference": FORM.subject}} | manager


def is_protected(store: FolderStore, programs: set[str], session: str = "") -> bool:
    """Return whether the client's form of a session is labelled."""
    form = msgspec.structs.replace(FORM, encounter=f"Encounter/{session}" if session else "", labels=("R",))
    [found] = labelled([form], store, frozenset(programs))
    assert found.labels in (("R",), ("R", PART_2))
    return PART_2 in found.labels


def test_by_the_session(store: FolderStore) -> None:
    """The organization of the session decides, whatever episode the client has beside it."""
    put(store, encounter("at-clinic", CLINIC), encounter("at-detox", DETOX), episode("e", DETOX))
    assert is_protected(store, {DETOX}, "at-detox")
    assert not is_protected(store, {DETOX}, "at-clinic")
    assert not is_protected(store, set(), "at-detox")


def test_by_the_episode(store: FolderStore) -> None:
    """A form without a session, or of one that names no organization, is its episode's; any program counts."""
    put(store, encounter("s"), episode("e", CLINIC))
    assert not is_protected(store, {DETOX})
    assert not is_protected(store, {DETOX}, "s")
    assert is_protected(store, {CLINIC})


def test_one_of_several_episodes(store: FolderStore) -> None:
    """A client of both is protected: the form may be from either."""
    put(store, episode("e", CLINIC), episode("f", DETOX))
    assert is_protected(store, {DETOX})


@pytest.mark.parametrize("known", [(), (episode("e"),), (episode("e", CLINIC), episode("f")), (encounter("s"),)])
def test_where_nobody_can_tell(store: FolderStore, known: tuple[dict[str, Any], ...]) -> None:
    """Where the record does not say of which organization a form is, it counts as the program's."""
    put(store, *known)
    assert is_protected(store, {DETOX}, "s")


def test_a_whole_site(store: FolderStore) -> None:
    """Of a site that is such a program, every form is."""
    put(store, encounter("at-clinic", CLINIC))
    assert is_protected(store, {"*"}, "at-clinic")


@pytest.mark.parametrize("programs", ["*", DETOX])
def test_scoring_without_a_store(tmp_path: Path, programs: str) -> None:
    """Scored by itself, a form's organization is not known: where the site has programs, its scores say so."""
    (tmp_path / "form.json").write_text(json.dumps(response_json([1] * 9)), encoding="utf-8")
    config = tmp_path / "c.toml"
    config.write_text(f'[consent]\npart2_programs = ["{programs}"]\n', encoding="utf-8")
    done = CliRunner().invoke(program, ["--config", str(config), "score", str(tmp_path / "form.json")])
    scores = [json.loads(line) for line in done.stdout.splitlines()]
    assert scores
    assert all([label["code"] for label in score["meta"]["security"]] == ["R", "PSY", PART_2] for score in scores)
