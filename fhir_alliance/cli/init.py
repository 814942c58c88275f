"""`fhir-alliance init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="\b\nExample:\n  fhir-alliance init")
@click.option("--file", "path", type=click.Path(path_type=Path), default=Path("fhir-alliance.toml"), show_default=True)
def init(path: Path) -> None:
    """Write a commented fhir-alliance.toml with every key at its default."""
    from fhir_alliance.config import TEMPLATE
    from fhir_alliance.errors import StopRun

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise StopRun("FA123", f"{path} is there already.", "Move it away first; it is never overwritten.") from None
    except OSError as error:
        raise StopRun("FA124", f"{path} cannot be written ({error.strerror}).", "Choose another place.") from None
    click.echo(f"Wrote {path}. Next: set [store] location, then fhir-alliance publish.", err=True)
