"""`fhir-alliance report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fhir_alliance.cli.options import engine_option, json_option, store_option
from fhir_alliance.cli.supervision import accreditation, assessments, caseload, therapists


@click.group(epilog="\b\nExample:\n  fhir-alliance report list")
def report() -> None:
    """Count people by published measures, for supervisors, quality teams and insurers."""


for command in (accreditation, assessments, caseload, therapists):
    report.add_command(command)


@report.command("list", epilog="\b\nExample:\n  fhir-alliance report list --json")
@json_option
def list_measures(as_json: bool) -> None:
    """List the measures that can be reported, each with its edition."""
    from fhir_alliance.cli.options import printed
    from fhir_alliance.runs.measures import load_measures
    from fhir_alliance.views.report import measures_table

    measures = load_measures().values()
    if as_json:
        rows = [
            {
                "id": m.id,
                "title": m.title,
                "version": m.version,
                "edition": m.edition,
                "steward": m.steward,
                "improvement": m.improvement.value,
                "source": list(m.source),
                "does_not_claim": list(m.does_not_claim),
            }
            for m in measures
        ]
        click.echo(json.dumps({"measures": rows}))
    else:
        printed().print(measures_table(measures))


@report.command(
    "run",
    epilog="""\b
Exit status: 0 done; 2 usage; 10 no such measure, period or audience, ValueSets missing;
12 server unreachable; 23 consents unreachable, nothing shared.

\b
Example:
  fhir-alliance report run cms159 --store clinic/ --valuesets valuesets/ \\
    --period 2026 --as supervisor --out report/
""",
)
@click.argument("measure")
@store_option
@click.option("--period", required=True, metavar="PERIOD", help="2026, 2026-Q3, or FROM/TO, both days included.")
@click.option(
    "--as", "audience", required=True, metavar="AUDIENCE", help="supervisor[:Practitioner/ID], quality or insurer:NAME."
)
@click.option(
    "--out", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the report."
)
@click.option(
    "--valuesets",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR",
    help="Folder or file of ValueSets that you are licensed to use.",
)
@click.option("--cut", metavar="DATE", default="", help="Last day to look at. Default: the period's last day.")
@click.option("--reporter", default="", metavar="REFERENCE", help="Organization that reports. Default: the only one.")
@click.option(
    "--earlier",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder of a report that the same readers have; the one in --out counts too.",
)
@click.option("--pdf", is_flag=True, help="Write a PDF too (needs the extra pdf).")
@click.option("--parquet", is_flag=True, help="Write the table as Parquet too (needs the extra parquet).")
@engine_option
@json_option
@click.pass_context
def run(
    ctx: click.Context, measure: str, location: str, period: str, audience: str, folder: Path,
    valuesets: tuple[Path, ...], cut: str, reporter: str, earlier: tuple[Path, ...], pdf: bool, parquet: bool,
    engine: str, as_json: bool,
) -> None:  # fmt: skip
    """Make one report: FHIR MeasureReports, tables, pictures, and a manifest of what they rest on."""
    from datetime import UTC, datetime

    from fhir_alliance import __version__
    from fhir_alliance.cli.options import catalog_of, configuration, messages, progress
    from fhir_alliance.runs.audit import tell_of
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.report import Asked, make_report, order_of
    from fhir_alliance.runs.report_crew import here, on_spark
    from fhir_alliance.runs.report_files import with_earlier, write_report
    from fhir_alliance.stores.opening import open_store, state_folder
    from fhir_alliance.views.report import tally_text, written_text

    also = tuple(name for name, is_asked in (("pdf", pdf), ("parquet", parquet)) if is_asked)
    order = order_of(Asked(measure, period, audience, __version__, cut, valuesets, reporter, also), datetime.now(UTC))
    config = configuration(ctx)
    catalog = catalog_of(config)
    store = open_store(location, config)
    try:
        with progress("Report", "people") as watch:
            order = with_earlier(order, [folder, *earlier])
            tell = tell_of(store, config.audit, state_folder(store, config))
            examine = on_spark(folder) if engine == "spark" else here
            made = make_report(store, catalog, policy_of(config), order, watch, tell, examine)
    finally:
        store.close()
    manifest = write_report(made, folder, catalog)
    messages().print(tally_text(order.measure, made.tally))
    messages().print(written_text(str(folder), manifest["files"], order.cut, order.now.date()))
    if as_json:
        click.echo(json.dumps(manifest))
