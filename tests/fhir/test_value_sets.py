"""ValueSets that a site supplies: by url, OID or name; expanded or listed; never guessed."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_alliance.core.measures.definition import CodeSet
from fhir_alliance.fhir.value_sets import Supplied

URL = "http://cts.nlm.nih.gov/fhir/ValueSet/1.2.3"
WANTED = CodeSet("wanted", value_set=URL, title="Contact or Office Visit")
ONE = {"system": "http://s", "code": "1"}


def expanded(**more: Any) -> dict[str, Any]:
    """Return a ValueSet with an expansion of one code."""
    return {"resourceType": "ValueSet", "expansion": {"contains": [ONE]}, **more}


@pytest.mark.parametrize(
    "names",
    [
        {"url": URL},
        {"url": "http://other/ValueSet/1.2.3"},
        {"identifier": [{"value": "urn:oid:1.2.3"}]},
        {"id": "1.2.3"},
        {"name": "ContactorOfficeVisit"},
        {"title": "Contact or office visit"},
    ],
)
def test_it_is_found_by_url_oid_or_name(names: dict[str, Any]) -> None:
    """Any of the names by which the public logic asks for it serves."""
    assert Supplied.of([expanded(**names)]).codes(WANTED) == (frozenset({("http://s", "1")}), "")


def test_another_is_not_taken_for_it() -> None:
    """A set of another name is none."""
    assert Supplied.of([expanded(url="http://other", name="Other")]).codes(WANTED) is None


def test_the_highest_version_counts() -> None:
    """Of two versions the later one is used, and named."""
    old, new = expanded(url=URL, version="20210101"), expanded(url=URL, version="20240101")
    assert Supplied.of([new, old]).codes(WANTED) == (frozenset({("http://s", "1")}), "20240101")


def test_codes_inside_codes_are_taken_and_headings_are_not() -> None:
    """A hierarchical expansion gives all its codes but the abstract ones."""
    contains = [{**ONE, "abstract": True, "contains": [{"system": "http://s", "code": "2"}]}]
    found = Supplied.of([{"resourceType": "ValueSet", "url": URL, "expansion": {"contains": contains}}]).codes(WANTED)
    assert found == (frozenset({("http://s", "2")}), "")


def composed(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a ValueSet that lists its codes."""
    return {"resourceType": "ValueSet", "url": URL, "compose": {"include": list(rules)}, **more}


def test_listed_codes_and_other_sets_are_taken() -> None:
    """A compose may list codes, name other sets, and leave codes out."""
    listed = {"system": "http://s", "concept": [{"code": "1"}, {"code": "2"}]}
    other = {
        "resourceType": "ValueSet",
        "url": "http://o",
        "expansion": {"contains": [{"system": "http://s", "code": "3"}]},
    }
    whole = composed(listed, {"valueSet": ["http://o|1"]})
    whole["compose"]["exclude"] = [{"system": "http://s", "concept": [{"code": "2"}]}]
    found = Supplied.of([whole, other]).codes(WANTED)
    assert found == (frozenset({("http://s", "1"), ("http://s", "3")}), "")


@pytest.mark.parametrize(
    "rule",
    [
        {"system": "http://snomed.info/sct", "filter": [{"property": "concept", "op": "is-a", "value": "1"}]},
        {"system": "http://snomed.info/sct"},
        {"valueSet": ["http://nowhere"]},
    ],
)
def test_what_needs_a_terminology_server_is_not_guessed(rule: dict[str, Any]) -> None:
    """A filter, a whole code system, or a set that is not there makes the set one that is missing."""
    assert Supplied.of([composed(rule)]).codes(WANTED) is None


def test_an_expansion_outranks_a_compose() -> None:
    """Where both are there, the expansion is what counts."""
    both = composed({"system": "http://s", "filter": [{}]}, expansion={"contains": [ONE]})
    assert Supplied.of([both]).codes(WANTED) == (frozenset({("http://s", "1")}), "")


def test_sets_that_name_each_other_are_none() -> None:
    """A circle of sets ends."""
    one = composed({"valueSet": ["http://o"]})
    other = {"resourceType": "ValueSet", "url": "http://o", "compose": {"include": [{"valueSet": [URL]}]}}
    assert Supplied.of([one, other]).codes(WANTED) is None
