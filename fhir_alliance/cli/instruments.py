"""`fhir-alliance instruments`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group(epilog="\b\nExample:\n  fhir-alliance instruments list")
def instruments() -> None:
    """List, show and check instruments."""


@instruments.command("list", epilog="\b\nExample:\n  fhir-alliance instruments list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the list.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all instruments, with the state of their licence."""
    from fhir_alliance.cli.options import catalog_of, configuration, printed
    from fhir_alliance.views.instruments import instrument_list, instrument_row

    catalog = catalog_of(configuration(ctx))
    found = [
        instrument_row(instrument, has_wording=catalog.has_wording(name))
        for name, instrument in sorted(catalog.instruments.items())
    ]
    if as_json:
        click.echo(json.dumps({"instruments": found}))
    else:
        printed().print(instrument_list(found))


@instruments.command(epilog="\b\nExample:\n  fhir-alliance instruments show phq-9 --fhir")
@click.argument("name", metavar="ID")
@click.option("--fhir", is_flag=True, help="Print the Questionnaire as it is published.")
@click.pass_context
def show(ctx: click.Context, name: str, fhir: bool) -> None:
    """Show one instrument: items, scales, bands, and where each number is from."""
    from fhir_alliance.cli.options import catalog_of, configuration, printed
    from fhir_alliance.views.instruments import instrument_page

    catalog = catalog_of(configuration(ctx))
    instrument = catalog.find(name)
    if fhir:
        click.echo(json.dumps(catalog.questionnaire(name), indent=2, ensure_ascii=False))
    else:
        printed().print(instrument_page(instrument, has_wording=catalog.has_wording(name)))


@instruments.command(epilog="\b\nExample:\n  fhir-alliance instruments check my-instruments/phq-9")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the problems.")
@click.pass_context
def check(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """Prove an instrument's folder: items, ranges, missing rule, bands, codes, sources and worked cases."""
    from fhir_alliance.cli.options import printed
    from fhir_alliance.errors import Exit
    from fhir_alliance.runs.catalog import check_folder
    from fhir_alliance.views.instruments import check_page

    instrument, cases, problems = check_folder(folder)
    if as_json:
        found = [{"place": problem.place, "what": problem.what} for problem in problems]
        click.echo(json.dumps({"id": instrument.id, "cases": len(cases), "problems": found}))
    else:
        printed().print(check_page(instrument, cases, problems))
    ctx.exit(int(Exit.CONFIGURATION if problems else Exit.DONE))
