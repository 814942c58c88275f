"""`fhir-alliance course`."""

from __future__ import annotations

from pathlib import Path

import click

from fhir_alliance.cli.options import store_option

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(epilog="\b\nExample:\n  fhir-alliance course fit --store export/ --instrument phq-9 --out phq-9.json")
def course() -> None:
    """Fit and show the expected course that the rule not-on-track judges by."""


@course.command(
    epilog="\b\nStatus 10 where there are too few clients: no course is better than a bad one.\n"
    "\b\nExample:\n  fhir-alliance course fit --store export/ --instrument phq-9 --out phq-9.json\n"
    '  then in fhir-alliance.toml: [rules] courses = ["phq-9.json"]'
)
@store_option
@click.option("--instrument", "name", required=True, metavar="ID", help="The instrument.")
@click.option("--scale", "part", metavar="ID", help="Its scale; default total.")
@click.option("--out", required=True, type=_FILE, metavar="FILE", help="The file to write; it holds no scores.")
@click.option("--json", "as_json", is_flag=True, help="Print the file on stdout too.")
@click.pass_context
def fit(ctx: click.Context, location: str, name: str, part: str | None, out: Path, as_json: bool) -> None:
    """Fit log-linear growth by first score and session to the clients' own scores in a store, with calibration."""
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import catalog_of, configuration, messages, opened
    from fhir_alliance.runs.course import fit_course
    from fhir_alliance.runs.needs import FITTING
    from fhir_alliance.views.course import course_text

    config = configuration(ctx)
    with opened(location, config, FITTING, dry_run=True) as (store, _):
        fitted = fit_course(store, catalog_of(config), name, part, out, datetime.now(UTC))
    messages().print(course_text(fitted.noun(), fitted.model_dump()))
    if as_json:
        click.echo(fitted.model_dump_json())


@course.command(epilog="\b\nExample:\n  fhir-alliance course show phq-9.json")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def show(file: Path) -> None:
    """Show what a course expects, whom it was fitted on, and how well it predicts."""
    from fhir_alliance.cli.options import printed
    from fhir_alliance.runs.course_file import read_course
    from fhir_alliance.views.course import course_text

    read = read_course(file)
    printed().print(course_text(read.noun(), read.model_dump()))
