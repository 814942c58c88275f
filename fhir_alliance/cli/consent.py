"""`fhir-alliance consent`."""

from __future__ import annotations

import json
from datetime import datetime

import click

from fhir_alliance.cli.options import json_option, store_option

# As core.consent_request.DataLevel; written out, because `--help` loads nothing heavy.
LEVELS = ("aggregate", "score", "item", "text")


@click.group(
    epilog="\b\nExample:\n  fhir-alliance consent explain --store ./export --patient Patient/client-01 \\\n"
    "    --recipient Organization/insurer --purpose HPAYMT"
)
def consent() -> None:
    """What may be shared with whom, and why."""


def _moment(ctx: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """Return a moment; a bare day counts as its noon in UTC."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text if len(text) > 10 else f"{text}T12:00:00+00:00")
    except ValueError:
        raise click.BadParameter("is no moment such as 2026-03-01 or 2026-03-01T09:00:00Z.") from None
    if when.tzinfo is None:
        raise click.BadParameter("needs its zone, as in 2026-03-01T09:00:00+01:00.")
    return when


@consent.command(
    epilog="\b\nExample:\n  fhir-alliance consent explain --store ./export --patient Patient/client-01 \\\n"
    "    --recipient Practitioner/therapist-1 --purpose TREAT --instrument phq-9\n\n"
    "\b\nExit status: 0 whatever was decided; 10 an unknown instrument or reference; 12 server unreachable;\n"
    "23 consents unreachable, nothing shared."
)
@store_option
@click.option("--patient", required=True, metavar="REF", help="The client, as Patient/ID.")
@click.option("--recipient", required=True, metavar="REF", help="Who would receive it, as Practitioner/ID or the like.")
@click.option(
    "--purpose", required=True, metavar="CODE", help="Of HL7 v3-ActReason: TREAT, HPAYMT, HQUALIMP, HRESCH ..."
)
@click.option("--instrument", default="", metavar="ID", help="The form it is about. Default: any outcome form.")
@click.option("--level", type=click.Choice(LEVELS), default="score", show_default=True)
@click.option("--people", type=click.IntRange(1), default=1, help="Of an aggregate: of how many clients.")
@click.option("--at", "at", metavar="TIME", callback=_moment, help="As of when. Default: now.")
@json_option
@click.pass_context
def explain(ctx: click.Context, /, location: str, at: datetime | None, as_json: bool, **asked: str | int) -> None:
    """Say whether a recipient may have data of a client, and the path to that decision in words."""
    from datetime import UTC

    from fhir_alliance.cli.options import catalog_of, configuration, printed
    from fhir_alliance.runs.audit import tell_of
    from fhir_alliance.runs.consent import explain as run
    from fhir_alliance.runs.consent import question_of
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.stores.opening import open_store, state_folder
    from fhir_alliance.views.consent import decision_object, decision_text

    config = configuration(ctx)
    store = open_store(location, config)
    try:
        tell = tell_of(store, config.audit, state_folder(store, config))
        question = question_of(asked)
        decision = run(store, catalog_of(config), policy_of(config), question, at or datetime.now(UTC), tell=tell)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(decision_object(decision)))
    else:
        printed().print(decision_text(decision))
