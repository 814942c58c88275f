"""`fhir-alliance disclose`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fhir_alliance.cli.options import json_option, store_option


@click.command(
    epilog="\b\nExample:\n  fhir-alliance disclose --store ./export --patient Patient/client-01 \\\n"
    "    --recipient Organization/insurer --purpose HPAYMT --out ./to-insurer\n\n"
    "\b\nExit status: 0 written; 10 an unknown reference, or the folder is not empty; 12 server unreachable;\n"
    "23 consents unreachable, nothing shared; 26 consent does not allow it, nothing shared."
)
@store_option
@click.option("--patient", required=True, metavar="REF", help="The client, as Patient/ID.")
@click.option("--recipient", required=True, metavar="REF", help="Who receives it, as Organization/ID or the like.")
@click.option("--purpose", required=True, metavar="CODE", help="Of HL7 v3-ActReason: HPAYMT, TREAT, PATRQT, HRESCH ...")
@click.option("--instrument", default="", metavar="ID", help="Scores of this form only. Default: of all.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR",
    help="A new folder: bundle.json, scope.txt, manifest.json, and notice.txt for Part 2 data. Only you can open it.",
)  # fmt: skip
@json_option
@click.pass_context
def disclose(ctx: click.Context, /, location: str, out: Path, as_json: bool, **asked: str) -> None:
    """Put together what consent lets a recipient have of a client's scores, with consent, labels, notice and hashes.

    Scores only: no answers, no remarks. The trail keeps the disclosure, and a refusal too.
    """
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import catalog_of, configuration, messages
    from fhir_alliance.runs.audit import tell_of
    from fhir_alliance.runs.consent import question_of
    from fhir_alliance.runs.disclosure import disclose as run
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.stores.opening import open_store, state_folder

    config = configuration(ctx)
    store = open_store(location, config)
    try:
        tell = tell_of(store, config.audit, state_folder(store, config))
        question = question_of({**asked, "level": "score"})
        given = run(store, catalog_of(config), policy_of(config), question, out, datetime.now(UTC), tell=tell)
    finally:
        store.close()
    scores = sum(len(group.names) for group in given.given)
    messages().print(f"{scores} scores for {given.recipient} are in {out}; {given.left_out} were left out.")
    if as_json:
        click.echo(json.dumps({"scores": scores, "left_out": given.left_out, "consents": list(given.consents)}))
