"""`fhir-alliance publish`."""

from __future__ import annotations

import json

import click

from fhir_alliance.cli.options import dry_run_option, json_option, store_option


@click.command(epilog="\b\nExample:\n  fhir-alliance publish --store https://ehr.example/fhir --dry-run")
@store_option
@dry_run_option
@json_option
@click.pass_context
def publish(ctx: click.Context, location: str, dry_run: bool, as_json: bool) -> None:
    """Put Questionnaires, profiles, code systems, value sets and maps into the store.

    A Questionnaire in a new version is put beside the older ones, which are then retired; none is overwritten or
    deleted.
    """
    from fhir_alliance.cli.options import catalog_of, configuration, messages, opened
    from fhir_alliance.config import ScoreRoute
    from fhir_alliance.runs.intake import intake_form
    from fhir_alliance.runs.needs import PUBLISHING
    from fhir_alliance.runs.publish import publish as run
    from fhir_alliance.runs.publish import score_sheet, stop_at_conflicts
    from fhir_alliance.views.publish import plan_table, publish_text

    config = configuration(ctx)
    with opened(location, config, PUBLISHING, dry_run=dry_run) as (store, journal):
        others = [intake_form(config.consent.intake)] if config.consent.intake.on else []
        others += [score_sheet()] if ScoreRoute.SCORE_FORM in config.delivery.scores else []
        summary = run(store, catalog_of(config), journal, others=others, dry_run=dry_run)
    counts = summary.as_object() | {"retired": dict(sorted(summary.retired.items()))}
    console = messages()
    if dry_run:
        steps = sorted(summary.steps, key=lambda step: step.state.rank)
        console.print(plan_table((step.state.value, step.version, step.url, step.what) for step in steps))
    console.print(publish_text(counts, summary.refused, dry_run=dry_run))
    if as_json:
        click.echo(json.dumps(counts | ({"dry_run": True} if dry_run else {})))
    stop_at_conflicts(summary.steps)
    ctx.exit(int(summary.exit))
