"""`fhir-alliance keys`."""

from __future__ import annotations

import json
from pathlib import Path

import click

file_argument = click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
algorithm_option = click.option(
    "--algorithm", type=click.Choice(["ES384", "RS384"]), default="ES384", show_default=True,
    help="Ask the site which of the two it prefers; every SMART server knows both.",
)  # fmt: skip


@click.group(epilog="\b\nExample:\n  fhir-alliance keys new keys.json\n  fhir-alliance keys jwks keys.json")
def keys() -> None:
    """Make, rotate and publish the key pairs for SMART Backend Services."""


@keys.command(epilog="\b\nExample:\n  fhir-alliance keys new keys.json --algorithm RS384")
@file_argument
@algorithm_option
def new(path: Path, algorithm: str) -> None:
    """Write a new private key to FILE, which only you can read and which is never overwritten."""
    from fhir_alliance.stores.keys import Algorithm, new_keys

    made = new_keys(Algorithm(algorithm))
    made.write(path, is_new=True)
    click.echo(f"Wrote {path}, key {made.signing}. Next: register what fhir-alliance keys jwks prints.", err=True)


@keys.command(
    epilog="\b\nExample:\n  fhir-alliance keys rotate keys.json\n"
    "  fhir-alliance keys rotate keys.json --sign\n  fhir-alliance keys rotate keys.json --retire"
)
@file_argument
@algorithm_option
@click.option("--sign", "step", flag_value="sign", help="Let the newest key sign; the older ones stay published.")
@click.option("--retire", "step", flag_value="retire", help="Drop the keys that are older than the one that signs.")
def rotate(path: Path, algorithm: str, step: str | None) -> None:
    """Add a key that does not sign yet; or let it sign; or drop the old one.

    In this order no server ever meets a signature by a key that it has not seen.
    """
    from fhir_alliance.stores.keys import Algorithm, read_keys

    held = read_keys(path)
    if step == "sign":
        done, after = held.signing_with_newest(), "After some days: fhir-alliance keys rotate --retire."
    elif step == "retire":
        done, after = held.retired(), "Publish fhir-alliance keys jwks once more."
    else:
        done = held.with_new_key(Algorithm(algorithm))
        after = "Publish fhir-alliance keys jwks, wait until the server has it, then: fhir-alliance keys rotate --sign."
    done.write(path)
    click.echo(f"{len(done.ids)} keys in {path}; {done.signing} signs. {after}", err=True)


@keys.command(epilog="\b\nExample:\n  fhir-alliance keys jwks keys.json > jwks.json")
@file_argument
def jwks(path: Path) -> None:
    """Print the public JSON Web Key Set, to be registered or served; no private part is in it."""
    from fhir_alliance.stores.keys import read_keys

    click.echo(json.dumps(read_keys(path).public(), indent=2))
