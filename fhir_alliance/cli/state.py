"""`fhir-alliance state`."""

from __future__ import annotations

import json

import click

from fhir_alliance.cli.options import store_option


@click.group(epilog="\b\nExample:\n  fhir-alliance state show --store https://ehr.example/fhir")
def state() -> None:
    """How far a store has been read, and what waits: the journal of its runs."""


@state.command(epilog="\b\nExample:\n  fhir-alliance state show --store ./export --json")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object on stdout.")
@click.pass_context
def show(ctx: click.Context, location: str, as_json: bool) -> None:
    """Show bookmark, unknown outcomes, parked records and waiting safety answers. Holds no lease, changes nothing."""
    import msgspec

    from fhir_alliance.cli.options import configuration, printed
    from fhir_alliance.runs.state import state_of
    from fhir_alliance.stores.opening import state_folder_of
    from fhir_alliance.views.state import state_table

    found = state_of(state_folder_of(location, configuration(ctx)))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
    else:
        printed().print(state_table(msgspec.to_builtins(found)))


@state.command(
    epilog="\b\nExit status: 0 the journal can be used again; 10 it cannot; 75 a run holds its lease.\n\n"
    "\b\nExample:\n  fhir-alliance state recover --store https://ehr.example/fhir"
)
@store_option
@click.pass_context
def recover(ctx: click.Context, location: str) -> None:
    """Put a damaged journal aside and begin a new one: the next sync reads everything, and writes nothing twice."""
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import configuration
    from fhir_alliance.stores.journal import Journal
    from fhir_alliance.stores.opening import state_folder_of, store_name_of

    config = configuration(ctx)
    folder = state_folder_of(location, config)
    aside = Journal.recover(folder, store_name_of(location, config), datetime.now(UTC))
    if aside is None:
        click.echo("The journal is sound; nothing was changed.", err=True)
    else:
        click.echo(f"The damaged journal is kept as {aside.name}. The next sync reads the store anew.", err=True)
