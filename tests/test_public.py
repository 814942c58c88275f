"""The public names of the package: few, real, and enough to run everything from Python."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import fhir_alliance
from fhir_alliance.testing import response_json


def test_public_names_are_few_and_real() -> None:
    """At most twenty names are handed out, and each of them can be had."""
    assert 0 < len(fhir_alliance.__all__) <= 20
    assert set(fhir_alliance.__all__) == set(fhir_alliance._HOMES)
    for name in fhir_alliance.__all__:
        assert getattr(fhir_alliance, name) is not None


def test_a_sync_needs_nothing_but_public_names(tmp_path: Path) -> None:
    """The whole loop runs from Python with the names of the package alone."""
    import json

    form = response_json([1] * 9, name="r1")
    (tmp_path / "QuestionnaireResponse.ndjson").write_text(json.dumps(form) + "\n", encoding="utf-8")
    store = fhir_alliance.FolderStore(tmp_path)
    journal = fhir_alliance.Journal(tmp_path / "state", store.name)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    summary = fhir_alliance.sync(store, fhir_alliance.load_catalog(), journal, fhir_alliance.Policy(), now)
    journal.close()
    store.close()
    assert (summary.scored, summary.safety) == (1, 1)
