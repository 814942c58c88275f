"""`fhir-alliance listen`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fhir_alliance.cli.options import json_option, store_option


@click.command(
    epilog="\b\nExample:\n  fhir-alliance listen --store https://ehr.example/fhir --address https://us.example/notices\n"
    "  fhir-alliance listen --store http://127.0.0.1:8080/fhir --json\n\n"
    "Exit status: that of the last sync when it was asked to stop (SIGTERM), 75 where that one was stopped midway; "
    "10 no port, or an address that is not private; 22 the server takes no Subscription: run sync by a timer."
)
@store_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where notices are taken.")
@click.option("--port", type=click.IntRange(0, 65535), default=8461, show_default=True, help="0: any that is free.")
@click.option(
    "--address", default="", metavar="URL",
    help="The address at which the server reaches that port, through your TLS proxy. Default: http://HOST:PORT/.",
)  # fmt: skip
@click.option("--quiet", "quiet_s", type=click.FloatRange(0), default=5.0, show_default=True, metavar="SECONDS",
              help="How long a notice waits for others before the sync begins.")  # fmt: skip
@click.option("--heartbeat", "heartbeat_min", type=click.FloatRange(min=0, min_open=True), default=15.0,
              show_default=True, metavar="MINUTES", help="Sync after so long without a notice.")  # fmt: skip
@click.option("--metrics", "metrics_file", type=click.Path(path_type=Path), metavar="FILE", help="As for sync.")
@click.option("--log", "log_file", type=click.Path(path_type=Path), metavar="FILE", help="As for sync.")
@json_option
@click.pass_context
def listen(
    ctx: click.Context, location: str, host: str, port: int, address: str, quiet_s: float, heartbeat_min: float,
    metrics_file: Path | None, log_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Sync whenever the server tells that forms changed (a FHIR rest-hook Subscription), and now and then anyway.

    A notice carries nothing and is needed for nothing: it makes the next sync come sooner. --json prints one object for
    each event. SIGTERM lets the write in hand be finished and switches the Subscription off.
    """
    import json
    from datetime import UTC, datetime, timedelta

    from fhir_alliance.cli.options import configuration, messages, stoppable
    from fhir_alliance.cli.syncing import Words, synced
    from fhir_alliance.runs.listen import Event, Listener, Rhythm
    from fhir_alliance.stores.opening import open_hook
    from fhir_alliance.stores.receiver import Bell, Receiver
    from fhir_alliance.views.listen import event_text

    config = configuration(ctx)
    rhythm = Rhythm(quiet_s, heartbeat_min * 60)
    words = Words(location, metrics_file=metrics_file, log_file=log_file)
    console = messages()

    def tell(event: Event, told: dict[str, Any]) -> None:
        console.print(event_text(event, told))
        if as_json:
            when = datetime.now(UTC).isoformat(timespec="seconds")
            click.echo(json.dumps({"event": event.value, "time": when, **told}))

    bell = Bell()
    receiver = Receiver(host, port, bell)
    try:
        with stoppable() as stop:
            place = address or f"http://{host}:{receiver.port}/"
            lasts = max(timedelta(days=1), timedelta(seconds=4 * rhythm.heartbeat_s))
            with open_hook(location, config, place, receiver.secret, lasts) as hook:
                listener = Listener(
                    hook, bell, lambda: synced(config, words, stop=stop), rhythm,
                    clock=lambda: datetime.now(UTC), tell=tell, stop=stop, refused=lambda: receiver.refused,
                )  # fmt: skip
                status = listener.listen()
    finally:
        receiver.close()
    ctx.exit(int(status))
