"""`fhir-alliance publish`."""

from __future__ import annotations

import click

from fhir_alliance.cli.options import dry_run_option, json_option, store_option


@click.command(epilog="\b\nExample:\n  fhir-alliance publish --store https://ehr.example/fhir --dry-run")
@store_option
@dry_run_option
@json_option
@click.pass_context
def publish(ctx: click.Context, location: str, dry_run: bool, as_json: bool) -> None:
    """Put Questionnaires, profiles, code systems and value sets into the store."""
    from fhir_alliance.cli.options import catalog_of, configuration, opened, report
    from fhir_alliance.runs.publish import publish as run

    config = configuration(ctx)
    with opened(location, config, dry_run=dry_run) as (store, journal):
        summary = run(store, catalog_of(config), journal, dry_run=dry_run)
    report(ctx, summary, "Publish", as_json=as_json, dry_run=dry_run)
