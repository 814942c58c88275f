"""One whole sync as `sync` runs it once, and `listen` again and again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from fhir_alliance.cli.options import catalog_of, opened
from fhir_alliance.cli.recording import recorded
from fhir_alliance.config import Config
from fhir_alliance.runs.audit import tell_of
from fhir_alliance.runs.needs import ORDERING, SIGNING, SYNC, delivering
from fhir_alliance.runs.order import order
from fhir_alliance.runs.parked import write_parked
from fhir_alliance.runs.policy import cadences_of, policy_of
from fhir_alliance.runs.renewal import renew
from fhir_alliance.runs.summary import Summary
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.folder import FolderStore
from fhir_alliance.stores.opening import state_folder
from fhir_alliance.stores.scopes import Needs


class Words(NamedTuple):
    """What was said on the command line. client: a reference whose changes are explained, or empty."""

    location: str
    parked_file: Path | None = None
    client: str = ""
    metrics_file: Path | None = None
    log_file: Path | None = None
    dry_run: bool = False


def synced(
    config: Config, words: Words, *, watch: Callable[[int], None] = lambda count: None,
    stop: Callable[[], bool] = lambda: False,
) -> Summary:  # fmt: skip
    """Return what a sync did, orders and renewals included where the site wants them; the lease is held meanwhile."""
    dry_run = words.dry_run
    with (
        recorded(words.metrics_file, words.log_file) as told,
        opened(words.location, config, _needs(config), dry_run=dry_run) as (store, journal),
    ):
        catalog = catalog_of(config)
        now = datetime.now(UTC)
        tell = tell_of(store, config.audit, state_folder(store, config))
        summary = sync(
            store, catalog, journal, policy_of(config), now,
            dry_run=dry_run, explain=words.client, watch=watch, stop=stop, tell=tell,
        )  # fmt: skip
        if config.order.with_sync:
            summary.join(order(store, catalog, journal, cadences_of(config, catalog), now, dry_run=dry_run, tell=tell))
        if config.consent.renew_days_before:
            days = config.consent.renew_days_before
            summary.join(renew(store, journal, days, now, dry_run=dry_run, tell=tell))
        if not dry_run:
            beside = store.folder if isinstance(store, FolderStore) else state_folder(store, config)
            write_parked(words.parked_file or beside / "parked.ndjson", summary.parked)
        told(summary)
    return summary


def _needs(config: Config) -> Needs:
    needs = SYNC if config.write.provenance else SYNC.without("Provenance")
    needs = needs.joined(SIGNING) if config.consent.intake.on else needs
    needs = needs.joined(ORDERING) if config.order.with_sync else needs
    return needs.joined(delivering(config))
