"""The outbox: what has to reach a clinician and could not be delivered yet, kept beside the journal.

One line of JSON for each, with its key and what is needed to ask again: references, no answers and no names. A person
can read it while the server is away. Only we can read the file (0600), and it is replaced whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import orjson

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.files import refuse_link, replace_file

FILE: Final = "safety-outbox.ndjson"


class Outbox:
    """The outbox of one state folder; who holds its lease may change it."""

    def __init__(self, folder: Path, *, frozen: bool = False) -> None:
        """frozen: nothing is ever written, as in a dry run."""
        self.path = folder / FILE
        self._frozen = frozen

    def waiting(self) -> dict[str, bytes]:
        """Return what waits, by key, in the order in which it came; raises StopRun FA510 for a file that is damaged."""
        refuse_link(self.path)
        try:
            lines = self.path.read_bytes().splitlines()
            return {str(orjson.loads(line)["key"]): line for line in lines if line}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError):
            raise StopRun(
                "FA510", f"{FILE} in the state folder cannot be read.", "Safety answers wait in it: have a person look."
            ) from None

    def keep(self, entries: Mapping[str, bytes]) -> None:
        """Add entries (JSON objects with their `key`), on disk when this returns; those that wait stay as they are."""
        waiting = self.waiting()
        if entries.keys() - waiting.keys():
            self._write({**entries, **waiting})

    def remove(self, keys: Collection[str]) -> None:
        """Forget what has been delivered."""
        waiting = self.waiting()
        if waiting.keys() & set(keys):
            self._write({key: line for key, line in waiting.items() if key not in keys})

    def _write(self, entries: Mapping[str, bytes]) -> None:
        if not self._frozen:
            replace_file(self.path, entries.values())
