"""`fhir-alliance init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="\b\nExample:\n  fhir-alliance init")
@click.option("--file", "path", type=click.Path(path_type=Path), default=Path("fhir-alliance.toml"), show_default=True)
def init(path: Path) -> None:
    """Write a commented fhir-alliance.toml with every key at its default."""
    from fhir_alliance.config import TEMPLATE
    from fhir_alliance.stores.files import first_file

    first_file(path, TEMPLATE.encode())
    click.echo(f"Wrote {path}. Next: set [store] location, then fhir-alliance publish.", err=True)
