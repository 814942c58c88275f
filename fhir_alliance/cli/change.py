"""`fhir-alliance change`."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fhir_alliance.runs.change import Question

# As core.change_methods.Method; written out, because `--help` loads nothing heavy.
METHODS = (
    "jacobson-truax", "edwards-nunnally", "gulliksen-lord-novick", "hsu-linn-lord", "nunnally-kotsch",
    "hageman-arrindell", "anchor", "percentage",
)  # fmt: skip
_Command = TypeVar("_Command", bound=Callable[..., Any])
_TABLE = ("id", "time", "value", "first", "last")


def _number(text: str) -> Decimal:
    """Return a number."""
    from fhir_alliance.runs.change_table import as_number

    number = as_number(text)
    if number is None:
        raise click.BadParameter("is not a number of at most 10 digits.")
    return number


def _cutoff(text: str) -> str | Decimal:
    """Return a kind of cut-off, or a number of points."""
    return text.lower() if text.lower() in ("a", "b", "c") else _number(text)


def _points(name: str, words: str) -> Callable[[_Command], _Command]:
    """Return an option that takes a number."""
    return click.option(name, type=_number, metavar="NUMBER", help=words)


@click.command(
    epilog="\b\nExample:\n"
    "  fhir-alliance change --instrument phq-9 --before 17 --after 8 --sd 5.9 --reliability 0.84\n"
    "  fhir-alliance change --csv scores.csv --id client --time session --value total --first 1 --last 8 \\\n"
    "    --higher-is worse --reliability 0.84 --functional-mean 2.9 --functional-sd 3.5 --cutoff c --json"
)
@_points("--before", "The first score of one client.")
@_points("--after", "The last score of that client.")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="A table of many clients: one row for each client and time.",
)  # fmt: skip
@click.option("--id", "id", metavar="COLUMN", help="Of the table: the column that names clients.")
@click.option("--time", metavar="COLUMN", help="Of the table: the column of times.")
@click.option("--value", metavar="COLUMN", help="Of the table: the column of scores.")
@click.option("--first", metavar="VALUE", help="The time of first scores.")
@click.option("--last", metavar="VALUE", help="The time of last scores.")
@click.option("--instrument", metavar="ID", help="Take direction, caseness and numbers on change from an instrument.")
@click.option("--scale", metavar="ID", help="Its scale; default total.")
@click.option("--higher-is", type=click.Choice(["worse", "better"]), help="What a higher score means.")
@click.option("--method", type=click.Choice(METHODS), default=METHODS[0], show_default=True)
@_points("--sd", "SD of first scores; for a table by default of its complete pairs.")
@_points("--reliability", "Reliability, at least 0 and below 1.")
@_points("--reliability-after", "For nunnally-kotsch: at the last scores; default the same.")
@_points("--functional-mean", "Mean of the functional population.")
@_points("--functional-sd", "SD of the functional population.")
@_points("--clinical-mean", "Mean of the clinical population; for a table its first scores'.")
@_points("--clinical-sd", "SD of the clinical population; for a table its first scores'.")
@click.option(
    "--cutoff", type=_cutoff, metavar="a|b|c|NUMBER",
    help="Jacobson & Truax' a, b or c, or a number of points that is itself clinical. Default: the instrument's "
    "caseness, or the best that the known populations allow; none for anchor and percentage.",
)  # fmt: skip
@_points("--minimal-change", "For anchor: the minimal important change, in points.")
@_points("--percent", "For percentage: of the first score, e.g. 50.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def change(ctx: click.Context, /, as_json: bool, **flags: Any) -> None:
    """Tell reliable and clinically significant change, for one pair of scores or for a table."""
    from fhir_alliance.cli.options import catalog_of, configuration
    from fhir_alliance.runs.change import question_of

    _check(flags)
    catalog = catalog_of(configuration(ctx)) if flags["instrument"] else None
    question = question_of(flags, catalog)
    if flags["csv_file"] is None:
        _pair(flags, question, as_json=as_json)
    else:
        _table(ctx, flags, question, as_json=as_json)


def _check(flags: dict[str, Any]) -> None:
    """Refuse flags that do not make up one pair or one table."""
    table = [name for name in _TABLE if flags[name] is not None]
    pair = [name for name in ("before", "after") if flags[name] is not None]
    if flags["csv_file"] is None and table:
        raise click.UsageError(f"--{table[0]} is of a table: give --csv too.")
    if flags["csv_file"] is not None and pair:
        raise click.UsageError("Give either --before and --after, or --csv.")
    if flags["csv_file"] is None and len(pair) < 2:
        raise click.UsageError("Give --before and --after, or --csv with --id, --time, --value, --first and --last.")
    if flags["csv_file"] is not None and len(table) < len(_TABLE):
        raise click.UsageError(f"--csv needs --{next(name for name in _TABLE if name not in table)} too.")
    if flags["scale"] and not flags["instrument"]:
        raise click.UsageError("--scale is of an instrument: give --instrument too.")


def _pair(flags: dict[str, Any], question: Question, *, as_json: bool) -> None:
    """Print one client's change."""
    from fhir_alliance.cli.options import printed
    from fhir_alliance.runs.change import change_of_pair
    from fhir_alliance.views.change import change_object, change_text

    result = change_of_pair(flags["before"], flags["after"], question)
    if as_json:
        click.echo(json.dumps(change_object(result)))
    else:
        printed().print(change_text(result))


def _table(ctx: click.Context, flags: dict[str, Any], question: Question, *, as_json: bool) -> None:
    """Print a table's counts, and on stderr why clients were left out."""
    from fhir_alliance.cli.options import messages, printed
    from fhir_alliance.runs.change import change_of_table
    from fhir_alliance.runs.change_table import Table
    from fhir_alliance.views.change import counts_object, counts_text, left_out_text

    found = change_of_table(Table(flags["csv_file"], *(flags[name] for name in _TABLE)), question)
    counts = counts_object(found.n, found.used, found.classes, found.how)
    if as_json:
        click.echo(json.dumps(counts | {"reasons": dict(found.reasons)}))
    else:
        printed().print(counts_text(counts, found.how))
    if found.reasons or found.refused:
        messages().print(left_out_text(found.reasons, found.refused))
    ctx.exit(int(found.exit))
