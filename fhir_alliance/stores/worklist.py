"""The work-list: goal reviews in a file, where a server takes no Task. A FHIR Bundle for machines, a table for people.

The Bundle is the record of these reviews: what a person or a program sets in it (a Task's status, output or owner) is
read back by the next run and respected. The table is made anew from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.files import new_file, new_folder, refuse_link

BUNDLE: Final = "worklist.json"
TABLE: Final = "worklist.csv"


class Worklist:
    """The work-list in one folder; who holds the lease of the store may change it."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made before the first review is kept."""
        self._folder = folder

    def tasks(self) -> list[dict[str, Any]]:
        """Return its Tasks; raises StopRun FA439 where the file is damaged: its reviews would be opened again."""
        path = self._folder / BUNDLE
        refuse_link(path)
        try:
            found = [entry["resource"] for entry in orjson.loads(path.read_bytes()).get("entry", [])]
            if all(task["resourceType"] == "Task" for task in found):
                return found
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        raise StopRun("FA439", f"{BUNDLE} in the drop folder cannot be read.", "Mend it, or restore it from a backup.")

    def keep(self, tasks: Iterable[Mapping[str, Any]], table: bytes) -> None:
        """Replace both files; the Bundle, which counts, last."""
        new_folder(self._folder)
        with new_file(self._folder / TABLE) as out:
            out.write(table)
        entries = [{"resource": task} for task in tasks]
        with new_file(self._folder / BUNDLE) as out:
            out.write(orjson.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
