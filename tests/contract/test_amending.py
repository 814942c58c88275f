"""The amend cascade: a correction is followed to its end, told as a story, and written once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import pytest

from fhir_alliance.core.model import Instrument
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.rescore import rescore
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.testing import response_json

Site: TypeAlias = Any  # folder or server: see conftest.py
ANNA, BEN = "Patient/anna", "Patient/ben"
MILD, SEVERE = [1, 1, 1, 1, 1, 1, 1, 0, 0], [3, 3, 3, 3, 3, 3, 3, 2, 0]
REASON = "Caseness line corrected."


def people() -> list[dict[str, Any]]:
    """Return two clients."""
    return [{"resourceType": "Patient", "id": "anna"}, {"resourceType": "Patient", "id": "ben"}]


def form(name: str, points: list[int | None], day: str, subject: str = ANNA, **elements: Any) -> dict[str, Any]:
    """Return a PHQ-9 form of a day in 2026."""
    return response_json(points, name=name, subject=subject, authored=f"2026-{day}T10:00:00+01:00", **elements)


def corrected(catalog: Catalog) -> Catalog:
    """Return the catalog after the PHQ-9 was corrected: an item counts the other way round."""
    phq: Instrument = catalog.find("phq-9")
    scales = tuple(
        msgspec.structs.replace(s, reversed=frozenset({s.items[0]})) if s.id == "total" else s for s in phq.scales
    )
    instruments = {**catalog.instruments, "phq-9": msgspec.structs.replace(phq, scales=scales)}
    return Catalog(instruments, catalog.questionnaires, earlier=catalog.earlier)


def again(site: Site, catalog: Catalog, **choices: Any) -> Summary:
    """Score again with a catalog."""
    with site.opened() as (store, journal):
        return rescore(store, catalog, journal, Policy(), site.now, reason=REASON, **choices)


def totals(site: Site) -> dict[str, Any]:
    """Return status and value of each total, by its form."""
    return {
        o["derivedFrom"][0]["reference"].split("/")[1]: (o["status"], o.get("valueQuantity", {}).get("value"))
        for o in site.all("Observation")
        if any(coding["code"] == "phq-9-total" for coding in o["code"]["coding"])
    }


def told(site: Site, client: str = ANNA, **choices: Any) -> list[tuple[str, str, str, str]]:
    """Return the story of one client's changes in a sync."""
    with site.opened() as (store, journal):
        summary = sync(store, site._catalog, journal, Policy(), site.now, explain=client, **choices)
    return [(p.what, p.was, p.now, p.why) for p in summary.story]


def test_a_story_tells_what_was_what_is_and_why(site: Site) -> None:
    """An amended form's score, and the review that loses its ground, are told with both states and the reason."""
    site.load(*people(), form("a1", MILD, "01-05"), form("a2", SEVERE, "01-12"))
    site.sync()
    site.load(form("a2", MILD, "01-12", status="amended"))
    rehearsed = told(site, dry_run=True)
    assert rehearsed[0] == ("PHQ-9 total", "23 (severe)", "7 (mild)", "the form was amended")
    assert rehearsed[-1] == (
        "Goal review", "open (requested, routine)", "cancelled (ground-lost)",
        "The scores that it rested on were withdrawn or corrected.",
    )  # fmt: skip
    assert told(site) == rehearsed
    assert told(site) == []


def test_a_story_is_about_one_client(site: Site) -> None:
    """Whatever changes for others in the same run is not told."""
    site.load(*people(), form("a1", MILD, "01-05"), form("b1", SEVERE, "01-05", BEN))
    story = told(site, BEN)
    assert [passage[:3] for passage in story] == [("PHQ-9 total", "", "23 (severe)")]


def test_withdrawing_is_told(site: Site) -> None:
    """A withdrawn form's score was a number and is withdrawn."""
    site.load(*people(), form("a1", MILD, "01-05"))
    site.sync()
    site.load(form("a1", MILD, "01-05", status="entered-in-error"))
    assert told(site)[0] == ("PHQ-9 total", "7 (mild)", "withdrawn", "the form was withdrawn as entered in error")


def test_scoring_again_corrects_and_says_why(site: Site, catalog: Catalog, check_valid: Callable[[Site], None]) -> None:
    """After an instrument was corrected, its scores change in place and say why; a second run writes nothing."""
    site.load(*people(), form("a1", MILD, "01-05"), form("b1", SEVERE, "01-06", BEN))
    site.sync()
    before = {o["id"] for o in site.all("Observation")}
    done = again(site, corrected(catalog))
    assert totals(site) == {"a1": ("corrected", 8), "b1": ("corrected", 20)}
    assert {o["id"] for o in site.all("Observation")} == before
    notes = [[n["text"] for n in o.get("note", ())] for o in site.all("Observation") if o["status"] == "corrected"]
    assert notes == [[REASON], [REASON]]
    assert done.as_object()["updated"] == {"Observation": 2}
    check_valid(site)
    assert not again(site, corrected(catalog)).updated


def test_the_reason_stays(site: Site, catalog: Catalog) -> None:
    """A later sync with the corrected instrument leaves the reason where it stands, and so does an amendment."""
    site.load(*people(), form("a1", MILD, "01-05"))
    site.sync()
    again(site, corrected(catalog))
    site._catalog = corrected(catalog)
    site.forget()
    assert not site.sync().updated
    site.load(form("a1", SEVERE, "01-05", status="amended"))
    site.sync()
    [noted] = [o for o in site.all("Observation") if "note" in o]
    assert (noted["status"], [note["text"] for note in noted["note"]]) == ("amended", [REASON])


def test_a_rehearsal_shows_the_difference_and_writes_nothing(site: Site, catalog: Catalog) -> None:
    """A dry run says what would go from what to what, with nobody's name, and leaves every score as it is."""
    site.load(*people(), form("a1", MILD, "01-05"), form("b1", MILD, "01-06", BEN))
    site.sync()
    before = totals(site)
    rehearsed = again(site, corrected(catalog), dry_run=True)
    assert rehearsed.as_object()["moves"] == [{"what": "PHQ-9 total", "was": "7 (mild)", "now": "8 (mild)", "count": 2}]
    assert totals(site) == before


def test_reviews_follow_scores_that_change(site: Site, catalog: Catalog) -> None:
    """Where the corrected scores no longer call for a review, it is cancelled; where they newly do, it is opened."""
    crossing = form("a1", [0, *[1] * 3, *[0] * 5], "01-05"), form("a2", [3, *[1] * 7, 0], "01-12")
    newly = form("b1", [3, *[1] * 3, *[0] * 5], "01-05", BEN), form("b2", [0, *[1] * 6, 2, 0], "01-12", BEN)
    site.load(*people(), *crossing, *newly)
    site.sync()
    assert [task["for"]["reference"] for task in site.all("Task")] == [ANNA]
    again(site, corrected(catalog))
    after = {task["for"]["reference"]: task["status"] for task in site.all("Task")}
    assert after == {ANNA: "cancelled", BEN: "requested"}


def test_only_what_was_scored_is_scored_again(site: Site, catalog: Catalog) -> None:
    """Forms that no sync has scored are left to it, whatever their instrument; others are left out by name."""
    site.load(*people(), form("a1", MILD, "01-05"))
    assert again(site, corrected(catalog)).as_object()["created"] == {}
    site.sync()
    assert not again(site, corrected(catalog), instrument="gad-7").updated
    assert again(site, corrected(catalog), instrument="phq-9").updated


def test_a_form_that_consent_no_longer_lets_through_is_left_alone(site: Site, catalog: Catalog) -> None:
    """A client who has since denied the use of their answers is not scored again."""
    site.load(*people(), form("a1", MILD, "01-05"))
    site.sync()
    deny = {
        "resourceType": "Consent", "id": "no", "status": "active", "patient": {"reference": ANNA},
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "dateTime": "2026-01-01", "provision": {"type": "deny"},
    }  # fmt: skip
    site.load(deny)
    done = again(site, corrected(catalog))
    assert (done.withheld, dict(done.updated)) == (1, {})


@pytest.mark.parametrize("instrument", ["phq-99", "no such"])
def test_an_unknown_instrument_stops_the_run(site: Site, catalog: Catalog, instrument: str) -> None:
    """A name that no instrument has is a mistake, and nothing is scored."""
    from fhir_alliance.errors import StopRun

    with pytest.raises(StopRun, match="FA101"):
        again(site, catalog, instrument=instrument)
