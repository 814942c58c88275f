"""`fhir-alliance doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fhir_alliance.cli.options import store_option


@click.command(
    epilog="\b\nExit status: 0 a sync can run; otherwise the status that it would end with.\n\n"
    "\b\nExample:\n  fhir-alliance doctor --store https://ehr.example/fhir\n"
    "  fhir-alliance doctor --store https://ehr.example/fhir --save server-profile.json\n"
    "  fhir-alliance doctor --offline\n"
    "  fhir-alliance doctor --store https://ehr.example/fhir --forget"
)
@store_option
@click.option("--offline", is_flag=True, help="Check configuration, secret files and state only; send nothing.")
@click.option(
    "--save", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the server's profile, to be looked at and pinned with [store] profile.",
)  # fmt: skip
@click.option("--forget", is_flag=True, help="Let the next run ask again for what the server has lately refused.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the checks on stdout.")
@click.pass_context
def doctor(ctx: click.Context, location: str, offline: bool, file: Path | None, forget: bool, as_json: bool) -> None:
    """Look at the configuration and at what the store can do; write nothing into it.

    A server is asked what it states and for searches that find nobody. The page tells which way each output takes,
    why, and what the site's administrator has to allow.
    """
    from fhir_alliance.cli.options import configuration, printed
    from fhir_alliance.errors import StopRun
    from fhir_alliance.runs.doctor import doctor as run
    from fhir_alliance.stores.capability import save_profile
    from fhir_alliance.views.doctor import check_up_page

    found = run(location, configuration(ctx), offline=offline, forget=forget)
    if file is not None:
        if found.profile is None:
            raise StopRun("FA432", "there is no profile to save.", "Mend the faults that doctor shows without --save.")
        save_profile(file, found.profile)
    if as_json:
        click.echo(json.dumps(found.as_object()))
    else:
        printed().print(check_up_page(found.as_object()))
    ctx.exit(int(found.exit))
