"""`fhir-alliance rescore`."""

from __future__ import annotations

import click

from fhir_alliance.cli.options import dry_run_option, json_option, store_option


@click.command(
    epilog="\b\nExample:\n  fhir-alliance rescore --store ./export --instrument phq-9 --dry-run \\\n"
    '    --reason "Item weight corrected, see the change log"'
)
@store_option
@click.option("--instrument", default="", metavar="ID", help="Score again what was scored with this instrument only.")
@click.option("--reason", required=True, metavar="TEXT", help="Stands as a note in every Observation that changes.")
@click.option(
    "--explain", "client", default="", metavar="CLIENT", help="Tell what changes for one client. Prints scores."
)
@dry_run_option
@json_option
@click.pass_context
def rescore(
    ctx: click.Context, location: str, instrument: str, reason: str, client: str, dry_run: bool, as_json: bool
) -> None:
    """Score again what was scored, after an instrument or a rule was corrected.

    Observations that come out differently are corrected in place and carry the reason; reviews follow. Begin with
    --dry-run, which shows the difference and writes nothing.
    """
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import catalog_of, configuration, opened, progress, reference_of, report
    from fhir_alliance.runs.audit import tell_of
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.rescore import rescore as run
    from fhir_alliance.runs.summary import EVERYBODY
    from fhir_alliance.stores.opening import state_folder

    config = configuration(ctx)
    if not reason.strip():
        raise click.BadParameter("say why, in words.", param_hint="--reason")
    with opened(location, config, dry_run=dry_run) as (store, journal), progress("Scoring again") as watch:
        summary = run(
            store, catalog_of(config), journal, policy_of(config), datetime.now(UTC),
            reason=reason.strip(), instrument=instrument, explain=reference_of(client) or EVERYBODY, dry_run=dry_run,
            watch=watch, tell=tell_of(store, config.audit, state_folder(store, config)),
        )  # fmt: skip
    report(ctx, summary, "Scored again", as_json=as_json, dry_run=dry_run)
