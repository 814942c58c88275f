"""The FHIR artefacts in profiles/ are well-formed R4, name themselves rightly, and stand beside an example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.runs.measure_resources import resources

PROFILES = Path(__file__).parents[2] / "profiles"
EVERY = sorted(PROFILES.glob("*.json"))
ARTEFACTS = [path for path in EVERY if ".example." not in path.name]
NAMED = [
    ids.PANEL_PROFILE,
    ids.SCORE_PROFILE,
    ids.SUBSCALE_PROFILE,
    ids.FINDING_PROFILE,
    ids.GOAL_REVIEW_PROFILE,
    ids.SAFETY_REVIEW_PROFILE,
    ids.SAFETY_MESSAGE_PROFILE,
    ids.PROVENANCE_PROFILE,
    ids.REPAIRS,
    ids.TRANSLATION_STATUS,
    ids.POPULATION_REASON,
]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _structures() -> list[dict[str, Any]]:
    return [found for found in map(_read, ARTEFACTS) if found["resourceType"] == "StructureDefinition"]


def _name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", EVERY, ids=_name)
def test_it_parses(path: Path) -> None:
    """Each file is one resource that an independent FHIR library reads, with no element it does not know."""
    found = _read(path)
    get_fhir_model_class(found["resourceType"]).model_validate(found)


@pytest.mark.parametrize("path", ARTEFACTS, ids=_name)
def test_it_is_where_its_address_says(path: Path) -> None:
    """File name, id and url of an artefact agree, so that each can be found from the others."""
    found = _read(path)
    assert found["id"] == path.stem
    assert found["url"] == f"{ids.BASE}/{found['resourceType']}/{path.stem}"


def test_every_name_of_ours_has_a_definition() -> None:
    """Every profile and extension that the code writes is defined here, and none else; so are our terms."""
    assert sorted(found["url"] for found in _structures()) == sorted(NAMED)
    assert _read(PROFILES / "terms.json")["url"] == ids.TERMS


@pytest.mark.parametrize("found", _structures(), ids=lambda found: found["id"])
def test_every_profile_has_an_example(found: dict[str, Any]) -> None:
    """Beside each profile lies an example that claims it; beside an extension, one that carries it."""
    example = _read(PROFILES / f"{found['id']}.example.json")
    claimed = example.get("meta", {}).get("profile", []) + _extensions_in(example)
    assert found["url"] in claimed


def _extensions_in(node: Any) -> list[str]:
    """Return the addresses of all extensions anywhere in a resource."""
    if isinstance(node, list):
        return [url for part in node for url in _extensions_in(part)]
    if not isinstance(node, dict):
        return []
    here = [extension["url"] for extension in node.get("extension", [])]
    return here + [url for part in node.values() for url in _extensions_in(part)]


@pytest.mark.parametrize("found", [_read(path) for path in ARTEFACTS], ids=lambda found: found["id"])
def test_codes_of_ours_exist(found: dict[str, Any]) -> None:
    """Every code that a value set takes from our terms, or a profile asks for, is defined there."""
    defined = {concept["code"] for concept in _read(PROFILES / "terms.json")["concept"]}
    assert set(_terms_in(found)) <= defined


def _terms_in(node: Any) -> list[str]:
    """Return the codes of our terms anywhere in an artefact."""
    if isinstance(node, list):
        return [code for part in node for code in _terms_in(part)]
    if not isinstance(node, dict):
        return []
    here = [node["code"]] if node.get("system") == ids.TERMS and "code" in node else []
    if node.get("system") == ids.TERMS:
        here += [concept["code"] for concept in node.get("concept", [])]
    return here + [code for part in node.values() for code in _terms_in(part)]


def test_measures_say_what_is_calculated() -> None:
    """The Measure resources are what `python -m fhir_alliance.runs.measure_resources` writes."""
    generated = resources()
    kept = {path.name for path in ARTEFACTS if _read(path)["resourceType"] == "Measure"} | {"measure-parts.json"}
    assert {path.name: path.read_bytes().rstrip() for path in ARTEFACTS if path.name in kept} == generated
