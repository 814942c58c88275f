"""The folder that exports land in: what runs is kept aside, and lands as a whole or is landed again.

Everything of an export lies in `.export/` until all of it is there and was looked at. The files then come to stand
beside each other as `Type.NNN.ndjson`, each resource once: an export of what has changed takes the older version of a
resource out of the older files, so that no revoked Consent goes on speaking.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.bulk import Manifest, Order
from fhir_alliance.stores.bulk_lines import BadLine, Named, deleted_in, ids_in
from fhir_alliance.stores.files import BUFFER, new_file, new_folder
from fhir_alliance.stores.folder import ASIDE, DERIVED, LANDING

_NUMBERED: Final = re.compile(r"([A-Z][A-Za-z]+)\.(\d{3,})\.ndjson")
# what `new_file` leaves of one of our names when it is killed; a person's own files have other names
_HALF_WRITTEN: Final = re.compile(
    r"\.(running\.json|manifest\.json|landing|bad-lines\.ndjson|staged-.+|[A-Z][A-Za-z]+\.\d{3,}\.ndjson)\.[a-z0-9_]{8}"
)
STAGED: Final = "staged-"  # then a number and a type
DELETED: Final = "Bundle"  # what the files of the manifest's lists hold
ERRORS: Final = "OperationOutcome"
BAD_LINES: Final = "bad-lines.ndjson"
_Kept = TypeVar("_Kept", bound=msgspec.Struct)


class Running(msgspec.Struct, frozen=True):
    """An export under way. files: staged name to number of lines.  landing: staged name to final name.

    bad: the lines that were left out.
    """

    base: str
    order: Order
    since: str
    job: str
    manifest: Manifest | None = None
    files: dict[str, int] = {}
    bad: tuple[BadLine, ...] = ()
    landing: dict[str, str] = {}
    is_landed: bool = False


class Held(msgspec.Struct, frozen=True):
    """What the folder holds. until: the server's time up to which nothing is missing.  files: name to lines."""

    base: str
    order: Order
    until: str
    files: dict[str, int]


class ExportFolder:
    """A folder, and in it what is known of its exports."""

    def __init__(self, folder: Path) -> None:
        self.folder = new_folder(folder)
        self.aside = new_folder(folder / ASIDE)

    def running(self) -> Running | None:
        """Return the export that an earlier run began."""
        return self._read("running.json", Running)

    def held(self) -> Held | None:
        """Return what the last export left here."""
        return self._read("manifest.json", Held)

    def keep(self, running: Running) -> Running:
        """Return it, after it is on disk."""
        return self._write("running.json", running)

    def claim(self, base: str, order: Order) -> None:
        """Raise StopRun FA448 where the folder holds anything but exports of this order."""
        held = self.held()
        if held is not None and (held.base, held.order) != (base, order):
            raise StopRun("FA448", "the folder holds another export.", "Name another folder with --out.")
        ours = held.files if held is not None else {}
        foreign = [name for name in self._inputs() if name not in ours]
        if foreign and self.running() is None:
            raise StopRun("FA448", f"{foreign[0]} was not exported here.", "Name an empty folder with --out.")

    def land(self, running: Running) -> Running:
        """Return the export as landed: its files stand in the folder. Done twice, it does what doing it once does."""
        held = self.held()
        if not running.landing:
            start = self._next() if running.since else {}
            running = self.keep(msgspec.structs.replace(running, landing=_names(running.files, start)))
        old = list(held.files) if held is not None else []
        with new_file(self.aside / LANDING):
            pass
        counts = dict(held.files) if held is not None and running.since else {}
        if running.since:
            self._take_out(old, running, counts)
        else:
            for name in set(old) - set(running.landing.values()):
                (self.folder / name).unlink(missing_ok=True)
        for staged, name in running.landing.items():
            if (self.aside / staged).exists():
                os.replace(self.aside / staged, self.folder / name)
            counts[name] = running.files[staged]
        self._hold(running, counts)
        self._tell_bad(running.bad)
        (self.aside / LANDING).unlink(missing_ok=True)
        return self.keep(msgspec.structs.replace(running, is_landed=True))

    def clear(self) -> None:
        """Forget the export under way, what it staged, and what a killed run had half written."""
        (self.aside / "running.json").unlink(missing_ok=True)
        for path in (*self.aside.iterdir(), *self.folder.iterdir()):
            if _HALF_WRITTEN.fullmatch(path.name):
                path.unlink(missing_ok=True)
        for path in self.aside.glob(f"{STAGED}*"):
            if path.name.endswith(ERRORS):
                os.replace(path, self.aside / f"errors-{path.name.removeprefix(STAGED)}.ndjson")
            else:
                path.unlink(missing_ok=True)

    def deleted(self, running: Running) -> Iterator[tuple[str, str]]:
        """Yield type and id of what the server says was deleted."""
        for staged in running.files:
            if staged.endswith(f"-{DELETED}"):
                yield from deleted_in(self.aside / staged)

    def _hold(self, running: Running, counts: dict[str, int]) -> None:
        """Note what stands here; where something is missing, the next export begins where this one did."""
        manifest = running.manifest
        is_whole = manifest is not None and not manifest.error and not running.bad
        until = manifest.transaction_time.isoformat() if manifest is not None and is_whole else running.since
        self._write("manifest.json", Held(running.base, running.order, until, counts))

    def _tell_bad(self, bad: Sequence[BadLine]) -> None:
        """Leave the places of the lines that were left out, and nothing of their text."""
        (self.aside / BAD_LINES).unlink(missing_ok=True)
        if bad:
            with new_file(self.aside / BAD_LINES) as out:
                out.writelines(msgspec.json.encode(each) + b"\n" for each in bad)

    def _take_out(self, old: Iterable[str], running: Running, counts: dict[str, int]) -> None:
        gone: dict[str, set[str]] = {}
        for staged, name in running.landing.items():
            here = self.aside / staged
            gone.setdefault(_type_of(name), set()).update(ids_in(here if here.exists() else self.folder / name))
        for kind, identity in self.deleted(running):
            gone.setdefault(kind, set()).add(identity)
        for name in set(old) - set(running.landing.values()):
            if gone.get(_type_of(name)) and (self.folder / name).is_file():
                counts[name] = _without(self.folder / name, gone[_type_of(name)])

    def _next(self) -> dict[str, int]:
        """Return by type the first number that no file has."""
        after: dict[str, int] = {}
        for name in self._inputs():
            numbered = _NUMBERED.fullmatch(name)
            if numbered is not None:
                after[numbered[1]] = max(after.get(numbered[1], 0), int(numbered[2]) + 1)
        return after

    def _inputs(self) -> list[str]:
        """Return the names of the files that the folder store would read, but for what was derived."""
        files = [p.name for p in self.folder.iterdir() if p.suffix in (".ndjson", ".json") and p.is_file()]
        return sorted(name for name in files if not name.endswith(DERIVED) and name != "parked.ndjson")

    def _read(self, name: str, kind: type[_Kept]) -> _Kept | None:
        path = self.aside / name
        if not path.is_file():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except msgspec.DecodeError:
            raise StopRun("FA449", f"{ASIDE}/{name} cannot be read.", "Remove it, or name another folder.") from None

    def _write(self, name: str, content: _Kept) -> _Kept:
        with new_file(self.aside / name) as out:
            out.write(msgspec.json.encode(content))
        return content


def _names(files: Iterable[str], start: dict[str, int]) -> dict[str, str]:
    """Return the final names of staged files, numbered by type. start: the first number of a type, else 0."""
    number, names = dict(start), {}
    for staged in files:
        kind = staged.rpartition("-")[2]
        if kind in (DELETED, ERRORS):
            continue
        names[staged] = f"{kind}.{number.get(kind, 0):03}.ndjson"
        number[kind] = number.get(kind, 0) + 1
    return names


def _type_of(name: str) -> str:
    return name.partition(".")[0]


def _without(path: Path, gone: set[str]) -> int:
    """Return how many lines a file has left after it was written anew without these ids."""
    count = 0
    with new_file(path) as out:
        for line in _lines(path):
            if msgspec.json.decode(line, type=Named).id not in gone:
                out.write(line)
                count += 1
    return count


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=BUFFER) as lines:
        yield from lines
