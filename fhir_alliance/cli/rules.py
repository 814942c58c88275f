"""`fhir-alliance rules`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from fhir_alliance.cli.rates import rates


@click.group(epilog="\b\nExample:\n  fhir-alliance rules list")
def rules() -> None:
    """List the rules, show their cards, and try them on a history."""


@rules.command("list", epilog="\b\nExample:\n  fhir-alliance rules list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the list.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all rules, with their evidence and whether they are on."""
    from fhir_alliance.cli.options import configuration, printed
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.rule_cards import shipped_cards
    from fhir_alliance.views.rules import rule_list, rule_row

    off = policy_of(configuration(ctx)).rules.off
    rows = [rule_row(card, off) for card in shipped_cards().values()]
    if as_json:
        click.echo(json.dumps({"rules": rows}))
    else:
        printed().print(rule_list(rows))


@rules.command(epilog="\b\nExample:\n  fhir-alliance rules show alliance-drop")
@click.argument("name", metavar="ID")
@click.pass_context
def show(ctx: click.Context, name: str) -> None:
    """Show a rule's card: what, why, evidence, example, settings, for whom, and what it does not know."""
    from fhir_alliance.cli.options import configuration, printed
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.rule_cards import shipped_cards
    from fhir_alliance.runs.rules import card_of
    from fhir_alliance.views.rules import card_page

    card = card_of(name, shipped_cards())
    printed().print(card_page(card, policy_of(configuration(ctx)).rules))


@rules.command(
    epilog="\b\nA table has the columns date,scale,rater,value,mode, for example\n"
    "  2026-01-05,alliance-checkin/bond,client,4.7,in-person\n"
    "\b\nExample:\n  fhir-alliance rules test alliance-drop --history scores.csv\n"
    "  fhir-alliance rules test regular-review --history Observation.fhir-alliance.ndjson --on 2026-04-01"
)
@click.argument("name", metavar="ID")
@click.option(
    "--history", "file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="Observations as we write them (JSON, NDJSON, Bundle; with Encounters and Goals), or a table (.csv).",
)  # fmt: skip
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="The day that the calendar stands at; today.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the verdicts.")
@click.pass_context
def test(ctx: click.Context, name: str, file: Path, day: datetime | None, as_json: bool) -> None:
    """Try a rule on a history, with the site's settings, and explain each verdict step by step."""
    from datetime import UTC

    from fhir_alliance.cli.options import catalog_of, configuration, printed
    from fhir_alliance.runs.history_file import read_history
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.rule_cards import rulebook
    from fhir_alliance.runs.rules import verdicts
    from fhir_alliance.views.rules import verdict_row, verdicts_text

    config = configuration(ctx)
    catalog = catalog_of(config)
    policy = policy_of(config)
    book = rulebook(catalog.instruments, policy.rules, policy.courses)
    now = day.replace(hour=12, tzinfo=UTC) if day else datetime.now(UTC)
    found = verdicts(name, read_history(file, catalog), book, now)
    if as_json:
        click.echo(json.dumps({"rule": name, "verdicts": [verdict_row(verdict) for verdict in found]}))
    else:
        printed().print(verdicts_text(book.cards[name].title, found))


rules.add_command(rates)
