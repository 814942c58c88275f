"""`fhir-alliance rules rates`."""

from __future__ import annotations

import json

import click

from fhir_alliance.cli.options import store_option


@click.command(epilog="\b\nExample:\n  fhir-alliance rules rates --store ./export")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the list.")
@click.pass_context
def rates(ctx: click.Context, location: str, as_json: bool) -> None:
    """Show what became of the reviews that each rule asked for: accepted, overridden, repeated.

    A rule that is often overridden, or comes back after each review, asks for too much: see its settings in
    `rules show`. Counts are of reviews; nobody is named.
    """
    from fhir_alliance.cli.options import configuration, printed
    from fhir_alliance.runs.rates import rule_rates
    from fhir_alliance.stores.opening import open_store
    from fhir_alliance.views.rates import rate_row, rates_table

    store = open_store(location, configuration(ctx))
    try:
        found = rule_rates(store)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps({"rates": [rate_row(rate) for rate in found]}))
    else:
        printed().print(rates_table(found))
