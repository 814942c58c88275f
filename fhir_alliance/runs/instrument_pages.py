"""Writes the reference pages of all instruments that ship: python -m fhir_alliance.runs.instrument_pages FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.stores.files import replace_file
from fhir_alliance.views.instrument_page import index_page, reference_page


def pages(catalog: Catalog) -> dict[str, str]:
    """Return the text of each page by its file name: one for each instrument, and the index."""
    instruments = [instrument for _, instrument in sorted(catalog.instruments.items())]
    return {"index.md": index_page(instruments)} | {f"{i.id}.md": reference_page(i) for i in instruments}


def write_pages(folder: Path, catalog: Catalog) -> int:
    """Return how many pages now stand in a folder; it is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    found = pages(catalog)
    for name, text in found.items():
        replace_file(folder / name, [text.removesuffix("\n").encode()])
    return len(found)


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]), load_catalog())
