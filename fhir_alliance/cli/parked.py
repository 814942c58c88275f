"""`fhir-alliance parked`."""

from __future__ import annotations

import json

import click

from fhir_alliance.cli.options import dry_run_option, json_option, store_option


@click.group(epilog="\b\nExample:\n  fhir-alliance parked list --store ./export")
def parked() -> None:
    """Records that wait for a person: where they are and why, never what is in them."""


@parked.command("list", epilog="\b\nExample:\n  fhir-alliance parked list --store ./export --json")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the list on stdout.")
@click.pass_context
def list_(ctx: click.Context, location: str, as_json: bool) -> None:
    """List parked records. Holds no lease, changes nothing."""
    from fhir_alliance.cli.options import configuration, printed
    from fhir_alliance.runs.state import parked_of
    from fhir_alliance.stores.opening import state_folder_of
    from fhir_alliance.views.state import parked_table

    found = [one._asdict() for one in parked_of(state_folder_of(location, configuration(ctx)))]
    if as_json:
        click.echo(json.dumps({"parked": found}))
    elif found:
        printed().print(parked_table(found))
    else:
        click.echo("Nothing is parked.", err=True)


@parked.command(epilog="\b\nExample:\n  fhir-alliance parked show QuestionnaireResponse/81 --store ./export")
@click.argument("reference")
@store_option
@click.pass_context
def show(ctx: click.Context, reference: str, location: str) -> None:
    """Show why one record is parked, since when, and what to do."""
    from fhir_alliance.cli.options import configuration
    from fhir_alliance.errors import StopRun
    from fhir_alliance.runs.state import parked_of
    from fhir_alliance.stores.opening import state_folder_of

    for one in parked_of(state_folder_of(location, configuration(ctx))):
        if one.reference == reference or one.reference.endswith(f"/{reference}"):
            click.echo(f"{one.reference}\n  since  {one.since}\n  code   {one.code}\n  reason {one.reason}")
            return
    raise StopRun("FA115", "no such record is parked.", "See: fhir-alliance parked list.")


@parked.command(
    epilog="\b\nExit status: as of sync; 20 where some are parked still.\n\n"
    "\b\nExample:\n  fhir-alliance parked retry --store ./export\n"
    "  fhir-alliance parked retry QuestionnaireResponse/81 --store ./export"
)
@click.argument("references", nargs=-1)
@store_option
@dry_run_option
@json_option
@click.pass_context
def retry(ctx: click.Context, references: tuple[str, ...], location: str, dry_run: bool, as_json: bool) -> None:
    """Read parked records again, all of them or those named, and score what has been corrected.

    Every sync does so too; this reads nothing else.
    """
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import catalog_of, configuration, opened, progress, report
    from fhir_alliance.runs.audit import tell_of
    from fhir_alliance.runs.needs import SYNC
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.sync import sync
    from fhir_alliance.stores.opening import state_folder

    config = configuration(ctx)
    with opened(location, config, SYNC, dry_run=dry_run) as (store, journal), progress("Reading again") as watch:
        wanted = references or tuple(one.reference for one in journal.parked())
        if not wanted:
            click.echo("Nothing is parked.", err=True)
            return
        summary = sync(
            store, catalog_of(config), journal, policy_of(config), datetime.now(UTC),
            dry_run=dry_run, only=wanted, watch=watch, tell=tell_of(store, config.audit, state_folder(store, config)),
        )  # fmt: skip
    report(ctx, summary, "Retry", as_json=as_json, dry_run=dry_run)
