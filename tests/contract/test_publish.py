"""What publishing promises, on a folder and on a real FHIR server alike."""

from __future__ import annotations

from typing import Any, TypeAlias

Site: TypeAlias = Any  # folder or server: see conftest.py


def test_everything_is_published_once(site: Site) -> None:
    """All Questionnaires, profiles and code systems are taken by the store; a second time nothing is written."""
    first = site.publish()
    again = site.publish()
    assert first.refused == []
    assert not again.created
    assert not again.updated
    assert again.unchanged["Questionnaire"] == 6
    assert len({q["url"] for q in site.all("Questionnaire")}) == 6


def test_a_skeleton_is_published_as_a_draft_that_says_why(site: Site) -> None:
    """Without a site's overlay the WAI-SR goes out as a draft with item numbers and the reason."""
    site.publish()
    [skeleton] = [q for q in site.all("Questionnaire") if q["url"].endswith("/wai-sr")]
    assert skeleton["status"] == "draft"
    assert "overlay" in skeleton["description"]
    assert skeleton["item"][0]["text"] == "Item 1"


def test_a_dry_run_publishes_nothing(folder_site: Site) -> None:
    """A dry run says what would be published and leaves the folder as it was."""
    rehearsed = folder_site.publish(dry_run=True)
    assert rehearsed.created["Questionnaire"] == 6
    assert folder_site.all("Questionnaire") == []
