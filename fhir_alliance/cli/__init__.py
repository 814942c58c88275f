"""The command line. Commands parse, call one run, and print through a view; nothing is decided here.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from fhir_alliance import __version__
from fhir_alliance.cli.audit import audit
from fhir_alliance.cli.change import change
from fhir_alliance.cli.consent import consent
from fhir_alliance.cli.course import course
from fhir_alliance.cli.demo import demo
from fhir_alliance.cli.disclose import disclose
from fhir_alliance.cli.doctor import doctor
from fhir_alliance.cli.export import export
from fhir_alliance.cli.init import init
from fhir_alliance.cli.instruments import instruments
from fhir_alliance.cli.keys import keys
from fhir_alliance.cli.listen import listen
from fhir_alliance.cli.order import order
from fhir_alliance.cli.parked import parked
from fhir_alliance.cli.publish import publish
from fhir_alliance.cli.report import report
from fhir_alliance.cli.rescore import rescore
from fhir_alliance.cli.rules import rules
from fhir_alliance.cli.score import score
from fhir_alliance.cli.show import show
from fhir_alliance.cli.state import state
from fhir_alliance.cli.sync import sync
from fhir_alliance.errors import AllianceError, Exit

_EPILOG = """\b
Exit status: 0 done; 1 internal error; 2 usage; 10 configuration; 11 authorisation;
12 server unreachable; 20 done, some records parked; 21 done, some outcomes unknown;
22 refused by the server; 23 consents unreachable, nothing shared; 24 safety answers
wait in the local outbox; 25 the audit file was changed; 26 consent does not allow
it; 75 another run holds the lease, or try later.

\b
Example:
  fhir-alliance demo
"""


class _Program(click.Group):
    """Turns our errors into one line on stderr and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AllianceError as error:
            click.echo(f"{error}", err=True)
            ctx.exit(int(error.exit))
        except BrokenPipeError:  # the reader of our output has gone, as in `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(int(Exit.DONE))
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            # A traceback or message could quote a patient's data: only the kind and the place are told.
            click.echo(f"FA000 internal error ({type(error).__name__} {_place(error)}). Please report it.", err=True)
            if ctx.params.get("verbose"):
                raise
            ctx.exit(int(Exit.INTERNAL))


def _place(error: BaseException) -> str:
    """Return the last line of our own code that the error came through."""
    frame = error.__traceback__
    place = ""
    while frame is not None:
        file = Path(frame.tb_frame.f_code.co_filename)
        if "fhir_alliance" in file.parts:
            place = f"at {file.name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place


@click.group(cls=_Program, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), help="Configuration; default ./fhir-alliance.toml if there.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks of internal errors (may quote records).")
@click.version_option(__version__, prog_name="fhir-alliance")
@click.pass_context
def program(ctx: click.Context, config: Path | None, verbose: bool) -> None:
    """Score alliance and outcome questionnaires in a FHIR R4 record, and open the reviews that follow."""
    ctx.obj = config


for command in (
    audit,
    change,
    consent,
    course,
    demo,
    disclose,
    doctor,
    export,
    init,
    instruments,
    keys,
    listen,
    order,
    parked,
    publish,
    report,
    rescore,
    rules,
    score,
    show,
    state,
    sync,
):
    program.add_command(command)


def main() -> None:
    """Run the command line."""
    program(prog_name="fhir-alliance")
