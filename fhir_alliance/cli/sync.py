"""`fhir-alliance sync`."""

from __future__ import annotations

from pathlib import Path

import click

from fhir_alliance.cli.options import dry_run_option, json_option, store_option


@click.command(
    epilog="\b\nExample:\n  fhir-alliance sync --store ./export\n"
    "  fhir-alliance sync --store https://ehr.example/fhir --json\n"
    "  fhir-alliance sync --store ./export --dry-run --explain Patient/anna"
)
@store_option
@click.option(
    "--parked", "parked_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Parked records with reasons, as NDJSON. Default: parked.ndjson in a folder store, else in the state folder.",
)  # fmt: skip
@click.option(
    "--explain", "client", default="", metavar="CLIENT",
    help="Tell what changes for one client (Patient/ID or ID): what was, what is, why. Prints scores.",
)  # fmt: skip
@click.option(
    "--metrics", "metrics_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Write counts and times there for a Prometheus textfile collector, also when the run fails.",
)  # fmt: skip
@click.option(
    "--log", "log_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Add one JSON object per event to this file; - is stderr. Counts and codes, no patient data.",
)  # fmt: skip
@dry_run_option
@json_option
@click.pass_context
def sync(
    ctx: click.Context, location: str, parked_file: Path | None, client: str,
    metrics_file: Path | None, log_file: Path | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Pull responses, check consent, score them, write scores back and open the reviews that follow.

    SIGTERM lets the page in hand be finished (status 75); killed, it loses nothing and is simply run again.
    """
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import (
        catalog_of,
        configuration,
        messages,
        opened,
        progress,
        reference_of,
        report,
        stoppable,
    )
    from fhir_alliance.cli.recording import recorded
    from fhir_alliance.runs.audit import tell_of
    from fhir_alliance.runs.needs import ORDERING, SIGNING, SYNC, delivering
    from fhir_alliance.runs.order import order
    from fhir_alliance.runs.parked import write_parked
    from fhir_alliance.runs.policy import cadences_of, policy_of
    from fhir_alliance.runs.renewal import renew
    from fhir_alliance.runs.sync import sync as run
    from fhir_alliance.stores.folder import FolderStore
    from fhir_alliance.stores.opening import state_folder

    config = configuration(ctx)
    needs = SYNC if config.write.provenance else SYNC.without("Provenance")
    needs = needs.joined(SIGNING) if config.consent.intake.on else needs
    needs = needs.joined(ORDERING) if config.order.with_sync else needs
    needs = needs.joined(delivering(config))
    with (
        recorded(metrics_file, log_file) as told,
        opened(location, config, needs, dry_run=dry_run) as (store, journal),
        progress("Syncing") as watch,
        stoppable() as stop,
    ):
        catalog = catalog_of(config)
        now = datetime.now(UTC)
        tell = tell_of(store, config.audit, state_folder(store, config))
        summary = run(
            store, catalog, journal, policy_of(config), now,
            dry_run=dry_run, explain=reference_of(client), watch=watch, stop=stop, tell=tell,
        )  # fmt: skip
        if config.order.with_sync:
            summary.join(order(store, catalog, journal, cadences_of(config, catalog), now, dry_run=dry_run, tell=tell))
        if config.consent.renew_days_before:
            days = config.consent.renew_days_before
            summary.join(renew(store, journal, days, now, dry_run=dry_run, tell=tell))
        if not dry_run:
            beside = store.folder if isinstance(store, FolderStore) else state_folder(store, config)
            write_parked(parked_file or beside / "parked.ndjson", summary.parked)
        told(summary)
        if store.pulled_by.startswith(("authored", "roster")) or "states no" in store.pulled_by:
            messages().print(f"Forms were found by {store.pulled_by}.")
    report(ctx, summary, "Sync", as_json=as_json, dry_run=dry_run)
