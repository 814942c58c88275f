"""Options that several commands share, and what they open."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from fhir_alliance.config import Config
    from fhir_alliance.runs.catalog import Catalog
    from fhir_alliance.runs.summary import Summary
    from fhir_alliance.stores.journal import Journal
    from fhir_alliance.stores.scopes import Needs
    from fhir_alliance.stores.store import Store

store_option = click.option(
    "--store",
    "location",
    default="",
    envvar="FHIR_ALLIANCE_STORE",
    metavar="URL_OR_FOLDER",
    help="A FHIR R4 base address, or a folder of NDJSON. Default: [store] location.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the counts on stdout.")
engine_option = click.option(
    "--engine", type=click.Choice(["local", "spark"]), default="local", show_default=True,
    help="What does the work: this machine, or Spark (needs the extra spark, and Java 17).",
)  # fmt: skip
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be written; write nothing.")


def configuration(ctx: click.Context) -> Config:
    """Return the configuration that the program was called with."""
    from fhir_alliance.config import load_config

    path: Path | None = ctx.find_root().obj
    return load_config(path)


def catalog_of(config: Config) -> Catalog:
    """Return the shipped instruments and the site's own."""
    from fhir_alliance.runs.catalog import load_catalog

    return load_catalog(config.instruments.folders, config.instruments.overlays)


@contextmanager
def opened(
    location: str, config: Config, needs: Needs | None = None, *, dry_run: bool = False
) -> Iterator[tuple[Store, Journal]]:
    """Yield the store and its journal, with the lease held; a dry run holds no lease and leaves no trace.

    needs: what the command does there (runs/needs.py); a server is asked for these rights, or else for all.
    """
    from fhir_alliance.runs.needs import ALL, AUDITING
    from fhir_alliance.stores.journal import Journal
    from fhir_alliance.stores.opening import open_store, state_folder

    wanted = (needs or ALL).joined(AUDITING) if config.audit.to == "server" else needs or ALL
    store = open_store(location, config, wanted.without_writes() if dry_run else wanted)
    folder = state_folder(store, config)
    try:
        journal = Journal.rehearsal(folder) if dry_run else Journal(folder, store.name)
        try:
            yield store, journal
        finally:
            journal.close()
    finally:
        store.close()


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM or SIGINT has come: the page in hand is then finished.

    The second signal ends the program at once; a run may be killed at any moment and repeated.
    """
    import signal

    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def messages() -> Console:
    """Return the console for people: stderr."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=110)


def printed() -> Console:
    """Return the console for data: stdout, as wide as the terminal, and wide where it goes into a file or pipe."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


@contextmanager
def progress(what: str, of: str = "forms") -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many forms, or what else, are done, where somebody is watching."""
    console = messages()
    if not console.is_terminal:
        yield lambda count: None
        return
    with console.status(what) as status:
        yield lambda count: status.update(f"{what}: {count:,} {of}")


@contextmanager
def telling(what: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows what is being done, where somebody is watching."""
    console = messages()
    if not console.is_terminal:
        yield lambda step: None
        return
    with console.status(what) as status:
        yield lambda step: status.update(f"{what}: {step}")


def report(ctx: click.Context, summary: Summary, title: str, *, as_json: bool, dry_run: bool = False) -> None:
    """Print a summary, for people on stderr and for machines on stdout, and end with its exit status."""
    from fhir_alliance.views.terminal import planned_table, summary_text

    counts: dict[str, Any] = summary.as_object()
    console = messages()
    if dry_run:
        console.print(planned_table(summary_lines(summary)))
    console.print(summary_text(title, counts, dry_run=dry_run))
    if summary.client and not as_json:
        from fhir_alliance.runs.summary import EVERYBODY
        from fhir_alliance.views.story import moves_table, story_text

        if summary.client == EVERYBODY:
            printed().print(moves_table(summary.moves()))
        else:
            printed().print(story_text(summary.client, summary.story, dry_run=dry_run))
    if as_json:
        click.echo(json.dumps(counts | ({"dry_run": True} if dry_run else {})))
    ctx.exit(int(summary.exit))


def reference_of(client: str) -> str:
    """Return a client as a reference: `anna` is Patient/anna."""
    return f"Patient/{client}" if client and "/" not in client else client


def summary_lines(summary: Summary) -> list[tuple[str, str, str]]:
    """Return a planned change as kind, resource type and name; names are keys or urls, never a patient's data."""
    return [(c.kind.value, c.write.type, c.write.value[:60]) for c in summary.planned]
