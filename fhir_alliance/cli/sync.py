"""`fhir-alliance sync`."""

from __future__ import annotations

from pathlib import Path

import click

from fhir_alliance.cli.options import dry_run_option, json_option, store_option


@click.command(
    epilog="\b\nExample:\n  fhir-alliance sync --store ./export\n"
    "  fhir-alliance sync --store https://ehr.example/fhir --json\n"
    "  fhir-alliance sync --store ./export --dry-run --explain Patient/anna"
)
@store_option
@click.option(
    "--parked", "parked_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Parked records with reasons, as NDJSON. Default: parked.ndjson in a folder store, else in the state folder.",
)  # fmt: skip
@click.option(
    "--explain", "client", default="", metavar="CLIENT",
    help="Tell what changes for one client (Patient/ID or ID): what was, what is, why. Prints scores.",
)  # fmt: skip
@click.option(
    "--metrics", "metrics_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Write counts and times there for a Prometheus textfile collector, also when the run fails.",
)  # fmt: skip
@click.option(
    "--log", "log_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Add one JSON object per event to this file; - is stderr. Counts and codes, no patient data.",
)  # fmt: skip
@dry_run_option
@json_option
@click.pass_context
def sync(
    ctx: click.Context, location: str, parked_file: Path | None, client: str,
    metrics_file: Path | None, log_file: Path | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Pull responses, check consent, score them, write scores back and open the reviews that follow.

    SIGTERM lets the page in hand be finished (status 75); killed, it loses nothing and is simply run again.
    """
    from fhir_alliance.cli.options import configuration, progress, reference_of, report, stoppable
    from fhir_alliance.cli.syncing import Words, synced

    words = Words(location, parked_file, reference_of(client), metrics_file, log_file, dry_run)
    with progress("Syncing") as watch, stoppable() as stop:
        summary = synced(configuration(ctx), words, watch=watch, stop=stop)
    report(ctx, summary, "Sync", as_json=as_json, dry_run=dry_run)
