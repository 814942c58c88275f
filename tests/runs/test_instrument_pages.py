"""The reference pages of instruments: what they say, and that those in docs/ are up to date."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from fhir_alliance.core.model import Band, Code, Critical, Formula, Instrument
from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.instrument_pages import pages, write_pages
from fhir_alliance.testing import make_instrument
from fhir_alliance.views.instrument_page import index_page, reference_page

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "instruments"
COMMAND = "python -m fhir_alliance.runs.instrument_pages docs/reference/instruments"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped instruments."""
    return load_catalog()


def with_scale(**fields: object) -> Instrument:
    """Return a toy instrument whose only scale has other fields."""
    toy = make_instrument(items=2, max_missing=1, reversed_items=["q2"], caseness=4, critical="q1")
    return msgspec.structs.replace(toy, scales=(msgspec.structs.replace(toy.scales[0], **fields),))


def test_the_pages_in_docs_are_up_to_date(catalog: Catalog) -> None:
    """docs/reference/instruments holds a page of each instrument and the index, as the catalog gives them now."""
    standing = {file.name: file.read_text(encoding="utf-8") for file in DOCS.glob("*.md")}
    wanted = pages(catalog)
    stale = sorted(name for name in standing.keys() | wanted.keys() if standing.get(name) != wanted.get(name))
    assert stale == [], f"run: {COMMAND}"


def test_every_instrument_has_a_page_and_a_row(catalog: Catalog) -> None:
    """Each instrument has a page of its own, and a row in the index that leads there."""
    found = pages(catalog)
    assert set(found) == {"index.md"} | {f"{name}.md" for name in catalog.instruments}
    for name, instrument in catalog.instruments.items():
        assert f"| [{name}]({name}.md) | {instrument.title} |" in found["index.md"]


def test_a_page_names_every_number_with_its_source(catalog: Catalog) -> None:
    """Range, missing rule, bands, lines and safety items of every instrument stand on its page with their source."""
    for name, instrument in catalog.instruments.items():
        page = " ".join(pages(catalog)[f"{name}.md"].replace("\\|", "|").split())
        for scale in instrument.scales:
            assert f"{scale.low} to {scale.high}, higher is {scale.higher_is.value} ({flat(scale.source)})" in page
            assert f"at most {scale.missing.max_missing} ({flat(scale.missing.source)})" in page
            for band in scale.bands:
                assert f"| {band.low}-{band.high} | {band.label} | `{band.code}` | {flat(band.source)} |" in page
            if scale.caseness is not None:
                assert f"Caseness at {scale.caseness.at} ({flat(scale.caseness.source)})" in page
        for item in instrument.items:
            assert f"| `{item.link_id}` |" in page
            if item.critical is not None:
                assert f"`{item.link_id}`: {item.critical.at_least} ({flat(item.critical.source)})" in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"formula": Formula.MEAN, "factor": 10}, "- Score: mean of its items, times 10; 0 to 6"),
        ({"formula": Formula.COUNT, "counts": {"q1": 1, "q2": 2}}, "- Counts from: `q1` 1, `q2` 2"),
        ({"formula": Formula.COUNT, "gate": ("q1",)}, "- Lowest band unless one of these counts: `q1`"),
        ({"formula": Formula.LOOKUP, "table": {7: Decimal("9.5")}}, "- Table (sum: score): 7: 9.5"),
        ({"formula": Formula.PER_GOAL}, "rating of each of the client's own goals"),
        ({"formula": Formula.GOAL_ATTAINMENT}, "goal attainment over all of the client's own goals"),
        ({}, "- Reversed: `q2`"),
        ({"codes": (Code("http://loinc.org", "44261-6"),)}, "- Codes: `http://loinc.org|44261-6`"),
        ({"bands": (Band("b", "a | b", 0, 6, "two\nlines"),)}, "| 0-6 | a \\| b | `b` | two lines |"),
    ],
)
def test_what_a_scale_does_is_said(fields: dict[str, object], said: str) -> None:
    """Each way of scoring is told with what it needs, and no text breaks the page's lines or tables."""
    assert said in reference_page(with_scale(**fields))


def test_a_form_without_scores_says_so() -> None:
    """An instrument without any scale tells that its items are looked at one by one."""
    toy = msgspec.structs.replace(make_instrument(), scales=(), validated=False)
    page = reference_page(toy)
    assert "It has no score" in page
    assert "Not validated" in page
    assert "| none | own |" in index_page([toy])


def test_safety_items_are_told() -> None:
    """A safety item stands under a heading of its own; a form without one has no such heading."""
    toy = make_instrument(items=2)
    critical = tuple(msgspec.structs.replace(item, critical=Critical(2, "why")) for item in toy.items)
    assert "## Safety items" not in reference_page(toy)
    assert "- `q1`: 2 (why)" in reference_page(msgspec.structs.replace(toy, items=critical))


def test_the_generator_writes_them(catalog: Catalog, tmp_path: Path) -> None:
    """`python -m` and the function write the same files, into a folder that it makes."""
    assert write_pages(tmp_path / "a" / "b", catalog) == len(catalog.instruments) + 1
    subprocess.run([sys.executable, "-m", "fhir_alliance.runs.instrument_pages", str(tmp_path / "c")], check=True)
    by_function, by_module = (
        {file.name: file.read_bytes() for file in folder.iterdir()} for folder in (tmp_path / "a" / "b", tmp_path / "c")
    )
    assert by_function == by_module
    assert {name: body.decode() for name, body in by_module.items()} == pages(catalog)


def flat(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())
