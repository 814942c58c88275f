"""`fhir-alliance order`."""

from __future__ import annotations

import click

from fhir_alliance.cli.options import dry_run_option, json_option, store_option


@click.command(epilog="\b\nExample:\n  fhir-alliance order --store https://ehr.example/fhir --dry-run")
@store_option
@dry_run_option
@json_option
@click.pass_context
def order(ctx: click.Context, location: str, dry_run: bool, as_json: bool) -> None:
    """Ask clients in care to answer the forms that are due, by the cadence of [order] or of their care plan."""
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import catalog_of, configuration, opened, report
    from fhir_alliance.runs.audit import tell_of
    from fhir_alliance.runs.needs import ORDERING
    from fhir_alliance.runs.order import order as run
    from fhir_alliance.runs.policy import cadences_of
    from fhir_alliance.stores.opening import state_folder

    config = configuration(ctx)
    catalog = catalog_of(config)
    with opened(location, config, ORDERING, dry_run=dry_run) as (store, journal):
        cadences = cadences_of(config, catalog)
        tell = tell_of(store, config.audit, state_folder(store, config))
        summary = run(store, catalog, journal, cadences, datetime.now(UTC), dry_run=dry_run, tell=tell)
    report(ctx, summary, "Order", as_json=as_json, dry_run=dry_run)
