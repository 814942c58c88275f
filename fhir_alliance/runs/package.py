"""The story of exporting: all that is published, as one FHIR package that any tool can install."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from fhir_alliance.fhir.identifiers import BASE
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.publish import artefacts
from fhir_alliance.stores.files import new_file

NAME: Final = "fhir-alliance.instruments"
FHIR: Final = "4.0.1"
DEPENDENCIES: Final = {
    "hl7.fhir.r4.core": FHIR,
    "hl7.fhir.uv.extensions.r4": "5.2.0",  # itemWeight
    "hl7.fhir.uv.sdc": "3.0.0",  # calculatedExpression
}
MTIME: Final = 315_532_800  # 1980-01-01, the earliest that every archive format can say; tar warns about 1970
_INDEXED: Final = ("resourceType", "id", "url", "version", "kind", "type", "supplements", "content", "derivation")


def write_package(file: Path, catalog: Catalog, version: str) -> Counter[str]:
    """Return how many resources of each type went into a package; the file is written whole or not at all.

    version: of the package, three numbers with dots.
    """
    resources = artefacts(catalog)
    with new_file(file) as out:
        out.write(package(resources, version))
    return Counter(dict(sorted(Counter(str(resource["resourceType"]) for resource in resources).items())))


def package(resources: Iterable[Mapping[str, Any]], version: str) -> bytes:
    """Return a FHIR package (a gzipped tar) of these resources; the same ones give the same bytes."""
    named = dict(sorted((f"{r['resourceType']}-{r['id']}.json", r) for r in resources))
    files = [
        ("package.json", _json(_manifest(version))),
        (".index.json", _json(_index(named))),
        *((name, _json(resource)) for name, resource in named.items()),
    ]
    buffer = io.BytesIO()
    # no file name and no time in either header: both would differ from place to place and from day to day
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w:") as archive:
        for name, body in files:
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size, entry.mtime, entry.mode = len(body), MTIME, 0o644
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def _manifest(version: str) -> dict[str, Any]:
    return {
        "name": NAME,
        "version": version,
        "type": "Conformance",
        "canonical": BASE,
        "title": "Alliance and outcome questionnaires",
        "description": "Questionnaires with their scoring, profiles of what is derived from them, and terminology",
        "author": "fhir_alliance",
        "fhirVersions": [FHIR],
        "dependencies": DEPENDENCIES,
    }


def _index(named: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the index of a package: what a tool looks resources up by, without opening them."""
    files = [
        {"filename": name} | {key: resource[key] for key in _INDEXED if isinstance(resource.get(key), str)}
        for name, resource in named.items()
    ]
    return {"index-version": 2, "files": files}


def _json(content: Mapping[str, Any]) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
