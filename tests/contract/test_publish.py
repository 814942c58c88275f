"""What publishing promises, on a folder and on a real FHIR server alike."""

from __future__ import annotations

import json
from datetime import date
from typing import Any, TypeAlias

import msgspec
import pytest

from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.wording import Language, SiteWording
from fhir_alliance.runs.catalog import Catalog, load_instrument, shipped
from fhir_alliance.runs.overlays import Overlays, with_wording
from fhir_alliance.runs.publish import ORDER, artefacts, publish
from fhir_alliance.runs.summary import Summary

Site: TypeAlias = Any  # folder or server: see conftest.py


@pytest.fixture
def form_url(request: pytest.FixtureRequest) -> str:
    """The canonical address of a test's own form: one server serves all tests, and nothing is deleted there."""
    return f"https://fhir-alliance.org/fhir/Questionnaire/{request.node.originalname.replace('_', '-')}"


def own(url: str, version: str = "1.0.0", **elements: Any) -> Catalog:
    """Return a catalog of one form of the site's own, in this version: the check-in under another address."""
    instrument, form = load_instrument(shipped("questionnaires") / "alliance-checkin")
    name = url.rpartition("/")[2]
    found = msgspec.structs.replace(instrument, id=name, url=url, version=version)
    return Catalog({name: found}, {name: {**form, "id": name[:64], "url": url, "version": version, **elements}})


def released(site: Site, catalog: Catalog, *, dry_run: bool = False) -> Summary:
    """Return what publishing another catalog does."""
    with site.opened() as (store, journal):
        return publish(store, catalog, journal, dry_run=dry_run)


def versions(site: Site, url: str) -> dict[str, dict[str, Any]]:
    """Return the site's Questionnaires of an address by version."""
    found = [form for form in site.all("Questionnaire") if form["url"] == url]
    assert len({form["version"] for form in found}) == len(found)
    return {form["version"]: form for form in found}


def test_everything_is_published_once(site: Site, catalog: Catalog) -> None:
    """All artefacts are taken by the store; a second time nothing is written, and each stands once."""
    first = site.publish()
    again = site.publish()
    assert first.refused == []
    assert not again.created
    assert not again.updated
    assert not again.retired
    assert again.unchanged["Questionnaire"] == len(catalog.instruments)
    assert again.unchanged.total() == len(artefacts(catalog))
    urls = [form["url"] for form in site.all("Questionnaire") if form.get("status") != "retired"]
    assert {urls.count(instrument.url) for instrument in catalog.instruments.values()} == {1}


def test_a_skeleton_is_published_as_a_draft_that_says_why(site: Site) -> None:
    """Without a site's overlay the WAI-SR goes out as a draft with item numbers and the reason."""
    site.publish()
    [skeleton] = [q for q in site.all("Questionnaire") if q["url"].endswith("/wai-sr") and q["status"] == "draft"]
    assert "overlay" in skeleton["description"]
    assert skeleton["item"][0]["text"] == "Item 1"


def test_a_dry_run_publishes_nothing(folder_site: Site, catalog: Catalog) -> None:
    """A dry run says what would be published and leaves the folder as it was."""
    rehearsed = folder_site.publish(dry_run=True)
    assert rehearsed.created["Questionnaire"] == len(catalog.instruments)
    for kind in ORDER:
        assert folder_site.all(kind) == []


def test_a_new_version_retires_the_older_one(site: Site, form_url: str) -> None:
    """A new version is created beside the older one, which is retired with all that it says; then nothing more."""
    released(site, own(form_url))
    before = versions(site, form_url)["1.0.0"]
    foretold = released(site, own(form_url, "1.1.0", title="Edition 2"), dry_run=True)
    done = released(site, own(form_url, "1.1.0", title="Edition 2"))
    for summary in (foretold, done):
        assert (summary.created["Questionnaire"], summary.retired["Questionnaire"]) == (1, 1)
    found = versions(site, form_url)
    assert {version: form["status"] for version, form in found.items()} == {"1.0.0": "retired", "1.1.0": "active"}
    assert found["1.0.0"]["id"] == before["id"] != found["1.1.0"]["id"]
    assert bare(found["1.0.0"]) == bare(before) | {"status": "retired"}
    again = released(site, own(form_url, "1.1.0", title="Edition 2"))
    assert not again.created + again.updated + again.retired


def test_a_version_in_use_is_never_overwritten(site: Site, form_url: str) -> None:
    """The same version with other content is refused by its name, and stands as it did."""
    released(site, own(form_url))
    before = versions(site, form_url)
    with pytest.raises(StopRun, match="FA130") as caught:
        released(site, own(form_url, title="Edition 2"))
    assert f"{form_url}|1.0.0" in caught.value.message
    assert versions(site, form_url) == before


def test_a_draft_may_change(site: Site, form_url: str) -> None:
    """What is still a draft in the store is updated in place, and becomes active in place."""
    released(site, own(form_url, status="draft", title="First idea"))
    [draft] = versions(site, form_url).values()
    assert released(site, own(form_url)).updated["Questionnaire"] == 1
    [form] = versions(site, form_url).values()
    assert (form["id"], form["status"]) == (draft["id"], "active")


def test_codes_are_added_and_never_taken_away(site: Site, form_url: str) -> None:
    """Codes of a form that is gone from the catalog stay in the store, and the version of their system only rises."""

    def scores() -> tuple[tuple[int, ...], set[str]]:
        [system] = [s for s in site.all("CodeSystem") if s["url"].endswith("/CodeSystem/scores")]
        return tuple(map(int, system["version"].split("."))), {concept["code"] for concept in system["concept"]}

    site.publish()
    version, codes = scores()
    released(site, own(form_url))
    more, grown = scores()
    assert more > version
    assert grown - codes == {
        f"{form_url.rpartition('/')[2]}-{name}" for name in ("panel", "total", "bond", "goal", "task")
    }
    assert not site.publish().updated
    assert scores() == (more, grown)


def test_wording_in_two_languages_is_taken(site: Site, form_url: str) -> None:
    """A form with a site's wording, its translation and how that came about is stored as it was sent, and valid."""
    catalog = worded(form_url)
    released(site, catalog)
    wanted = catalog.questionnaire(form_url.rpartition("/")[2])
    [stored] = versions(site, form_url).values()
    assert bare(stored) == bare(wanted)
    again = released(site, catalog)
    assert not again.created + again.updated
    assert site.errors(stored) == []


def test_a_permission_that_ends_takes_the_wording_out_of_use(site: Site, form_url: str) -> None:
    """Once the site's permission has ended, its form is retired; with a new one it is active again."""
    for catalog, status in (
        (worded(form_url), "active"),
        (worded(form_url, expired=True), "retired"),
        (worded(form_url, "letter 13"), "active"),
    ):
        released(site, catalog)
        [stored] = versions(site, form_url).values()
        assert (stored["status"], stored["item"][0]["text"]) == (status, "Platzhalter 1")


def worded(url: str, permission: str = "letter 12", *, expired: bool = False) -> Catalog:
    """Return a catalog of a skeleton with invented wording, German first, with labels of answers and a translation."""
    instrument, form = load_instrument(shipped("questionnaires") / "wai-sr")
    name = url.rpartition("/")[2]
    instrument = msgspec.structs.replace(instrument, id=name, url=url)
    german, english = (
        Language(
            tag,
            {f"wai-sr-{n}": f"{text} {n}" for n in range(1, 13)},
            {f"wai-sr-{n}": f"{label} {n}" for n in range(1, 6)},
            *how,
        )
        for tag, text, label, how in (
            ("de", "Platzhalter", "Stufe", ()),
            ("en", "Placeholder", "Step", ("draft", "A. Example", "Example 2020")),
        )
    )
    wording = SiteWording((german, english), "The Holder", permission, date(2026, 12, 31))
    forms = {name: {**form, "id": name, "url": url}}
    if expired:
        return Catalog({name: instrument}, forms, Overlays({}, {name: wording}))
    return Catalog({name: with_wording(instrument, wording)}, forms, Overlays({name: wording}, {}))


def bare(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a resource without what a store gives it."""
    return json.loads(json.dumps({k: v for k, v in resource.items() if k not in ("id", "meta", "text")}))
