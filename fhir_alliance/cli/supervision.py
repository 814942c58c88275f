"""What supervisors ask of `fhir-alliance report`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fhir_alliance.cli.options import json_option, store_option

if TYPE_CHECKING:
    from fhir_alliance.runs.supervision import Office

_Command = TypeVar("_Command", bound=Callable[..., Any])

out_option = click.option(
    "--out", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the files."
)
period_option = click.option(
    "--period", required=True, metavar="PERIOD", help="2026, 2026-Q3, or FROM/TO, both days included."
)


reader_option = click.option(
    "--reader", default="", metavar="REF",
    help="Who reads it, as Practitioner/ID. Without it, clients whom the site's list keeps from anybody are left out.",
)  # fmt: skip


@contextmanager
def office(ctx: click.Context, location: str, reader: str) -> Iterator[Office]:
    """Yield where a supervisor looks. reader: who it is, "" where that is not said."""
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import catalog_of, configuration
    from fhir_alliance.runs.audit import tell_of
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.supervision import Office, reader_of
    from fhir_alliance.stores.opening import open_store, state_folder

    config = configuration(ctx)
    named = reader_of(reader)
    store = open_store(location, config)
    try:
        trail = tell_of(store, config.audit, state_folder(store, config))
        yield Office(store, catalog_of(config), policy_of(config), datetime.now(UTC), trail, named)
    finally:
        store.close()


def tell(found: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    """Print what was found, for people on stderr or for machines on stdout."""
    from fhir_alliance.cli.options import messages
    from fhir_alliance.views.supervision_text import supervision_text

    if as_json:
        click.echo(json.dumps(found))
    else:
        messages().print(supervision_text(found, str(folder)))


@click.command(
    epilog="""\b
Example:
  fhir-alliance report caseload --store clinic/ --on 2026-03-30 --out caseload/
"""
)
@store_option
@click.option("--on", "day", metavar="DATE", required=True, help="As of which day.")
@click.option(
    "--missing-days", default=30, show_default=True, type=click.IntRange(1), help="Days with a session, no form."
)
@reader_option
@out_option
@json_option
@click.pass_context
def caseload(
    ctx: click.Context, location: str, reader: str, day: str, missing_days: int, folder: Path, as_json: bool
) -> None:
    """Show a supervisor whom to look at: not on track, reviews overdue, safety answers unreviewed, measures missing."""
    from fhir_alliance.runs.report import day_of
    from fhir_alliance.runs.supervision import caseload as run
    from fhir_alliance.runs.supervision_files import write_caseload

    on = day_of(day, "--on")
    with office(ctx, location, reader) as where:
        rows = run(where, on, missing_days)
    tell(write_caseload(rows, on, folder), folder, as_json=as_json)


@click.command(
    epilog="""\b
Exit status: 10 too few therapists have enough clients, or the measure does not count people.

\b
Example:
  fhir-alliance report therapists outcome-by-mode --store clinic/ --period 2026 --out therapists/
"""
)
@click.argument("measure")
@store_option
@period_option
@click.option("--valuesets", multiple=True, type=click.Path(path_type=Path, exists=True), metavar="DIR")
@reader_option
@out_option
@json_option
@click.pass_context
def therapists(
    ctx: click.Context, measure: str, location: str, reader: str, period: str, valuesets: tuple[Path, ...],
    folder: Path, as_json: bool,
) -> None:  # fmt: skip
    """Show a measure's first rate by therapist: shrunken, with intervals, refused for small caseloads, no ranking."""
    from fhir_alliance import __version__
    from fhir_alliance.runs.report import Asked, order_of
    from fhir_alliance.runs.supervision import therapists as run
    from fhir_alliance.runs.supervision_files import write_therapists

    with office(ctx, location, reader) as where:
        order = order_of(Asked(measure, period, "supervisor", __version__, "", valuesets), where.now)
        told, left_out = run(where, order)
    tell(write_therapists(order.measure.title, told, left_out, order.period, folder), folder, as_json=as_json)


@click.command(
    epilog="""\b
Example:
  fhir-alliance report accreditation --store clinic/ --period 2026 --out evidence/
"""
)
@store_option
@period_option
@reader_option
@out_option
@json_option
@click.pass_context
def accreditation(ctx: click.Context, location: str, reader: str, period: str, folder: Path, as_json: bool) -> None:
    """Gather evidence for Joint Commission CTS.03.01.09: measure, score, review, decision, goal, with references."""
    from fhir_alliance.runs.report import days_of
    from fhir_alliance.runs.supervision import accreditation as run
    from fhir_alliance.runs.supervision_files import write_evidence

    days = days_of(period)
    with office(ctx, location, reader) as where:
        found = run(where, days)
    tell(write_evidence(found, days, folder), folder, as_json=as_json)


@click.command(
    epilog="""\b
Example:
  fhir-alliance report assessments --store clinic/ --period 2026-Q1 --out evidence/
"""
)
@store_option
@period_option
@reader_option
@out_option
@json_option
@click.pass_context
def assessments(ctx: click.Context, location: str, reader: str, period: str, folder: Path, as_json: bool) -> None:
    """List assessments done: instrument, score, interpretation, review. Evidence as for CPT 96127, never a bill."""
    from fhir_alliance.runs.report import days_of
    from fhir_alliance.runs.supervision import assessed as run
    from fhir_alliance.runs.supervision_files import write_assessments

    days = days_of(period)
    with office(ctx, location, reader) as where:
        found, left_out = run(where, days)
    tell(write_assessments(found, left_out, folder), folder, as_json=as_json)
