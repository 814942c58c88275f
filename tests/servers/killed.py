"""Runs the command line in a process that kills itself (SIGKILL) at a given step: a line in the journal, or a request.

One JSON line in: {words, kill: the step at which to die, 0 for never, files: whether a file that comes to stand or goes
is a step, too}. One line out: {signal, status, steps}.
The program and its instruments are loaded once, and forked for each run, so that hundreds of deaths take no longer than
hundreds of runs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

time.sleep = lambda seconds: None  # before anything takes it as its way to wait: no run here has a reason to

import requests  # noqa: E402

from fhir_alliance.cli import program, recording, syncing  # noqa: E402, F401 - loaded before the fork
from fhir_alliance.runs import catalog, export, sync  # noqa: E402, F401 - loaded before the fork
from fhir_alliance.stores import folder, server, singles  # noqa: E402, F401
from fhir_alliance.stores.journal import Journal  # noqa: E402
from fhir_alliance.views import terminal  # noqa: E402, F401 - with all of rich

JOURNALLED = ("intend", "settle", "park", "advance")


class Steps:
    """Counts what a run does, on a shared page, and dies where it should."""

    def __init__(self, deadly: int, told: int) -> None:
        self._deadly, self._told, self._count = deadly, told, 0
        self._lock = Lock()  # requests are made on several connections

    def take(self) -> None:
        """Count one step."""
        with self._lock:
            self._count += 1
            os.pwrite(self._told, str(self._count).encode().ljust(8), 0)
            if self._count == self._deadly:
                os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a step before it: to die after it is to die before the next one."""

        def stepped(*arguments: Any, **named: Any) -> Any:
            self.take()
            return function(*arguments, **named)

        return stepped


def run(words: list[str], deadly: int, told: int, *, files: bool) -> None:
    """Run the program, and never return."""
    steps = Steps(deadly, told)
    for name in ("link", "replace", "unlink") if files else ():
        setattr(os, name, steps.before(getattr(os, name)))
    for name in JOURNALLED:
        setattr(Journal, name, steps.before(getattr(Journal, name)))
    requests.Session.send = steps.before(requests.Session.send)  # type: ignore[method-assign]
    singles.SETTLE_S = 0.0  # as if runs were far apart
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    status = 0
    try:
        program(args=words, prog_name="fhir-alliance")
    except SystemExit as end:
        status = int(end.code or 0)
    steps.take()
    os._exit(status)


def main() -> None:
    """Answer one line after the other."""
    loaded = catalog.load_catalog()
    catalog.load_catalog = lambda *places: loaded
    told = os.memfd_create("steps")
    for line in sys.stdin:
        asked = json.loads(line)
        os.pwrite(told, b"0".ljust(8), 0)
        child = os.fork()
        if child == 0:
            run(asked["words"], asked["kill"], told, files=asked["files"])
        _, ended = os.waitpid(child, 0)
        signalled = os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else 0
        status = os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else None
        print(json.dumps({"signal": signalled, "status": status, "steps": int(os.pread(told, 8, 0))}), flush=True)


if __name__ == "__main__":
    main()
