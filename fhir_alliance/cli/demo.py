"""`fhir-alliance demo`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="\b\nExample:\n  fhir-alliance demo --folder /tmp/clinic")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("demo"), show_default=True,
    help="Where the example clinic is kept between runs.",
)  # fmt: skip
def demo(folder: Path) -> None:
    """Run the whole loop offline on the bundled example clinic."""
    from fhir_alliance.cli.options import messages
    from fhir_alliance.runs.demo import demo as run
    from fhir_alliance.views.demo import demo_text

    console = messages()
    with console.status("Running the loop on the example clinic"):
        told = run(folder)
    parked = [(record.reference, record.reason) for record in told.synced.parked]
    counts = (told.published.as_object(), told.synced.as_object())
    console.print(demo_text(str(told.folder), *counts, told.clients, told.modes, told.reviews, parked))
