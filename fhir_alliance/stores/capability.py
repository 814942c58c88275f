"""What a server can do, as far as it matters here, and what follows from it: the rung and the way of each write.

A profile is read from the server's CapabilityStatement, corrected by what safe reads show (`probe.py`), and may be
pinned in a file that a person has looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhir_alliance.config import explain
from fhir_alliance.core.model import WriteMode
from fhir_alliance.errors import StopRun
from fhir_alliance.stores.files import new_file

PAGE_SIZE: Final = 500
ANY: Final = "*"  # in place of a type: all that are not named
ENTRIES: Final = 100  # a transaction of about 100 is fastest on HAPI, and below every known platform's cap (AWS: 160)


class Rung(StrEnum):
    """How writes are sent, the best first."""

    TRANSACTION = "transaction"
    BATCH = "batch"
    SINGLES = "singles"


class Once(StrEnum):
    """How a write is kept from standing there twice, the best first."""

    CLIENT_ID = "client-id"  # PUT Type/key: the key is the id
    CONDITIONAL_UPDATE = "conditional-update"  # PUT Type?identifier=key
    CONDITIONAL_CREATE = "conditional-create"  # POST with If-None-Exist
    SEARCH_FIRST = "search-first"  # search by identifier, POST, search again
    BY_CONTENT = "by-content"  # read what the patient has and compare, for servers that cannot search by identifier
    JOURNAL_ONLY = "journal-only"  # nothing can be read back: what may have been done is never sent again


PUTS: Final = (Once.CLIENT_ID, Once.CONDITIONAL_UPDATE)  # the others create by POST


class TypeProfile(BaseModel):
    """What a server does with one type of resource. once: a person's choice, which outranks what follows from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interactions: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    conditional_create: bool = False
    conditional_update: bool = False
    update_create: bool = False
    versioning: str = ""
    once: Once | None = None


class ServerProfile(BaseModel):
    """What a server can do. signed_off_by: who has looked at it; empty in a file that nobody has.

    keeps_together: whether of a transaction all stands or nothing; None where that is not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    software: str = ""
    fhir_version: str = ""
    stated_on: str = ""
    signed_off_by: str = ""
    transaction: bool = False
    keeps_together: bool | None = None
    batch: bool = False
    page_size: int = Field(PAGE_SIZE, ge=1, le=1000)
    entries: int = Field(ENTRIES, ge=1, le=500)
    types: dict[str, TypeProfile] = {}

    def of(self, kind: str) -> TypeProfile:
        """Return what the server does with a type; what `*` says, or nothing, where it does not say."""
        return self.types.get(kind) or self.types.get(ANY) or TypeProfile()

    def rung(self, refused: Collection[str] = ()) -> Rung:
        """Return the best way to send several writes. refused: what the server has lately refused."""
        if self.transaction and self.keeps_together is not False and Rung.TRANSACTION not in refused:
            return Rung.TRANSACTION
        return Rung.BATCH if self.batch and Rung.BATCH not in refused else Rung.SINGLES

    def once(
        self, kind: str, mode: WriteMode, *, is_canonical: bool = False, refused: Collection[str] = ()
    ) -> Once | None:
        """Return how a new resource of a type is kept single, or None where the server takes none.

        What a person owns once it stands (`create-once`) is not sent in a way that would overwrite it. Questionnaires
        and the like keep the ids that the server gives: ours could be somebody's.
        """
        held = self.of(kind)
        ways = [held.once] if held.once else list(_ways(held, "url" if is_canonical else "identifier"))
        ways = [
            way for way in ways if f"{way}:{kind}" not in refused and (way in PUTS or f"create:{kind}" not in refused)
        ]
        if held.once:
            return next(iter(ways), None)
        if mode is WriteMode.CREATE_ONCE or is_canonical:
            ways = [way for way in ways if way is not Once.CONDITIONAL_UPDATE]
            if Once.CONDITIONAL_CREATE in ways:
                return Once.CONDITIONAL_CREATE
        if is_canonical:
            ways = [way for way in ways if way not in (Once.CLIENT_ID, Once.BY_CONTENT)]
        return next(iter(ways), None)

    def takes_updates(self, kind: str, refused: Collection[str] = ()) -> bool:
        """Return whether a resource that stands there can be changed."""
        return "update" in self.of(kind).interactions and f"update:{kind}" not in refused


def _ways(held: TypeProfile, key: str) -> Iterator[Once]:
    can = set(held.interactions)
    is_searchable = "search-type" in can and key in held.search
    if "update" in can and held.update_create:
        yield Once.CLIENT_ID
    if "update" in can and held.conditional_update and is_searchable:
        yield Once.CONDITIONAL_UPDATE
    if "create" not in can:
        return
    if held.conditional_create:
        yield Once.CONDITIONAL_CREATE
    if is_searchable:
        yield Once.SEARCH_FIRST
    if "search-type" in can and not {"patient", "subject"}.isdisjoint(held.search):
        yield Once.BY_CONTENT
    yield Once.JOURNAL_ONLY


def cautious(base: str) -> ServerProfile:
    """Return what is assumed of a server that does not say what it can: one write at a time, each looked for first."""
    anything = TypeProfile(
        interactions=("read", "search-type", "create", "update"), search=("identifier", "patient", "url")
    )
    return ServerProfile(base=base, types={ANY: anything})


def read_statement(statement: Mapping[str, Any], base: str) -> ServerProfile:
    """Return what a CapabilityStatement says; what it leaves out is not there."""
    rest = next((r for r in _objects(statement.get("rest")) if r.get("mode", "server") == "server"), {})
    system = {_text(each.get("code")) for each in _objects(rest.get("interaction"))}
    common = [_text(each.get("name")) for each in _objects(rest.get("searchParam"))]
    software = statement.get("software")
    named = software if isinstance(software, dict) else {}
    return ServerProfile(
        base=base,
        software=" ".join(filter(None, (_text(named.get("name")), _text(named.get("version")))))[:80],
        fhir_version=_text(statement.get("fhirVersion"))[:20],
        stated_on=_text(statement.get("date"))[:10],
        transaction="transaction" in system,
        batch="batch" in system,
        types={_text(r.get("type")): _type(r, common) for r in _objects(rest.get("resource")) if _text(r.get("type"))},
    )


def _type(resource: Mapping[str, Any], common: list[str]) -> TypeProfile:
    return TypeProfile(
        interactions=tuple(_text(each.get("code")) for each in _objects(resource.get("interaction"))),
        search=tuple(sorted({_text(each.get("name")) for each in _objects(resource.get("searchParam"))} | set(common))),
        conditional_create=resource.get("conditionalCreate") is True,
        conditional_update=resource.get("conditionalUpdate") is True,
        update_create=resource.get("updateCreate") is True,
        versioning=_text(resource.get("versioning")),
    )


def load_profile(path: Path, base: str) -> ServerProfile:
    """Return the profile in a file; raises StopRun FA430 (not readable as one), FA431 (of another server)."""
    try:
        profile = ServerProfile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StopRun("FA430", f"the profile cannot be read ({error.strerror}).", "Check [store] profile.") from None
    except ValidationError as error:
        raise StopRun("FA430", f"the profile is none: {explain(error)}.", "See: doctor --save FILE.") from None
    if profile.base.rstrip("/") != base:
        raise StopRun("FA431", "the profile is of another server.", "Make one: fhir-alliance doctor --save FILE.")
    return profile


def save_profile(path: Path, profile: ServerProfile) -> None:
    """Write a profile for a person to look at."""
    with new_file(path) as out:
        out.write(profile.model_dump_json(indent=2).encode() + b"\n")


def _objects(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else ""
