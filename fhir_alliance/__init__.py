"""Scores alliance and outcome questionnaires in a FHIR R4 record and opens the reviews that follow.

    from datetime import UTC, datetime
    from pathlib import Path
    import fhir_alliance as fa

    store = fa.FolderStore(Path("export"))
    journal = fa.Journal(Path("state"), store.name)
    summary = fa.sync(store, fa.load_catalog(), journal, fa.Policy(), datetime.now(UTC))

Names are imported when they are first used, so that the command line answers `--help` at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fhir_alliance.config import load_config
    from fhir_alliance.core.model import Instrument, Response, Review, Score
    from fhir_alliance.errors import AllianceError
    from fhir_alliance.runs.catalog import Catalog, load_catalog
    from fhir_alliance.runs.policy import Policy
    from fhir_alliance.runs.publish import publish
    from fhir_alliance.runs.score import score_inputs
    from fhir_alliance.runs.summary import Summary
    from fhir_alliance.runs.sync import sync
    from fhir_alliance.stores.folder import FolderStore
    from fhir_alliance.stores.journal import Journal
    from fhir_alliance.stores.server import ServerStore

_HOMES = {
    "AllianceError": "errors",
    "Catalog": "runs.catalog",
    "FolderStore": "stores.folder",
    "Instrument": "core.model",
    "Journal": "stores.journal",
    "Policy": "runs.policy",
    "Response": "core.model",
    "Review": "core.model",
    "Score": "core.model",
    "ServerStore": "stores.server",
    "Summary": "runs.summary",
    "load_catalog": "runs.catalog",
    "load_config": "config",
    "publish": "runs.publish",
    "score_inputs": "runs.score",
    "sync": "runs.sync",
}
__all__ = [
    "AllianceError", "Catalog", "FolderStore", "Instrument", "Journal", "Policy", "Response", "Review", "Score",
    "ServerStore", "Summary", "load_catalog", "load_config", "publish", "score_inputs", "sync",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fhir_alliance' has no attribute {name!r}")
    return getattr(import_module(f"fhir_alliance.{_HOMES[name]}"), name)
