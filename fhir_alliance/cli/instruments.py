"""`fhir-alliance instruments`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group(epilog="\b\nExample:\n  fhir-alliance instruments list")
def instruments() -> None:
    """List, show, check and export instruments."""


@instruments.command("list", epilog="\b\nExample:\n  fhir-alliance instruments list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the list.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all instruments, with the state of their licence."""
    from fhir_alliance.cli.options import catalog_of, configuration, printed
    from fhir_alliance.views.instruments import instrument_list, instrument_row

    catalog = catalog_of(configuration(ctx))
    found = [
        instrument_row(instrument, catalog.valid_until(name), catalog.expired_on(name))
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
        printed().print(instrument_page(instrument, catalog.valid_until(name), catalog.expired_on(name)))


@instruments.command(
    epilog="\b\nExample:\n  fhir-alliance instruments check my-instruments/phq-9\n"
    "  fhir-alliance instruments check our-questionnaire.json"
)
@click.argument("path", type=click.Path(path_type=Path, exists=True), metavar="FOLDER_OR_FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the problems.")
@click.pass_context
def check(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Prove an instrument's folder, or a Questionnaire with SDC scoring: what it would score, and what is wrong.

    A folder: items, ranges, missing rule, bands, codes, sources, worked cases, and its calculated items. A file:
    linkIds, weights, codes and expressions, with ValueSets and CodeSystems that lie beside it.
    """
    from fhir_alliance.cli.options import printed
    from fhir_alliance.errors import Exit
    from fhir_alliance.runs.check import check_path
    from fhir_alliance.views.check import check_page, outcome_row

    checked = check_path(path)
    if as_json:
        said = {
            name: [{"place": problem.place, "what": problem.what} for problem in found]
            for name, found in (("problems", checked.problems), ("notes", checked.notes))
        }
        scales = [outcome_row(outcome) for outcome in checked.outcomes]
        click.echo(json.dumps({"id": checked.id, "cases": checked.cases, "scales": scales, **said}))
    else:
        found = (checked.outcomes, checked.problems, checked.notes)
        printed().print(check_page(checked.id, checked.items, checked.cases, *found))
    ctx.exit(int(Exit.CONFIGURATION if checked.problems else Exit.DONE))


@instruments.command(epilog="\b\nExample:\n  fhir-alliance instruments export --package fhir-alliance.tgz")
@click.option(
    "--package", "file", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.tgz",
    help="The FHIR package to write.",
)  # fmt: skip
@click.pass_context
def export(ctx: click.Context, file: Path) -> None:
    """Write all that `publish` puts into a store as one FHIR package, the same bytes each time."""
    from fhir_alliance import __version__
    from fhir_alliance.cli.options import catalog_of, configuration, messages
    from fhir_alliance.runs.package import write_package
    from fhir_alliance.views.instruments import package_text

    catalog = catalog_of(configuration(ctx))
    counts = write_package(file, catalog, __version__)
    worded = {name: until for name in sorted(catalog.instruments) if (until := catalog.valid_until(name))}
    messages().print(package_text(str(file), counts, worded))
