"""`fhir-alliance show`."""

from __future__ import annotations

from pathlib import Path

import click

from fhir_alliance.cli.options import store_option


@click.command(
    epilog="\b\nExample:\n  fhir-alliance show client-03 --store ./demo --html course.html\n\n\b\n"
    "Exit status: 0 shown, or said that consent keeps it; 10 no such client or store;\n"
    "12 server unreachable; 23 consents unreachable, nothing shown."
)
@click.argument("client", metavar="CLIENT")
@store_option
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Also write one self-contained page, with pictures; only you can read the file.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the course as one JSON object instead.")
@click.pass_context
def show(ctx: click.Context, client: str, location: str, html_file: Path | None, as_json: bool) -> None:
    """Show one client's course, findings, reviews and goals, as far as consent allows.

    CLIENT is a Patient's id or reference. Nothing is scored and nothing is written to the store.
    """
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import catalog_of, configuration, messages, printed
    from fhir_alliance.runs.audit import tell_of
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.show import show as run
    from fhir_alliance.stores.files import new_file
    from fhir_alliance.stores.opening import open_store, state_folder
    from fhir_alliance.views.course_json import course_json
    from fhir_alliance.views.course_page import course_page
    from fhir_alliance.views.course_text import course_text

    config = configuration(ctx)
    store = open_store(location, config)
    try:
        tell = tell_of(store, config.audit, state_folder(store, config))
        told = run(store, catalog_of(config), policy_of(config), client, datetime.now(UTC), tell=tell)
    finally:
        store.close()
    if html_file is not None:
        with new_file(html_file) as out:
            out.write(course_page(told).encode())
        messages().print(f"The page is in {html_file}; only you can read it.")
    if as_json:
        click.echo(course_json(told))
    else:
        printed().print(course_text(told))
