"""The drop folder: files for systems that read files only, such as an interface engine.

A file appears whole or not at all, and only its owner can read it. Its name is a number without meaning.
"""

from __future__ import annotations

from pathlib import Path

from fhir_alliance.stores.files import new_file, new_folder


class Drop:
    """One folder in which files are left. Who picks them up may move or delete them."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made before the first file is left."""
        self._folder = folder

    def leave(self, name: str, content: str) -> None:
        """Leave a file; the same name takes the place of the earlier one. Raises StopRun FA111, FA124."""
        new_folder(self._folder)
        with new_file(self._folder / name) as out:
            out.write(content.encode())
