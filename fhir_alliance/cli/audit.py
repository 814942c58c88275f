"""`fhir-alliance audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fhir_alliance.cli.options import store_option

if TYPE_CHECKING:
    from fhir_alliance.stores.audit_file import AuditFile

_file_option = click.option(
    "--file", "file", type=click.Path(path_type=Path), metavar="FILE",
    help="The audit file. Default: [audit] file, else audit.ndjson in the store's state folder.",
)  # fmt: skip


@click.group(epilog="\b\nExample:\n  fhir-alliance audit verify --store ./export")
def audit() -> None:
    """The trail of who read, wrote or was given what about a client."""


@audit.command(
    epilog="\b\nExit status: 0 the chain holds; 25 it is broken, the line is named.\n\n"
    "\b\nExample:\n  fhir-alliance audit verify --store ./export"
)
@store_option
@_file_option
@click.option(
    "--head", default="", metavar="HASH", help="A hash kept elsewhere; shows whether lines at the end are gone."
)
@click.option("--json", "as_json", is_flag=True, help="Print lines and head as one JSON object on stdout.")
@click.pass_context
def verify(ctx: click.Context, location: str, file: Path | None, head: str, as_json: bool) -> None:
    """Check that no line of the audit file was changed or taken out."""
    from fhir_alliance.runs.audit import verify as run

    found = run(_trail(ctx, location, file), head)
    click.echo(f"{found.lines} lines hold. Keep this hash elsewhere: {found.head}", err=True)
    if as_json:
        click.echo(json.dumps({"lines": found.lines, "head": found.head}))


@audit.command(epilog="\b\nExample:\n  fhir-alliance audit disclosures --store ./export --patient Patient/client-05")
@store_option
@_file_option
@click.option("--patient", required=True, metavar="REF", help="The client, as Patient/ID.")
@click.option("--json", "as_json", is_flag=True, help="Print them as one JSON object on stdout.")
@click.pass_context
def disclosures(ctx: click.Context, location: str, file: Path | None, patient: str, as_json: bool) -> None:
    """Print the accounting of disclosures of one client: who was shown or given what, supervisors included."""
    from fhir_alliance.cli.options import configuration, printed
    from fhir_alliance.runs.audit import disclosures as run
    from fhir_alliance.runs.needs import DISCLOSING
    from fhir_alliance.stores.opening import open_store
    from fhir_alliance.views.audit import disclosure_objects, disclosures_table

    store = open_store(location, configuration(ctx), DISCLOSING)
    try:
        found = run(store, _trail(ctx, location, file), patient)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps({"patient": patient, "disclosures": disclosure_objects(found)}))
    else:
        printed().print(disclosures_table(found))


def _trail(ctx: click.Context, location: str, file: Path | None) -> AuditFile:
    """Return the audit file that was named, or that of the store."""
    from fhir_alliance.cli.options import configuration
    from fhir_alliance.runs.audit import audit_file, opened_file
    from fhir_alliance.stores.opening import open_store, state_folder

    if file is not None:
        return opened_file(file)
    config = configuration(ctx)
    if config.audit.file is not None:
        return opened_file(config.audit.file)
    store = open_store(location, config)
    try:
        return audit_file(config.audit, state_folder(store, config))
    finally:
        store.close()
