"""`fhir-alliance export`."""

from __future__ import annotations

from pathlib import Path

import click

from fhir_alliance.cli.options import json_option, store_option


@click.command(
    epilog="\b\nExample:\n  fhir-alliance export --store https://ehr.example/fhir --out ./export --group clinic\n"
    "  fhir-alliance export --store https://ehr.example/fhir --out ./export --group clinic --since last --sync\n\n"
    "Exit status 20: resources that the server could not export, or lines that are none. 75: not ready; run it again."
)
@store_option
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Where the files land.")
@click.option("--group", default="", metavar="ID", help="The patients of a Group.")
@click.option("--patients", is_flag=True, help="All patients.")
@click.option("--system", is_flag=True, help="Everything, Questionnaires included.")
@click.option("--since", default="", metavar="TIME", help="Only what changed since; `last` for since the last export.")
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only these types (and Consent). Default: as sync."
)
@click.option("--type-filter", "filters", multiple=True, metavar="QUERY", help="A _typeFilter, as TYPE?PARAMETERS.")
@click.option("--wait", "wait_min", type=click.IntRange(0), default=240, show_default=True, metavar="MINUTES",
              help="How long to wait for the server; then status 75, and the job goes on.")  # fmt: skip
@click.option("--restart", is_flag=True, help="Give up the job that is under way, and begin anew.")
@click.option("--sync", "then_sync", is_flag=True, help="Then sync that folder.")
@json_option
@click.pass_context
def export(
    ctx: click.Context, location: str, out: Path, group: str, patients: bool, system: bool, since: str,
    types: tuple[str, ...], filters: tuple[str, ...], wait_min: int, restart: bool, then_sync: bool, as_json: bool,
) -> None:  # fmt: skip
    """Export a server's resources into a folder (FHIR Bulk Data), which every other command takes as its store.

    Killed at any moment, the same command goes on where it was. Only whole, checked files land in the folder.
    """
    import json

    import msgspec

    from fhir_alliance.cli.options import configuration, messages, telling
    from fhir_alliance.cli.sync import sync
    from fhir_alliance.errors import Exit
    from fhir_alliance.runs.export import export as run
    from fhir_alliance.runs.export import order_of
    from fhir_alliance.stores.opening import export_folder, open_sources
    from fhir_alliance.views.terminal import export_text

    order = order_of(_path(group, patients=patients, system=system), types, filters)
    config = configuration(ctx)
    sources = open_sources(location, config, order.types)
    try:
        with export_folder(out, config) as folder, telling("Exporting") as watch:
            found = run(sources, folder, order, since, wait_s=wait_min * 60.0, restart=restart, watch=watch)
    finally:
        sources.close()
    messages().print(export_text(msgspec.to_builtins(found)))
    status = Exit.PARKED if found.errors or found.bad_lines else Exit.DONE
    if then_sync:
        try:
            ctx.invoke(sync, location=str(out), as_json=as_json)
        except click.exceptions.Exit as ended:
            ctx.exit(ended.exit_code or int(status))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
    ctx.exit(int(status))


def _path(group: str, *, patients: bool, system: bool) -> str:
    """Return the operation's path; raises UsageError unless one level is named."""
    import re

    if bool(group) + patients + system != 1:
        raise click.UsageError("Name one of --group ID, --patients, --system.")
    if group and not re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", group.removeprefix("Group/")):
        raise click.UsageError("--group is the id of a Group.")
    if group:
        return f"Group/{group.removeprefix('Group/')}/$export"
    return "Patient/$export" if patients else "$export"
